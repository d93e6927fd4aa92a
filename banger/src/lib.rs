//! banger
