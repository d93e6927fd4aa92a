//! Bytes as a program that makes a stack of layers: ours against the naive model of `oci-flatten/tests/model/naive.rs`.
//!
//! Invariants:
//! - Both refuse the same layer, or neither refuses any.
//! - The trees are the same: names, kinds, contents, modes, times, attributes, hard-link groups.
//!
//! Findings go to `oci-flatten/tests/checks/findings/layer_stack/`, which plain `cargo test -p oci-flatten` replays.

#![no_main]

use libfuzzer_sys::fuzz_target;

#[path = "../../oci-flatten/tests/checks/layer_stack.rs"]
mod layer_stack;

fuzz_target!(|data: &[u8]| layer_stack::check(data));
