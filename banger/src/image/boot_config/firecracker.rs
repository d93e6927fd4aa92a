//! <https://github.com/firecracker-microvm/firecracker/blob/main/docs/getting-started.md>

use serde_json::json;

use super::parts::Parts;
use super::{BootConfig, NetworkDevice};
use crate::error::Error;
use crate::kernel::Disk;

/// The guest's address on vsock: the first that is free (vsock(7)).
const GUEST_CID: u32 = 3;

pub(super) fn config(parts: &Parts, disk: Disk) -> Result<BootConfig, Error> {
    let line = parts.command_line(disk, &["reboot=k"]);
    let mut source = json!({ "kernel_image_path": parts.kernel, "boot_args": line });
    if let Some(initrd) = &parts.initrd {
        source["initrd_path"] = json!(initrd);
    }
    // Not the root device: Firecracker would add root=/dev/vda and rw or ro itself.
    let mut drives = vec![json!({
        "drive_id": "rootfs",
        "path_on_host": parts.rootfs,
        "is_root_device": false,
        "is_read_only": parts.read_only,
    })];
    for (index, path) in parts.disks.iter().enumerate() {
        drives.push(json!({
            "drive_id": format!("disk{}", index + 1),
            "path_on_host": path,
            "is_root_device": false,
            "is_read_only": false,
        }));
    }
    let mut document = json!({
        "boot-source": source,
        "drives": drives,
        "machine-config": {
            "vcpu_count": parts.machine.cpus,
            "mem_size_mib": parts.machine.memory_mib,
        },
        "entropy": {},
    });
    if let NetworkDevice::Tap(name) = &parts.network {
        document["network-interfaces"] = json!([{ "iface_id": "eth0", "host_dev_name": name }]);
    }
    if let Some(path) = &parts.events {
        document["vsock"] = json!({ "guest_cid": GUEST_CID, "uds_path": path });
    }
    Ok(BootConfig::File(document))
}
