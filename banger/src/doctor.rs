//! What this machine has of all that banger can use, and what to do where something is missing.

mod files;
mod machine;

use std::ffi::OsString;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::config::Config;
use crate::error::Error;
use crate::kernel::{Catalog, usable_disks};
use crate::places::Places;

/// What was looked at, and how it is.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Check {
    /// What was looked at.
    pub name: String,
    /// How it is.
    pub state: State,
    /// What was found.
    pub found: String,
    /// What to do about it.
    pub advice: Option<String>,
}

/// How something is.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum State {
    /// As it should be.
    Ok,
    /// It is not there, and banger does without.
    Missing,
    /// It keeps banger from working.
    Failed,
}

impl Check {
    fn ok(name: &str, found: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            state: State::Ok,
            found: found.into(),
            advice: None,
        }
    }

    fn missing(name: &str, found: impl Into<String>, advice: impl Into<String>) -> Self {
        Self {
            state: State::Missing,
            advice: Some(advice.into()),
            ..Self::ok(name, found)
        }
    }

    fn failed(name: &str, error: &Error, advice: impl Into<String>) -> Self {
        let lines = std::iter::once(error.to_string()).chain(error.causes());
        Self {
            state: State::Failed,
            advice: Some(advice.into()),
            ..Self::ok(name, lines.collect::<Vec<_>>().join(": "))
        }
    }
}

/// Looks at everything. Nothing is changed.
#[must_use]
pub fn examine(user_id: u32, variable: &impl Fn(&str) -> Option<OsString>) -> Vec<Check> {
    let mut checks = vec![machine::kvm()];
    checks.extend(machine::monitors(variable("PATH")));
    match Config::load(user_id, variable) {
        Ok(config) => {
            checks.push(configuration(&config));
            checks.extend(files::places(&config.places));
            checks.push(files::credentials(&config));
            checks.push(files::certificates(&config));
            checks.push(kernels(&config.places));
            checks.push(files::daemon(&config));
        }
        Err(error) => {
            let advice = error.hint().unwrap_or("correct the file that is named");
            checks.push(Check::failed("configuration", &error, advice));
            if let Ok(places) = Places::from_environment(user_id == 0, variable) {
                checks.extend(files::places(&places));
                checks.push(kernels(&places));
            }
        }
    }
    checks
}

#[expect(clippy::disallowed_methods, reason = "the path is the user's")]
fn configuration(config: &Config) -> Check {
    let file = &config.places.config_file;
    let path = file.display();
    match file.exists() {
        true => Check::ok("configuration", path.to_string()),
        false => Check::ok("configuration", format!("defaults; {path} is not there")),
    }
}

fn kernels(places: &Places) -> Check {
    const NAME: &str = "kernels";
    let advice = "`banger kernel import NAME --kernel FILE --modules DIR` adds one, such as that of Debian's \
                  package linux-image-cloud-amd64";
    let listing = match Catalog::new(places.kernels.clone()).list() {
        Ok(listing) => listing,
        Err(error) => return Check::failed(NAME, &error, "make the directory readable"),
    };
    let usable = listing
        .kernels
        .iter()
        .map(|kernel| kernel.record())
        .filter(|record| !usable_disks(&record.facts.drivers, record.initrd).is_empty());
    let names: Vec<&str> = usable.map(|record| record.name.as_str()).collect();
    match (names.is_empty(), listing.kernels.len()) {
        (false, _) => Check::ok(NAME, names.join(", ")),
        (true, 0) => Check::missing(NAME, "none", advice),
        (true, count) => Check::missing(
            NAME,
            format!("{count}, of which none is known to reach a disk"),
            "import one with its module directory and, where its drivers are modules, with its initrd",
        ),
    }
}
