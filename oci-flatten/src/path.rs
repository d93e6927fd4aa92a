//! The path module.
