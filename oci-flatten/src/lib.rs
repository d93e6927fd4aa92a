//! Flattens the layers of an OCI image into one root filesystem, whiteout-aware, streaming, within limits.
//!
//! The lower floor is plain values and knows no files, clock or async: tar bytes go into a
//! [`tar::TarReader`], its entries are merged by a [`rootfs::Rootfs`], and file contents go to a
//! caller's [`apply::ContentSink`]. The upper floor finds images and feeds their layers to the lower one.
//!
//! Features add what they name and change nothing else; both are on by default. Without them there is the lower floor,
//! with 8 dependencies in all. `sources` brings layouts, archives and tars, decoding, digests and the pump ([`flatten`]); `registry`
//! brings [`registry`] and the [`cache`], and `sources` with it.
//!
//! ```text
//! source   registry · oci: layout · oci-archive: · docker-archive: · tar:
//!   └ blob      size and digest verified while it streams
//!     └ decode    gzip | zstd | … | none, diff_id hashed on the way
//!       └ tar       entries: path, kind, metadata, content
//!         └ Rootfs    merged tree; whiteouts hide lower layers only
//!           └ ContentSink   file bytes, in order of arrival
//! ```

// Tests lay out files of every kind.
#![cfg_attr(not(test), warn(clippy::disallowed_methods))]

pub mod apply;
pub mod entry;
pub mod limits;
pub mod path;
pub mod rootfs;
pub mod warning;
pub mod whiteout;

pub use tar_events as tar;

#[cfg(feature = "testkit")]
pub mod testkit;

#[cfg(feature = "sources")]
pub mod compression;
#[cfg(feature = "sources")]
pub mod decode;
#[cfg(feature = "sources")]
pub mod digest;
#[cfg(feature = "sources")]
pub mod directory;
#[cfg(feature = "sources")]
pub mod error;
#[cfg(feature = "sources")]
pub mod flatten;
#[cfg(feature = "sources")]
pub mod image;
#[cfg(feature = "sources")]
mod json;
#[cfg(feature = "sources")]
mod layer;
#[cfg(feature = "sources")]
pub mod lock;
#[cfg(feature = "sources")]
pub mod media_type;
#[cfg(feature = "sources")]
pub mod platform;
#[cfg(feature = "sources")]
pub mod process_limits;
#[cfg(feature = "sources")]
pub mod progress;
#[cfg(feature = "sources")]
pub mod reference;
#[cfg(feature = "sources")]
pub mod small_file;
#[cfg(feature = "sources")]
pub mod source;
#[cfg(feature = "sources")]
pub mod threads;

#[cfg(feature = "registry")]
pub mod cache;
#[cfg(feature = "registry")]
pub mod credentials;
#[cfg(feature = "registry")]
pub mod registry;

// The example of the README is tested like those of the documentation.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
