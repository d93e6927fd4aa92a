//! A tar reader that takes bytes and gives events: sans-IO, bounded, and of one mind with Go's `archive/tar`, by
//! which every layer was checked that a container engine ever ran.
//!
//! Bytes go in as they arrive, events come out; contents are slices of the caller's own buffer.
//!
//! ```
//! use tar_events::{Event, Limits, TarError, TarReader};
//!
//! fn names(mut archive: &[u8]) -> Result<Vec<Vec<u8>>, TarError> {
//!     let mut reader = TarReader::new(&Limits::default());
//!     let mut names = Vec::new();
//!     while let Some(event) = reader.next_event(&mut archive)? {
//!         if let Event::Entry(entry) = event {
//!             names.push(entry.path.to_vec());
//!         }
//!     }
//!     reader.finish()?;
//!     Ok(names)
//! }
//! # assert!(names(&[0; 1024]).is_ok_and(|names| names.is_empty()));
//! ```
//!
//! What it reads: v7, ustar, GNU, star and PAX headers; GNU long names; the four GNU sparse formats (old GNU,
//! PAX 0.0, 0.1 and 1.0), whose holes stay holes; base-256 numbers; unsigned and signed checksums; the `prefix`
//! that old versions of Go wrote into GNU headers. What it ignores: global PAX headers.
//!
//! What an entry says is passed on as it stands: whether a path climbs, a mode has odd bits or a link leads anywhere
//! is the caller's to judge.
//!
//! The formats: POSIX.1-2024 `pax`, "ustar Interchange Format" and "pax Extended Header"; GNU tar manual, "Tar
//! Internals"; FreeBSD `tar(5)`.

mod block;
mod body;
mod entry;
mod error;
mod header;
mod kind;
mod limits;
mod pax;
mod pending;
mod reader;
mod sparse;
mod time;

#[cfg(feature = "testkit")]
pub mod testkit;

pub use block::BLOCK_BYTES;
pub use entry::Entry;
pub use error::{TarError, TarProblem};
pub use kind::EntryKind;
pub use limits::{LimitExceeded, Limits};
pub use pax::{PaxRecords, XattrRecords};
pub use reader::{EndMarker, Event, TarReader};
pub use time::Timestamp;

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
