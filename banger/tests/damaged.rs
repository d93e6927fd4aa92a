//! Damaged filesystems, asked for every fact in a process that may not have much memory.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "checks/damaged_image.rs"]
mod damaged_image;

use std::path::Path;

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use rustix::process::{Resource, Rlimit, setrlimit};

/// Address space for everything, program and threads included.
const MEMORY_LIMIT: u64 = 512 << 20;

// One test, for the limit is the process's.
#[test]
fn every_fact_of_a_damaged_image_is_an_answer_or_an_error() {
    let limit = Rlimit {
        current: Some(MEMORY_LIMIT),
        maximum: Some(MEMORY_LIMIT),
    };
    setrlimit(Resource::As, limit).unwrap();
    let place = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/checks/findings/damaged_image");
    for entry in std::fs::read_dir(place).unwrap() {
        let path = entry.unwrap().path();
        println!("{}", path.display());
        damaged_image::check(&std::fs::read(&path).unwrap());
    }
    let mut runner = TestRunner::new(Config {
        failure_persistence: None,
        ..Config::with_cases(300)
    });
    let script = vec(any::<u8>(), 1..8 * 12);
    runner
        .run(&script, |script| {
            damaged_image::check(&script);
            Ok(())
        })
        .unwrap();
}
