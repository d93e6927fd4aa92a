//! The reference module.
