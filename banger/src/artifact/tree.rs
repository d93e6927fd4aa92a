//! A directory of artifacts: the module directory of a kernel.

use std::collections::HashMap;
use std::ffi::OsStr;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use oci_flatten::directory::{Directory, Entry, FileKind};

use super::copy::{Failure, copy_open};
use super::{Origin, failed_in};
use crate::error::{Error, ErrorKind};

/// What a tree holds.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct TreeSummary {
    /// Regular files; two names of one file count once.
    pub files: u64,
    /// Sum of the lengths of these files, in bytes.
    pub bytes: u64,
}

/// Copies a directory into a directory of ours under a name that nothing has: modes, symbolic links as they
/// are, names that share a file still share it. Everything is synced. `is_cancelled` is asked at every file.
///
/// # Errors
///
/// The source is no directory, holds a device, fifo or socket, or cannot be read; the target exists
/// or the disk is full. What was copied by then is left to the caller, who made the staging directory.
pub fn copy_tree(
    source: Origin<'_>,
    target: &Directory,
    name: &str,
    is_cancelled: &dyn Fn() -> bool,
) -> Result<TreeSummary, Error> {
    let source = source.open_directory()?;
    let failed = |error| failed_in("create", target, name, error);
    let copied = target.create_directory(name).map_err(failed)?;
    let mut copy = TreeCopy {
        is_cancelled,
        source,
        target: copied,
        waiting: vec![PathBuf::new()],
        directories: Vec::new(),
        links: HashMap::new(),
        summary: TreeSummary::default(),
    };
    while let Some(path) = copy.waiting.pop() {
        copy.directory(path)?;
    }
    copy.finish()
}

/// Paths are relative to both roots. Directories are opened anew from there, so that a wide tree takes few
/// descriptors.
struct TreeCopy<'a> {
    is_cancelled: &'a dyn Fn() -> bool,
    source: Directory,
    target: Directory,
    waiting: Vec<PathBuf>,
    /// The directories made so far, parents before children, with the mode each is to have at the end.
    directories: Vec<(PathBuf, u32)>,
    /// The directory and name of the first copy of a file with several names, by device and inode.
    links: HashMap<(u64, u64), PathBuf>,
    summary: TreeSummary,
}

impl TreeCopy<'_> {
    fn directory(&mut self, path: PathBuf) -> Result<(), Error> {
        let from = below(&self.source, &path)?;
        let to = below(&self.target, &path)?;
        let failed = |error| failed_in("read", &self.source, &path, error);
        let mode = from.mode().map_err(failed)?;
        for entry in from.entries().map_err(failed)? {
            self.entry(&entry, &from, &to, &path)?;
        }
        self.directories.push((path, super::copied_mode(mode)));
        Ok(())
    }

    fn entry(
        &mut self,
        entry: &Entry,
        from: &Directory,
        to: &Directory,
        path: &Path,
    ) -> Result<(), Error> {
        let name = &entry.name;
        let failed = |error| failed_in("create", to, name, error);
        match entry.facts.kind {
            FileKind::Directory => {
                to.create_directory(name).map_err(failed)?;
                self.waiting.push(path.join(name));
                Ok(())
            }
            FileKind::Symlink => {
                let goal = from
                    .read_symlink(name)
                    .map_err(|error| failed_in("read", from, name, error))?;
                to.create_symlink(name, &goal).map_err(failed)
            }
            FileKind::File => self.file(name, from, to, path),
            _ => Err(super::wrong_kind(
                &from.path_of(name),
                "a file, directory or symbolic link",
            )),
        }
    }

    fn file(
        &mut self,
        name: &OsStr,
        from: &Directory,
        to: &Directory,
        path: &Path,
    ) -> Result<(), Error> {
        let failed = |error| failed_in("copy", from, name, error);
        let reader = from.open_file(name).map_err(failed)?;
        let metadata = reader.metadata().map_err(failed)?;
        let key = (metadata.dev(), metadata.ino());
        if let Some(first) = self.links.get(&key) {
            let folder = below(&self.target, first.parent().unwrap_or(Path::new("")))?;
            return folder
                .link(first.file_name().unwrap_or_default(), to, name)
                .map_err(|error| failed_in("link", to, name, error));
        }
        if (self.is_cancelled)() {
            return Err(interrupted(from, name));
        }
        copy_open(&reader, to, name, self.is_cancelled).map_err(|failure| match failure {
            Failure::Io(error) => {
                let verb = format!("copy {} to", from.path_of(name).display());
                failed_in(&verb, to, name, error)
            }
            Failure::Cancelled => interrupted(from, name),
        })?;
        self.summary.files += 1;
        self.summary.bytes = self.summary.bytes.saturating_add(metadata.len());
        if metadata.nlink() > 1 {
            self.links.insert(key, path.join(name));
        }
        Ok(())
    }

    fn finish(self) -> Result<TreeSummary, Error> {
        let target = &self.target;
        for (path, mode) in self.directories.iter().rev() {
            below(target, path)?
                .set_mode(*mode)
                .map_err(|error| failed_in("set the mode of", target, path, error))?;
        }
        // A thousand modules, each with an fsync of its own, take half a minute on a busy disk.
        target
            .sync_filesystem()
            .map_err(|error| failed_in("sync", target, "", error))?;
        Ok(self.summary)
    }
}

fn below(root: &Directory, path: &Path) -> Result<Directory, Error> {
    root.below(path)
        .map_err(|error| failed_in("open", root, path, error))
}

fn interrupted(from: &Directory, name: &OsStr) -> Error {
    let path = from.path_of(name);
    let message = format!("the copy of {} was interrupted", path.display());
    Error::new(ErrorKind::Interrupted, message)
}

#[cfg(test)]
mod tests {
    use std::fs::{self, Permissions};
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    /// Copies one folder to another.
    fn copy(source: &Path, target: &Path) -> Result<TreeSummary, Error> {
        let folder = Directory::open(target.parent().unwrap()).unwrap();
        let name = target.file_name().unwrap().to_str().unwrap();
        copy_tree(Origin::Named(source), &folder, name, &|| false)
    }

    #[test]
    fn modes_links_and_shared_files_survive() {
        let folder = tempfile::tempdir().unwrap();
        let (source, target) = (folder.path().join("a"), folder.path().join("b"));
        fs::create_dir_all(source.join("kernel/drivers")).unwrap();
        fs::write(source.join("kernel/one.ko"), b"module").unwrap();
        fs::hard_link(
            source.join("kernel/one.ko"),
            source.join("kernel/drivers/two.ko"),
        )
        .unwrap();
        fs::set_permissions(source.join("kernel/one.ko"), Permissions::from_mode(0o640)).unwrap();
        std::os::unix::fs::symlink("/usr/src/none", source.join("build")).unwrap();
        fs::set_permissions(source.join("kernel"), Permissions::from_mode(0o555)).unwrap();
        fs::write(source.join("set-id.ko"), b"module").unwrap();
        fs::set_permissions(source.join("set-id.ko"), Permissions::from_mode(0o6777)).unwrap();
        fs::create_dir(source.join("shared")).unwrap();
        fs::set_permissions(source.join("shared"), Permissions::from_mode(0o3777)).unwrap();

        let summary = copy(&source, &target).unwrap();
        assert_eq!((summary.files, summary.bytes), (2, 12));
        for name in ["set-id.ko", "shared"] {
            let copy = fs::metadata(target.join(name)).unwrap();
            assert_eq!(copy.mode() & 0o7777, 0o755, "{name}");
        }
        let one = fs::metadata(target.join("kernel/one.ko")).unwrap();
        let two = fs::metadata(target.join("kernel/drivers/two.ko")).unwrap();
        assert_eq!((one.ino(), one.nlink()), (two.ino(), 2));
        assert_eq!(one.mode() & 0o7777, 0o640);
        let kernel = fs::metadata(target.join("kernel")).unwrap();
        assert_eq!(kernel.mode() & 0o7777, 0o555);
        assert_eq!(
            fs::read_link(target.join("build")).unwrap(),
            Path::new("/usr/src/none")
        );
        let folder = Directory::open(folder.path()).unwrap();
        folder.remove("a").unwrap();
        folder.remove("b").unwrap();
    }

    #[test]
    fn sockets_and_files_in_place_of_a_folder_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        let source = folder.path().join("a");
        fs::create_dir(&source).unwrap();
        let _socket = std::os::unix::net::UnixListener::bind(source.join("socket")).unwrap();
        let error = copy(&source, &folder.path().join("b")).unwrap_err();
        assert!(error.to_string().contains("socket is not"), "{error}");
        fs::write(folder.path().join("file"), b"").unwrap();
        let error = copy(&folder.path().join("file"), &folder.path().join("c")).unwrap_err();
        assert!(error.to_string().ends_with("is not a directory"), "{error}");
        let missing = folder.path().join("missing");
        let error = copy(&missing, &folder.path().join("d")).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NotFound);
    }
}
