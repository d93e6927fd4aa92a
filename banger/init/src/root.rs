//! The root filesystem: found by its UUID, mounted, entered.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rustix::fs::CWD;
use rustix::mount::{MountFlags, mount, mount_move, mount_remount};

use crate::spec::RootMode;

/// How long a disk may take to appear, on emulated machines too.
const DISK_WAIT: Duration = Duration::from_secs(30);
/// How often is looked.
const DISK_INTERVAL: Duration = Duration::from_millis(5);
/// Where filesystems are mounted before the root is entered.
const ROOT: &str = "/root";
const LOWER: &str = "/lower";
const SCRATCH: &str = "/scratch";
/// Offsets in the superblock (Documentation/filesystems/ext4/super.rst).
const SUPERBLOCK: u64 = 1024;
const MAGIC_OFFSET: usize = 0x38;
const UUID_OFFSET: usize = 0x68;

/// Finds the block device with the ext4 filesystem `uuid`.
pub(crate) fn find(uuid: &str) -> Result<PathBuf, String> {
    let deadline = Instant::now() + DISK_WAIT;
    loop {
        let seen = devices();
        if let Some((device, _)) = seen
            .iter()
            .find(|(_, found)| found.as_deref() == Some(uuid))
        {
            return Ok(device.clone());
        }
        if Instant::now() >= deadline {
            return Err(missing(uuid, &seen));
        }
        std::thread::sleep(DISK_INTERVAL);
    }
}

fn missing(uuid: &str, seen: &[(PathBuf, Option<String>)]) -> String {
    let described: Vec<String> = seen
        .iter()
        .map(|(device, found)| match found {
            Some(uuid) => format!("{} with ext4 {uuid}", device.display()),
            None => format!("{} without ext4", device.display()),
        })
        .collect();
    let seconds = DISK_WAIT.as_secs();
    match described.is_empty() {
        true => format!(
            "no disk appeared within {seconds} s: the kernel lacks the driver of the machine's disk, or \
             the machine has none (wanted is the ext4 filesystem {uuid})"
        ),
        false => format!(
            "no disk has the ext4 filesystem {uuid} after {seconds} s; there are {}",
            described.join(", ")
        ),
    }
}

/// All block devices, each with the UUID of the ext4 filesystem that it holds.
fn devices() -> Vec<(PathBuf, Option<String>)> {
    let Ok(entries) = fs::read_dir("/sys/class/block") else {
        return Vec::new();
    };
    let mut names: Vec<_> = entries.flatten().map(|entry| entry.file_name()).collect();
    names.sort();
    names
        .into_iter()
        .map(|name| Path::new("/dev").join(name))
        .filter(|path| path.exists())
        .map(|path| {
            let uuid = File::open(&path).ok().and_then(|file| ext4_uuid(&file));
            (path, uuid)
        })
        .collect()
}

/// The UUID in an ext4 superblock, in the usual form.
fn ext4_uuid(device: &File) -> Option<String> {
    let mut superblock = [0; 0x78];
    device.read_exact_at(&mut superblock, SUPERBLOCK).ok()?;
    if superblock[MAGIC_OFFSET..MAGIC_OFFSET + 2] != [0x53, 0xef] {
        return None;
    }
    let mut text = String::with_capacity(36);
    for (index, byte) in superblock[UUID_OFFSET..UUID_OFFSET + 16].iter().enumerate() {
        if matches!(index, 4 | 6 | 8 | 10) {
            text.push('-');
        }
        text.push_str(&format!("{byte:02x}"));
    }
    Some(text)
}

/// Mounts the filesystem on `device` for [`enter`]. A read-only one that lacks any of `wanted`, the paths that
/// later steps need, gets a tmpfs over it, on which they can be made; [`seal`] ends that.
pub(crate) fn mount_root(device: &Path, mode: RootMode, wanted: &[&str]) -> Result<(), String> {
    if mode == RootMode::ReadWrite {
        make(ROOT)?;
        return mount_ext4(device, ROOT, MountFlags::empty());
    }
    make(LOWER)?;
    mount_ext4(device, LOWER, MountFlags::RDONLY)?;
    let is_there = |path: &&str| Path::new(LOWER).join(path.trim_start_matches('/')).exists();
    if mode == RootMode::ReadOnly && wanted.iter().all(is_there) {
        make(ROOT)?;
        return mount_move(LOWER, ROOT).map_err(|error| format!("cannot move the root: {error}"));
    }
    overlay()
}

/// Mounts an ext4 filesystem.
pub(crate) fn mount_ext4(device: &Path, target: &str, flags: MountFlags) -> Result<(), String> {
    mount(device, target, c"ext4", flags, None).map_err(|error| {
        let why = match error {
            rustix::io::Errno::NODEV => "the kernel has no ext4".to_owned(),
            error => error.to_string(),
        };
        format!("cannot mount {} at {target}: {why}", device.display())
    })
}

/// Puts a tmpfs over the root filesystem at [`LOWER`].
fn overlay() -> Result<(), String> {
    make(ROOT)?;
    make(SCRATCH)?;
    let told = |what: &str, error: rustix::io::Errno| format!("cannot {what}: {error}");
    mount(
        c"tmpfs",
        SCRATCH,
        c"tmpfs",
        MountFlags::empty(),
        c"mode=0755",
    )
    .map_err(|error| told("mount a tmpfs", error))?;
    make(&format!("{SCRATCH}/upper"))?;
    make(&format!("{SCRATCH}/work"))?;
    let options = c"lowerdir=/lower,upperdir=/scratch/upper,workdir=/scratch/work";
    mount(c"overlay", ROOT, c"overlay", MountFlags::empty(), options).map_err(|error| {
        let why = match error {
            rustix::io::Errno::NODEV => "the kernel has no overlay filesystem".to_owned(),
            error => error.to_string(),
        };
        format!("cannot put a tmpfs over the read-only root: {why}")
    })
}

/// Makes the mounted root the root of all processes.
pub(crate) fn enter() -> Result<(), String> {
    let told = |error: rustix::io::Errno| format!("cannot enter the root filesystem: {error}");
    rustix::process::chdir(ROOT).map_err(told)?;
    mount_move(c".", c"/").map_err(told)?;
    rustix::process::chroot(c".").map_err(told)?;
    rustix::process::chdir(c"/").map_err(told)
}

/// Makes the root read-only.
pub(crate) fn seal() -> Result<(), rustix::io::Errno> {
    mount_remount(c"/", MountFlags::RDONLY, c"")
}

fn make(path: &str) -> Result<(), String> {
    match rustix::fs::mkdirat(CWD, path, rustix::fs::Mode::from_raw_mode(0o755)) {
        Ok(()) | Err(rustix::io::Errno::EXIST) => Ok(()),
        Err(error) => Err(format!("cannot make {path}: {}", io::Error::from(error))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_filesystem_is_known_by_its_superblock() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("disk");
        let mut disk = vec![0_u8; 4096];
        for (index, byte) in (0..16_u8).enumerate() {
            disk[1024 + UUID_OFFSET + index] = byte * 17;
        }
        fs::write(&path, &disk).unwrap();
        assert_eq!(ext4_uuid(&File::open(&path).unwrap()), None);
        disk[1024 + MAGIC_OFFSET] = 0x53;
        disk[1024 + MAGIC_OFFSET + 1] = 0xef;
        fs::write(&path, &disk).unwrap();
        assert_eq!(
            ext4_uuid(&File::open(&path).unwrap()).as_deref(),
            Some("00112233-4455-6677-8899-aabbccddeeff")
        );
        fs::write(&path, &disk[..1100]).unwrap();
        assert_eq!(ext4_uuid(&File::open(&path).unwrap()), None);
    }

    #[test]
    fn what_was_there_is_told() {
        assert!(missing("u", &[]).starts_with("no disk appeared within 30 s"));
        let seen = [
            ("/dev/sda".into(), Some("v".to_owned())),
            ("/dev/sr0".into(), None),
        ];
        assert_eq!(
            missing("u", &seen),
            "no disk has the ext4 filesystem u after 30 s; there are /dev/sda with ext4 v, /dev/sr0 \
             without ext4"
        );
    }
}
