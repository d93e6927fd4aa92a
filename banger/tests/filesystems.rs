//! Filesystems that cannot do what ext4 can: without the flags of renameat2(2), as NFS, or without hard links, as FAT. A
//! seccomp filter has the system calls fail as they do there.

#![allow(clippy::unwrap_used, clippy::print_stderr, reason = "tests may")]

#[allow(dead_code, reason = "each test binary uses its own part")]
mod support;

use std::fs;
use std::path::Path;
use std::process::Command;

use support::{banger, names, run, sample, tool};

/// Starts a program under a filter: `renames` fails renameat2 with flags, `links` fails linkat.
const FILTER: &str = r#"
import ctypes, os, platform, struct, sys
renameat2, linkat = {'x86_64': (316, 265), 'aarch64': (276, 37)}[platform.machine()]
LOAD, EQUAL, RETURN = 0x20, 0x15, 0x06
ALLOW, EINVAL, EPERM = 0x7fff0000, 0x50000 | 22, 0x50000 | 1
wanted = sys.argv[1].split(',')
program = [(LOAD, 0, 0, 0)]
if 'links' in wanted:
    program += [(EQUAL, 0, 1, linkat), (RETURN, 0, 0, EPERM)]
if 'renames' in wanted:
    program += [(EQUAL, 0, 3, renameat2), (LOAD, 0, 0, 48), (EQUAL, 1, 0, 0), (RETURN, 0, 0, EINVAL)]
program += [(RETURN, 0, 0, ALLOW)]
code = ctypes.create_string_buffer(b''.join(struct.pack('HBBI', *line) for line in program))
class Program(ctypes.Structure):
    _fields_ = [('length', ctypes.c_ushort), ('filter', ctypes.c_void_p)]
libc = ctypes.CDLL(None, use_errno=True)
filter = Program(len(program), ctypes.cast(code, ctypes.c_void_p))
assert libc.prctl(38, 1, 0, 0, 0) == 0
assert libc.prctl(22, 2, ctypes.byref(filter), 0, 0) == 0, os.strerror(ctypes.get_errno())
os.execv(sys.argv[2], sys.argv[2:])
"#;

const LACKING: [&str; 3] = ["renames", "links", "renames,links"];

fn without(lacking: &str, home: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new("python3");
    command.args(["-c", FILTER, lacking]);
    command.arg(banger().get_program()).args(arguments);
    command.env("BANGER_HOME", home);
    command
}

#[test]
fn flatten_writes_and_replaces_its_output() {
    if !tool("python3") {
        return;
    }
    for lacking in LACKING {
        let folder = tempfile::tempdir().unwrap();
        let output = folder.path().join("out");
        let (source, path) = (sample(), output.display().to_string());
        let flatten = ["flatten", &source, "-o", &path];
        run(&mut without(lacking, folder.path(), &flatten), 0);
        let first = fs::read(&output).unwrap();
        run(&mut without(lacking, folder.path(), &flatten), 4);
        fs::write(&output, b"old").unwrap();
        let force = ["flatten", &source, "-o", &path, "--force"];
        run(&mut without(lacking, folder.path(), &force), 0);
        assert!(fs::read(&output).unwrap() == first, "without {lacking}");
        assert_eq!(names(folder.path()), ["out"], "without {lacking}");
    }
}

#[test]
fn the_store_publishes_promotes_and_removes() {
    if !tool("python3") {
        return;
    }
    for lacking in LACKING {
        let folder = tempfile::tempdir().unwrap();
        let (home, disk) = (folder.path().join("home"), folder.path().join("disk"));
        let disk = disk.display().to_string();
        run(
            &mut without(lacking, &home, &["flatten", &sample(), "-o", &disk]),
            0,
        );
        for arguments in [
            &["image", "pull", &sample(), "--name", "pulled"][..],
            &[
                "image",
                "register",
                "--name",
                "registered",
                "--rootfs",
                &disk,
            ],
            &["image", "promote", "registered"],
            &["image", "rename", "registered", "promoted"],
            &["image", "show", "promoted"],
            &["image", "remove", "pulled"],
        ] {
            run(&mut without(lacking, &home, arguments), 0);
        }
        let (list, _) = run(&mut without(lacking, &home, &["image", "list", "-q"]), 0);
        assert_eq!(list.lines().count(), 1, "without {lacking}: {list}");
        let left = names(&home.join("images"));
        assert_eq!(left.len(), 2, "without {lacking}: {left:?}");
    }
}
