//! File trees as plain values, to compare what two programs laid out.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

/// All that is compared about one path.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Facts {
    /// `directory`, `file`, `symlink`, `character`, `block`, `fifo` or `socket`.
    pub kind: &'static str,
    /// Permission bits, set-id and sticky bits.
    pub mode: u32,
    /// Owner and group.
    pub owner: (u32, u32),
    /// Bytes of a file or symlink target.
    pub size: u64,
    /// SHA-256 of a file's content.
    pub content: Option<[u8; 32]>,
    /// Modification time: seconds and nanoseconds.
    pub modified: (i64, i64),
    /// Target of a symlink.
    pub target: Option<Vec<u8>>,
    /// Device number of a device.
    pub device: u64,
    /// Names of the inode, and the first of them in byte order (of anything but a directory).
    pub links: Option<(u64, Vec<u8>)>,
    /// Extended attributes by full name.
    pub xattrs: BTreeMap<Vec<u8>, Vec<u8>>,
}

/// A tree: each path below its root, relative, and what is there.
pub type Tree = BTreeMap<Vec<u8>, Facts>;

/// Reads the tree below `root`; `lost+found` and the root itself are left out.
///
/// # Errors
///
/// As the system says.
pub fn snapshot(root: &Path) -> io::Result<Tree> {
    let mut tree = Tree::new();
    let mut first_names: BTreeMap<u64, Vec<u8>> = BTreeMap::new();
    let mut folders = vec![PathBuf::new()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(root.join(&folder))? {
            let path = folder.join(entry?.file_name());
            if path == Path::new("lost+found") {
                continue;
            }
            let facts = facts(&root.join(&path))?;
            if facts.1.is_dir() {
                folders.push(path.clone());
            } else {
                let name = path.as_os_str().as_bytes().to_vec();
                first_names
                    .entry(facts.1.ino())
                    .and_modify(|first| *first = name.clone().min(first.clone()))
                    .or_insert(name);
            }
            let mut value = facts.0;
            if !facts.1.is_dir() {
                // The inode for now; its first name once all names are known.
                value.links = Some((facts.1.nlink(), facts.1.ino().to_be_bytes().to_vec()));
            }
            tree.insert(path.into_os_string().into_vec(), value);
        }
    }
    for facts in tree.values_mut() {
        if let Some((_, name)) = &mut facts.links {
            let inode = u64::from_be_bytes(name.as_slice().try_into().expect("eight bytes"));
            *name = first_names[&inode].clone();
        }
    }
    Ok(tree)
}

/// What differs between two trees, a line each; empty when they are equal.
#[must_use]
pub fn differences(expected: &Tree, found: &Tree) -> Vec<String> {
    let mut lines = Vec::new();
    for (path, facts) in expected {
        let name = path.escape_ascii();
        match found.get(path) {
            None => lines.push(format!("{name}: missing")),
            Some(other) if other != facts => {
                lines.push(format!(
                    "{name}:\n  expected {facts:?}\n  found    {other:?}"
                ));
            }
            Some(_) => {}
        }
    }
    for path in found.keys().filter(|path| !expected.contains_key(*path)) {
        lines.push(format!("{}: not expected", path.escape_ascii()));
    }
    lines
}

fn facts(path: &Path) -> io::Result<(Facts, fs::Metadata)> {
    let metadata = fs::symlink_metadata(path)?;
    let kind = metadata.file_type();
    let name = if kind.is_dir() {
        "directory"
    } else if kind.is_file() {
        "file"
    } else if kind.is_symlink() {
        "symlink"
    } else if kind.is_char_device() {
        "character"
    } else if kind.is_block_device() {
        "block"
    } else if kind.is_fifo() {
        "fifo"
    } else {
        "socket"
    };
    let facts = Facts {
        kind: name,
        mode: metadata.mode() & 0o7777,
        owner: (metadata.uid(), metadata.gid()),
        size: if kind.is_dir() { 0 } else { metadata.len() },
        content: if kind.is_file() {
            Some(digest(path)?)
        } else {
            None
        },
        modified: (metadata.mtime(), metadata.mtime_nsec()),
        target: if kind.is_symlink() {
            Some(fs::read_link(path)?.into_os_string().into_vec())
        } else {
            None
        },
        device: metadata.rdev(),
        links: None,
        xattrs: xattrs(path)?,
    };
    Ok((facts, metadata))
}

fn digest(path: &Path) -> io::Result<[u8; 32]> {
    let mut file = fs::File::open(path)?;
    let mut hasher = Sha256::new();
    let mut buffer = vec![0; 256 * 1024];
    loop {
        match io::Read::read(&mut file, &mut buffer)? {
            0 => return Ok(hasher.finalize().into()),
            count => hasher.update(&buffer[..count]),
        }
    }
}

fn xattrs(path: &Path) -> io::Result<BTreeMap<Vec<u8>, Vec<u8>>> {
    let mut names = vec![0; 64 * 1024];
    let length = match rustix::fs::llistxattr(path, &mut names) {
        Ok(length) => length,
        Err(rustix::io::Errno::NOTSUP) => 0,
        Err(error) => return Err(error.into()),
    };
    let mut found = BTreeMap::new();
    for name in names[..length]
        .split(|byte| *byte == 0)
        .filter(|name| !name.is_empty())
    {
        let mut value = vec![0; 64 * 1024];
        let length = rustix::fs::lgetxattr(path, name, &mut value)?;
        value.truncate(length);
        found.insert(name.to_vec(), value);
    }
    Ok(found)
}
