//! The credentials module.
