//! The progress module.
