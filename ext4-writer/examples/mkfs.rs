//! `cargo run -p ext4-writer --example mkfs -- DIRECTORY IMAGE`: an ext4 image of a directory, without root.

use std::error::Error;
use std::fs::File;
use std::path::Path;

use ext4_writer::{DirectoryOptions, FileDevice, FormatOptions, ImageWriter, read_directory};

#[expect(clippy::print_stdout, reason = "an example tells what it made")]
fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args_os().skip(1);
    let (Some(directory), Some(image)) = (arguments.next(), arguments.next()) else {
        return Err("usage: mkfs DIRECTORY IMAGE".into());
    };
    let file = File::options()
        .read(true)
        .write(true)
        .create_new(true)
        .open(image)?;
    let mut writer = ImageWriter::new(FileDevice::new(file), FormatOptions::default())?;
    let options = DirectoryOptions::default().owner(Some((0, 0)));
    let tree = read_directory(&mut writer, Path::new(&directory), &options)?;
    let summary = writer.finish(tree)?;
    println!(
        "{} bytes, {} of them free",
        summary.size_bytes, summary.free_bytes
    );
    Ok(())
}
