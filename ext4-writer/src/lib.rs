//! ext4-writer
