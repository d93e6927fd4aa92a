//! The program's process, between fork and exec: this very program, started anew by PID 1, takes the
//! limits, the user and the working directory, and becomes the program.
//!
//! What it is to do lies in an open file of PID 1, and what it has to say when it fails goes to an open pipe of
//! PID 1. It opens both anew, so that nothing of them is left to the program.

use std::fs::{self, File};
use std::io::Write;
use std::os::unix::fs::{FileExt, PermissionsExt};
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::Command;

use rustix::io::Errno;
use rustix::process::{Resource, Rlimit};
use rustix::thread::{set_thread_groups, set_thread_res_gid, set_thread_res_uid};
use serde::{Deserialize, Serialize};

use crate::process::Process;

/// The word by which PID 1 starts itself anew.
pub(crate) const CHILD_WORD: &str = "child";
/// Open files that a process may have: what podman and docker give. The kernel's limit for all.
const OPEN_FILES: u64 = 1 << 20;

/// Why the program could not be started.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
pub(crate) struct ChildFailure {
    /// 126 or 127, as container tools use them; 125 where the fault is not the program's.
    pub(crate) code: u8,
    pub(crate) error: String,
}

/// What the child says first.
pub(crate) const READY: &[u8] = b"r";

/// Becomes the program that the open file `note` of PID 1 describes; tells the pipe `outcome` why it cannot.
pub(crate) fn run(note: &str, outcome: &str) -> u8 {
    let own = |descriptor: &str| format!("/proc/1/fd/{descriptor}");
    let Ok(mut outcome) = File::options().write(true).open(own(outcome)) else {
        return 125;
    };
    if outcome.write_all(READY).is_err() {
        return 125;
    }
    let process = fs::read(own(note))
        .ok()
        .and_then(|text| serde_json::from_slice(&text).ok());
    let failure = match process {
        Some(process) => become_program(&process),
        None => ChildFailure {
            code: 125,
            error: "the description of the program is lost".into(),
        },
    };
    let told = serde_json::to_vec(&failure).unwrap_or_default();
    // PID 1 listens until this process is gone.
    let _ = outcome.write_all(&told);
    failure.code
}

fn become_program(process: &Process) -> ChildFailure {
    if let Err(failure) = take_on(process) {
        return failure;
    }
    let path = match look_up(process) {
        Ok(path) => path,
        Err(failure) => return failure,
    };
    if let Some(failure) = wrong_format(&path) {
        return failure;
    }
    let error = Command::new(&path)
        .arg0(&process.argv[0])
        .args(&process.argv[1..])
        .env_clear()
        .envs(process.env.iter().map(|(name, value)| (name, value)))
        .exec();
    let code = match error.kind() {
        std::io::ErrorKind::NotFound => 127,
        _ => 126,
    };
    ChildFailure {
        code,
        error: format!("cannot start {}: {error}", path.display()),
    }
}

/// Session, limits, working directory and user, in runc's order: the directory is entered as root first,
/// and again as the user, for either may be the one who can.
fn take_on(process: &Process) -> Result<(), ChildFailure> {
    let failed = |what: &str, error: Errno| ChildFailure {
        code: 126,
        error: format!("{what}: {error}"),
    };
    rustix::process::setsid().map_err(|error| failed("cannot start a session", error))?;
    if process.terminal {
        // A second program on one terminal does without: it works, only without job control.
        let _ = rustix::process::ioctl_tiocsctty(std::io::stdin());
    }
    let limit = Rlimit {
        current: Some(OPEN_FILES),
        maximum: Some(OPEN_FILES),
    };
    rustix::process::setrlimit(Resource::Nofile, limit)
        .map_err(|error| failed("cannot set the limit of open files", error))?;
    rustix::process::umask(rustix::fs::Mode::from_raw_mode(0o022));
    let as_root = rustix::process::chdir(process.working_dir.as_str());
    let groups: Vec<rustix::process::Gid> = process
        .groups
        .iter()
        .map(|gid| rustix::process::Gid::from_raw(*gid))
        .collect();
    let (uid, gid) = (
        rustix::process::Uid::from_raw(process.uid),
        rustix::process::Gid::from_raw(process.gid),
    );
    set_thread_groups(&groups).map_err(|error| failed("cannot set the groups", error))?;
    set_thread_res_gid(gid, gid, gid).map_err(|error| failed("cannot set the group", error))?;
    set_thread_res_uid(uid, uid, uid).map_err(|error| failed("cannot set the user", error))?;
    if as_root.is_err() {
        rustix::process::chdir(process.working_dir.as_str()).map_err(|error| {
            failed(
                &format!("cannot enter the working directory {}", process.working_dir),
                error,
            )
        })?;
    }
    Ok(())
}

/// Finds the program as the user who will run it: a name without a slash along `PATH`.
fn look_up(process: &Process) -> Result<PathBuf, ChildFailure> {
    let name = process.argv.first().map_or("", String::as_str);
    if name.contains('/') {
        return Ok(name.into());
    }
    let path = process.variable("PATH").unwrap_or_default();
    let mut denied = None;
    for folder in path.split(':').filter(|_| !name.is_empty()) {
        let folder = if folder.is_empty() { "." } else { folder };
        let candidate = PathBuf::from(folder).join(name);
        let executable = fs::metadata(&candidate).is_ok_and(|metadata| metadata.is_file());
        if executable {
            match rustix::fs::access(&candidate, rustix::fs::Access::EXEC_OK) {
                Ok(()) => return Ok(candidate),
                Err(_) => denied = Some(candidate),
            }
        }
    }
    Err(match denied {
        Some(candidate) => ChildFailure {
            code: 126,
            error: format!("cannot start {}: permission denied", candidate.display()),
        },
        None => ChildFailure {
            code: 127,
            error: format!("{name:?} is not along PATH ({path})"),
        },
    })
}

/// What the kernel cannot run, the C library would give to a shell; container engines refuse it.
fn wrong_format(path: &std::path::Path) -> Option<ChildFailure> {
    // A registered interpreter may take what the kernel does not.
    if fs::metadata("/proc/sys/fs/binfmt_misc/status").is_ok() {
        return None;
    }
    let metadata = fs::metadata(path).ok()?;
    if !metadata.is_file() || metadata.permissions().mode() & 0o111 == 0 {
        return None;
    }
    let head = head(path)?;
    let own = head_machine(&self::head("/proc/self/exe".as_ref())?)?;
    let runs = match head_machine(&head) {
        // A 64-bit kernel runs programs of the 32-bit processor before it.
        Some(machine) => machine == own || matches!((own, machine), (62, 3) | (183, 40)),
        None => head.starts_with(b"#!"),
    };
    (!runs).then(|| ChildFailure {
        code: 126,
        error: format!("cannot start {}: exec format error", path.display()),
    })
}

/// The first bytes of a file; none where they may not be read.
fn head(path: &std::path::Path) -> Option<Vec<u8>> {
    let file = File::open(path).ok()?;
    let mut head = vec![0; 20];
    let count = file.read_at(&mut head, 0).ok()?;
    head.truncate(count);
    Some(head)
}

/// `e_machine` of an ELF file (elf(5)).
fn head_machine(head: &[u8]) -> Option<u16> {
    let machine = head.get(18..20)?;
    head.starts_with(b"\x7fELF")
        .then(|| u16::from_le_bytes([machine[0], machine[1]]))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn process(argv: &str, path: &str) -> Process {
        Process {
            argv: vec![argv.into()],
            env: vec![("PATH".into(), path.into())],
            working_dir: "/".into(),
            uid: 0,
            gid: 0,
            groups: Vec::new(),
            terminal: false,
        }
    }

    fn file(path: &std::path::Path, mode: u32, bytes: &[u8]) {
        fs::write(path, bytes).unwrap();
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    }

    #[test]
    fn programs_are_found_along_the_path() {
        let folder = tempfile::tempdir().unwrap();
        let (one, two) = (folder.path().join("1"), folder.path().join("2"));
        fs::create_dir_all(one.join("tool")).unwrap();
        fs::create_dir(&two).unwrap();
        file(&two.join("tool"), 0o755, b"#!/bin/sh\n");
        file(&one.join("data"), 0o644, b"");
        let path = format!("/none:{}:{}", one.display(), two.display());
        assert_eq!(look_up(&process("tool", &path)), Ok(two.join("tool")));
        assert_eq!(look_up(&process("./x", &path)), Ok("./x".into()));
        for (name, code) in [("data", 126), ("none", 127), ("", 127)] {
            assert_eq!(
                look_up(&process(name, &path)).unwrap_err().code,
                code,
                "{name}"
            );
        }
    }

    #[test]
    fn what_no_kernel_runs_is_not_given_to_a_shell() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x");
        let mut elf = fs::read("/proc/self/exe").unwrap();
        elf.truncate(20);
        let mut foreign = elf.clone();
        foreign[18] ^= 0x40;
        if fs::metadata("/proc/sys/fs/binfmt_misc/status").is_ok() {
            return;
        }
        for (bytes, refused) in [
            (&b"echo no shebang\n"[..], true),
            (b"", true),
            (b"#!/bin/sh\n", false),
            (&elf, false),
            (&foreign, true),
        ] {
            file(&path, 0o755, bytes);
            assert_eq!(wrong_format(&path).is_some(), refused, "{bytes:?}");
        }
    }
}
