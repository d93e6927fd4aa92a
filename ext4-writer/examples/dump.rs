//! `cargo run -p ext4-writer --example dump -- IMAGE`: what lies where in an image of this crate.

use std::error::Error;
use std::fs::File;

use ext4_writer::{FileDevice, dump};

#[expect(clippy::print_stdout, reason = "an example tells what it found")]
fn main() -> Result<(), Box<dyn Error>> {
    let image = std::env::args_os().nth(1).ok_or("usage: dump IMAGE")?;
    print!("{}", dump(FileDevice::new(File::open(image)?))?);
    Ok(())
}
