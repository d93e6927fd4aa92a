//! `banger config`: what is in force.

use banger::Error;
use banger::operation::{ConfigShow, ConfigShown};
use clap::Subcommand;

use super::backend::Backend;
use super::table::table;
use super::{Global, report};

/// Show what is configured
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Print what is in force, and where it comes from
    ///
    /// A setting comes from an environment variable, from config.toml, or is the default. Passwords of proxies
    /// are left out. banger-config(5) describes all that can be set.
    Show,
}

impl Arguments {
    pub(super) fn run(self, global: &Global) -> Result<(), Error> {
        let Command::Show = self.command;
        let shown = Backend::of(global)?.call(ConfigShow {}, global)?;
        let names = shown.settings.iter().map(|setting| &setting.name);
        report::reply(global, &shown, &[], names, || text(&shown))
    }
}

fn text(shown: &ConfigShown) -> String {
    let rows = shown.settings.iter().map(|setting| {
        let value = setting.value.clone().unwrap_or_else(|| "-".into());
        [setting.name.clone(), value, setting.origin.to_string()]
    });
    table(["SETTING", "VALUE", "FROM"], &rows.collect::<Vec<_>>())
}
