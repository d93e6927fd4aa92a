//! What runs: the image's command, its own init, or a shell.

use crate::spec::{ImageConfig, InitMode, Overrides};

/// Where an init is looked for: first where the kernel looks by itself (`kernel_init`, init/main.c),
/// then where images have one that the kernel must be told of.
pub const INITS: [&str; 6] = [
    "/sbin/init",
    "/etc/init",
    "/bin/init",
    "/usr/lib/systemd/systemd",
    "/lib/systemd/systemd",
    "/init",
];

/// Where a shell is looked for.
pub const SHELLS: [&str; 5] = [
    "/bin/sh",
    "/bin/bash",
    "/bin/ash",
    "/usr/bin/sh",
    "/busybox/sh",
];

/// Whether a program takes the place of PID 1.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Role {
    /// It becomes PID 1, by exec; the machine is its own from then on.
    Init,
    /// It runs as a child of PID 1, which waits for it and then powers off.
    Child,
}

/// What will run.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Command {
    /// The program, as a path or as a name to look for along `PATH`, and its arguments.
    pub argv: Vec<String>,
    /// Its place.
    pub role: Role,
}

/// Decides what runs. `is_program` tells whether a path of the root filesystem leads to a program.
///
/// # Errors
///
/// There is nothing to run; the sentence says what was looked for.
pub fn choose(
    mode: &InitMode,
    config: &ImageConfig,
    overrides: &Overrides,
    mut is_program: impl FnMut(&str) -> bool,
) -> Result<Command, String> {
    let command = command(config, overrides);
    match mode {
        InitMode::Path(path) => {
            let mut argv = vec![path.clone()];
            argv.extend(overrides.args.iter().flatten().cloned());
            return Ok(Command {
                argv,
                role: Role::Init,
            });
        }
        InitMode::Image => {
            let init = INITS.into_iter().find(|path| is_program(path));
            let init = init.ok_or("the image has no init")?;
            return Ok(Command {
                argv: vec![init.to_owned()],
                role: Role::Init,
            });
        }
        InitMode::Entrypoint if command.is_empty() => {
            return Err("the image has neither Entrypoint nor Cmd".into());
        }
        InitMode::Auto | InitMode::Entrypoint => {}
    }
    let first = |paths: &[&str], is_program: &mut dyn FnMut(&str) -> bool| {
        paths
            .iter()
            .find(|path| is_program(path))
            .map(|path| vec![(*path).to_owned()])
    };
    if let Some(program) = command.first() {
        let role = match is_init(program) {
            true => Role::Init,
            false => Role::Child,
        };
        return Ok(Command {
            argv: command,
            role,
        });
    }
    if let Some(argv) = first(&INITS, &mut is_program) {
        return Ok(Command {
            argv,
            role: Role::Init,
        });
    }
    match first(&SHELLS, &mut is_program) {
        Some(argv) => Ok(Command {
            argv,
            role: Role::Child,
        }),
        None => Err("the image has no Entrypoint, no Cmd, no init and no shell".into()),
    }
}

/// Entrypoint and Cmd as container engines put them together: another entrypoint drops the image's Cmd,
/// arguments replace it.
fn command(config: &ImageConfig, overrides: &Overrides) -> Vec<String> {
    let (entrypoint, cmd) = match &overrides.entrypoint {
        Some(entrypoint) => (entrypoint, &[][..]),
        None => (&config.entrypoint, config.cmd.as_slice()),
    };
    let arguments = overrides.args.as_deref().unwrap_or(cmd);
    [entrypoint, arguments].concat()
}

/// Whether a program must be PID 1 to work: the inits of distributions, systemd by any path, and
/// `/init`, which s6-overlay has.
fn is_init(program: &str) -> bool {
    let known = ["/usr/sbin/init", "/usr/local/sbin/init", "init", "systemd"];
    INITS.contains(&program) || known.contains(&program) || program.ends_with("/systemd")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(entrypoint: &[&str], cmd: &[&str]) -> ImageConfig {
        let words = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect();
        ImageConfig {
            entrypoint: words(entrypoint),
            cmd: words(cmd),
            ..ImageConfig::default()
        }
    }

    fn chosen(mode: &str, config: &ImageConfig, overrides: &Overrides, has: &[&str]) -> String {
        match choose(&mode.parse().unwrap(), config, overrides, |path| {
            has.contains(&path)
        }) {
            Ok(command) => format!("{:?} {}", command.role, command.argv.join(" ")),
            Err(error) => error,
        }
    }

    #[test]
    fn every_mode_on_every_kind_of_image() {
        let none = Overrides::default();
        let both = ["/bin/sh", "/sbin/init"];
        let cases = [
            (
                "auto",
                config(&["/app"], &["-x"]),
                &both[..],
                "Child /app -x",
            ),
            ("auto", config(&[], &["redis"]), &both[..], "Child redis"),
            ("auto", config(&[], &["/sbin/init"]), &[], "Init /sbin/init"),
            (
                "auto",
                config(&["/lib/systemd/systemd"], &["--unit=x"]),
                &[],
                "Init /lib/systemd/systemd --unit=x",
            ),
            ("auto", config(&["/init"], &[]), &[], "Init /init"),
            ("auto", config(&[], &[]), &both[..], "Init /sbin/init"),
            ("auto", config(&[], &[]), &both[..1], "Child /bin/sh"),
            (
                "auto",
                config(&[], &[]),
                &[],
                "the image has no Entrypoint, no Cmd, no init and no shell",
            ),
            ("entrypoint", config(&[], &["a"]), &both[..], "Child a"),
            (
                "entrypoint",
                config(&[], &[]),
                &both[..],
                "the image has neither Entrypoint nor Cmd",
            ),
            (
                "image",
                config(&["/app"], &[]),
                &both[..],
                "Init /sbin/init",
            ),
            (
                "image",
                config(&["/app"], &[]),
                &both[..1],
                "the image has no init",
            ),
            ("/my/init", config(&["/app"], &[]), &[], "Init /my/init"),
        ];
        for (mode, config, has, expected) in cases {
            assert_eq!(chosen(mode, &config, &none, has), expected, "{mode}");
        }
    }

    #[test]
    fn overrides_are_those_of_container_engines() {
        let image = config(&["/entry"], &["default"]);
        let with = |entrypoint: Option<&[&str]>, args: Option<&[&str]>| {
            let words = |words: &[&str]| words.iter().map(|w| (*w).to_owned()).collect::<Vec<_>>();
            Overrides {
                entrypoint: entrypoint.map(words),
                args: args.map(words),
                ..Overrides::default()
            }
        };
        let run = |overrides| chosen("auto", &image, &overrides, &["/bin/sh"]);
        assert_eq!(run(with(None, Some(&["a", "b"]))), "Child /entry a b");
        assert_eq!(run(with(None, Some(&[]))), "Child /entry");
        assert_eq!(run(with(Some(&["/x"]), None)), "Child /x");
        assert_eq!(run(with(Some(&["/x"]), Some(&["a"]))), "Child /x a");
        assert_eq!(run(with(Some(&[]), None)), "Child /bin/sh");
    }
}
