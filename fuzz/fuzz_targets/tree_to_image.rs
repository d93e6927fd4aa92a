//! Bytes as a program that builds, links, changes, removes and replaces files under any options and features: ours against a
//! naive model.
//!
//! Invariants:
//! - Names, links and removals are refused exactly where the model refuses them.
//! - Every image is made, or refused because of attributes or a link target too long for its blocks, or of a time beyond what
//!   inodes of 128 bytes hold.
//! - ext4-view loads the image and finds the model's tree: names, kinds, contents, modes, owners, times; but for images whose
//!   features or hash it does not know.
//! - The file is as long as the filesystem, and no block begins as a removed content did.
//! - Where `BANGER_FUZZ_E2FSCK` is set, and that is slow, `e2fsck -fn` has nothing to say.
//!
//! Findings go to `ext4-writer/tests/checks/findings/tree_to_image/`, which plain `cargo test -p ext4-writer` replays.

#![no_main]

use std::io::Write;
use std::process::Command;

use libfuzzer_sys::fuzz_target;

#[path = "../../ext4-writer/tests/checks/tree_to_image.rs"]
mod tree_to_image;

fuzz_target!(|data: &[u8]| {
    let Some(image) = tree_to_image::check(data) else { return };
    if std::env::var_os("BANGER_FUZZ_E2FSCK").is_some() {
        let mut file = tempfile::NamedTempFile::new().expect("a temporary file");
        file.write_all(&image).expect("room for the image");
        let output = Command::new("e2fsck").arg("-fn").arg(file.path()).output().expect("e2fsck");
        let said = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success() && !said.contains("Fix"), "{said}");
    }
});
