//! The filesystems that a process of a container finds, and the files that an engine puts over the image's.

use std::fs::{self, File};
use std::io::{self, Write};
use std::os::fd::AsRawFd;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use rustix::io::Errno;
use rustix::mount::{MountFlags, UnmountFlags, mount, mount_bind, unmount};

/// Where files lie that are bound over the image's. Out of reach once the root is entered.
pub(crate) const FILES: &str = "/files";

/// A filesystem of the kernel.
struct System {
    kind: &'static str,
    target: &'static str,
    flags: MountFlags,
    options: &'static std::ffi::CStr,
    need: Need,
}

/// What becomes of a filesystem that cannot be had.
#[derive(Clone, Copy, Eq, PartialEq)]
enum Need {
    /// Nothing works without.
    Must,
    /// A kernel may be built without it.
    May,
    /// Only where the image has nothing in the directory.
    Empty,
}

const fn system(
    kind: &'static str,
    target: &'static str,
    flags: MountFlags,
    options: &'static std::ffi::CStr,
    need: Need,
) -> System {
    System {
        kind,
        target,
        flags,
        options,
        need,
    }
}

const CLOSED: MountFlags = MountFlags::NOSUID
    .union(MountFlags::NODEV)
    .union(MountFlags::NOEXEC);
const QUIET: MountFlags = MountFlags::NOSUID.union(MountFlags::NODEV);

/// In the order in which they are mounted. The first three are what the initrd needs as well.
const SYSTEMS: [System; 9] = [
    system(
        "devtmpfs",
        "/dev",
        MountFlags::NOSUID,
        c"mode=0755",
        Need::Must,
    ),
    system("proc", "/proc", CLOSED, c"", Need::Must),
    system("sysfs", "/sys", CLOSED, c"", Need::Must),
    system(
        "devpts",
        "/dev/pts",
        MountFlags::NOSUID.union(MountFlags::NOEXEC),
        c"gid=5,mode=0620,ptmxmode=0666",
        Need::May,
    ),
    system("tmpfs", "/dev/shm", CLOSED, c"mode=1777", Need::Must),
    system("mqueue", "/dev/mqueue", CLOSED, c"", Need::May),
    system(
        "cgroup2",
        "/sys/fs/cgroup",
        CLOSED,
        c"nsdelegate",
        Need::May,
    ),
    system("tmpfs", "/run", QUIET, c"mode=0755", Need::Empty),
    system("tmpfs", "/tmp", QUIET, c"mode=1777", Need::Empty),
];
const EARLY: usize = 3;

/// Mount points that a root filesystem must have.
pub(crate) const MOUNT_POINTS: [&str; 5] = ["/dev", "/proc", "/sys", "/run", "/tmp"];

/// Links in `/dev` (every engine has them).
const LINKS: [(&str, &str); 5] = [
    ("/proc/self/fd", "/dev/fd"),
    ("/proc/self/fd/0", "/dev/stdin"),
    ("/proc/self/fd/1", "/dev/stdout"),
    ("/proc/self/fd/2", "/dev/stderr"),
    ("/proc/kcore", "/dev/core"),
];

/// Mounts what the initrd needs, and a place for files.
pub(crate) fn mount_early() -> Result<(), String> {
    for system in &SYSTEMS[..EARLY] {
        mount_system(system)?;
    }
    make_directory(Path::new(FILES))?;
    mount(c"tmpfs", FILES, c"tmpfs", QUIET, c"mode=0755")
        .map_err(|error| format!("cannot mount a tmpfs: {error}"))
}

/// Lets go of what the initrd needed, before the root is entered.
pub(crate) fn leave_early() {
    for system in SYSTEMS[..EARLY].iter().rev() {
        // Out of reach is as good as gone.
        let _ = unmount(system.target, UnmountFlags::DETACH);
    }
}

/// Mounts what an init finds: it brings the rest itself.
pub(crate) fn mount_for_init() -> Result<(), String> {
    SYSTEMS[..EARLY].iter().try_for_each(mount_system)
}

/// Mounts what a process of a container finds.
pub(crate) fn mount_for_program() -> Result<(), String> {
    SYSTEMS.iter().try_for_each(mount_system)?;
    for (goal, link) in LINKS {
        match symlink(goal, link) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            Err(error) => return Err(format!("cannot make {link}: {error}")),
        }
    }
    Ok(())
}

fn mount_system(system: &System) -> Result<(), String> {
    let target = Path::new(system.target);
    // A filesystem of the kernel has its mount points, or cannot have them.
    if let Err(error) = make_directory(target) {
        return match system.need {
            Need::Must | Need::Empty => Err(error),
            Need::May => Ok(()),
        };
    }
    if system.need == Need::Empty && has_content(target) {
        return Ok(());
    }
    match mount(
        system.kind,
        target,
        system.kind,
        system.flags,
        system.options,
    ) {
        Ok(()) | Err(Errno::BUSY) => Ok(()),
        Err(Errno::NODEV | Errno::INVAL | Errno::NOENT) if system.need == Need::May => Ok(()),
        Err(error) => Err(format!(
            "cannot mount {} at {}: {error}",
            system.kind, system.target
        )),
    }
}

fn has_content(directory: &Path) -> bool {
    fs::read_dir(directory).is_ok_and(|mut entries| entries.next().is_some())
}

/// Makes a directory, with those above it, where it is missing.
pub(crate) fn make_directory(path: &Path) -> Result<(), String> {
    if path.is_dir() {
        return Ok(());
    }
    fs::DirBuilder::new()
        .recursive(true)
        .mode(0o755)
        .create(path)
        .map_err(|error| match error.kind() {
            io::ErrorKind::AlreadyExists => {
                format!("{} is not a directory", path.display())
            }
            _ => format!("cannot make {}: {error}", path.display()),
        })
}

/// Puts a file with `text` over the one at `path`, which is made where it is missing, at the place to
/// which its links lead.
pub(crate) fn put_over(files: &File, path: &str, text: &str) -> Result<(), String> {
    let told = |error: io::Error| format!("cannot put a file over {path}: {error}");
    let target = follow(Path::new(path)).map_err(told)?;
    if !target.exists() {
        make_directory(target.parent().unwrap_or(Path::new("/")))?;
        File::options()
            .write(true)
            .create_new(true)
            .mode(0o644)
            .open(&target)
            .map_err(told)?;
    }
    let name = path.trim_start_matches('/').replace('/', "-");
    let source = format!("/proc/self/fd/{}/{name}", files.as_raw_fd());
    let mut file = File::create(&source).map_err(told)?;
    file.set_permissions(fs::Permissions::from_mode(0o644))
        .and_then(|()| file.write_all(text.as_bytes()))
        .map_err(told)?;
    let source = format!("/proc/self/fd/{}", file.as_raw_fd());
    mount_bind(&source, &target).map_err(|error| told(error.into()))
}

/// Where the links at the end of `path` lead, whether something is there or not.
fn follow(path: &Path) -> io::Result<PathBuf> {
    let mut path = path.to_path_buf();
    for _ in 0..40 {
        match fs::read_link(&path) {
            Ok(goal) => path = path.parent().unwrap_or(Path::new("/")).join(goal),
            // Not a link, or nothing there yet.
            Err(_) => return Ok(path),
        }
    }
    Err(Errno::LOOP.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_are_followed_to_where_nothing_is_yet() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        symlink("b", at("a")).unwrap();
        symlink("deep/c", at("b")).unwrap();
        assert_eq!(follow(&at("a")).unwrap(), at("deep/c"));
        symlink("loop", at("loop")).unwrap();
        assert!(follow(&at("loop")).is_err());
        assert_eq!(follow(&at("none")).unwrap(), at("none"));
    }

    #[test]
    fn a_file_in_the_place_of_a_directory_is_told() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("proc");
        fs::write(&path, b"").unwrap();
        let error = make_directory(&path).unwrap_err();
        assert!(error.ends_with("proc is not a directory"), "{error}");
        make_directory(&folder.path().join("a/b/c")).unwrap();
        assert!(folder.path().join("a/b/c").is_dir());
    }
}
