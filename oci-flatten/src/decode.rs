//! The decode module.
