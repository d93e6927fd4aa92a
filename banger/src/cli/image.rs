//! `banger image`: images in the store.

mod boot_config;
mod cat;
mod cp;
mod files;
mod list;
mod promote;
mod pull;
mod register;
mod remove;
mod rename;
mod show;

use banger::Error;
use banger::image::Report;
use banger::operation::ImageMade;
use clap::Subcommand;

use super::{Global, report};

/// Pull, list, rename and remove images, get what boots them, and look into them
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Pull(Box<pull::Arguments>),
    Register(register::Arguments),
    Promote(promote::Arguments),
    #[command(visible_alias = "ls")]
    List(list::Arguments),
    #[command(visible_alias = "inspect")]
    Show(show::Arguments),
    Rename(rename::Arguments),
    #[command(visible_aliases = ["rm", "delete"])]
    Remove(remove::Arguments),
    BootConfig(boot_config::Arguments),
    Files(files::Arguments),
    Cat(cat::Arguments),
    Cp(cp::Arguments),
}

impl Arguments {
    pub(super) fn run(self, global: &Global) -> Result<(), Error> {
        match self.command {
            Command::Pull(arguments) => arguments.run(global),
            Command::Register(arguments) => arguments.run(global),
            Command::Promote(arguments) => arguments.run(global),
            Command::List(arguments) => arguments.run(global),
            Command::Show(arguments) => arguments.run(global),
            Command::Rename(arguments) => arguments.run(global),
            Command::Remove(arguments) => arguments.run(global),
            Command::BootConfig(arguments) => arguments.run(global),
            Command::Files(arguments) => arguments.run(global),
            Command::Cat(arguments) => arguments.run(global),
            Command::Cp(arguments) => arguments.run(global),
        }
    }
}

/// Reports an image that a command has made or changed.
fn report_made(made: &ImageMade, global: &Global) -> Result<(), Error> {
    report_image(&made.image, &made.warnings, global)
}

/// Reports everything there is to know of an image.
fn report_image(found: &Report, warnings: &[String], global: &Global) -> Result<(), Error> {
    report::reply(global, found, warnings, [found.record.id], || {
        show::text(found)
    })
}
