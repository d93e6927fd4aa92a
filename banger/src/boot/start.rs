//! What banger's initrd starts: an init of the image as PID 1, or the image's program below banger's init.

use std::fmt;

use banger_init::{Command, InitMode, Overrides, Role, choose};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::program::{ProgramError, inspect_program};
use super::tree::{RootTree, TreeKind};
use super::{BootBlock, RuntimeConfig, boot_block, console};
use crate::error::Error;
use crate::kernel::Architecture;

/// Where a program is looked for when the image does not say: what container engines set.
const DEFAULT_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
/// Bytes of `/etc/passwd` and `/etc/group` that are read.
const ACCOUNTS_LIMIT: u64 = 16 << 20;

/// What is PID 1 once the image has started.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum FirstProcess {
    /// The init in banger's initrd, which runs the program, waits for it, and turns the machine off.
    BangerInit,
    /// The program itself.
    Program,
}

impl fmt::Display for FirstProcess {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::BangerInit => "banger's init",
            Self::Program => "the program",
        })
    }
}

/// What is started. The user, the environment and the working directory are those of the image's configuration.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Start {
    /// What is PID 1.
    pub first_process: FirstProcess,
    /// The program and its arguments.
    pub argv: Vec<String>,
}

/// Finds out what banger's initrd starts in `tree`, as `mode` has it. `image` is the architecture that the
/// image claims.
///
/// # Errors
///
/// The tree cannot be read.
pub fn start_block(
    tree: &dyn RootTree,
    runtime: RuntimeConfig,
    image: Option<Architecture>,
    mode: &InitMode,
) -> Result<BootBlock, Error> {
    let mut block = boot_block(tree, runtime, image)?;
    let config = block.runtime.image_config();
    let usable = [&block.init, &block.shell];
    let is_program = |path: &str| usable.iter().any(|known| known.as_deref() == Some(path));
    let chosen = choose(mode, &config, &Overrides::default(), is_program);
    block.command_line = format!("console={} panic=1", console(block.architecture));
    let command = match chosen {
        Ok(command) => command,
        Err(why) => {
            // A damaged init says more than its absence.
            block.reason = match block.bootable {
                true => why.clone(),
                false => format!("{why} ({})", block.reason),
            };
            block.bootable = false;
            block.missing.push(why);
            return Ok(block);
        }
    };
    block.missing = missing(tree, &block.runtime, &command, image)?;
    block.bootable = block.missing.is_empty();
    let program = &command.argv[0];
    block.reason = match (block.missing.first(), command.role) {
        (Some(why), _) => why.clone(),
        (None, Role::Init) => format!("{program} is started as PID 1"),
        (None, Role::Child) => format!("{program} is started by banger's init"),
    };
    block.start = Some(Start {
        first_process: match command.role {
            Role::Init => FirstProcess::Program,
            Role::Child => FirstProcess::BangerInit,
        },
        argv: command.argv,
    });
    Ok(block)
}

/// What the image lacks for this command.
fn missing(
    tree: &dyn RootTree,
    runtime: &RuntimeConfig,
    command: &Command,
    image: Option<Architecture>,
) -> Result<Vec<String>, Error> {
    let mut missing: Vec<String> = program_missing(tree, runtime, &command.argv[0], image)?
        .into_iter()
        .collect();
    if let Some(user) = &runtime.user {
        let text = |path: &str| match tree
            .entry(path)?
            .filter(|entry| entry.kind == TreeKind::File)
        {
            Some(entry) => {
                let bytes = tree.read_start(&entry.path, ACCOUNTS_LIMIT)?;
                Ok::<_, Error>(String::from_utf8_lossy(&bytes).into_owned())
            }
            None => Ok(String::new()),
        };
        let (passwd, group) = (text("/etc/passwd")?, text("/etc/group")?);
        missing.extend(banger_init::check_user(user, &passwd, &group).err());
    }
    Ok(missing)
}

/// Why the program cannot be started; none when it can. Relative paths are left to the guest.
fn program_missing(
    tree: &dyn RootTree,
    runtime: &RuntimeConfig,
    program: &str,
    image: Option<Architecture>,
) -> Result<Option<String>, Error> {
    let candidates: Vec<String> = match (program.starts_with('/'), program.contains('/')) {
        (true, _) => vec![program.to_owned()],
        (false, true) => {
            let folder = runtime.working_dir.as_deref().unwrap_or("/");
            vec![format!("/{}/{program}", folder.trim_matches('/'))]
        }
        (false, false) => {
            let path = runtime.variable("PATH").unwrap_or(DEFAULT_PATH);
            path.split(':')
                .map(|folder| format!("{folder}/{program}"))
                .collect()
        }
    };
    let mut unusable = None;
    for path in candidates.iter().filter(|path| path.starts_with('/')) {
        match inspect_program(tree, path)? {
            Ok(found) => match (found.architecture, image) {
                (Some(found), Some(image)) if !image.runs(found) => {
                    unusable
                        .get_or_insert(format!("{path} is for {found}, the image is for {image}"));
                }
                _ => return Ok(None),
            },
            Err(ProgramError::Missing) => {}
            Err(ProgramError::Unusable(why)) => {
                unusable.get_or_insert(why);
            }
        }
    }
    Ok(Some(unusable.unwrap_or_else(
        || match program.contains('/') {
            true => format!("{program} is not in the tree"),
            false => format!("{program} is not along PATH in the tree"),
        },
    )))
}

#[cfg(test)]
mod tests {
    use super::super::testing::MapTree;
    use super::*;

    fn block(tree: &MapTree, config: &str, mode: &str) -> BootBlock {
        let runtime = RuntimeConfig::from_oci(config.as_bytes()).unwrap();
        start_block(
            tree,
            runtime,
            Some(Architecture::Amd64),
            &mode.parse().unwrap(),
        )
        .unwrap()
    }

    fn tree() -> MapTree {
        MapTree::default()
            .program("/usr/bin/redis", 62, None)
            .program("/opt/bin/app", 62, None)
            .file("/etc/passwd", 0o644, b"redis:x:999:999::/:\n")
    }

    #[test]
    fn a_program_starts_below_bangers_init() {
        let config = r#"{"config":{"Cmd":["redis","--port","1"],"User":"redis"}}"#;
        let block = block(&tree(), config, "auto");
        assert!(block.bootable, "{}", block.reason);
        assert_eq!(block.reason, "redis is started by banger's init");
        assert_eq!(block.command_line, "console=ttyS0 panic=1");
        let start = block.start.unwrap();
        assert_eq!(start.first_process, FirstProcess::BangerInit);
        assert_eq!(start.argv, ["redis", "--port", "1"]);
    }

    #[test]
    fn an_init_starts_as_pid_1() {
        let tree = tree().program("/sbin/init", 62, None);
        for (config, mode) in [
            ("{}", "auto"),
            (r#"{"config":{"Cmd":["redis"]}}"#, "image"),
            (r#"{"config":{"Cmd":["/sbin/init"]}}"#, "auto"),
            (r#"{"config":{"Cmd":["redis"]}}"#, "/sbin/init"),
        ] {
            let block = block(&tree, config, mode);
            assert_eq!(
                block.reason, "/sbin/init is started as PID 1",
                "{config} {mode}"
            );
            assert_eq!(block.start.unwrap().first_process, FirstProcess::Program);
        }
    }

    #[test]
    fn what_is_missing_is_told() {
        let interpreter = Some("/lib64/ld-linux-x86-64.so.2");
        let broken =
            tree()
                .program("/usr/bin/broken", 62, interpreter)
                .program("/usr/bin/arm", 183, None);
        let cases = [
            (r#"{"Cmd":["none"]}"#, "none is not along PATH in the tree"),
            (r#"{"Cmd":["/none"]}"#, "/none is not in the tree"),
            (
                r#"{"Cmd":["broken"]}"#,
                "/usr/bin/broken needs /lib64/ld-linux-x86-64.so.2, which is not in the tree",
            ),
            (
                r#"{"Cmd":["arm"]}"#,
                "/usr/bin/arm is for arm64, the image is for amd64",
            ),
            (r#"{"Cmd":["app"]}"#, "app is not along PATH in the tree"),
            (
                r#"{"Cmd":["redis"],"User":"web"}"#,
                "user web is not in /etc/passwd",
            ),
            (
                "{}",
                "the image has no Entrypoint, no Cmd, no init and no shell",
            ),
        ];
        for (config, why) in cases {
            let block = block(&broken, &format!(r#"{{"config":{config}}}"#), "auto");
            assert!(!block.bootable);
            assert_eq!(block.missing, [why], "{config}");
        }
        let found = r#"{"config":{"Cmd":["app"],"Env":["PATH=/none:/opt/bin"]}}"#;
        assert!(block(&broken, found, "auto").bootable);
        let relative = r#"{"config":{"Cmd":["bin/app"],"WorkingDir":"/opt"}}"#;
        assert!(block(&broken, relative, "auto").bootable);
    }
}
