//! Prints the tree inside an ext4 image, read by the independent `ext4-view` crate.
//!
//! usage: cargo run --example tree -- rootfs.ext4

use std::error::Error;
use std::io::{self, Write};

use ext4_view::{DirEntry, Ext4, FileType, PathBuf};

fn main() -> Result<(), Box<dyn Error>> {
    let image = std::env::args_os().nth(1).ok_or("usage: tree IMAGE")?;
    let filesystem = Ext4::load_from_path(&image)?;
    let mut output = io::stdout().lock();
    let mut stack = entries(&filesystem, &PathBuf::new("/"))?;
    while let Some(entry) = stack.pop() {
        let metadata = entry.metadata()?;
        let path = entry.path();
        let (kind, note) = match metadata.file_type() {
            FileType::Directory => ('d', String::new()),
            FileType::Symlink => (
                'l',
                format!(" -> {}", filesystem.read_link(&path)?.display()),
            ),
            FileType::Regular => ('-', String::new()),
            FileType::CharacterDevice => ('c', String::new()),
            FileType::BlockDevice => ('b', String::new()),
            FileType::Fifo => ('p', String::new()),
            FileType::Socket => ('s', String::new()),
        };
        writeln!(
            output,
            "{kind}{:04o} {:>5}:{:<5} {:>10}  {}{note}",
            metadata.mode() & 0o7777,
            metadata.uid(),
            metadata.gid(),
            metadata.len(),
            path.display(),
        )?;
        if metadata.is_dir() {
            stack.extend(entries(&filesystem, &path)?);
        }
    }
    Ok(())
}

/// The entries of a directory, last name first.
fn entries(filesystem: &Ext4, path: &PathBuf) -> Result<Vec<DirEntry>, Box<dyn Error>> {
    let mut found = Vec::new();
    for entry in filesystem.read_dir(path)? {
        let entry = entry?;
        if !matches!(entry.file_name().as_ref(), b"." | b"..") {
            found.push(entry);
        }
    }
    found.sort_by(|a, b| b.file_name().cmp(&a.file_name()));
    Ok(found)
}
