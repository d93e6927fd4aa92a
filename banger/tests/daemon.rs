//! `banger daemon`: its protocol, its socket, what hostile peers can do to it, and that commands do the same
//! through it as without it.

#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "tests may"
)]

#[path = "daemon/both_ways.rs"]
mod both_ways;
#[path = "daemon/ends.rs"]
mod ends;
#[path = "daemon/hostile.rs"]
mod hostile;
#[path = "daemon/operations.rs"]
mod operations;
#[path = "daemon/peer.rs"]
mod peer;
#[path = "daemon/protocol.rs"]
mod protocol;
#[path = "daemon/socket.rs"]
mod socket;
mod storekit;
#[allow(dead_code, reason = "each test binary uses its own part")]
mod support;
