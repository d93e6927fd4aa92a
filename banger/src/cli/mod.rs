//! The command line: arguments as typed are parsed here, and each command's file gives them meaning.

mod backend;
mod cache;
mod completion;
mod config;
mod daemon;
mod doctor;
mod filesystem;
mod flatten;
mod hints;
mod image;
mod inspect;
mod interrupt;
mod kernel;
mod man;
mod op;
mod progress;
mod report;
mod screen;
mod source;
mod table;
mod usage;

use std::path::PathBuf;
use std::process::ExitCode;

use banger::{Error, ErrorKind};
use clap::{Parser, Subcommand, ValueEnum};

/// Turns OCI images into bootable ext4 root filesystems: no mkfs, no root, no mount.
#[derive(Debug, Parser)]
#[command(
    name = "banger",
    version,
    propagate_version = true,
    arg_required_else_help = true
)]
#[command(after_help = exit_codes())]
struct Arguments {
    #[command(flatten)]
    global: Global,
    #[command(subcommand)]
    command: Command,
}

/// The heading of the options that every command has.
const GLOBAL: &str = "Global options";

/// The exit codes, for the help of the program.
fn exit_codes() -> String {
    let mut text = String::from("Exit codes:\n    0  done");
    for kind in ErrorKind::ALL {
        text += &format!("\n  {:>3}  {}", kind.exit_code(), kind.meaning());
    }
    text
}

/// What holds for every command.
#[derive(Debug, clap::Args)]
struct Global {
    /// How results and errors are written
    #[arg(long, global = true, help_heading = GLOBAL, value_enum, default_value_t = Format::Text, value_name = "FORMAT")]
    format: Format,
    /// How progress is shown on standard error
    #[arg(long, global = true, help_heading = GLOBAL, value_enum, default_value_t = progress::Style::Auto, value_name = "STYLE")]
    progress: progress::Style,
    /// Show no progress, and only identifiers as results
    #[arg(short, long, global = true, help_heading = GLOBAL)]
    quiet: bool,
    /// Log what is done, on standard error
    #[arg(short, long, global = true, help_heading = GLOBAL)]
    verbose: bool,
    /// Hand image, kernel and cache commands to the daemon
    #[arg(long, global = true, help_heading = GLOBAL)]
    daemon: bool,
    /// Run commands in this process, whatever the configuration says
    #[arg(long, global = true, help_heading = GLOBAL, conflicts_with_all = ["daemon", "socket"])]
    no_daemon: bool,
    /// Socket of the daemon; implies --daemon [default: by configuration, else in the runtime directory]
    #[arg(
        long,
        global = true,
        help_heading = GLOBAL,
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
    Inspect(inspect::Arguments),
    Image(image::Arguments),
    Kernel(kernel::Arguments),
    Cache(cache::Arguments),
    Daemon(daemon::Arguments),
    Op(op::Arguments),
    Config(config::Arguments),
    Doctor(doctor::Arguments),
    Completion(completion::Arguments),
    Man(man::Arguments),
}

/// Parses the arguments, runs the command and reports how it went.
pub(crate) fn main() -> ExitCode {
    if completion::answer() {
        return ExitCode::SUCCESS;
    }
    let (Arguments { global, command }, path) = match usage::parse() {
        Ok(parsed) => parsed,
        Err(code) => return code,
    };
    // The daemon has a log of its own.
    if global.verbose && !matches!(command, Command::Daemon(_)) {
        report::start_log();
    }
    let outcome: Result<(), Error> = match command {
        Command::Flatten(arguments) => arguments.run(&global),
        Command::Inspect(arguments) => arguments.run(&global),
        Command::Image(arguments) => arguments.run(&global),
        Command::Kernel(arguments) => arguments.run(&global),
        Command::Cache(arguments) => arguments.run(&global),
        Command::Daemon(arguments) => arguments.run(&global),
        Command::Op(arguments) => arguments.run(&global),
        Command::Config(arguments) => arguments.run(&global),
        Command::Doctor(arguments) => arguments.run(&global),
        Command::Completion(arguments) => arguments.run(&global),
        Command::Man(arguments) => arguments.run(&global),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            hints::check(error.hint(), &path);
            report::failure(&error, global.format);
            ExitCode::from(error.kind().exit_code())
        }
    }
}
