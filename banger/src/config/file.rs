//! `config.toml`: read, and checked for keys that mean nothing.

use std::path::PathBuf;

use oci_flatten::registry::RegistryRules;
use serde::Deserialize;
use toml::{Table, Value};

use super::reference::KEYS;
use crate::error::{Error, ErrorKind};

/// What the configuration file says.
#[derive(Clone, Debug, Default)]
pub(super) struct File {
    pub(super) rules: RegistryRules,
    pub(super) daemon: DaemonTable,
}

/// The `[daemon]` table.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct DaemonTable {
    pub(super) r#use: Option<bool>,
    pub(super) socket: Option<PathBuf>,
}

impl File {
    /// Reads the text of the file.
    pub(super) fn parse(text: &str) -> Result<Self, Error> {
        #[derive(Default, Deserialize)]
        #[serde(default)]
        struct Tables {
            daemon: DaemonTable,
        }
        let invalid = |message: String| Error::new(ErrorKind::Usage, message);
        let table: Table = toml::from_str(text).map_err(|error| invalid(error.to_string()))?;
        if let Some(unknown) = unknown_key("", &table) {
            let nearest = nearest(&unknown);
            return Err(invalid(format!("unknown key {unknown}"))
                .with_hint(format!("the nearest key that there is: {nearest}")));
        }
        let rules = RegistryRules::parse(text).map_err(|error| invalid(error.to_string()))?;
        let Tables { daemon } =
            toml::from_str(text).map_err(|error| invalid(error.message().to_owned()))?;
        match &daemon.socket {
            Some(socket) if !socket.is_absolute() => Err(invalid(format!(
                "daemon.socket is not an absolute path: {}",
                socket.display()
            ))),
            _ => Ok(Self { rules, daemon }),
        }
    }
}

/// The first key that is neither a known one nor on the way to one.
fn unknown_key(above: &str, table: &Table) -> Option<String> {
    table.iter().find_map(|(key, value)| {
        let name = match above {
            "" => key.clone(),
            above => format!("{above}.{key}"),
        };
        if KEYS.iter().any(|known| known.name == name) {
            return None;
        }
        match value {
            Value::Table(below) if leads_to_keys(&name) => unknown_key(&name, below),
            Value::Array(tables) if leads_to_keys(&format!("{name}[]")) => {
                let name = format!("{name}[]");
                let mut below = tables.iter().filter_map(Value::as_table);
                below.find_map(|below| unknown_key(&name, below))
            }
            // A value of the wrong kind, which the reader of the table tells.
            _ if leads_to_keys(&name) || leads_to_keys(&format!("{name}[]")) => None,
            _ => Some(name),
        }
    })
}

fn leads_to_keys(name: &str) -> bool {
    let below = format!("{name}.");
    KEYS.iter().any(|key| key.name.starts_with(&below))
}

/// The key, or the table of keys, whose name is the most like `unknown`.
fn nearest(unknown: &str) -> &'static str {
    let mut names: Vec<&str> = KEYS.iter().map(|key| key.name).collect();
    for key in KEYS {
        let tables = key.name.match_indices('.').map(|(end, _)| &key.name[..end]);
        names.extend(tables);
    }
    let likeness = |name: &&str| {
        let whole = strsim::normalized_damerau_levenshtein(unknown, name);
        let last = |name: &str| {
            name.rsplit('.')
                .next()
                .map(str::to_owned)
                .unwrap_or_default()
        };
        whole.max(strsim::normalized_damerau_levenshtein(&last(unknown), &last(name)) * 0.99)
    };
    let best = names
        .into_iter()
        .max_by(|one, other| likeness(one).total_cmp(&likeness(other)));
    best.expect("there are keys")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unknown_keys_are_refused_wherever_they_are_and_the_nearest_is_named() {
        for (text, unknown, nearest) in [
            ("[deamon]\nuse = true", "deamon", "daemon"),
            ("[daemon]\nsokcet = '/s'", "daemon.sokcet", "daemon.socket"),
            ("use = true", "use", "daemon.use"),
            ("[[registries]]\nprefix = 'a'", "registries", "registry[]"),
            (
                "[[registry]]\nprefx = 'a.b/c'",
                "registry[].prefx",
                "registry[].prefix",
            ),
            (
                "[[registry]]\n[[registry.mirror]]\nlocation = 'a/b'\npull_from_mirror = 'all'",
                "registry[].mirror[].pull_from_mirror",
                "registry[].mirror[].pull-from-mirror",
            ),
            (
                "[[registry]]\nmirrors = []",
                "registry[].mirrors",
                "registry[].mirror[]",
            ),
        ] {
            let error = File::parse(text).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Usage, "{text}");
            assert_eq!(error.to_string(), format!("unknown key {unknown}"));
            let hint = error.hint().unwrap();
            assert!(hint.ends_with(&format!(": {nearest}")), "{text}: {hint}");
        }
    }

    /// A key of the table that no reader knows, or the other way round, would be a lie.
    #[test]
    fn every_key_of_the_reference_is_read() {
        for key in KEYS {
            let value = match key.kind {
                "boolean" => "7",
                _ => "false",
            };
            let mut text = String::new();
            let mut tables = key.name.split('.').collect::<Vec<_>>();
            let last = tables.pop().unwrap();
            let mut path = String::new();
            for table in tables {
                let name = table.trim_end_matches("[]");
                path = if path.is_empty() {
                    name.into()
                } else {
                    format!("{path}.{name}")
                };
                text += &match table.ends_with("[]") {
                    true => format!("[[{path}]]\n"),
                    false => format!("[{path}]\n"),
                };
            }
            text += &format!("{last} = {value}\n");
            // The value is of the wrong kind, which only a reader that knows the key can tell.
            let error = File::parse(&text).unwrap_err().to_string();
            let told = error.contains("invalid type") || error.contains("wanted");
            assert!(told, "{}: {error}", key.name);
        }
    }

    #[test]
    fn values_of_the_wrong_kind_are_refused() {
        for text in [
            "daemon = 3",
            "registry = 3",
            "[registry]\nprefix = 'a'",
            "[daemon]\nsocket = 'rel'",
            "x",
        ] {
            assert_eq!(
                File::parse(text).unwrap_err().kind(),
                ErrorKind::Usage,
                "{text}"
            );
        }
        assert!(File::parse("").unwrap().daemon.socket.is_none());
    }
}
