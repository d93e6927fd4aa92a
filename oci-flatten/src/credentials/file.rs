//! The JSON files that credentials lie in.

use std::collections::BTreeMap;
use std::io;
use std::path::Path;

use base64::Engine as _;
use base64::alphabet;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use serde::Deserialize;

use super::{Credential, invalid};
use crate::error::{Error, ErrorKind, Result};
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
#[derive(Debug)]
pub(super) struct AuthFile {
    contents: Contents,
    format: Format,
}

/// An entry that holds credentials.
#[derive(Debug)]
pub(super) struct Entry {
    /// The key it stands under.
    pub(super) key: String,
    pub(super) credential: Credential,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Contents {
    auths: BTreeMap<String, RawEntry>,
    cred_helpers: BTreeMap<String, String>,
    creds_store: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct RawEntry {
    auth: String,
    username: String,
    password: String,
    identitytoken: String,
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
    pub(super) fn helper_for(&self, domain: &str) -> Option<&str> {
        let exact = self.contents.cred_helpers.get(domain);
        let found = exact.or_else(|| {
            let mut helpers = self.contents.cred_helpers.iter();
            helpers
                .find(|(key, _)| host_key(key) == domain)
                .map(|(_, name)| name)
        })?;
        (!found.is_empty()).then_some(found)
    }

    /// The helper for all registries.
    pub(super) fn general_helper(&self) -> Option<&str> {
        let name = self.contents.creds_store.as_str();
        (!name.is_empty()).then_some(name)
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
            if let Some(credential) = raw.credential(key)? {
                return Ok(Some(Entry {
                    key: key.clone(),
                    credential,
                }));
            }
        }
        Ok(None)
    }
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
            let malformed = || {
                let what = "is not the base64 of USER:PASSWORD";
                Error::new(
                    ErrorKind::InvalidInput,
                    format!("auth of entry {key:?} {what}"),
                )
            };
            let decoded = BASE64.decode(self.auth.trim()).map_err(|_| malformed())?;
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
