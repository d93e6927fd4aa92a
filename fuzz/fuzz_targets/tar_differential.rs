//! Bytes as an archive: ours against the crates `tar`, `tokio_tar` and `tar-core`.
//!
//! Invariants:
//! - As far as an archive is plain, all four read the same entries: kind, path, link target, size, content.
//! - What follows changes nothing of what was read before.
//!
//! Where an archive stops being plain the crates are known to read otherwise than Go's `archive/tar`, by which
//! engines read layers. Each such place has a name and a reason in `Known`, and is where the comparison ends.
//!
//! Findings go to `oci-flatten/tar/tests/checks/findings/tar_differential/`, which plain `cargo test -p tar-events` replays.

#![no_main]

use libfuzzer_sys::fuzz_target;

#[path = "../../oci-flatten/tar/tests/checks/repair.rs"]
mod repair;

#[path = "../../oci-flatten/tar/tests/checks/tar_differential.rs"]
mod tar_differential;

fuzz_target!(|data: &[u8]| tar_differential::check(data));
