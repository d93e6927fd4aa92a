//! Loading the kernel's modules.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::path::{Path, PathBuf};

use rustix::io::Errno;

use crate::boot::say;
use crate::spec::MODULES_DIRECTORY;

/// What the root filesystem, the disk, the network, the console, the clock, entropy and the power button of a
/// virtual machine take, where a kernel has it as a module.
pub const WANTED_MODULES: [&str; 13] = [
    "virtio_pci",
    "virtio_mmio",
    "virtio_blk",
    "virtio_net",
    "virtio_console",
    "virtio_rng",
    "nvme",
    "ext4",
    "overlay",
    "vmw_vsock_virtio_transport",
    "rtc_cmos",
    "button",
    "evdev",
];

/// `MODULE_INIT_COMPRESSED_FILE`, finit_module(2)
const COMPRESSED: i32 = 4;

/// Loads the modules that the spec names. Where it names none, those that the user's own initrd has are
/// loaded as its index says.
pub(crate) fn load(names: &[String]) {
    let files: Vec<PathBuf> = match names.is_empty() {
        false => names
            .iter()
            .map(|name| Path::new(MODULES_DIRECTORY).join(name))
            .collect(),
        true => {
            let release = rustix::system::uname();
            let release = release.release().to_string_lossy();
            let folder = Path::new("/lib/modules").join(&*release);
            let index = fs::read_to_string(folder.join("modules.dep")).unwrap_or_default();
            let wanted = in_order(&index);
            wanted.into_iter().map(|path| folder.join(path)).collect()
        }
    };
    for path in files {
        // One that does not load may not be needed; when it is, a later step says what is missing, and
        // this line why.
        if let Err(error) = load_file(&path) {
            say(&format!("module {} does not load: {error}", path.display()));
        }
    }
}

fn load_file(path: &Path) -> std::io::Result<()> {
    let is_plain = path.extension().is_some_and(|extension| extension == "ko");
    let flags = if is_plain { 0 } else { COMPRESSED };
    match rustix::system::finit_module(File::open(path)?, c"", flags) {
        // Already there, or for hardware that this machine has not.
        Ok(()) | Err(Errno::EXIST | Errno::NODEV) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

/// The wanted files of an index (`modules.dep`), each behind those that it needs.
fn in_order(index: &str) -> Vec<&str> {
    let lines: BTreeMap<String, (&str, &str)> = index
        .lines()
        .filter_map(|line| {
            let (path, needed) = line.split_once(':')?;
            let file = path.rsplit('/').next()?;
            let (name, _) = file.split_once(".ko")?;
            Some((name.replace('-', "_"), (path, needed)))
        })
        .collect();
    let mut order = Vec::new();
    for (path, needed) in WANTED_MODULES.iter().filter_map(|name| lines.get(*name)) {
        for file in needed.split_whitespace().rev().chain([*path]) {
            if !order.contains(&file) {
                order.push(file);
            }
        }
    }
    order
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_index_is_followed_from_its_far_end() {
        let index = "kernel/virtio_blk.ko.xz: kernel/virtio_ring.ko.xz kernel/virtio.ko.xz\n\
            kernel/sound.ko: kernel/virtio.ko.xz\nkernel/virtio-rng.ko: kernel/virtio.ko.xz\nbroken\n";
        assert_eq!(
            in_order(index),
            [
                "kernel/virtio.ko.xz",
                "kernel/virtio_ring.ko.xz",
                "kernel/virtio_blk.ko.xz",
                "kernel/virtio-rng.ko"
            ]
        );
    }
}
