//! The `banger` program: parse, run, map the failure to an exit code.

#![cfg_attr(not(test), warn(clippy::disallowed_methods))]

mod cli;

use std::process::ExitCode;

fn main() -> ExitCode {
    cli::main()
}
