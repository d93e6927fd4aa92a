//! The image as others read it, compared with the model: ext4-view, the kernel, debugfs.

use std::ffi::OsStr;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;

use crate::common::{debugfs, mount};
use crate::model::{Entries, Model, bytes_of, xattrs_of};

pub(crate) fn compare(view: &ext4_view::Ext4, path: &[u8], entries: &Entries, top: bool) {
    let mut names: Vec<Vec<u8>> = view
        .read_dir(ext4_view::Path::new(if top { &b"/"[..] } else { path }))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().as_ref().to_vec())
        .filter(|name| name != b"." && name != b"..")
        .filter(|name| !top || name != b"lost+found" || entries.contains_key(name))
        .collect();
    names.sort();
    let wanted: Vec<Vec<u8>> = entries.keys().cloned().collect();
    assert_eq!(names, wanted, "{}", path.escape_ascii());
    for (name, (model, attributes)) in entries {
        let path = [path, b"/", name].concat();
        let at = ext4_view::Path::new(&path);
        let seen = view.symlink_metadata(at).unwrap();
        assert_eq!(
            (seen.modified().seconds(), seen.modified().nanoseconds()),
            (attributes.seconds, attributes.nanoseconds)
        );
        assert_eq!(
            (seen.mode(), seen.uid(), seen.gid()),
            (attributes.mode, attributes.uid, attributes.gid)
        );
        match model {
            Model::Directory(entries) => {
                assert!(seen.is_dir());
                compare(view, &path, entries, false);
            }
            Model::Symlink(target) => {
                assert!(view.read_link(at).unwrap().as_ref() == target.as_slice());
            }
            Model::File(pieces) => {
                assert!(
                    view.read(at).unwrap() == bytes_of(pieces),
                    "{}",
                    path.escape_ascii()
                );
            }
            Model::Other(_) => assert!(!seen.is_dir() && !seen.is_symlink()),
        }
    }
}

/// The same comparison by the kernel, which shows attributes and device numbers, too.
pub(crate) fn compare_mounted(path: &std::path::Path, entries: &Entries, top: bool) {
    let mut names: Vec<Vec<u8>> = std::fs::read_dir(path)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_vec())
        .filter(|name| !top || name != b"lost+found" || entries.contains_key(name))
        .collect();
    names.sort();
    assert!(names.iter().eq(entries.keys()), "{}", path.display());
    for (name, (model, attributes)) in entries {
        let path = path.join(OsStr::from_bytes(name));
        let seen = path.symlink_metadata().unwrap();
        let shown = (seen.mode() as u16 & 0o7777, seen.uid(), seen.gid());
        assert_eq!(shown, (attributes.mode, attributes.uid, attributes.gid));
        let time = (seen.mtime(), seen.mtime_nsec() as u32);
        assert_eq!(time, (attributes.seconds, attributes.nanoseconds));
        if matches!(model, Model::Directory(_) | Model::File(_)) {
            let wanted = xattrs_of(attributes);
            assert!(mount::attributes(&path) == wanted, "{}", path.display());
        }
        match model {
            Model::Directory(entries) => compare_mounted(&path, entries, false),
            Model::Symlink(target) => {
                assert!(std::fs::read_link(&path).unwrap().as_os_str().as_bytes() == target);
            }
            Model::File(pieces) => assert!(std::fs::read(&path).unwrap() == bytes_of(pieces)),
            Model::Other(kind) => {
                let number = (
                    rustix::fs::major(seen.rdev()),
                    rustix::fs::minor(seen.rdev()),
                );
                assert_eq!(
                    number,
                    [(0, 0), (0, 0), (1, 300), (8, 1)][usize::from(*kind)]
                );
            }
        }
    }
}

/// The same by debugfs, which copies the tree out: kinds, contents and targets.
pub(crate) fn compare_dumped(image: &Path, entries: &Entries) {
    let place = tempfile::tempdir().unwrap();
    debugfs(image, &format!("rdump / {}", place.path().display()));
    compare_copy(place.path(), entries, true);
}

fn compare_copy(path: &Path, entries: &Entries, top: bool) {
    for (name, (model, _)) in entries {
        let path = path.join(OsStr::from_bytes(name));
        // The copies have the modes of the image, which may keep everybody but root out.
        let open = |mode| {
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
        };
        match model {
            Model::Directory(entries) => {
                open(0o700);
                compare_copy(&path, entries, false);
            }
            Model::Symlink(target) => {
                assert!(std::fs::read_link(&path).unwrap().as_os_str().as_bytes() == target);
            }
            Model::File(pieces) => {
                open(0o600);
                let (mut got, wanted) = (std::fs::read(&path).unwrap(), bytes_of(pieces));
                // It takes all that an inode has room for as the content of an inline file, its own ones, too.
                if wanted.len() < 60 && got.len() == 60 {
                    assert!(got[wanted.len()..] == vec![0; 60 - wanted.len()]);
                    got.truncate(wanted.len());
                }
                assert!(got == wanted, "{}", path.display());
            }
            // It makes no devices, pipes and sockets.
            Model::Other(_) => {}
        }
    }
    let copied = entries
        .values()
        .filter(|(model, _)| !matches!(model, Model::Other(_)));
    let found = std::fs::read_dir(path)
        .unwrap()
        .filter(|entry| !top || found_is_known(entry.as_ref().unwrap(), entries))
        .count();
    assert_eq!(found, copied.count(), "{}", path.display());
}

/// Whether the model has a name of the root; lost+found is ours.
fn found_is_known(entry: &std::fs::DirEntry, entries: &Entries) -> bool {
    entry.file_name() != "lost+found" || entries.contains_key(&b"lost+found"[..])
}
