//! What is in force, and where it comes from.
//!
//! An origin is found by computing the value once more with an environment that notes the variable that
//! answered last, so that no rule is written down twice.

#![expect(
    clippy::disallowed_methods,
    reason = "the paths are the user's, and only their presence is asked for"
)]

use std::cell::RefCell;
use std::ffi::OsString;
use std::fmt;
use std::path::{Path, PathBuf};

use oci_flatten::registry::RegistryRule;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::file::File;
use super::{bundles, certs_dirs, credential_places, proxy, set};
use crate::error::Error;
use crate::places::{LOCATIONS, SOCKET};

/// Something that can be set, as it is in force.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Setting {
    /// What it is: a key of `config.toml`, or the name of a place.
    pub name: String,
    /// Its value; none where it is not set and has no default.
    pub value: Option<String>,
    /// Where the value comes from.
    pub origin: Origin,
}

/// Where a value comes from.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "from", rename_all = "kebab-case")]
pub enum Origin {
    /// Nothing sets it.
    Default,
    /// An environment variable.
    Environment {
        /// Its name.
        variable: String,
    },
    /// The configuration file.
    File {
        /// Its path.
        path: PathBuf,
    },
}

impl fmt::Display for Origin {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => formatter.write_str("default"),
            Self::Environment { variable } => write!(formatter, "${variable}"),
            Self::File { path } => write!(formatter, "{}", path.display()),
        }
    }
}

/// What settings are made from.
pub(super) struct Settings<'a, V> {
    pub(super) user_id: u32,
    pub(super) variable: &'a V,
    pub(super) file: &'a File,
    pub(super) config_file: &'a Path,
}

impl<V: Fn(&str) -> Option<OsString>> Settings<'_, V> {
    /// All settings.
    pub(super) fn all(&self) -> Result<Vec<Setting>, Error> {
        let mut settings = self.places()?;
        settings.push(match self.file.daemon.r#use {
            Some(used) => self.of_file("daemon.use", used.to_string()),
            None => Setting {
                name: "daemon.use".into(),
                value: Some("false".into()),
                origin: Origin::Default,
            },
        });
        settings.push(self.credentials());
        settings.push(self.observe("certificate bundle", |variable| {
            let bundles = bundles(&variable);
            bundles.iter().find(|bundle| bundle.exists()).map(text)
        }));
        settings.push(self.observe("certificate directories", |variable| {
            Some(list(&certs_dirs(&variable)))
        }));
        settings.extend(self.proxies());
        settings.push(self.observe("temporary directory", |variable| {
            set(&variable, "TMPDIR")
                .map(|folder| PathBuf::from(folder).display().to_string())
                .or(Some("/var/tmp".into()))
        }));
        let rules = self.file.rules.registry.iter();
        settings.extend(rules.map(|rule| self.registry(rule)));
        Ok(settings)
    }

    fn places(&self) -> Result<Vec<Setting>, Error> {
        let socket = self.file.daemon.socket.as_ref();
        let places = LOCATIONS.iter().map(|location| match socket {
            Some(socket) if location.what == SOCKET.what => {
                Ok(self.of_file(location.what, text(socket)))
            }
            _ => {
                let (path, origin) =
                    self.watched(|variable| location.path(self.user_id == 0, &variable));
                Ok(Setting {
                    name: location.what.into(),
                    value: Some(text(&path?)),
                    origin,
                })
            }
        });
        places.collect()
    }

    /// The files that are read for credentials, those that are there.
    fn credentials(&self) -> Setting {
        self.observe("credential files", |variable| {
            let files = credential_places(self.user_id, self.variable).paths();
            let found: Vec<PathBuf> = files.into_iter().filter(|file| file.exists()).collect();
            // Of all variables that it depends on, the one that alone decides is worth telling.
            let _ = variable("REGISTRY_AUTH_FILE");
            (!found.is_empty()).then(|| list(&found))
        })
    }

    fn proxies(&self) -> [Setting; 4] {
        [
            ("proxy for http", "http_proxy"),
            ("proxy for https", "https_proxy"),
            ("proxy for both", "all_proxy"),
            ("no proxy for", "no_proxy"),
        ]
        .map(|(name, key)| {
            self.observe(name, |variable| {
                proxy(&variable, key).as_deref().map(redacted)
            })
        })
    }

    fn registry(&self, rule: &RegistryRule) -> Setting {
        let prefix = match rule.prefix.as_str() {
            "" => &rule.location,
            prefix => prefix,
        };
        let mut words = Vec::new();
        if rule.blocked {
            words.push("blocked".to_owned());
        }
        let mirrors = rule
            .mirror
            .iter()
            .map(|mirror| (&mirror.location, mirror.insecure));
        let own = match rule.location.as_str() {
            "" => prefix,
            location => location,
        };
        let own = (own.to_owned(), rule.insecure);
        let mirrors = mirrors.map(|(location, insecure)| (location.clone(), insecure));
        for (location, insecure) in mirrors.chain([own]) {
            let plain = if insecure { " (plain HTTP)" } else { "" };
            words.push(format!("{location}{plain}"));
        }
        self.of_file(&format!("registry {prefix}"), words.join(", "))
    }

    fn of_file(&self, name: &str, value: String) -> Setting {
        Setting {
            name: name.into(),
            value: Some(value),
            origin: Origin::File {
                path: self.config_file.into(),
            },
        }
    }

    /// A setting that the environment alone decides.
    fn observe(
        &self,
        name: &str,
        compute: impl FnOnce(&dyn Fn(&str) -> Option<OsString>) -> Option<String>,
    ) -> Setting {
        let (value, origin) = self.watched(|variable| compute(variable));
        Setting {
            name: name.into(),
            value,
            origin,
        }
    }

    /// What `compute` gives, and the variable that answered it last.
    fn watched<T>(
        &self,
        compute: impl FnOnce(&dyn Fn(&str) -> Option<OsString>) -> T,
    ) -> (T, Origin) {
        let last = RefCell::new(None);
        let value = compute(&|name| {
            let found = (self.variable)(name).filter(|value| !value.is_empty())?;
            *last.borrow_mut() = Some(name.to_owned());
            Some(found)
        });
        let origin = last
            .into_inner()
            .map_or(Origin::Default, |variable| Origin::Environment { variable });
        (value, origin)
    }
}

fn text(path: impl AsRef<Path>) -> String {
    path.as_ref().display().to_string()
}

fn list(paths: &[PathBuf]) -> String {
    let texts: Vec<String> = paths.iter().map(text).collect();
    texts.join(", ")
}

/// A proxy without the user name and the password that it may hold.
fn redacted(proxy: &str) -> String {
    let (scheme, rest) = proxy
        .split_once("://")
        .map_or(("", proxy), |(scheme, rest)| (scheme, rest));
    let shown = match rest.rsplit_once('@') {
        Some((_, host)) => format!("***@{host}"),
        None => rest.to_owned(),
    };
    match scheme {
        "" => shown,
        scheme => format!("{scheme}://{shown}"),
    }
}
