//! Bytes as a tar for the ext4 writer, headers with checksums that fit and as they are.
//!
//! Invariants:
//! - No panic, whatever the bytes: an image or one error.
//! - Pieces of any size give the same image, or the same error.
//! - ext4-view loads every image.
//!
//! Findings go to `ext4-writer/tests/checks/findings/tar_to_image/`, which plain `cargo test -p ext4-writer` replays.

#![no_main]

use libfuzzer_sys::fuzz_target;

#[path = "../../oci-flatten/tar/tests/checks/repair.rs"]
mod repair;
#[path = "../../ext4-writer/tests/checks/tar_to_image.rs"]
mod tar_to_image;

fuzz_target!(|data: &[u8]| {
    let Some((&length, archive)) = data.split_first() else {
        return;
    };
    let archive = match length % 4 {
        0 => archive.to_vec(),
        _ => repair::repaired(archive),
    };
    if let Some(image) = tar_to_image::check(&[&[length], archive.as_slice()].concat()) {
        ext4_view::Ext4::load(Box::new(image)).expect("ext4-view loads it");
    }
});
