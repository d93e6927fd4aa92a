//! The banger program.
fn main() {}
