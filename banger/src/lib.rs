//! Turns an OCI container image into a bootable ext4 root filesystem in one streaming pass.
//!
//! This library is the `banger` program without its command line: it is the only place where
//! [`oci_flatten`] and [`ext4_writer`] meet. It prints nothing and has no global state.

// Tests lay out files of every kind.
#![cfg_attr(not(test), warn(clippy::disallowed_methods))]

pub mod artifact;
pub mod bare_path;
pub mod boot;
pub mod config;
pub mod daemon;
pub mod doctor;
pub mod error;
pub mod flatten;
pub mod image;
pub mod initrd;
pub mod kernel;
pub mod operation;
pub mod output;
pub mod packages;
pub mod places;
pub mod progress;
pub mod size;
pub mod source;
pub mod store;
pub mod text;
pub mod watch;

pub use error::{Error, ErrorKind};
