//! A daemon in a home of its own, and a client that can say anything.

#![allow(dead_code, reason = "each test binary uses its own part")]
#![allow(clippy::unwrap_used, reason = "tests may")]

use std::collections::HashMap;
use std::fs::{self, File};
use std::io::{BufRead, BufReader, Write};
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

/// How long anything may take before a test gives up.
pub(crate) const PATIENCE: Duration = Duration::from_secs(120);

/// A running `banger daemon`, ended when dropped.
pub(crate) struct Daemon {
    process: Child,
    pub(crate) folder: tempfile::TempDir,
}

impl Daemon {
    /// Starts one, and waits until it answers.
    pub(crate) fn start() -> Self {
        Self::start_in(tempfile::tempdir().unwrap())
    }

    /// Starts one in a folder that has something in it.
    pub(crate) fn start_in(folder: tempfile::TempDir) -> Self {
        let log = File::create(folder.path().join("log")).unwrap();
        Self::start_with(folder, log.into())
    }

    /// Starts one that stalls its operations at a step, until they are cancelled.
    pub(crate) fn start_stalled(folder: tempfile::TempDir, step: &str) -> Self {
        let log = File::create(folder.path().join("log")).unwrap();
        let mut command = banger(folder.path());
        Self::started(folder, command.env("BANGER_STALL_AT", step), log.into())
    }

    /// Starts one whose log goes elsewhere.
    pub(crate) fn start_with(folder: tempfile::TempDir, log: Stdio) -> Self {
        let mut command = banger(folder.path());
        Self::started(folder, &mut command, log)
    }

    fn started(folder: tempfile::TempDir, command: &mut Command, log: Stdio) -> Self {
        let process = command
            .arg("daemon")
            .stdin(Stdio::null())
            .stderr(log)
            .spawn()
            .unwrap();
        let mut daemon = Self { process, folder };
        let deadline = Instant::now() + PATIENCE;
        while UnixStream::connect(daemon.socket()).is_err() {
            assert!(Instant::now() < deadline, "{}", daemon.log());
            assert!(
                daemon.process.try_wait().unwrap().is_none(),
                "{}",
                daemon.log()
            );
            std::thread::sleep(Duration::from_millis(5));
        }
        daemon
    }

    pub(crate) fn socket(&self) -> PathBuf {
        self.folder.path().join("home/banger.sock")
    }

    pub(crate) fn log(&self) -> String {
        fs::read_to_string(self.folder.path().join("log")).unwrap_or_default()
    }

    /// Waits until the log, which is written a little later than things happen, has a text.
    #[track_caller]
    pub(crate) fn wait_for_log(&self, text: &str) {
        wait_until(&format!("{text:?} is in the log"), || {
            self.log().contains(text)
        });
    }

    /// A path in the folder, as text.
    pub(crate) fn path(&self, name: &str) -> String {
        self.folder.path().join(name).display().to_string()
    }

    /// What is in the store.
    pub(crate) fn stored(&self) -> Vec<String> {
        let entries = fs::read_dir(self.folder.path().join("home/images"));
        let mut names: Vec<String> = entries
            .into_iter()
            .flatten()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .filter(|name| name != ".lock")
            .collect();
        names.sort();
        names
    }

    pub(crate) fn connect(&self) -> Peer {
        Peer::connect(&self.socket())
    }

    pub(crate) fn pid(&self) -> rustix::process::Pid {
        rustix::process::Pid::from_child(&self.process)
    }

    pub(crate) fn signal(&self, signal: rustix::process::Signal) {
        rustix::process::kill_process(self.pid(), signal).unwrap();
    }

    pub(crate) fn wait(&mut self) -> ExitStatus {
        self.process.wait().unwrap()
    }

    /// The most memory that it has had, in MiB.
    pub(crate) fn peak_memory(&self) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.process.id())).unwrap();
        let line = status
            .lines()
            .find(|line| line.starts_with("VmHWM:"))
            .unwrap();
        let kib: u64 = line.split_whitespace().nth(1).unwrap().parse().unwrap();
        kib / 1024
    }

    /// Open files.
    pub(crate) fn descriptors(&self) -> usize {
        fs::read_dir(format!("/proc/{}/fd", self.process.id()))
            .unwrap()
            .count()
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// The program, at home in `folder`.
pub(crate) fn banger(folder: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_banger"));
    command.env("BANGER_HOME", folder.join("home"));
    command
}

/// Waits until `holds` does.
#[track_caller]
pub(crate) fn wait_until(what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !holds() {
        assert!(Instant::now() < deadline, "never: {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// A connection that says what it is told to.
pub(crate) struct Peer {
    output: UnixStream,
    input: BufReader<UnixStream>,
    calls: u64,
    /// Answers that came before they were asked for.
    early: HashMap<u64, Value>,
}

impl Peer {
    pub(crate) fn connect(socket: &Path) -> Self {
        let output = UnixStream::connect(socket).unwrap();
        output.set_read_timeout(Some(PATIENCE)).unwrap();
        output.set_write_timeout(Some(PATIENCE)).unwrap();
        let input = BufReader::new(output.try_clone().unwrap());
        Self {
            output,
            input,
            calls: 0,
            early: HashMap::new(),
        }
    }

    /// Sends bytes as they are.
    pub(crate) fn send(&mut self, bytes: &[u8]) {
        self.output.write_all(bytes).unwrap();
    }

    /// Sends what may no longer be taken.
    pub(crate) fn try_send(&mut self, bytes: &[u8]) -> std::io::Result<()> {
        self.output.write_all(bytes)
    }

    /// The sending half, to write with while this one reads.
    pub(crate) fn writer(&self) -> UnixStream {
        self.output.try_clone().unwrap()
    }

    /// Says that there is no more to come.
    pub(crate) fn finish(&mut self) {
        self.output.shutdown(Shutdown::Write).unwrap();
    }

    /// The next line; none at the end.
    pub(crate) fn receive(&mut self) -> Option<Value> {
        let mut line = String::new();
        match self.input.read_line(&mut line).unwrap() {
            0 => None,
            _ => Some(serde_json::from_str(&line).unwrap()),
        }
    }

    /// Begins a call; its id comes back.
    pub(crate) fn begin(&mut self, method: &str, params: &Value) -> u64 {
        self.calls += 1;
        let id = self.calls;
        let request = json!({"jsonrpc": "2.0", "id": id, "method": method, "params": params});
        self.send(format!("{request}\n").as_bytes());
        id
    }

    /// The answer to a call. Other answers are kept until they are asked for, and notifications passed over.
    #[track_caller]
    pub(crate) fn answer(&mut self, id: u64) -> Value {
        loop {
            if let Some(answer) = self.early.remove(&id) {
                return answer;
            }
            let message = self.receive().expect("an answer");
            if let Some(id) = message["id"].as_u64() {
                self.early.insert(id, message);
            }
        }
    }

    /// The result of a call.
    #[track_caller]
    pub(crate) fn call(&mut self, method: &str, params: &Value) -> Value {
        let id = self.begin(method, params);
        let answer = self.answer(id);
        assert!(answer["error"].is_null(), "{answer}");
        answer["result"].clone()
    }

    /// The error of a call.
    #[track_caller]
    pub(crate) fn fail(&mut self, method: &str, params: &Value) -> Value {
        let id = self.begin(method, params);
        let answer = self.answer(id);
        assert!(answer["result"].is_null(), "{answer}");
        answer["error"].clone()
    }
}

/// A pipe that a pull reads from and that never ends, held open.
pub(crate) struct SilentPipe {
    path: PathBuf,
    _holder: File,
}

impl SilentPipe {
    pub(crate) fn new(folder: &Path) -> Self {
        let path = folder.join("pipe.tar");
        let made = Command::new("mkfifo").arg(&path).status().unwrap();
        assert!(made.success());
        let holder = File::options().read(true).write(true).open(&path).unwrap();
        Self {
            path,
            _holder: holder,
        }
    }

    /// The parameters of a pull that hangs on it.
    pub(crate) fn pull(&self, name: &str) -> Value {
        json!({"ref": format!("tar:{}", self.path.display()), "name": name, "progress": true})
    }
}
