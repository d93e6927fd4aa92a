//! The same by paths, as every host of Rust's standard library can.

use std::collections::HashMap;
use std::fs::{self, File, FileType};
use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;

use super::DirectoryOptions;
use crate::content::Content;
use crate::device::Device;
use crate::image::ImageWriter;
use crate::source::{SourceError, escaped, host_content, io_error};
use crate::tree::{FileKind, FileTree, Metadata, Timestamp};

/// Reads the directory by the paths of its files. Those that change meanwhile are an error as far as times and sizes tell.
pub(super) fn read<D: Device>(
    image: &mut ImageWriter<D>,
    path: &Path,
    options: &DirectoryOptions,
) -> Result<FileTree<Content>, SourceError> {
    let top = inspect(path, b".")?;
    let mut tree = FileTree::new(metadata(&top, options))?;
    let mut links = HashMap::new();
    let mut waiting = vec![(path.to_path_buf(), Vec::new(), tree.root())];
    while let Some((directory, shown_path, node)) = waiting.pop() {
        let before = inspect(&directory, &shown_path)?;
        let mut inner = Vec::new();
        for name in names(&directory, &shown_path)? {
            let host = directory.join(&name);
            let name = name.as_os_str().as_encoded_bytes();
            let path = join(&shown_path, name);
            let known = inspect(&host, &path)?;
            let shared = identity(&known).filter(|_| !known.is_dir());
            if let Some(&first) = shared.and_then(|shared| links.get(&shared)) {
                tree.link(node, name, first)?;
                continue;
            }
            let kind = kind(image, &host, &known, &path)?;
            check(&known, &inspect(&host, &path)?, &path)?;
            let id = tree.insert(node, name, kind, metadata(&known, options))?;
            if known.is_dir() {
                inner.push((host, path, id));
            }
            links.extend(shared.map(|shared| (shared, id)));
        }
        check(&before, &inspect(&directory, &shown_path)?, &shown_path)?;
        // The last comes out first.
        waiting.extend(inner.into_iter().rev());
    }
    Ok(tree)
}

/// The names in a directory, sorted: the host's order must not reach the image.
fn names(directory: &Path, path: &[u8]) -> Result<Vec<PathBuf>, SourceError> {
    let failed = |error| io_error("list", path, error);
    let mut names = Vec::new();
    for entry in fs::read_dir(directory).map_err(failed)? {
        names.push(PathBuf::from(entry.map_err(failed)?.file_name()));
    }
    names.sort_unstable_by(|a, b| {
        let bytes = |path: &PathBuf| path.as_os_str().as_encoded_bytes().to_vec();
        bytes(a).cmp(&bytes(b))
    });
    Ok(names)
}

fn kind<D: Device>(
    image: &mut ImageWriter<D>,
    host: &Path,
    known: &fs::Metadata,
    path: &[u8],
) -> Result<FileKind<Content>, SourceError> {
    let file_type = known.file_type();
    if file_type.is_dir() {
        return Ok(FileKind::Directory);
    }
    if file_type.is_symlink() {
        let target = fs::read_link(host).map_err(|error| io_error("read", path, error))?;
        return Ok(FileKind::Symlink(
            target.as_os_str().as_encoded_bytes().into(),
        ));
    }
    if file_type.is_file() {
        let mut file = File::open(host).map_err(|error| io_error("open", path, error))?;
        let content = host_content::store(image, &mut file, known.len(), path)?;
        return Ok(FileKind::File(content));
    }
    special(file_type).ok_or_else(|| SourceError::Unsupported {
        path: escaped(path),
        what: "a device or of an unknown kind".to_owned(),
    })
}

fn inspect(host: &Path, path: &[u8]) -> Result<fs::Metadata, SourceError> {
    fs::symlink_metadata(host).map_err(|error| io_error("inspect", path, error))
}

fn check(before: &fs::Metadata, after: &fs::Metadata, path: &[u8]) -> Result<(), SourceError> {
    let seen = |seen: &fs::Metadata| {
        (
            seen.file_type(),
            seen.len(),
            seen.modified().ok(),
            identity(seen),
        )
    };
    match seen(before) == seen(after) {
        true => Ok(()),
        false => Err(SourceError::Changed {
            path: escaped(path),
        }),
    }
}

fn metadata(known: &fs::Metadata, options: &DirectoryOptions) -> Metadata {
    let (mode, owner) = mode_and_owner(known);
    let (uid, gid) = options.owner.unwrap_or(owner);
    Metadata {
        uid,
        gid,
        ..Metadata::new(mode, modified(known))
    }
}

/// The time of modification, 1970 where the host has none.
fn modified(known: &fs::Metadata) -> Timestamp {
    let Ok(time) = known.modified() else {
        return Timestamp::default();
    };
    match time.duration_since(UNIX_EPOCH) {
        Ok(after) => {
            let seconds = i64::try_from(after.as_secs()).unwrap_or(i64::MAX);
            Timestamp::new(seconds, after.subsec_nanos())
        }
        Err(error) => {
            let before = error.duration();
            let seconds = i64::try_from(before.as_secs()).unwrap_or(i64::MAX);
            match before.subsec_nanos() {
                0 => Timestamp::new(-seconds, 0),
                nanoseconds => Timestamp::new(-seconds - 1, 1_000_000_000 - nanoseconds),
            }
        }
    }
}

fn join(directory: &[u8], name: &[u8]) -> Vec<u8> {
    match directory.is_empty() {
        true => name.to_vec(),
        false => [directory, b"/", name].concat(),
    }
}

#[cfg(unix)]
fn mode_and_owner(known: &fs::Metadata) -> (u16, (u32, u32)) {
    use std::os::unix::fs::MetadataExt;
    ((known.mode() & 0o7777) as u16, (known.uid(), known.gid()))
}

#[cfg(not(unix))]
fn mode_and_owner(known: &fs::Metadata) -> (u16, (u32, u32)) {
    (if known.is_dir() { 0o755 } else { 0o644 }, (0, 0))
}

/// What tells that two names are one file, where there are several.
#[cfg(unix)]
fn identity(known: &fs::Metadata) -> Option<(u64, u64)> {
    use std::os::unix::fs::MetadataExt;
    (known.nlink() > 1).then(|| (known.dev(), known.ino()))
}

#[cfg(not(unix))]
fn identity(_known: &fs::Metadata) -> Option<(u64, u64)> {
    None
}

#[cfg(unix)]
fn special(file_type: FileType) -> Option<FileKind<Content>> {
    use std::os::unix::fs::FileTypeExt;
    if file_type.is_fifo() {
        Some(FileKind::Fifo)
    } else {
        file_type.is_socket().then_some(FileKind::Socket)
    }
}

#[cfg(not(unix))]
fn special(_file_type: FileType) -> Option<FileKind<Content>> {
    None
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::super::linux;
    use super::*;
    use crate::device::MemoryDevice;
    use crate::options::FormatOptions;

    #[test]
    fn both_ways_give_the_same_image() {
        let host = tempfile::tempdir().unwrap();
        let top = host.path();
        fs::create_dir_all(top.join("a/b/c")).unwrap();
        for (name, bytes) in [
            ("a/one", &b"1\n"[..]),
            ("a/b/two", &[7; 70_000]),
            ("zero", b""),
        ] {
            fs::write(top.join(name), bytes).unwrap();
        }
        fs::hard_link(top.join("a/one"), top.join("a/b/c/hard")).unwrap();
        std::os::unix::fs::symlink("../one", top.join("a/b/link")).unwrap();
        std::os::unix::net::UnixListener::bind(top.join("socket")).unwrap();
        fs::set_permissions(top.join("zero"), fs::Permissions::from_mode(0o4750)).unwrap();
        let options = DirectoryOptions {
            xattrs: false,
            ..DirectoryOptions::default()
        };
        let image = |read: fn(&mut ImageWriter<MemoryDevice>, &Path, &DirectoryOptions) -> _| {
            let image = MemoryDevice::new();
            let mut writer = ImageWriter::new(image, FormatOptions::read_only()).unwrap();
            let tree: Result<FileTree<Content>, SourceError> = read(&mut writer, top, &options);
            let tree = tree.unwrap();
            assert_eq!(tree.find(b"a/b/c/hard"), tree.find(b"a/one"));
            // The order of contents is the way's own.
            let names: Vec<_> = tree
                .children(tree.root())
                .map(|child| child.name.to_vec())
                .collect();
            let known: Vec<_> = [
                &b"a"[..],
                b"a/b",
                b"a/b/two",
                b"a/b/link",
                b"a/one",
                b"socket",
                b"zero",
            ]
            .into_iter()
            .map(|path| {
                let node = tree.find(path).unwrap();
                let size = tree.content(node).map(Content::size);
                (path, tree.file_type(node), tree.metadata(node), size)
            })
            .collect();
            (names, format!("{known:?}"))
        };
        assert_eq!(image(linux::read), image(read));
    }
}
