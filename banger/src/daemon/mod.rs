//! The operations over a unix socket: JSON-RPC 2.0, one object a line.
//!
//! ```text
//! socket      the listener: bound, taken over where stale, or inherited from systemd
//!  └ server      accepts, and stops: what runs is cancelled, and has a deadline
//!     └ connection  lines in, lines out; each call is a task, and all end with the connection
//!        ├ protocol    what a line may be, and what an answer looks like
//!        ├ methods     every method by name: parameters, reply, schema
//!        ├ operations  what runs now, for `op.list` and `op.cancel`
//!        └ progress    events, put together to ten notifications a second
//! client      the other end, for the command line and for Rust programs
//! ```
//!
//! It adds nothing to the operations: each call is an [`Operation`](crate::operation::Operation), run
//! under the same locks as in any other process that works on the store.
//!
//! Memory is bounded whatever a peer does: lines have a limit, a connection has a limit of calls in
//! flight, answers wait in a short queue, and a peer that does not read is left after a while.

mod client;
mod connection;
mod methods;
mod operations;
mod progress;
mod protocol;
mod server;
mod socket;

pub use client::Client;
pub use methods::{OpCancel, OpCancelled, OpList, OpListed, Question};
pub use operations::{RunningOperation, State};
pub use server::{Log, serve};
pub use socket::Socket;
