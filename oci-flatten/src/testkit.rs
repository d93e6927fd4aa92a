//! The testkit module.
