//! The error module.
