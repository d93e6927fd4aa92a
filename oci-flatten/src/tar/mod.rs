//! The tar module.
