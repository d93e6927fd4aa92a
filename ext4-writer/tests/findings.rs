//! What fuzzing found, replayed: every file in `checks/findings/TARGET/` goes through that target's check, and so do
//! the seeds that fuzzing starts from. Each image goes to e2fsck, too.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;
#[path = "checks/seeds.rs"]
mod seeds;
#[path = "checks/tar_to_image.rs"]
mod tar_to_image;
#[path = "checks/tree_to_image.rs"]
mod tree_to_image;

use std::path::Path;

type Check = fn(&[u8]) -> Option<Vec<u8>>;

fn replay(name: &str, bytes: &[u8], check: Check) {
    let checked = std::panic::catch_unwind(|| check(bytes));
    let Some(bytes) = checked.unwrap_or_else(|_| panic!("{name} fails")) else {
        return;
    };
    let image = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(image.path(), bytes).unwrap();
    common::check_primary(image.path());
}

#[test]
fn seeds_pass() {
    for (name, program) in seeds::of("tree_to_image") {
        replay(&name, &program, tree_to_image::check);
    }
}

#[test]
fn findings_stay_fixed() {
    let place = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/checks/findings");
    let checks: [(&str, Check); 2] = [
        ("tree_to_image", tree_to_image::check),
        ("tar_to_image", tar_to_image::check),
    ];
    for (target, check) in checks {
        for entry in std::fs::read_dir(place.join(target)).unwrap() {
            let path = entry.unwrap().path();
            let bytes = std::fs::read(&path).unwrap();
            replay(&path.display().to_string(), &bytes, check);
        }
    }
}
