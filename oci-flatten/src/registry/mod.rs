//! The registry module.
