//! Images under a real kernel: loop mounts for root, User-Mode Linux for everyone.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::succeed;

/// An image mounted through a loop device; unmounted when dropped.
#[derive(Debug)]
pub struct LoopMount {
    folder: tempfile::TempDir,
    mounted: bool,
}

impl LoopMount {
    /// Mounts an image, for reading and writing or for reading only.
    ///
    /// # Panics
    ///
    /// When the kernel refuses it.
    #[must_use]
    pub fn new(image: &Path, writable: bool) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let options = if writable { "loop,rw" } else { "loop,ro" };
        succeed(
            Command::new("mount")
                .args(["-t", "ext4", "-o", options])
                .arg(image)
                .arg(folder.path()),
        );
        Self {
            folder,
            mounted: true,
        }
    }

    /// The root of the mounted filesystem.
    #[must_use]
    pub fn path(&self) -> &Path {
        self.folder.path()
    }

    /// Unmounts it.
    ///
    /// # Panics
    ///
    /// When the kernel refuses for ten seconds. For moments it may well: a test beside this one that starts a
    /// program holds our files open from its fork to its exec.
    pub fn unmount(mut self) {
        let unmount = || Command::new("umount").arg(self.folder.path()).status();
        for _ in 0..200 {
            if unmount().unwrap().success() {
                self.mounted = false;
                return;
            }
            std::thread::sleep(std::time::Duration::from_millis(50));
        }
        panic!("{} stays busy", self.folder.path().display());
    }
}

impl Drop for LoopMount {
    fn drop(&mut self) {
        if self.mounted {
            // A test that has failed already must not leave a mount behind.
            let _ = Command::new("umount")
                .arg("--lazy")
                .arg(self.folder.path())
                .status();
        }
    }
}

/// Mounts an image read-write under User-Mode Linux, runs a shell script there as root, and unmounts it.
/// The script finds the filesystem at `/mnt/disk`, the host's files below `/` (with this user's rights), and
/// begins in `shared`, which both sides may write to. Where there is busybox, the kernel keeps quotas. Returns the console.
///
/// # Panics
///
/// When the script does not come to its end within two minutes.
pub fn user_mode_linux(image: &Path, shared: &Path, script: &str) -> String {
    let init = shared.join("init.sh");
    // A shell of its own, as "set -e" counts for nothing on the left of "&&".
    let inner = shared.join("script.sh");
    std::fs::write(&inner, script).unwrap();
    // The host has no node for the disk, and hostfs could not serve one.
    let text = format!(
        "#!/bin/sh\nexport PATH=/usr/sbin:/usr/bin:/sbin:/bin\nmount -t proc proc /proc\n\
         mount -t tmpfs none /mnt\nmknod /mnt/ubda b 98 0\nmkdir /mnt/disk\n\
         for module in quota_tree quota_v2; do busybox insmod \
         /usr/lib/uml/modules/$(uname -r)/kernel/fs/quota/$module.ko; done\n\
         cd {shared}\nmount -t ext4 /mnt/ubda /mnt/disk && sh -e {inner} && umount /mnt/disk \
         && echo UML-SCRIPT-DONE\nsync\necho o >/proc/sysrq-trigger\nsleep 10\n",
        shared = shared.display(),
        inner = inner.display(),
    );
    std::fs::write(&init, text).unwrap();
    succeed(Command::new("chmod").arg("755").arg(&init));
    let output = succeed(
        Command::new("timeout")
            .args([
                "--kill-after=5",
                "120",
                "linux.uml",
                "mem=256M",
                "con=null",
                "con0=fd:0,fd:1",
            ])
            .args([
                "root=/dev/root",
                "rootfstype=hostfs",
                "rootflags=/",
                "rw",
                "quiet",
            ])
            .arg(format!("ubd0={}", image.display()))
            .arg(format!("init={}", init.display()))
            .arg(format!("uml_dir={}", uml_folder(shared).display()))
            .stdin(std::process::Stdio::null()),
    );
    assert!(output.contains("UML-SCRIPT-DONE"), "{output}");
    output
}

/// Where User-Mode Linux keeps its socket: the path must be short.
fn uml_folder(shared: &Path) -> PathBuf {
    let folder = shared.join("uml");
    std::fs::create_dir_all(&folder).unwrap();
    folder
}
