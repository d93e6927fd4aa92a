//! The apply module.
