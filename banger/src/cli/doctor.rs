//! `banger doctor`.

use banger::doctor::{Check, State, examine};
use banger::text::printable;
use banger::{Error, ErrorKind};

use super::{Global, report};

/// Check what this machine has, and say what to do where something is missing
///
/// Looks at KVM, the virtual machine monitors, space and features of the filesystem, credentials, certificates,
/// kernels and the daemon. Nothing is changed. Ends with exit code 1 when something keeps banger from working.
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {}

impl Arguments {
    pub(super) fn run(self, global: &Global) -> Result<(), Error> {
        let user_id = rustix::process::geteuid().as_raw();
        let checks = examine(user_id, &|name: &str| std::env::var_os(name));
        let wrong = checks.iter().filter(|check| check.state != State::Ok);
        let names = wrong.map(|check| &check.name);
        let reply = serde_json::json!({ "checks": checks });
        report::reply(global, &reply, &[], names, || text(&checks))?;
        let failed = checks
            .iter()
            .filter(|check| check.state == State::Failed)
            .count();
        match failed {
            0 => Ok(()),
            count => {
                let message = format!("{count} of {} checks failed", checks.len());
                Err(Error::new(ErrorKind::Failure, message))
            }
        }
    }
}

fn text(checks: &[Check]) -> String {
    let width = checks
        .iter()
        .map(|check| check.name.len())
        .max()
        .unwrap_or(0);
    let mut text = String::new();
    for check in checks {
        let state = match check.state {
            State::Ok => "ok",
            State::Missing => "missing",
            State::Failed => "failed",
        };
        let (name, found) = (&check.name, printable(&check.found));
        text += &format!("{state:<7}  {name:<width$}  {found}\n");
        if let Some(advice) = &check.advice {
            text += &format!("{:<7}  {:<width$}  → {}\n", "", "", printable(advice));
        }
    }
    text
}
