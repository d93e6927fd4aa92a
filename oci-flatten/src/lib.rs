//! Flattens the layers of an OCI image into one root filesystem, whiteout-aware, streaming, within limits.
//!
//! The lower floor is plain values and knows no files, clock or async: tar bytes go into a
//! [`tar::TarReader`], its entries are merged by a [`rootfs::Rootfs`], and file contents go to a
//! caller's [`apply::ContentSink`]. The upper floor finds images and feeds their layers to the lower one.
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

pub mod cache;
pub mod compression;
pub mod credentials;
pub mod decode;
pub mod digest;
pub mod directory;
pub mod error;
pub mod flatten;
pub mod image;
pub mod layer;
pub mod media_type;
pub mod platform;
pub mod progress;
pub mod reference;
pub mod registry;
pub mod small_file;
pub mod source;
