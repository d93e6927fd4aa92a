//! The warning module.
