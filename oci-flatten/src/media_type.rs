//! The media_type module.
