use std::ffi::OsStr;
use std::fs;
use std::io;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink};
use std::os::unix::net::UnixListener;
use std::path::Path;

use super::*;

fn scratch() -> (tempfile::TempDir, Directory) {
    let folder = tempfile::tempdir().unwrap();
    let directory = Directory::open(folder.path()).unwrap();
    (folder, directory)
}

/// One of everything that is not a regular file, each at the name it returns.
fn foreign(folder: &Path) -> Vec<&'static str> {
    fs::create_dir(folder.join("precious")).unwrap();
    fs::write(folder.join("precious/file"), b"gold").unwrap();
    fs::create_dir(folder.join("directory")).unwrap();
    symlink("precious/file", folder.join("link-to-file")).unwrap();
    symlink("precious", folder.join("link-to-directory")).unwrap();
    symlink("nowhere", folder.join("dangling")).unwrap();
    symlink("/dev/zero", folder.join("link-to-device")).unwrap();
    let mode = Mode::RUSR | Mode::WUSR;
    rustix::fs::mkfifoat(rustix::fs::CWD, folder.join("fifo"), mode).unwrap();
    drop(UnixListener::bind(folder.join("socket")).unwrap());
    vec![
        "directory",
        "link-to-file",
        "link-to-directory",
        "dangling",
        "link-to-device",
        "fifo",
        "socket",
    ]
}

fn assert_untouched(folder: &Path) {
    assert_eq!(fs::read(folder.join("precious/file")).unwrap(), b"gold");
    assert_eq!(fs::read_dir(folder.join("precious")).unwrap().count(), 1);
    assert!(!folder.join("nowhere").exists());
}

#[test]
fn nothing_but_regular_files_is_opened() {
    let (folder, directory) = scratch();
    for name in foreign(folder.path()) {
        for error in [
            directory.open_file(name).unwrap_err(),
            directory.open_file_or_create(name).unwrap_err(),
            directory.read(name, 8).unwrap_err(),
        ] {
            assert!(
                error.to_string().ends_with(", not a regular file"),
                "{name}: {error}"
            );
        }
        let error = directory.create_file(name).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::AlreadyExists, "{name}");
        if name != "directory" {
            let error = directory.directory_or_create(name).unwrap_err();
            assert!(
                error.to_string().ends_with(", not a directory"),
                "{name}: {error}"
            );
        }
    }
    assert_untouched(folder.path());
}

#[test]
fn anything_is_replaced_and_removed_without_being_followed() {
    let (folder, directory) = scratch();
    for name in foreign(folder.path()) {
        if name == "directory" {
            directory.replace(name, b"new").unwrap_err();
        } else {
            directory.replace(name, b"new").unwrap();
            assert_eq!(directory.read(name, 8).unwrap(), b"new", "{name}");
        }
        assert!(!directory.contains(format!("{name}.new")).unwrap());
    }
    assert_untouched(folder.path());
    fs::remove_dir_all(folder.path().join("precious")).unwrap();
    for entry in fs::read_dir(folder.path()).unwrap() {
        let path = entry.unwrap().path();
        if path.is_file() {
            fs::remove_file(path).unwrap();
        } else {
            fs::remove_dir(path).unwrap();
        }
    }
    for name in foreign(folder.path()) {
        directory.remove(name).unwrap();
        assert!(!directory.contains(name).unwrap(), "{name}");
        directory.remove(name).unwrap();
    }
    assert_untouched(folder.path());
}

#[test]
fn only_single_names_are_accepted() {
    let (folder, directory) = scratch();
    fs::create_dir(folder.path().join("a")).unwrap();
    for name in ["", ".", "..", "a/b", "/etc/passwd", "a/"] {
        for error in [
            directory.open_file(name).unwrap_err(),
            directory.create_file(name).unwrap_err(),
            directory.directory(name).unwrap_err(),
            directory.remove(name).unwrap_err(),
            directory.replace(name, b"").unwrap_err(),
            directory.rename("a", name).unwrap_err(),
        ] {
            assert_eq!(error.kind(), io::ErrorKind::InvalidInput, "{name}");
        }
    }
    assert!(directory.below(Path::new("a/../..")).is_err());
    assert_eq!(
        directory.below(Path::new("")).unwrap().path(),
        folder.path()
    );
}

#[test]
fn reads_have_a_limit_and_writes_are_private() {
    let (folder, directory) = scratch();
    directory.write_new("file", b"12345678").unwrap();
    assert_eq!(directory.read("file", 8).unwrap(), b"12345678");
    let error = directory.read("file", 7).unwrap_err();
    assert_eq!(error.to_string(), "file is 8 bytes (limit 7)");
    let mode = |name: &str| fs::metadata(folder.path().join(name)).unwrap().mode() & 0o777;
    assert_eq!(mode("file"), 0o600);
    directory.create_directory("new").unwrap();
    assert_eq!(mode("new"), 0o700);
}

#[test]
fn a_file_with_another_name_is_not_opened_for_writing() {
    let (folder, directory) = scratch();
    fs::write(folder.path().join("precious"), b"gold").unwrap();
    fs::hard_link(folder.path().join("precious"), folder.path().join("ours")).unwrap();
    let error = directory.open_file_or_create("ours").unwrap_err();
    assert!(error.to_string().contains("hard links"), "{error}");
    directory.replace("ours", b"new").unwrap();
    assert_eq!(directory.read("precious", 8).unwrap(), b"gold");
}

#[test]
fn trees_go_whatever_their_modes_and_depth() {
    let (folder, directory) = scratch();
    let root = directory.create_directory("root").unwrap();
    let mut deepest = root.clone();
    for _ in 0..2000 {
        drop(deepest.create_file("file").unwrap());
        deepest = deepest.create_directory("d").unwrap();
    }
    drop(deepest);
    let kept = folder.path().join("kept");
    fs::create_dir(&kept).unwrap();
    fs::write(kept.join("file"), b"x").unwrap();
    symlink(&kept, folder.path().join("root/link")).unwrap();
    fs::create_dir_all(folder.path().join("root/closed/below")).unwrap();
    for path in ["root/closed/below", "root/closed"] {
        fs::set_permissions(folder.path().join(path), fs::Permissions::from_mode(0o0)).unwrap();
    }
    directory.remove("root").unwrap();
    let names: Vec<_> = directory.entries().unwrap();
    assert_eq!(names.len(), 1);
    assert_eq!(names[0].name, OsStr::new("kept"));
    assert!(kept.join("file").exists());
}

#[test]
fn locks_exclude_within_the_process_too() {
    let (_folder, directory) = scratch();
    let held = directory.try_lock().unwrap();
    assert!(held.is_some());
    assert!(directory.clone().try_lock().unwrap().is_none());
    drop(held);
    assert!(directory.try_lock().unwrap().is_some());
}

#[test]
fn a_new_name_takes_nothing_away() {
    let (_folder, directory) = scratch();
    directory.write_new("a", b"a").unwrap();
    directory.write_new("b", b"b").unwrap();
    let error = directory.rename_new("a", "b").unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::AlreadyExists);
    directory.exchange("a", "b").unwrap();
    assert_eq!(directory.read("a", 8).unwrap(), b"b");
    directory.rename_new("a", "c").unwrap();
    assert!(!directory.contains("a").unwrap());
}
