//! A directory of artifacts: the module directory of a kernel.

use std::collections::HashMap;
use std::fs::{self, File, Permissions};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use super::copy::copy_unsynced;
use super::{failed, wrong_kind};
use crate::error::Error;

/// What a tree holds.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct TreeSummary {
    /// Regular files; two names of one file count once.
    pub files: u64,
    /// Sum of the lengths of these files, in bytes.
    pub bytes: u64,
}

/// Copies a directory to a path that must not exist: modes, symbolic links as they are, names that
/// share a file still share it. Everything is synced. `is_cancelled` is asked at every file.
///
/// # Errors
///
/// The source is no directory, holds a device, fifo or socket, or cannot be read; the target exists
/// or the disk is full. What was copied by then is left to the caller, who made the staging directory.
pub fn copy_tree(
    source: &Path,
    target: &Path,
    is_cancelled: &dyn Fn() -> bool,
) -> Result<TreeSummary, Error> {
    let metadata = fs::metadata(source).map_err(|error| failed("read", source, error))?;
    if !metadata.is_dir() {
        return Err(wrong_kind(source, "a directory"));
    }
    let mut copy = TreeCopy {
        is_cancelled,
        waiting: Vec::new(),
        directories: Vec::new(),
        links: HashMap::new(),
        summary: TreeSummary::default(),
    };
    copy.directory(source.to_path_buf(), target.to_path_buf(), metadata.mode())?;
    while let Some((from, to)) = copy.waiting.pop() {
        copy.entries(&from, &to)?;
    }
    copy.finish(target)
}

struct TreeCopy<'a> {
    is_cancelled: &'a dyn Fn() -> bool,
    waiting: Vec<(PathBuf, PathBuf)>,
    /// The copies made so far, parents before children, with the mode each is to have at the end.
    directories: Vec<(PathBuf, u32)>,
    /// Where the first name of a file with several names was copied to, by device and inode.
    links: HashMap<(u64, u64), PathBuf>,
    summary: TreeSummary,
}

impl TreeCopy<'_> {
    fn directory(&mut self, from: PathBuf, to: PathBuf, mode: u32) -> Result<(), Error> {
        fs::DirBuilder::new()
            .mode(0o700)
            .create(&to)
            .map_err(|error| failed("create", &to, error))?;
        self.directories.push((to.clone(), mode & 0o7777));
        self.waiting.push((from, to));
        Ok(())
    }

    fn entries(&mut self, from: &Path, to: &Path) -> Result<(), Error> {
        let entries = fs::read_dir(from).map_err(|error| failed("read", from, error))?;
        for entry in entries {
            let entry = entry.map_err(|error| failed("read", from, error))?;
            self.entry(entry.path(), to.join(entry.file_name()))?;
        }
        Ok(())
    }

    fn entry(&mut self, from: PathBuf, to: PathBuf) -> Result<(), Error> {
        let metadata = fs::symlink_metadata(&from).map_err(|error| failed("read", &from, error))?;
        let kind = metadata.file_type();
        if kind.is_dir() {
            self.directory(from, to, metadata.mode())
        } else if kind.is_symlink() {
            let goal = fs::read_link(&from).map_err(|error| failed("read", &from, error))?;
            std::os::unix::fs::symlink(&goal, &to).map_err(|error| failed("create", &to, error))
        } else if kind.is_file() {
            self.file(&from, to, &metadata)
        } else {
            Err(wrong_kind(&from, "a file, directory or symbolic link"))
        }
    }

    fn file(&mut self, from: &Path, to: PathBuf, metadata: &fs::Metadata) -> Result<(), Error> {
        let key = (metadata.dev(), metadata.ino());
        if let Some(first) = self.links.get(&key) {
            return fs::hard_link(first, &to).map_err(|error| failed("link", &to, error));
        }
        copy_unsynced(from, &to, self.is_cancelled)?;
        self.summary.files += 1;
        self.summary.bytes = self.summary.bytes.saturating_add(metadata.len());
        if metadata.nlink() > 1 {
            self.links.insert(key, to);
        }
        Ok(())
    }

    fn finish(self, target: &Path) -> Result<TreeSummary, Error> {
        let root = File::open(target).map_err(|error| failed("open", target, error))?;
        for (path, mode) in self.directories.iter().rev() {
            fs::set_permissions(path, Permissions::from_mode(*mode))
                .map_err(|error| failed("set the mode of", path, error))?;
        }
        // A thousand modules, each with an fsync of its own, take half a minute on a busy disk.
        rustix::fs::syncfs(&root).map_err(|error| failed("sync", target, error.into()))?;
        Ok(self.summary)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::artifact::remove_tree;
    use crate::error::ErrorKind;

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

        let summary = copy_tree(&source, &target, &|| false).unwrap();
        assert_eq!((summary.files, summary.bytes), (1, 6));
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
        remove_tree(&source).unwrap();
        remove_tree(&target).unwrap();
    }

    #[test]
    fn sockets_and_files_in_place_of_a_folder_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        let source = folder.path().join("a");
        fs::create_dir(&source).unwrap();
        let _socket = std::os::unix::net::UnixListener::bind(source.join("socket")).unwrap();
        let error = copy_tree(&source, &folder.path().join("b"), &|| false).unwrap_err();
        assert!(error.to_string().contains("socket is not"), "{error}");
        fs::write(folder.path().join("file"), b"").unwrap();
        let error = copy_tree(
            &folder.path().join("file"),
            &folder.path().join("c"),
            &|| false,
        )
        .unwrap_err();
        assert!(error.to_string().ends_with("is not a directory"), "{error}");
        let missing = folder.path().join("missing");
        let error = copy_tree(&missing, &folder.path().join("d"), &|| false).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NotFound);
    }
}
