//! The pump: what it verifies, what it reports, and how it stops.

#![allow(clippy::unwrap_used, unreachable_pub, reason = "tests may")]

mod support;

#[path = "flatten/faults.rs"]
mod faults;
#[path = "flatten/memory.rs"]
mod memory;
#[path = "flatten/progress.rs"]
mod progress;
#[path = "flatten/stacks.rs"]
mod stacks;
#[path = "flatten/stopping.rs"]
mod stopping;
