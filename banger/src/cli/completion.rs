//! `banger completion` and `banger man`: what shells and `man` read of the command line.

use std::ffi::OsString;
use std::io;
use std::path::PathBuf;

use banger::Error;
use clap::CommandFactory;
use clap_complete::Shell;
use oci_flatten::directory::Directory;

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
        let failed = |error| Error::io(format!("write the man pages to {folder}"), error);
        let directory = Directory::open_or_create_public(&self.folder).map_err(failed)?;
        for (name, page) in pages().map_err(failed)? {
            // What has the name may be a link to another user's file.
            directory.replace_public(name, &page).map_err(failed)?;
        }
        match global.quiet {
            true => Ok(()),
            false => report::result(&format!("{folder}\n")),
        }
    }
}

/// The page of every command, with the name of its file.
fn pages() -> io::Result<Vec<(OsString, Vec<u8>)>> {
    let mut command = super::Arguments::command().disable_help_subcommand(true);
    command.build();
    let mut pages = Vec::new();
    let mut waiting = vec![command];
    while let Some(command) = waiting.pop() {
        let shown = |command: &&clap::Command| !command.is_hide_set();
        waiting.extend(command.get_subcommands().filter(shown).cloned());
        let page = clap_mangen::Man::new(command);
        let mut bytes = Vec::new();
        page.render(&mut bytes)?;
        pages.push((page.get_filename().into(), bytes));
    }
    Ok(pages)
}
