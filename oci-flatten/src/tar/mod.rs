//! A tar reader for layers: sans-IO, bounded, and of one mind with Go's `archive/tar`, by which every layer was
//! checked that a container engine ever ran.
//!
//! Bytes go in as they arrive, events come out; contents are slices of the caller's own buffer.
//!
//! ```
//! use oci_flatten::limits::Limits;
//! use oci_flatten::tar::{Event, LayerReader};
//!
//! fn names(mut layer: &[u8]) -> Result<Vec<Vec<u8>>, oci_flatten::tar::TarError> {
//!     let mut reader = LayerReader::new(&Limits::default());
//!     let mut names = Vec::new();
//!     while let Some(event) = reader.next_event(&mut layer)? {
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
//! The formats: POSIX.1-2024 `pax`, "ustar Interchange Format" and "pax Extended Header"; GNU tar manual, "Tar
//! Internals"; FreeBSD `tar(5)`.

mod body;
mod entry;
mod error;
mod header;
mod pax;
mod reader;
mod sparse;

pub use entry::Entry;
pub use error::{TarError, TarProblem};
pub use pax::XattrRecords;
pub use reader::{Event, LayerReader};

/// Tar archives are made of blocks of this many bytes.
pub const BLOCK_BYTES: usize = 512;
