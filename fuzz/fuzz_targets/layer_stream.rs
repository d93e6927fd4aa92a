//! Bytes as a layer: first through the reader, then merged twice over itself within tight limits.
//!
//! Invariants:
//! - No panic, whatever the bytes; the reader ends with success or one error.
//! - Pieces of any size give the same entries, contents and outcome.
//! - Every entry ends before the next begins, and its data and holes are as long as its announced size.
//! - Types without body have no size; attributes are sorted and unique; data is never more than what came in.
//! - A sink sees whole contents, one after the other; what it is given back it had given out; contents in use are
//!   those of the files in the tree.
//! - The tree stays within its entries and memory; children are sorted; link counts are the counts of names.
//!
//! Findings go to `oci-flatten/tests/checks/findings/layer_stream/`, which plain `cargo test -p oci-flatten` replays.

#![no_main]

use libfuzzer_sys::fuzz_target;

#[path = "../../oci-flatten/tests/checks/repair.rs"]
mod repair;

#[path = "../../oci-flatten/tests/checks/layer_stream.rs"]
mod layer_stream;

fuzz_target!(|data: &[u8]| layer_stream::check(data));
