//! The flatten module.
