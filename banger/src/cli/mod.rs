//! The command line: arguments as typed are parsed here, and each command's file gives them meaning.

mod backend;
mod cache;
mod completion;
mod daemon;
mod filesystem;
mod flatten;
mod image;
mod interrupt;
mod kernel;
mod progress;
mod report;
mod screen;
mod source;
mod table;

use std::path::PathBuf;
use std::process::ExitCode;

use banger::Error;
use clap::{Parser, Subcommand, ValueEnum};

/// Turns OCI images into bootable ext4 root filesystems: no mkfs, no root, no mount.
#[derive(Debug, Parser)]
#[command(
    name = "banger",
    version,
    propagate_version = true,
    arg_required_else_help = true
)]
#[command(after_help = EXIT_CODES)]
struct Arguments {
    #[command(flatten)]
    global: Global,
    #[command(subcommand)]
    command: Command,
}

const EXIT_CODES: &str = "\
Exit codes:
  0  done                         5  refused by the registry
  1  other failure                6  network
  2  usage                        7  integrity: digest, malformed image, limit
  3  not found                    8  does not fit
  4  exists, or in use            9  daemon unreachable
                                130  interrupted; nothing half-made is left";

/// What holds for every command.
#[derive(Debug, clap::Args)]
struct Global {
    /// How results and errors are written
    #[arg(long, global = true, help_heading = "Global options", value_enum, default_value_t = Format::Text, value_name = "FORMAT")]
    format: Format,
    /// How progress is shown on standard error
    #[arg(long, global = true, help_heading = "Global options", value_enum, default_value_t = progress::Style::Auto, value_name = "STYLE")]
    progress: progress::Style,
    /// Show no progress, and only identifiers as results
    #[arg(short, long, global = true, help_heading = "Global options")]
    quiet: bool,
    /// Log what is done, on standard error
    #[arg(short, long, global = true, help_heading = "Global options")]
    verbose: bool,
    /// Hand image, kernel and cache commands to the daemon
    #[arg(long, global = true, help_heading = "Global options")]
    daemon: bool,
    /// Socket of the daemon; implies --daemon [default: by configuration, else in the runtime directory]
    #[arg(
        long,
        global = true,
        help_heading = "Global options",
        value_name = "PATH"
    )]
    socket: Option<PathBuf>,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq, ValueEnum)]
enum Format {
    /// For people
    Text,
    /// One JSON document
    Json,
}

#[derive(Debug, Subcommand)]
enum Command {
    Flatten(flatten::Arguments),
    Image(image::Arguments),
    Kernel(kernel::Arguments),
    Cache(cache::Arguments),
    Daemon(daemon::Arguments),
    Completion(completion::Completion),
    Man(completion::Man),
}

/// Parses the arguments, runs the command and reports how it went.
pub(crate) fn main() -> ExitCode {
    let Arguments { global, command } = Arguments::parse();
    // The daemon has a log of its own.
    if global.verbose && !matches!(command, Command::Daemon(_)) {
        report::start_log();
    }
    let outcome: Result<(), Error> = match command {
        Command::Flatten(arguments) => arguments.run(&global),
        Command::Image(arguments) => arguments.run(&global),
        Command::Kernel(arguments) => arguments.run(&global),
        Command::Cache(arguments) => arguments.run(&global),
        Command::Daemon(arguments) => arguments.run(&global),
        Command::Completion(arguments) => arguments.run(),
        Command::Man(arguments) => arguments.run(&global),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            report::failure(&error, global.format);
            ExitCode::from(error.kind().exit_code())
        }
    }
}
