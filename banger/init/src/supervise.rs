//! The life of the program, as PID 1 sees it.

use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::process::Command;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::io::Errno;
use rustix::pipe::PipeFlags;
use rustix::process::{Pid, Signal, WaitOptions, WaitStatus};
use signal_hook::consts::{SIGCHLD, SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGUSR1, SIGUSR2};
use signal_hook::iterator::Signals;

use crate::child::{CHILD_WORD, ChildFailure, READY};
use crate::process::Process;
use crate::streams::Standard;

/// How long a program may take to end after it was asked to: what podman and docker give.
const STOP_WAIT: Duration = Duration::from_secs(10);

/// Power is about to fail: how some hosts ask for the end.
const SIGPWR: i32 = Signal::POWER.as_raw();

/// Seconds that the child may take to say that it is there.
const READY_WAIT: i64 = 30;

/// How the program ended.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum Outcome {
    Code(u8),
    Signal(i32),
}

/// The program, as long as it runs. Its number is forgotten before it can be given to another process.
#[derive(Clone, Default)]
pub(crate) struct Running(Arc<Mutex<Option<Pid>>>);

impl Running {
    /// Sends a signal, when it still runs.
    pub(crate) fn signal(&self, signal: Signal) {
        let pid = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(pid) = *pid {
            let _ = rustix::process::kill_process(pid, signal);
        }
    }

    /// Asks it to end, and ends it when it does not.
    pub(crate) fn stop(&self, signal: Signal) {
        self.signal(signal);
        let running = self.clone();
        std::thread::spawn(move || {
            std::thread::sleep(STOP_WAIT);
            running.signal(Signal::KILL);
        });
    }

    fn set(&self, pid: Option<Pid>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = pid;
    }
}

/// The program, started.
pub(crate) struct Program {
    signals: Signals,
    pid: Pid,
    pub(crate) running: Running,
}

impl Program {
    /// Starts the process that becomes the program, and waits until it has. `note` is an empty file of which
    /// nobody else knows; `Err` in `Ok` is what keeps the program from being started.
    pub(crate) fn start(
        process: &Process,
        standard: Standard,
        mut note: File,
    ) -> Result<Result<Self, ChildFailure>, String> {
        // Before the child is there, so that its end is never missed.
        let signals = Signals::new([
            SIGCHLD, SIGTERM, SIGINT, SIGPWR, SIGHUP, SIGQUIT, SIGUSR1, SIGUSR2,
        ])
        .map_err(|error| format!("cannot take signals: {error}"))?;
        let text = serde_json::to_vec(process).map_err(|error| error.to_string())?;
        note.write_all(&text)
            .map_err(|error| format!("cannot describe the program: {error}"))?;
        let (outcome, ours) = rustix::pipe::pipe_with(PipeFlags::CLOEXEC)
            .map_err(|error| format!("cannot make a pipe: {error}"))?;
        let child = Command::new("/proc/self/exe")
            .arg(CHILD_WORD)
            .arg(note.as_raw_fd().to_string())
            .arg(ours.as_raw_fd().to_string())
            .stdin(standard.stdin)
            .stdout(standard.stdout)
            .stderr(standard.stderr)
            .env_clear()
            // With an identity to take on, the library forks. Its other way leaves two of the C library's own
            // signals ignored, in the program as well.
            .gid(0)
            .spawn()
            .map_err(|error| format!("cannot start a process: {error}"))?;
        let pid = Pid::from_child(&child);
        if let Some(failure) = child_failure(outcome, ours)? {
            return Ok(Err(failure));
        }
        let running = Running::default();
        running.set(Some(pid));
        Ok(Ok(Self {
            signals,
            pid,
            running,
        }))
    }

    /// Reaps every process and passes signals on until the program has ended. `stop_signal` is what asks
    /// it to end.
    pub(crate) fn wait(&mut self, stop_signal: Signal) -> Outcome {
        loop {
            // Also at the start: the child may be gone already.
            if let Some(status) = self.reap() {
                return outcome(status);
            }
            for number in self.signals.wait() {
                match number {
                    SIGCHLD => {}
                    // A power button, ctrl-alt-del, or somebody who wants the machine to end.
                    SIGTERM | SIGINT | SIGPWR => self.running.stop(stop_signal),
                    other => {
                        if let Some(signal) = Signal::from_named_raw(other) {
                            self.running.signal(signal);
                        }
                    }
                }
            }
        }
    }

    /// Collects every ended process; tells when the program is among them.
    fn reap(&self) -> Option<WaitStatus> {
        let mut pid = self
            .running
            .0
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let mut ended = None;
        while let Ok(Some((reaped, status))) = rustix::process::wait(WaitOptions::NOHANG) {
            if reaped == self.pid {
                *pid = None;
                ended = Some(status);
            }
        }
        ended
    }
}

fn outcome(status: WaitStatus) -> Outcome {
    match (status.exit_status(), status.terminating_signal()) {
        (_, Some(signal)) => Outcome::Signal(signal),
        (code, None) => Outcome::Code((code.unwrap_or(0) & 0xff) as u8),
    }
}

/// Waits until the child has become the program, or has said why it cannot. It opens the pipe for itself and
/// says so; its end is closed by the exec.
fn child_failure(outcome: OwnedFd, ours: OwnedFd) -> Result<Option<ChildFailure>, String> {
    let mut ready = [PollFd::new(&outcome, PollFlags::IN)];
    let timeout = Timespec {
        tv_sec: READY_WAIT,
        tv_nsec: 0,
    };
    // A signal does not end the wait: it may be the one of a child that said something first.
    while let Err(Errno::INTR) = rustix::event::poll(&mut ready, Some(&timeout)) {}
    if !ready[0].revents().contains(PollFlags::IN) {
        return Err("its process does not get ready".into());
    }
    drop(ours);
    let mut text = Vec::new();
    File::from(outcome)
        .read_to_end(&mut text)
        .map_err(|error| format!("cannot hear from its process: {error}"))?;
    match text.strip_prefix(READY) {
        Some([]) => Ok(None),
        Some(failure) => serde_json::from_slice(failure)
            .map(Some)
            .map_err(|error| error.to_string()),
        None => Err("its process says something strange".into()),
    }
}
