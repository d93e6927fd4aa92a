//! The cache module.
