//! The channel to the host that is not the console: events go out, requests come in, one JSON object a line.

use std::fs::{self, File};
use std::io::{self, BufRead, BufReader, Write};
use std::os::fd::OwnedFd;
use std::os::unix::fs::OpenOptionsExt;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use rustix::process::Signal;
use rustix::termios::{OptionalActions, tcdrain, tcgetattr, tcsetattr};
use serde::Deserialize;
use socket2::{Domain, SockAddr, Socket, Type};

use crate::event::Event;
use crate::names::signal;
use crate::parameters::EventTarget;

/// How long a virtio-serial port may take to appear after its driver is loaded.
const PORT_WAIT: Duration = Duration::from_secs(5);
/// The host's address on vsock (vsock(7)).
const VSOCK_HOST: u32 = 2;
/// Bytes of a line that comes in; longer ones end the listening.
const LINE_LIMIT: u64 = 4096;

/// What the host may ask for.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq)]
#[serde(deny_unknown_fields)]
struct Request {
    /// A signal for the program, by name or number.
    signal: String,
}

/// An open channel, or none.
#[derive(Debug, Default)]
pub(crate) struct Channel {
    device: Option<File>,
}

impl Channel {
    pub(crate) fn open(target: &EventTarget) -> Result<Self, String> {
        let opened = match target {
            EventTarget::Terminal(name) => terminal(name),
            EventTarget::Port(name) => port(name),
            EventTarget::Vsock(number) => vsock(*number),
        };
        match opened {
            Ok(device) => Ok(Self {
                device: Some(device),
            }),
            Err(error) => Err(format!("cannot open the channel of events: {error}")),
        }
    }

    /// Tells an event. A host that has gone away is no reason to stop.
    pub(crate) fn tell(&mut self, event: &Event) {
        if let Some(device) = &mut self.device {
            let _ = device.write_all(event.to_line().as_bytes());
            let _ = tcdrain(&*device);
        }
    }

    /// Listens for requests on a thread of its own.
    pub(crate) fn listen(&self, act: impl Fn(Signal) + Send + 'static) {
        let Some(device) = self
            .device
            .as_ref()
            .and_then(|device| device.try_clone().ok())
        else {
            return;
        };
        std::thread::spawn(move || {
            let mut lines = BufReader::new(io::Read::take(device, u64::MAX));
            let mut line = String::new();
            loop {
                line.clear();
                match io::Read::take(&mut lines, LINE_LIMIT).read_line(&mut line) {
                    // A port without a host has nothing to read, and may get one later.
                    Ok(0) => std::thread::sleep(Duration::from_millis(200)),
                    Ok(_) => {
                        if let Some(signal) = requested(&line) {
                            act(signal);
                        }
                    }
                    Err(_) => return,
                }
            }
        });
    }
}

fn requested(line: &str) -> Option<Signal> {
    let request: Request = serde_json::from_str(line).ok()?;
    signal(&request.signal)
}

/// A serial line, without echo or conversion.
fn terminal(name: &str) -> io::Result<File> {
    let device = open_device(PathBuf::from("/dev").join(name))?;
    let mut settings = tcgetattr(&device)?;
    settings.make_raw();
    tcsetattr(&device, OptionalActions::Now, &settings)?;
    Ok(device)
}

/// The virtio-serial port called `name`.
pub(crate) fn port(name: &str) -> io::Result<File> {
    let deadline = Instant::now() + PORT_WAIT;
    loop {
        if let Some(path) = find_port(name) {
            return open_device(path);
        }
        if Instant::now() >= deadline {
            let message = format!("the machine has no virtio-serial port {name}");
            return Err(io::Error::new(io::ErrorKind::NotFound, message));
        }
        std::thread::sleep(Duration::from_millis(5));
    }
}

fn find_port(name: &str) -> Option<PathBuf> {
    let entries = fs::read_dir("/sys/class/virtio-ports").ok()?;
    entries.flatten().find_map(|entry| {
        let found = fs::read_to_string(entry.path().join("name")).ok()?;
        let device = PathBuf::from("/dev").join(entry.file_name());
        (found.trim() == name && device.exists()).then_some(device)
    })
}

fn open_device(path: PathBuf) -> io::Result<File> {
    File::options()
        .read(true)
        .write(true)
        .custom_flags(rustix::fs::OFlags::NOCTTY.bits().cast_signed())
        .open(path)
}

/// A connection to the host.
fn vsock(port: u32) -> io::Result<File> {
    let socket = Socket::new(Domain::VSOCK, Type::STREAM, None)?;
    socket.connect(&SockAddr::vsock(VSOCK_HOST, port))?;
    Ok(File::from(OwnedFd::from(socket)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_well_formed_requests_count() {
        assert_eq!(requested(r#"{"signal":"SIGHUP"}"#), Some(Signal::HUP));
        for line in [
            "",
            "{}",
            "SIGHUP",
            r#"{"signal":"NONE"}"#,
            r#"{"signal":"HUP","x":1}"#,
        ] {
            assert_eq!(requested(line), None, "{line}");
        }
    }
}
