//! The source module.
