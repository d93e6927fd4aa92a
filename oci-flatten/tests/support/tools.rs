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
        if !rustix::process::geteuid().is_root() && left_to_root() {
            return false;
        }
        println!("skipped: no devices or attributes here: {error}");
        assert!(
            std::env::var_os("CI").is_none(),
            "CI needs to make devices and attributes: {error}"
        );
    }
    done.is_ok()
}

/// Notes this test for `.ci/run`, which repeats it as root; false where nobody has asked for that.
fn left_to_root() -> bool {
    let Some(list) = std::env::var_os("TESTS_FOR_ROOT") else {
        return false;
    };
    let program = std::env::current_exe().expect("a test has a program");
    let test = std::thread::current().name().unwrap_or_default().to_owned();
    let line = format!("{} {test}\n", program.display());
    let list = std::fs::OpenOptions::new()
        .append(true)
        .create(true)
        .open(list);
    let mut list = list.expect("the list opens");
    std::io::Write::write_all(&mut list, line.as_bytes()).expect("the list is written");
    println!("left to root: {test}");
    true
}
