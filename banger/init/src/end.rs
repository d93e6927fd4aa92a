//! The end of the machine.

use std::fs;
use std::time::{Duration, Instant};

use rustix::io::Errno;
use rustix::mount::{UnmountFlags, unmount};
use rustix::process::{Pid, Signal, WaitOptions};
use rustix::system::RebootCommand;

use crate::boot::say;
use crate::parameters::Ending;
use crate::root;

/// How long killed processes may take to be gone; only one that hangs in the kernel takes any.
const KILL_WAIT: Duration = Duration::from_secs(5);

/// Ends every process but this one, as an engine does when a container's first process is gone.
pub(crate) fn kill_all() {
    // Process group 1 means "all processes" to the system call, and PID 1 is never among them (kill(2)).
    let _ = rustix::process::kill_process_group(Pid::INIT, Signal::KILL);
    let deadline = Instant::now() + KILL_WAIT;
    while Instant::now() < deadline {
        match rustix::process::wait(WaitOptions::NOHANG) {
            Ok(Some(_)) | Err(Errno::INTR) => {}
            Ok(None) => std::thread::sleep(Duration::from_millis(2)),
            Err(_) => return,
        }
    }
}

/// Brings everything onto the disks and leaves the filesystems as an orderly shutdown does.
pub(crate) fn settle() {
    let mounts = fs::read_to_string("/proc/self/mounts").unwrap_or_default();
    for target in disks_beside_root(&mounts) {
        let _ = unmount(target, UnmountFlags::empty());
    }
    rustix::fs::sync();
    match root::seal() {
        // A root that is no disk, such as the initrd's, is not remounted.
        Ok(()) | Err(Errno::INVAL) => {}
        Err(error) => say(&format!(
            "the root filesystem stays writable to the end: {error}"
        )),
    }
}

/// Mount points of disks other than the root, the last one first.
fn disks_beside_root(mounts: &str) -> Vec<&str> {
    let mut targets: Vec<&str> = mounts
        .lines()
        .filter_map(|line| {
            let mut fields = line.split(' ');
            let (target, kind) = (fields.nth(1)?, fields.next()?);
            (kind == "ext4" && target != "/").then_some(target)
        })
        .collect();
    targets.reverse();
    targets
}

/// Turns the machine off. Does not come back.
pub(crate) fn power_off(ending: Ending) -> ! {
    rustix::fs::sync();
    let command = match ending {
        Ending::PowerOff => RebootCommand::PowerOff,
        Ending::Reboot => RebootCommand::Restart,
    };
    loop {
        if let Err(error) = rustix::system::reboot(command) {
            say(&format!("cannot end the machine: {error}"));
        }
        std::thread::sleep(Duration::from_secs(1));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn disks_are_let_go_of_from_the_last_to_the_first() {
        let mounts = "rootfs / rootfs rw 0 0\n/dev/vda / ext4 rw 0 0\nproc /proc proc rw 0 0\n\
            /dev/vdb /data ext4 rw 0 0\n/dev/vdc /data/in ext4 ro 0 0\n";
        assert_eq!(disks_beside_root(mounts), ["/data/in", "/data"]);
    }
}
