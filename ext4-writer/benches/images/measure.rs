//! What a process takes.

use std::io::Read;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// After this long a writer is stopped.
const LIMIT: Duration = Duration::from_secs(600);

/// What a process took.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Cost {
    /// Seconds from start to end.
    pub(crate) wall: f64,
    /// Seconds of CPU, in user space and kernel.
    pub(crate) cpu: f64,
    /// Most memory resident at once, in bytes.
    pub(crate) peak: u64,
}

/// Runs a process to its end; fails with what it says, or why there is nothing to say.
pub(crate) fn measure(command: &mut Command) -> Result<Cost, String> {
    let (begin, before) = (Instant::now(), children_cpu());
    let mut child = command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(|error| format!("{}: {error}", command.get_program().display()))?;
    let mut peak = 0;
    let status = loop {
        peak = peak.max(peak_of(child.id()));
        if let Some(status) = child.try_wait().unwrap() {
            break status;
        }
        if begin.elapsed() > LIMIT {
            child.kill().unwrap();
            child.wait().unwrap();
            return Err(format!("stopped after {} s", LIMIT.as_secs()));
        }
        std::thread::sleep(Duration::from_millis(2));
    };
    let (wall, cpu) = (begin.elapsed().as_secs_f64(), children_cpu() - before);
    if status.success() {
        return Ok(Cost { wall, cpu, peak });
    }
    let mut said = String::new();
    let _ = child.stderr.take().unwrap().read_to_string(&mut said);
    Err(format!("{status}: {}", said.lines().next().unwrap_or("")))
}

/// Most memory that a process had resident so far, in bytes; 0 once it has ended.
fn peak_of(process: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kib = line.and_then(|line| line.split_whitespace().next()?.parse::<u64>().ok());
    kib.unwrap_or(0) * 1024
}

/// CPU seconds of all children that ended.
fn children_cpu() -> f64 {
    // Fields 16 and 17 of /proc/self/stat, in ticks of 10 ms; the command's name ends in ") ".
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap();
    let rest = stat.rsplit_once(") ").unwrap().1;
    let fields: Vec<&str> = rest.split_whitespace().collect();
    let ticks: u64 = fields[13].parse::<u64>().unwrap() + fields[14].parse::<u64>().unwrap();
    ticks as f64 / 100.0
}
