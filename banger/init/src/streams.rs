//! The standard streams of the program: the console, or virtio-serial ports of their own.

use std::fs::{self, File};
use std::io::{self, IsTerminal};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::OpenOptionsExt;
use std::process::Stdio;
use std::thread::JoinHandle;

use crate::channel;
use crate::spec::Streams;

/// The program's streams, and the threads that move what it writes.
pub(crate) struct Standard {
    pub(crate) stdin: Stdio,
    pub(crate) stdout: Stdio,
    pub(crate) stderr: Stdio,
    /// Whether they are a terminal.
    pub(crate) terminal: bool,
    pub(crate) drains: Vec<JoinHandle<()>>,
}

/// Opens the streams for a program of user `uid` and group `gid`, who must be able to open them again by
/// `/dev/stdout` and the like.
pub(crate) fn open(streams: Option<&Streams>, uid: u32, gid: u32) -> io::Result<Standard> {
    let own = |file: &dyn AsFd| {
        let (uid, gid) = (
            rustix::fs::Uid::from_raw(uid),
            rustix::fs::Gid::from_raw(gid),
        );
        rustix::fs::fchown(file.as_fd(), Some(uid), Some(gid))
    };
    match streams {
        None => {
            let console = console()?;
            own(&console)?;
            Ok(Standard {
                terminal: console.is_terminal(),
                stdout: console.try_clone()?.into(),
                stderr: console.try_clone()?.into(),
                stdin: console.into(),
                drains: Vec::new(),
            })
        }
        Some(streams) => {
            let stdin = match &streams.stdin {
                Some(name) => {
                    let (reader, writer) = pipe()?;
                    own(&reader)?;
                    let port = channel::port(name)?;
                    std::thread::spawn(move || copy(port, writer.into()));
                    reader.into()
                }
                None => Stdio::null(),
            };
            let mut drains = Vec::new();
            let mut output = |name: &str| -> io::Result<Stdio> {
                let (reader, writer) = pipe()?;
                own(&writer)?;
                let port = channel::port(name)?;
                drains.push(std::thread::spawn(move || copy(reader.into(), port)));
                Ok(writer.into())
            };
            Ok(Standard {
                stdin,
                stdout: output(&streams.stdout)?,
                stderr: output(&streams.stderr)?,
                terminal: false,
                drains,
            })
        }
    }
}

fn pipe() -> io::Result<(OwnedFd, OwnedFd)> {
    Ok(rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC)?)
}

/// Moves bytes until one side ends.
fn copy(mut from: File, mut to: File) {
    let _ = io::copy(&mut from, &mut to);
}

/// The terminal behind `/dev/console`: unlike that one, it can be a process' controlling terminal.
fn console() -> io::Result<File> {
    let active = fs::read_to_string("/sys/class/tty/console/active").unwrap_or_default();
    let open = |name: &str| {
        File::options()
            .read(true)
            .write(true)
            .custom_flags(rustix::fs::OFlags::NOCTTY.bits().cast_signed())
            .open(format!("/dev/{name}"))
    };
    // The last console is the one that /dev/console stands for.
    match active.split_whitespace().next_back().map(open) {
        Some(Ok(console)) => Ok(console),
        _ => open("console").or_else(|_| open("null")),
    }
}
