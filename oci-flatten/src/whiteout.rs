//! The whiteout module.
