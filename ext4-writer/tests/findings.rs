//! What fuzzing found, replayed: every file in `checks/findings/TARGET/` goes through that target's check, and so do
//! the seeds that fuzzing starts from. Each image goes to e2fsck, too.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;
#[path = "checks/seeds.rs"]
mod seeds;
#[path = "checks/tree_to_image.rs"]
mod tree_to_image;

use std::path::Path;

fn replay(name: &str, program: &[u8]) {
    let checked = std::panic::catch_unwind(|| tree_to_image::check(program));
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
        replay(&name, &program);
    }
}

#[test]
fn findings_stay_fixed() {
    let place = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/checks/findings/tree_to_image");
    for entry in std::fs::read_dir(place).unwrap() {
        let path = entry.unwrap().path();
        replay(&path.display().to_string(), &std::fs::read(&path).unwrap());
    }
}
