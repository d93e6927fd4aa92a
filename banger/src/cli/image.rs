//! `banger image`: images in the store.

mod boot_config;
mod list;
mod promote;
mod pull;
mod register;
mod remove;
mod rename;
mod show;

use banger::Error;
use banger::image::{self, Made, Report};
use banger::store::Store;
use clap::Subcommand;

use super::places::Shelves;
use super::{Format, Global, report};

/// Pull, list, rename and remove images, and get what boots them
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Pull(pull::Arguments),
    Register(register::Arguments),
    Promote(promote::Arguments),
    #[command(visible_alias = "ls")]
    List(list::Arguments),
    Show(show::Arguments),
    Rename(rename::Arguments),
    #[command(visible_alias = "rm")]
    Remove(remove::Arguments),
    BootConfig(boot_config::Arguments),
}

impl Arguments {
    pub(super) fn run(self, global: &Global) -> Result<(), Error> {
        let shelves = Shelves::here()?;
        match self.command {
            Command::Pull(arguments) => arguments.run(&shelves, global),
            Command::Register(arguments) => arguments.run(&shelves, global),
            Command::Promote(arguments) => arguments.run(&shelves, global),
            Command::List(arguments) => arguments.run(&shelves, global),
            Command::Show(arguments) => arguments.run(&shelves, global),
            Command::Rename(arguments) => arguments.run(&shelves, global),
            Command::Remove(arguments) => arguments.run(&shelves, global),
            Command::BootConfig(arguments) => arguments.run(&shelves, global),
        }
    }
}

/// Reports an image that a command has made or changed.
fn report_made(store: &Store, made: &Made, global: &Global) -> Result<(), Error> {
    for warning in &made.warnings {
        report::warning(warning);
    }
    let id = made.image.record().id.to_string();
    if global.quiet {
        return report::result(&format!("{id}\n"));
    }
    report_image(&image::show(store, &id)?, global.format)
}

/// Reports everything there is to know of an image.
fn report_image(found: &Report, format: Format) -> Result<(), Error> {
    match format {
        Format::Text => report::result(&show::text(found)),
        Format::Json => report::result_json(found),
    }
}
