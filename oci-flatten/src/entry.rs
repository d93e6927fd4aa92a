//! The entry module.
