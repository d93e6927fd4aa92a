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

/// Whether this process may lay out whatever a layer has, devices and attributes of the kernel included: being root in
/// a container is not enough. Told and failed as a missing tool is.
#[allow(dead_code, reason = "most tests run as anyone")]
pub(crate) fn can_lay_out() -> bool {
    use rustix::fs::{CWD, FileType, Mode, XattrFlags, makedev, mknodat, setxattr};
    let scratch = tempfile::tempdir().expect("directory is made");
    let device = scratch.path().join("device");
    let set = |name: &str| setxattr(scratch.path(), name, b"", XattrFlags::empty());
    let done = mknodat(
        CWD,
        &device,
        FileType::CharacterDevice,
        Mode::RUSR,
        makedev(1, 3),
    )
    .and_then(|()| set("trusted.probe"))
    .and_then(|()| set("user.probe"));
    if let Err(error) = done {
        println!("skipped: no devices or attributes here: {error}");
        assert!(
            std::env::var_os("CI").is_none(),
            "CI needs to make devices and attributes: {error}"
        );
    }
    done.is_ok()
}
