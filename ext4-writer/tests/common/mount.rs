//! Images mounted by the kernel, where this runs as root and has loop devices.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::thread::{panicking, sleep};
use std::time::Duration;

use tempfile::TempDir;

use super::{run, text};

/// A mounted image, unmounted when dropped.
pub(crate) struct Mount {
    directory: TempDir,
    _device: Loop,
}

impl Mount {
    pub(crate) fn path(&self, name: &[u8]) -> PathBuf {
        self.directory.path().join(OsStr::from_bytes(name))
    }
}

impl Drop for Mount {
    /// A test beside this one that starts a program holds our files open from its fork to its exec, and the
    /// filesystem is busy for as long.
    fn drop(&mut self) {
        for _ in 0..200 {
            if run("umount", &[self.directory.path()]).status.success() {
                return;
            }
            sleep(Duration::from_millis(50));
        }
        assert!(panicking(), "{:?} stays busy", self.directory);
    }
}

/// Whether this machine can mount images. Where CI is set it must.
pub(crate) fn can_mount() -> bool {
    let is_root = rustix::process::geteuid().is_root();
    let can = is_root && Path::new("/dev/loop-control").exists();
    if !is_root && left_to_root() {
        return false;
    }
    if !can {
        let needed = "mounting needs root and loop devices";
        assert!(std::env::var_os("CI").is_none(), "{needed}");
        println!("skipped: {needed}");
    }
    can
}

/// Notes this test for `.ci/run`, which repeats it as root; false where nobody has asked for that.
fn left_to_root() -> bool {
    let Some(list) = std::env::var_os("TESTS_FOR_ROOT") else {
        return false;
    };
    let program = std::env::current_exe().unwrap();
    let test = std::thread::current().name().unwrap_or_default().to_owned();
    let line = format!("{} {test}\n", program.display());
    let list = std::fs::OpenOptions::new()
        .append(true)
        .create(true)
        .open(list);
    std::io::Write::write_all(&mut list.unwrap(), line.as_bytes()).unwrap();
    println!("left to root: {test}");
    true
}

/// A file as a block device, until dropped.
pub(crate) struct Loop {
    device: PathBuf,
}

impl Loop {
    pub(crate) fn new(file: &Path, read_only: bool) -> Self {
        let mut arguments = vec![OsStr::new("--find"), OsStr::new("--show"), file.as_os_str()];
        if read_only {
            arguments.push(OsStr::new("--read-only"));
        }
        let output = run("losetup", &arguments);
        assert!(output.status.success(), "losetup: {}", text(&output));
        let device = String::from_utf8(output.stdout).unwrap();
        Self {
            device: device.trim().into(),
        }
    }

    pub(crate) fn path(&self) -> &Path {
        &self.device
    }
}

impl Drop for Loop {
    fn drop(&mut self) {
        run(
            "losetup",
            &[OsStr::new("--detach"), self.device.as_os_str()],
        );
    }
}

/// Mounts an image; `None` where this machine cannot.
///
/// The device is attached by ourselves: `mount -o loop` would take the one of an earlier mount of the same image while the
/// kernel has not let go of it, even a read-only one for a mount that is to write.
pub(crate) fn mount(image: &Path, options: &str) -> Option<Mount> {
    if !can_mount() {
        return None;
    }
    let directory = tempfile::tempdir().unwrap();
    let device = Loop::new(image, options.starts_with("ro"));
    let arguments = [
        OsStr::new("-o"),
        OsStr::new(options),
        device.path().as_os_str(),
        directory.path().as_os_str(),
    ];
    let output = run("mount", &arguments);
    assert!(output.status.success(), "mount: {}", text(&output));
    Some(Mount {
        directory,
        _device: device,
    })
}

/// Adds, grows and removes files below the directory `many`, where the kernel can mount.
pub(crate) fn writes(image: &Path, doomed: &[&str]) -> bool {
    let Some(mount) = mount(image, "rw") else {
        return false;
    };
    for n in 0..500 {
        std::fs::write(
            mount.path(b"many").join(format!("new{n}")),
            vec![b'n'; n * 10],
        )
        .unwrap();
    }
    for name in doomed {
        std::fs::remove_file(mount.path(b"many").join(name)).unwrap();
    }
    true
}

/// The extended attributes of a file by name.
pub(crate) fn attributes(path: &Path) -> BTreeMap<Vec<u8>, Vec<u8>> {
    let mut names = vec![0_u8; 65_536];
    let length = rustix::fs::llistxattr(path, &mut names[..]).unwrap();
    names[..length]
        .split(|&byte| byte == 0)
        .filter(|name| !name.is_empty())
        .map(|name| {
            let mut value = vec![0_u8; 65_536];
            let length = rustix::fs::lgetxattr(path, name, &mut value[..]).unwrap();
            value.truncate(length);
            (name.to_vec(), value)
        })
        .collect()
}
