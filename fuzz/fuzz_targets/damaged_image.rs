//! Bytes as damage to an image of ours, of which every fact is then asked: as `image pull`, `register` and `show` do, and every name and content.
//!
//! Invariants:
//! - There is an answer or an error of kind `Integrity`, within 20 seconds. No panic.
//! - Every byte that a file claims is shown exactly once, as data or in a hole.
//! - Memory: run it with `-rss_limit_mb=512 -malloc_limit_mb=128`. Plain `cargo test` has `RLIMIT_AS` in its place, which the address
//!   sanitizer does not bear.
//!
//! Findings go to `banger/tests/checks/findings/damaged_image/`, which plain `cargo test -p banger --test damaged` replays.

#![no_main]

use libfuzzer_sys::fuzz_target;

#[path = "../../banger/tests/checks/damaged_image.rs"]
mod damaged_image;

fuzz_target!(|data: &[u8]| damaged_image::check(data));
