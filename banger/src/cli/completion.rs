//! `banger completion`: what shells ask the program for while a command is typed.

use std::ffi::OsStr;

use banger::config::Config;
use banger::kernel::Catalog;
use banger::store::Store;
use banger::{Error, ErrorKind};
use clap::{CommandFactory, ValueEnum};
use clap_complete::CompleteEnv;
use clap_complete::engine::{ArgValueCompleter, CompletionCandidate};
use clap_complete::env::Shells;

use super::source::here;
use super::{Global, report};

/// Print the completion script of a shell
///
/// The script asks the program what may follow, so that it completes the names of images and kernels too, and
/// need not be made anew for a new version.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Arguments {
    /// Shell to print it for
    #[arg(value_enum)]
    shell: Shell,
}

const EXAMPLES: &str = "\
Examples:
  banger completion bash > ~/.local/share/bash-completion/completions/banger
  banger completion zsh > \"${fpath[1]}/_banger\"
  banger completion fish > ~/.config/fish/completions/banger.fish";

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Shell {
    Bash,
    Elvish,
    Fish,
    Powershell,
    Zsh,
}

/// The variable by which a script asks.
const VARIABLE: &str = "COMPLETE";

/// Answers a shell that asks, and says whether one did.
pub(super) fn answer() -> bool {
    let words = std::env::args_os();
    let folder = std::env::current_dir().ok();
    CompleteEnv::with_factory(super::Arguments::command)
        .var(VARIABLE)
        .try_complete(words, folder.as_deref())
        // A shell shows no errors of a completion.
        .unwrap_or(true)
}

impl Arguments {
    pub(super) fn run(self, global: &Global) -> Result<(), Error> {
        let name = match self.shell {
            Shell::Bash => "bash",
            Shell::Elvish => "elvish",
            Shell::Fish => "fish",
            Shell::Powershell => "powershell",
            Shell::Zsh => "zsh",
        };
        let shells = Shells::builtins();
        let shell = shells.completer(name).ok_or_else(|| {
            Error::new(
                ErrorKind::Failure,
                format!("no completion for {name} is built in"),
            )
        })?;
        let mut script = Vec::new();
        shell
            .write_registration(VARIABLE, "banger", "banger", "banger", &mut script)
            .map_err(|error| Error::io("write the script", error))?;
        let script = String::from_utf8_lossy(&script).into_owned();
        let reply = serde_json::json!({ "shell": name, "script": script });
        report::document(global, &reply, &[], script.lines(), || script.clone())
    }
}

/// Completes names of images.
pub(super) fn images() -> ArgValueCompleter {
    ArgValueCompleter::new(|typed: &OsStr| {
        candidates(typed, |config| {
            let listing = Store::new(config.places.images.clone()).list().ok()?;
            let named = listing.images.iter().map(|image| {
                let record = image.record();
                (record.name.to_string(), record.reference.clone())
            });
            Some(named.collect())
        })
    })
}

/// Completes names of kernels.
pub(super) fn kernels() -> ArgValueCompleter {
    ArgValueCompleter::new(|typed: &OsStr| {
        candidates(typed, |config| {
            let listing = Catalog::new(config.places.kernels.clone()).list().ok()?;
            let named = listing.kernels.iter().map(|kernel| {
                let record = kernel.record();
                (record.name.to_string(), record.facts.release.clone())
            });
            Some(named.collect())
        })
    })
}

/// Those names that begin as typed, each with what is said of it. What cannot be read completes to nothing.
fn candidates(
    typed: &OsStr,
    names: impl FnOnce(&Config) -> Option<Vec<(String, Option<String>)>>,
) -> Vec<CompletionCandidate> {
    let Some((typed, config)) = typed.to_str().zip(here().ok()) else {
        return Vec::new();
    };
    let names = names(&config).unwrap_or_default().into_iter();
    let fitting = names.filter(|(name, _)| name.starts_with(typed));
    fitting
        .map(|(name, help)| {
            let help = help.map(|text| banger::text::printable(&text).into_owned().into());
            CompletionCandidate::new(name).help(help)
        })
        .collect()
}
