//! `banger completion` and `banger man`: what shells and `man` read of the command line.

use std::fs;
use std::path::PathBuf;

use banger::Error;
use clap::CommandFactory;
use clap_complete::Shell;

use super::{Global, report};

/// Print the completion script of a shell
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Completion {
    /// Shell to print it for
    #[arg(value_enum)]
    shell: Shell,
}

const EXAMPLES: &str = "\
Examples:
  banger completion bash > ~/.local/share/bash-completion/completions/banger
  banger completion zsh > \"${fpath[1]}/_banger\"
  banger completion fish > ~/.config/fish/completions/banger.fish";

impl Completion {
    pub(super) fn run(self) -> Result<(), Error> {
        let mut script = Vec::new();
        let mut command = super::Arguments::command();
        clap_complete::generate(self.shell, &mut command, "banger", &mut script);
        report::result(&String::from_utf8_lossy(&script))
    }
}

/// Write the man pages into a folder
#[derive(Debug, clap::Args)]
pub(super) struct Man {
    /// Folder to write them into, such as ~/.local/share/man/man1
    #[arg(value_name = "DIR")]
    folder: PathBuf,
}

impl Man {
    pub(super) fn run(self, global: &Global) -> Result<(), Error> {
        let folder = self.folder.display();
        fs::create_dir_all(&self.folder)
            .map_err(|error| Error::io(format!("make {folder}"), error))?;
        clap_mangen::generate_to(super::Arguments::command(), &self.folder)
            .map_err(|error| Error::io(format!("write the man pages to {folder}"), error))?;
        match global.quiet {
            true => Ok(()),
            false => report::result(&format!("{folder}\n")),
        }
    }
}
