//! What several tests make: kernels that banger recognises, module directories, places to work in.

#![allow(dead_code, reason = "each test binary uses its own part")]
#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "tests may")]

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

use banger::kernel::Catalog;
use banger::places::Places;
use banger::store::Store;

pub(crate) const RELEASE: &str = "6.1.0-49-cloud-amd64";

/// The options of a kernel that mounts its root from a virtio disk by itself.
pub(crate) const VIRTIO: &str = "CONFIG_EXT4_FS=y\nCONFIG_VIRTIO_BLK=y\nCONFIG_VIRTIO_PCI=y\n\
    CONFIG_VIRTIO_MMIO=y\nCONFIG_BLK_DEV_NVME=y\n";

pub(crate) fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

pub(crate) fn zstd(bytes: &[u8]) -> Vec<u8> {
    zstd::encode_all(bytes, 1).unwrap()
}

/// An initrd with an init and the modules named.
pub(crate) fn initrd(modules: &[&str]) -> Vec<u8> {
    let modules = modules.iter().map(|name| format!("lib/modules/{name}.ko"));
    let names = std::iter::once("init".to_owned()).chain(modules);
    let mut bytes = Vec::new();
    for name in names.chain(["TRAILER!!!".to_owned()]) {
        bytes.extend_from_slice(b"070701");
        for field in [0, 0o100_755, 0, 0, 1, 0, 0, 0, 0, 0, 0, name.len() + 1, 0] {
            bytes.extend_from_slice(format!("{field:08X}").as_bytes());
        }
        bytes.extend_from_slice(name.as_bytes());
        bytes.push(0);
        bytes.resize(bytes.len().next_multiple_of(4), 0);
    }
    bytes
}

/// An ELF vmlinux of `machine` (`e_machine`) with a banner, and where asked the PVH note and an
/// embedded configuration.
pub(crate) fn vmlinux(machine: u16, release: &str, pvh: bool, config: Option<&str>) -> Vec<u8> {
    let mut elf = vec![0; 4096];
    elf[..7].copy_from_slice(b"\x7fELF\x02\x01\x01");
    elf[18..20].copy_from_slice(&machine.to_le_bytes());
    elf.extend_from_slice(format!("Linux version {release} (builder@host) #1 SMP\n\0").as_bytes());
    if pvh {
        elf.extend_from_slice(&[4, 0, 0, 0, 8, 0, 0, 0, 18, 0, 0, 0]);
        elf.extend_from_slice(b"Xen\0\0\0\0\x01\0\0\0\0");
    }
    if let Some(config) = config {
        elf.extend_from_slice(b"IKCFG_ST");
        elf.extend_from_slice(&gzip(config.as_bytes()));
        elf.extend_from_slice(b"IKCFG_ED");
    }
    elf.resize(elf.len() + 300_000, 0x5a);
    elf
}

/// A kernel for amd64 that boots from virtio disks.
pub(crate) fn good_kernel() -> Vec<u8> {
    vmlinux(62, RELEASE, true, Some(VIRTIO))
}

/// A 64-bit bzImage around a payload: its protocol, one setup sector, the release in the header.
pub(crate) fn bzimage(payload: &[u8], release: &str) -> Vec<u8> {
    let mut image = vec![0; 1024];
    image[0x1f1] = 1;
    image[0x1fe..0x200].copy_from_slice(&[0x55, 0xaa]);
    image[0x202..0x206].copy_from_slice(b"HdrS");
    image[0x206..0x208].copy_from_slice(&0x020f_u16.to_le_bytes());
    image[0x20e..0x210].copy_from_slice(&0x0100_u16.to_le_bytes());
    image[0x236] = 1;
    image[0x248..0x24c].copy_from_slice(&16_u32.to_le_bytes());
    image[0x24c..0x250].copy_from_slice(&u32::try_from(payload.len()).unwrap().to_le_bytes());
    let text = format!("{release} (builder@host) #1 SMP\0");
    image[0x300..0x300 + text.len()].copy_from_slice(text.as_bytes());
    image.extend_from_slice(&[0xcc; 16]);
    image.extend_from_slice(payload);
    image.extend_from_slice(b"the size and the setup code follow");
    image
}

/// A flat arm64 Image.
pub(crate) fn arm64_image(release: &str) -> Vec<u8> {
    let mut image = vec![0; 4096];
    image[56..60].copy_from_slice(b"ARM\x64");
    image.extend_from_slice(format!("Linux version {release} (b@h)\0").as_bytes());
    image.resize(image.len() + 1000, 0);
    image
}

/// A module directory as a package ships it: `built_in` and `loadable` are module names.
pub(crate) fn module_directory(
    parent: &Path,
    name: &str,
    built_in: &[&str],
    loadable: &[&str],
) -> PathBuf {
    let directory = parent.join(name);
    fs::create_dir_all(directory.join("kernel/drivers")).unwrap();
    let mut index = String::new();
    for module in built_in {
        index.push_str(&format!("kernel/drivers/{module}.ko\n"));
    }
    fs::write(directory.join("modules.builtin"), index).unwrap();
    for module in loadable {
        let path = directory.join(format!("kernel/drivers/{module}.ko"));
        let bytes = format!("\x7fELFlicense=GPL\0vermagic={RELEASE} SMP mod_unload \0");
        fs::write(path, bytes).unwrap();
    }
    directory
}

/// A folder with an empty store and catalog.
pub(crate) struct Home {
    pub(crate) folder: tempfile::TempDir,
    pub(crate) places: Places,
    pub(crate) store: Store,
    pub(crate) catalog: Catalog,
}

impl Home {
    pub(crate) fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let places = Places::under(&folder.path().join("home"));
        Self {
            store: Store::new(places.images.clone()),
            catalog: Catalog::new(places.kernels.clone()),
            places,
            folder,
        }
    }

    /// Writes a file next to the store and returns its path.
    pub(crate) fn file(&self, name: &str, bytes: &[u8]) -> PathBuf {
        let path = self.folder.path().join(name);
        fs::write(&path, bytes).unwrap();
        path
    }

    /// Makes a fifo that nobody writes to, next to the store, and returns its path.
    pub(crate) fn fifo(&self, name: &str) -> PathBuf {
        let path = self.folder.path().join(name);
        make_fifo(&path);
        path
    }
}

pub(crate) fn make_fifo(path: &Path) {
    use rustix::fs::{CWD, FileType, Mode, mknodat};
    mknodat(CWD, path, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).unwrap();
}

/// A failure with its causes, a line each.
pub(crate) fn all_of(error: &banger::Error) -> String {
    format!("{error}\n{}", error.causes().join("\n"))
}

/// Everything below `root`, as `path` or `path -> goal`, sorted.
pub(crate) fn tree(root: &Path) -> Vec<String> {
    let mut found = Vec::new();
    let mut waiting = vec![root.to_path_buf()];
    while let Some(folder) = waiting.pop() {
        let Ok(entries) = fs::read_dir(&folder) else {
            continue;
        };
        for entry in entries {
            let path = entry.unwrap().path();
            let name = path.strip_prefix(root).unwrap().display().to_string();
            match fs::read_link(&path) {
                Ok(goal) => found.push(format!("{name} -> {}", goal.display())),
                Err(_) => found.push(name),
            }
            if path.is_dir() && !path.is_symlink() {
                waiting.push(path);
            }
        }
    }
    found.sort();
    found
}

/// Whether a program is there. Where it is not, says so and lets the test be skipped, unless `CI` is
/// set: there it must be.
pub(crate) fn has_tool(tool: &str) -> bool {
    let found = std::env::var_os("PATH").is_some_and(|path| {
        std::env::split_paths(&path)
            .chain(["/usr/sbin".into(), "/sbin".into()])
            .any(|folder| folder.join(tool).is_file())
    });
    assert!(
        found || std::env::var_os("CI").is_none(),
        "{tool} is missing, and CI is set"
    );
    if !found {
        println!("skipped: {tool} is missing");
    }
    found
}

/// A program of the tree: an ELF file for amd64 without an interpreter.
pub(crate) fn program() -> Vec<u8> {
    let mut elf = vec![0; 120];
    elf[..7].copy_from_slice(b"\x7fELF\x02\x01\x01");
    elf[18..20].copy_from_slice(&62_u16.to_le_bytes());
    elf
}

/// What a small Debian's root filesystem has of what matters here, in a folder.
pub(crate) fn debian_tree(folder: &Path) -> PathBuf {
    use std::os::unix::fs::{PermissionsExt, symlink};
    let root = folder.join("tree");
    for directory in ["usr/bin", "usr/sbin", "usr/lib/systemd", "var/lib/dpkg"] {
        fs::create_dir_all(root.join(directory)).unwrap();
    }
    for (link, goal) in [("bin", "usr/bin"), ("sbin", "usr/sbin"), ("lib", "usr/lib")] {
        symlink(goal, root.join(link)).unwrap();
    }
    for path in ["usr/bin/sh", "usr/lib/systemd/systemd"] {
        fs::write(root.join(path), program()).unwrap();
        fs::set_permissions(root.join(path), fs::Permissions::from_mode(0o755)).unwrap();
    }
    symlink("../lib/systemd/systemd", root.join("usr/sbin/init")).unwrap();
    let status = "Package: dash\nStatus: install ok installed\nVersion: 1\nArchitecture: amd64\n";
    fs::write(root.join("var/lib/dpkg/status"), status).unwrap();
    root
}

/// Makes an ext4 file of 8 MiB with the files of `root`.
pub(crate) fn mke2fs(root: &Path, image: &Path) {
    let output = std::process::Command::new("mke2fs")
        .args(["-q", "-t", "ext4", "-F", "-d"])
        .arg(root)
        .arg(image)
        .arg("8M")
        .env("PATH", "/usr/sbin:/sbin:/usr/bin:/bin")
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
}
