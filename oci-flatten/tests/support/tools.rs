//! Tools that are not ours, by which we are judged.

use std::process::{Command, Stdio};

/// Whether a tool can be run. A missing one is told; under `CI` it fails the test.
pub(crate) fn is_there(tool: &str) -> bool {
    let status = Command::new(tool)
        .arg("--version")
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status();
    let is_there = status.is_ok_and(|status| status.success());
    if !is_there {
        println!("skipped: no {tool}");
        assert!(
            std::env::var_os("CI").is_none(),
            "{tool} is missing, and CI needs it"
        );
    }
    is_there
}

/// Whether this process may lay out files as layers have them; told and failed as a missing tool is.
#[allow(dead_code, reason = "most tests run as anyone")]
pub(crate) fn is_root() -> bool {
    let is_root = rustix::process::geteuid().is_root();
    if !is_root {
        println!("skipped: not root");
        assert!(std::env::var_os("CI").is_none(), "CI needs root");
    }
    is_root
}
