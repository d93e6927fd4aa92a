//! <https://github.com/cloud-hypervisor/cloud-hypervisor/blob/main/docs/device_model.md>

use super::parts::Parts;
use super::{BootConfig, NetworkDevice};
use crate::error::{Error, ErrorKind};
use crate::kernel::Disk;

pub(super) fn config(parts: &Parts, disk: Disk) -> Result<BootConfig, Error> {
    let mut words = vec![
        "cloud-hypervisor".to_owned(),
        "--kernel".into(),
        parts.kernel.clone(),
    ];
    if let Some(initrd) = &parts.initrd {
        words.extend(["--initramfs".into(), initrd.clone()]);
    }
    let read_only = if parts.read_only { ",readonly=on" } else { "" };
    words.extend([
        "--disk".into(),
        format!("path={}{read_only}", plain(&parts.rootfs)?),
    ]);
    for path in &parts.disks {
        words.push(format!("path={}", plain(path)?));
    }
    words.extend([
        "--cpus".into(),
        format!("boot={}", parts.machine.cpus),
        "--memory".into(),
        format!("size={}M", parts.machine.memory_mib),
        "--console".into(),
        "off".into(),
        "--serial".into(),
        "tty".into(),
    ]);
    if let NetworkDevice::Tap(name) = &parts.network {
        words.extend(["--net".into(), format!("tap={}", plain(name)?)]);
    }
    if let Some(path) = &parts.events {
        words.extend(["--vsock".into(), format!("cid=3,socket={}", plain(path)?)]);
    }
    words.extend(["--cmdline".into(), parts.command_line(disk, &[])]);
    Ok(BootConfig::Command(words))
}

/// A value that survives being taken apart.
fn plain(value: &str) -> Result<&str, Error> {
    match value.contains([',', '"', '[', ']']) {
        false => Ok(value),
        true => Err(Error::new(
            ErrorKind::Failure,
            format!("{value} has a comma, quote or bracket, which Cloud Hypervisor takes apart"),
        )),
    }
}
