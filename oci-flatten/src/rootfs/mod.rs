//! The rootfs module.
