//! Removal of a directory that banger made, whatever modes a copied module tree gave its folders.

use std::fs::{self, Permissions};
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use super::failed;
use crate::error::Error;

/// Removes a directory and everything below it. What is gone already is no failure, so two processes
/// may remove one tree.
///
/// # Errors
///
/// An entry cannot be removed; what came before it is gone.
pub fn remove_tree(root: &Path) -> Result<(), Error> {
    let mut directories: Vec<PathBuf> = Vec::new();
    let mut waiting = vec![root.to_path_buf()];
    while let Some(directory) = waiting.pop() {
        for path in children(&directory).map_err(|error| failed("remove", &directory, error))? {
            let is_directory = match fs::symlink_metadata(&path) {
                Ok(metadata) => metadata.is_dir(),
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                Err(error) => return Err(failed("remove", &path, error)),
            };
            if is_directory {
                waiting.push(path);
            } else {
                tolerate_missing(fs::remove_file(&path))
                    .map_err(|error| failed("remove", &path, error))?;
            }
        }
        directories.push(directory);
    }
    // A directory was pushed before its descendants, so from the back each is empty in its turn.
    for directory in directories.iter().rev() {
        tolerate_missing(fs::remove_dir(directory))
            .map_err(|error| failed("remove", directory, error))?;
    }
    Ok(())
}

fn children(directory: &Path) -> io::Result<Vec<PathBuf>> {
    // A folder of mode 0555, as module trees have them, would keep its owner from emptying it.
    tolerate_missing(fs::set_permissions(
        directory,
        Permissions::from_mode(0o700),
    ))?;
    match fs::read_dir(directory) {
        Ok(entries) => entries.map(|entry| Ok(entry?.path())).collect(),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        Err(error) => Err(error),
    }
}

fn tolerate_missing(result: io::Result<()>) -> io::Result<()> {
    match result {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unwritable_folders_and_links_go_and_what_they_point_at_stays() {
        let folder = tempfile::tempdir().unwrap();
        let kept = folder.path().join("kept");
        fs::create_dir(&kept).unwrap();
        fs::write(kept.join("file"), b"x").unwrap();
        let root = folder.path().join("root");
        fs::create_dir_all(root.join("a/b/c")).unwrap();
        fs::write(root.join("a/b/file"), b"x").unwrap();
        std::os::unix::fs::symlink(&kept, root.join("a/link")).unwrap();
        for path in ["a/b/c", "a/b", "a"] {
            fs::set_permissions(root.join(path), Permissions::from_mode(0o500)).unwrap();
        }
        remove_tree(&root).unwrap();
        assert!(!root.exists());
        assert!(kept.join("file").exists());
        remove_tree(&root).unwrap();
    }
}
