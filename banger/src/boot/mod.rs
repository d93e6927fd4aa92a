//! What a VM needs to know of a root filesystem before it starts it: the boot block of a record.

mod program;
mod runtime;
mod start;
mod tree;

use banger_init::{INITS, SHELLS};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub use program::{Program, ProgramError, inspect_program};
pub use runtime::RuntimeConfig;
pub use start::{FirstProcess, Start, start_block};
#[cfg(test)]
pub(crate) use tree::testing;
pub use tree::{RootTree, TreeEntry, TreeKind};

use crate::error::Error;
use crate::kernel::Architecture;

/// The first virtio disk, as the kernel names it.
pub(crate) const VIRTIO_DISK: &str = "/dev/vda";
/// The first NVMe disk.
pub(crate) const NVME_DISK: &str = "/dev/nvme0n1";

/// How to start what is in the tree.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct BootBlock {
    /// Whether a kernel of the right architecture gets as far as running a program.
    pub bootable: bool,
    /// Why, or why not.
    pub reason: String,
    /// The architecture of the program that would be started, or of the image where that is a script.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub architecture: Option<Architecture>,
    /// The init to name on the kernel's command line.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub init: Option<String>,
    /// What the init's symbolic links lead to.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub init_target: Option<String>,
    /// Whether the init is systemd.
    pub systemd: bool,
    /// A shell.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub shell: Option<String>,
    /// What the image's configuration says of the process that a container would run.
    #[serde(flatten)]
    pub runtime: RuntimeConfig,
    /// What is started with the image's initrd; none where the image has no initrd of banger's making.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub start: Option<Start>,
    /// What keeps it from starting, each with its reason.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub missing: Vec<String>,
    /// A kernel command line. Without banger's initrd it is for a VM that has the root filesystem as its first
    /// disk: a virtio disk, or an NVMe disk where the image's kernel mounts its root from no other.
    pub command_line: String,
}

impl BootBlock {
    /// The program that the kernel is to start: the init, else the shell.
    #[must_use]
    pub fn first_program(&self) -> Option<&str> {
        self.init.as_deref().or(self.shell.as_deref())
    }

    /// Has the command line name `disk`, where the kernel itself mounts the root, for reading and writing or for reading only.
    pub(crate) fn set_disk(&mut self, disk: &str, read_only: bool) {
        if self.start.is_some() {
            return;
        }
        self.command_line = command_line(self.architecture, disk, read_only, self.first_program());
    }
}

/// Finds out how to start `tree` without an initrd of banger's. `image` is the architecture that the image claims.
///
/// # Errors
///
/// The tree cannot be read.
pub fn boot_block(
    tree: &dyn RootTree,
    runtime: RuntimeConfig,
    image: Option<Architecture>,
) -> Result<BootBlock, Error> {
    let init = first_of(tree, &INITS, image)?;
    let shell = first_of(tree, &SHELLS, image)?;
    let chosen = match (&init, &shell) {
        (Found::Usable(program), _) | (_, Found::Usable(program)) => Some(program),
        _ => None,
    };
    let reason = match (&init, &shell) {
        (Found::Usable(program), _) => format!("{} is an init", program.path),
        (Found::Broken(why), Found::Usable(program)) => {
            format!("{why}; {} can be started in its place", program.path)
        }
        (Found::Nothing, Found::Usable(program)) => {
            format!("no init; {} can be started in its place", program.path)
        }
        (Found::Broken(why), _) | (_, Found::Broken(why)) => why.clone(),
        (Found::Nothing, Found::Nothing) => "neither an init nor a shell is in the tree".into(),
    };
    let architecture = chosen.and_then(|program| program.architecture).or(image);
    let init_program = init.usable();
    Ok(BootBlock {
        bootable: chosen.is_some(),
        reason,
        architecture,
        init: init_program.map(|program| program.path.clone()),
        init_target: init_program.map(|program| program.target.clone()),
        systemd: init_program.is_some_and(|program| program.target.ends_with("/systemd")),
        shell: shell.usable().map(|program| program.path.clone()),
        runtime,
        start: None,
        missing: Vec::new(),
        command_line: command_line(
            architecture,
            VIRTIO_DISK,
            false,
            chosen.map(|program| program.path.as_str()),
        ),
    })
}

/// The serial console of a VM, as the kernel names it.
pub(crate) fn console(architecture: Option<Architecture>) -> &'static str {
    match architecture {
        Some(Architecture::Arm64) => "ttyAMA0",
        _ => "ttyS0",
    }
}

/// A kernel command line: messages to the serial console, the root filesystem on `disk`, mounted read-only where it is made for that,
/// and a kernel that stops rather than hangs when it cannot go on.
#[must_use]
pub fn command_line(
    architecture: Option<Architecture>,
    disk: &str,
    read_only: bool,
    program: Option<&str>,
) -> String {
    let console = console(architecture);
    let access = if read_only { "ro" } else { "rw" };
    let mut line = format!("console={console} root={disk} rootfstype=ext4 {access} panic=1");
    if let Some(program) = program {
        line.push_str(" init=");
        line.push_str(program);
    }
    line
}

enum Found {
    Usable(Program),
    Broken(String),
    Nothing,
}

impl Found {
    fn usable(&self) -> Option<&Program> {
        match self {
            Self::Usable(program) => Some(program),
            Self::Broken(_) | Self::Nothing => None,
        }
    }
}

/// The first of `paths` that can be started, else what is wrong with the first that is there.
fn first_of(
    tree: &dyn RootTree,
    paths: &[&str],
    image: Option<Architecture>,
) -> Result<Found, Error> {
    let mut broken = None;
    for path in paths {
        match inspect_program(tree, path)? {
            Ok(program) => match (program.architecture, image) {
                (Some(program), Some(image)) if !image.runs(program) => {
                    let why = format!("{path} is for {program}, the image is for {image}");
                    broken.get_or_insert(why);
                }
                _ => return Ok(Found::Usable(program)),
            },
            Err(ProgramError::Missing) => {}
            Err(ProgramError::Unusable(why)) => {
                broken.get_or_insert(why);
            }
        }
    }
    Ok(broken.map_or(Found::Nothing, Found::Broken))
}

#[cfg(test)]
mod tests {
    use super::tree::testing::MapTree;
    use super::*;

    fn block(tree: &MapTree) -> BootBlock {
        boot_block(tree, RuntimeConfig::default(), Some(Architecture::Amd64)).unwrap()
    }

    #[test]
    fn systemd_is_found_through_its_links() {
        let tree = MapTree::default()
            .program("/usr/lib/systemd/systemd", 62, None)
            .link("/sbin", "/usr/sbin")
            .link("/usr/sbin/init", "/usr/lib/systemd/systemd")
            .program("/bin/sh", 62, None);
        let block = block(&tree);
        assert_eq!(block.init.as_deref(), Some("/sbin/init"));
        assert_eq!(
            block.init_target.as_deref(),
            Some("/usr/lib/systemd/systemd")
        );
        assert!(block.systemd && block.bootable);
        assert_eq!(
            block.command_line,
            "console=ttyS0 root=/dev/vda rootfstype=ext4 rw panic=1 init=/sbin/init"
        );
    }

    #[test]
    fn a_shell_stands_in_for_a_missing_init() {
        let block = block(&MapTree::default().program("/bin/sh", 62, None));
        assert!(block.bootable);
        assert_eq!(block.init, None);
        assert_eq!(block.first_program(), Some("/bin/sh"));
        assert!(block.command_line.ends_with(" init=/bin/sh"));
        assert_eq!(block.reason, "no init; /bin/sh can be started in its place");
    }

    #[test]
    fn each_reason_not_to_boot_is_told() {
        let interpreter = Some("/lib64/ld-linux-x86-64.so.2");
        let cases = [
            (MapTree::default(), "neither an init nor a shell"),
            (
                MapTree::default().program("/bin/sh", 183, None),
                "/bin/sh is for arm64, the image is for amd64",
            ),
            (
                MapTree::default().program("/sbin/init", 62, interpreter),
                "needs /lib64/ld-linux-x86-64.so.2, which is not in the tree",
            ),
            (
                MapTree::default().file("/sbin/init", 0o644, b"#!/bin/sh\n"),
                "/sbin/init is not executable",
            ),
            (
                MapTree::default().file("/sbin/init", 0o755, b"hello"),
                "/sbin/init is neither an ELF file nor a script",
            ),
        ];
        for (tree, part) in cases {
            let block = block(&tree);
            assert!(!block.bootable);
            assert!(block.reason.contains(part), "{}", block.reason);
            assert!(!block.command_line.contains("init="));
        }
    }

    #[test]
    fn a_script_counts_when_its_interpreter_is_there() {
        let script = MapTree::default().file("/init", 0o755, b"#! /bin/sh -e\necho\n");
        assert!(!block(&script).bootable);
        let whole = script.program("/bin/sh", 62, None);
        assert_eq!(block(&whole).init.as_deref(), Some("/init"));
    }
}
