//! The JSON files that credentials lie in.

use std::collections::BTreeMap;
use std::io;
use std::path::Path;

use base64::Engine as _;
use base64::alphabet;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use serde::Deserialize;
use serde_json::Value;

use super::{Credential, invalid};
use crate::error::{Error, ErrorKind, Result};
use crate::json::null_is_default;
use crate::small_file;

/// Largest credential file that is read, in bytes.
const SIZE_LIMIT: u64 = 1 << 20;

/// Accepts padding or none: both are met in hand-written files.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// How a file is laid out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Format {
    /// `{"auths": …, "credHelpers": …, "credsStore": …}`.
    Json,
    /// `~/.dockercfg`: the `auths` object alone; its keys are registries, never namespaces.
    Legacy,
}

/// A parsed credential file.
pub(super) struct AuthFile {
    contents: Contents,
    format: Format,
}

/// An entry that holds credentials.
pub(super) struct Entry {
    /// The key it stands under.
    pub(super) key: String,
    pub(super) credential: Credential,
}

/// Entries are looked into only when their registry is asked for, so that one that is malformed stops nobody else.
#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Contents {
    #[serde(deserialize_with = "null_is_default")]
    auths: BTreeMap<String, Value>,
    #[serde(deserialize_with = "null_is_default")]
    cred_helpers: BTreeMap<String, Value>,
    creds_store: Value,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct RawEntry {
    #[serde(deserialize_with = "null_is_default")]
    auth: String,
    #[serde(deserialize_with = "null_is_default")]
    username: String,
    #[serde(deserialize_with = "null_is_default")]
    password: String,
    #[serde(deserialize_with = "null_is_default")]
    identitytoken: String,
    #[serde(deserialize_with = "null_is_default")]
    registrytoken: String,
}

impl AuthFile {
    /// Reads `path`; says why there is nothing when it is not there or another user's, unless it was `named`: a
    /// place that is only looked into by default may be closed to us.
    pub(super) fn read(
        path: &Path,
        format: Format,
        named: bool,
    ) -> Result<Result<Self, &'static str>> {
        let bytes = match small_file::read(path, SIZE_LIMIT) {
            Ok(bytes) => bytes,
            Err(error) if !named && is_absent(&error) => return Ok(Err("not there")),
            Err(error) if !named && error.kind() == io::ErrorKind::PermissionDenied => {
                tracing::debug!(path = %path.display(), "credential file may not be read, and is passed over");
                return Ok(Err("may not be read"));
            }
            Err(error) => {
                return Err(Error::io(
                    format!("read credentials from {}", path.display()),
                    error,
                ));
            }
        };
        let text = bytes.trim_ascii();
        if !text.is_empty() && !text.starts_with(b"{") {
            return Err(invalid(
                path,
                "not a credential file (it is no JSON object)",
            ));
        }
        let parsed = match format {
            _ if text.is_empty() => Ok(Contents::default()),
            Format::Json => serde_json::from_slice(&bytes),
            Format::Legacy => serde_json::from_slice(&bytes).map(|auths| Contents {
                auths,
                ..Contents::default()
            }),
        };
        // The parser's message may quote a secret, so only the place is told.
        let contents = parsed.map_err(|error: serde_json::Error| {
            let (line, column) = (error.line(), error.column());
            invalid(
                path,
                format!("not a credential file (line {line}, column {column})"),
            )
        })?;
        Ok(Ok(Self { contents, format }))
    }

    /// The helper configured for `domain` alone.
    pub(super) fn helper_for(&self, domain: &str) -> Result<Option<&str>> {
        let exact = self.contents.cred_helpers.get_key_value(domain);
        let found = exact.or_else(|| {
            let mut helpers = self.contents.cred_helpers.iter();
            helpers.find(|(key, _)| host_key(key) == domain)
        });
        found.map_or(Ok(None), |(key, name)| helper_name(key, name))
    }

    /// The helper for all registries.
    pub(super) fn general_helper(&self) -> Result<Option<&str>> {
        helper_name("credsStore", &self.contents.creds_store)
    }

    /// The most specific entry for the repository `name` of `domain` that is not empty.
    pub(super) fn entry_for(&self, domain: &str, name: &str) -> Result<Option<Entry>> {
        let keys = match self.format {
            Format::Json => keys_of(name),
            Format::Legacy => vec![domain],
        };
        let exact = keys
            .iter()
            .filter_map(|key| self.contents.auths.get_key_value(*key));
        let by_host = self
            .contents
            .auths
            .iter()
            .filter(|(key, _)| host_key(key) == domain);
        for (key, raw) in exact.chain(by_host) {
            if let Some(credential) = credential_of(key, raw)? {
                return Ok(Some(Entry {
                    key: key.clone(),
                    credential,
                }));
            }
        }
        Ok(None)
    }
}

/// The name of a helper; none where it is `null` or empty.
fn helper_name<'a>(key: &str, name: &'a Value) -> Result<Option<&'a str>> {
    match name {
        Value::Null => Ok(None),
        Value::String(name) => Ok(Some(name.as_str()).filter(|name| !name.is_empty())),
        _ => Err(malformed(key, "is not the name of a helper")),
    }
}

fn credential_of(key: &str, entry: &Value) -> Result<Option<Credential>> {
    // The parser's message may quote a secret.
    Option::<RawEntry>::deserialize(entry)
        .map_err(|_| malformed(key, "is not an object of texts"))?
        .unwrap_or_default()
        .credential(key)
}

fn malformed(key: &str, what: &str) -> Error {
    Error::new(ErrorKind::InvalidInput, format!("entry {key:?} {what}"))
}

impl RawEntry {
    fn credential(&self, key: &str) -> Result<Option<Credential>> {
        if !self.identitytoken.is_empty() {
            return Ok(Some(Credential::IdentityToken(self.identitytoken.clone())));
        }
        if !self.registrytoken.is_empty() {
            return Ok(Some(Credential::RegistryToken(self.registrytoken.clone())));
        }
        if !self.auth.is_empty() {
            let malformed =
                || malformed(key, "has an auth that is not the base64 of USER:PASSWORD");
            // Go passes over line breaks, which encoders put after every 76 characters.
            let auth: String = self.auth.split_ascii_whitespace().collect();
            let decoded = BASE64.decode(auth).map_err(|_| malformed())?;
            let text = String::from_utf8(decoded).map_err(|_| malformed())?;
            let (username, password) = text.split_once(':').ok_or_else(malformed)?;
            return Ok(Some(Credential::Basic {
                username: username.to_owned(),
                // Old Docker versions padded the password with NULs.
                password: password.trim_end_matches('\0').to_owned(),
            }));
        }
        if self.username.is_empty() {
            return Ok(None);
        }
        Ok(Some(Credential::Basic {
            username: self.username.clone(),
            password: self.password.clone(),
        }))
    }
}

/// `host/org/app`, `host/org`, `host`.
fn keys_of(name: &str) -> Vec<&str> {
    let prefixes = name.rmatch_indices('/').map(|(slash, _)| &name[..slash]);
    std::iter::once(name).chain(prefixes).collect()
}

/// The registry that an old-style key means: `https://index.docker.io/v1/` is `docker.io`.
///
/// A key with a path and no scheme is a namespace and means no whole registry.
fn host_key(key: &str) -> &str {
    let stripped = key
        .strip_prefix("https://")
        .or_else(|| key.strip_prefix("http://"));
    let host = match stripped {
        Some(rest) => rest.split('/').next().unwrap_or(rest),
        None => key,
    };
    match host {
        "index.docker.io" | "registry-1.docker.io" => "docker.io",
        other => other,
    }
}

fn is_absent(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::NotFound | io::ErrorKind::NotADirectory
    )
}
