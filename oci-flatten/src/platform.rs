//! The platform module.
