//! Who the user is to a registry: credential files and helpers, as Podman and Docker keep them.
//!
//! Files are read in the order of
//! [containers-auth.json(5)](https://github.com/containers/image/blob/main/docs/containers-auth.json.5.md);
//! in each, the most specific key wins (`host/org/team/app`, `host/org/team`, …, `host`). Within a file, a
//! helper configured for the registry comes first, then an entry that holds credentials, then the
//! file's general helper (`credsStore`).

mod file;
mod helper;
mod secrets;

use std::ffi::OsString;
use std::fmt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::error::{Error, ErrorKind, Result};

use file::{AuthFile, Entry, Format};
use helper::Helper;
pub(crate) use secrets::Secrets;

/// What is shown to a registry, or to the token server that it names.
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Credential {
    /// A user name and a password.
    Basic {
        /// The user name.
        username: String,
        /// The password, or an access token that stands for it.
        password: String,
    },
    /// An OAuth2 refresh token, traded for access tokens at the token server.
    IdentityToken(String),
    /// A ready access token, sent to the registry as it is.
    RegistryToken(String),
}

/// Secrets stay out of logs.
impl fmt::Debug for Credential {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Basic { .. } => "Basic(…)",
            Self::IdentityToken(_) => "IdentityToken(…)",
            Self::RegistryToken(_) => "RegistryToken(…)",
        })
    }
}

/// The places to look in, as the caller's environment gives them.
#[derive(Clone, Debug)]
pub struct CredentialPlaces {
    /// `--authfile` or `$REGISTRY_AUTH_FILE`: when given, the only file read.
    pub auth_file: Option<PathBuf>,
    /// `$XDG_RUNTIME_DIR`; without it, `/run/containers/UID/auth.json` is the first file.
    pub runtime_dir: Option<PathBuf>,
    /// `$XDG_CONFIG_HOME`, or `~/.config`.
    pub config_home: Option<PathBuf>,
    /// `$DOCKER_CONFIG`, or `~/.docker`.
    pub docker_config: Option<PathBuf>,
    /// `$HOME`, for `~/.dockercfg`.
    pub home: Option<PathBuf>,
    /// The effective user id, for the path that stands in for an unset `$XDG_RUNTIME_DIR`.
    pub user_id: u32,
    /// `$PATH`, where `docker-credential-NAME` programs are.
    pub search_path: Option<OsString>,
    /// How long a helper may take before it is killed.
    pub helper_timeout: Duration,
}

impl CredentialPlaces {
    /// How long a helper may take: long enough to unlock a key ring by hand.
    pub const HELPER_TIMEOUT: Duration = Duration::from_secs(30);

    /// No place at all: every pull is anonymous.
    #[must_use]
    pub fn none() -> Self {
        Self {
            auth_file: None,
            runtime_dir: None,
            config_home: None,
            docker_config: None,
            home: None,
            user_id: u32::MAX,
            search_path: None,
            helper_timeout: Self::HELPER_TIMEOUT,
        }
    }

    /// The files that are looked at, in their order, whether they are there or not.
    #[must_use]
    pub fn paths(&self) -> Vec<PathBuf> {
        self.files().into_iter().map(|(path, _)| path).collect()
    }

    /// The files, in the order they are read.
    fn files(&self) -> Vec<(PathBuf, Format)> {
        if let Some(path) = &self.auth_file {
            return vec![(path.clone(), Format::Json)];
        }
        let primary = match &self.runtime_dir {
            Some(directory) => Some(directory.join("containers/auth.json")),
            None if self.user_id != u32::MAX => Some(PathBuf::from(format!(
                "/run/containers/{}/auth.json",
                self.user_id
            ))),
            None => None,
        };
        let user = self
            .config_home
            .as_ref()
            .map(|config| config.join("containers/auth.json"));
        let docker = self
            .docker_config
            .as_ref()
            .map(|config| config.join("config.json"));
        let legacy = self.home.as_ref().map(|home| home.join(".dockercfg"));
        [
            (primary, Format::Json),
            (user, Format::Json),
            (docker, Format::Json),
            (legacy, Format::Legacy),
        ]
        .into_iter()
        .filter_map(|(path, format)| Some((path?, format)))
        .collect()
    }
}

/// The outcome of a search.
#[derive(Clone, Debug)]
pub struct Lookup {
    /// What was found; without it, the registry is asked anonymously.
    pub credential: Option<Credential>,
    /// Each file that was looked into, in order, for the message when the registry refuses.
    pub tried: Vec<Tried>,
}

/// A credential file that was looked into.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tried {
    /// The file.
    pub path: PathBuf,
    /// What it held: `not there`, `may not be read`, `no entry for ghcr.io`, `entry for ghcr.io/org`.
    pub outcome: String,
}

impl fmt::Display for Tried {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.path.display(), self.outcome)
    }
}

/// Finds what to show to the registry `domain` (`docker.io`, `[::1]:5000`) for the repository `path` of it.
///
/// # Errors
///
/// [`ErrorKind::InvalidInput`] when a file is malformed, [`ErrorKind::NotFound`] when an explicit file
/// is missing, [`ErrorKind::Unauthorized`] when a helper that is configured for this very registry fails.
pub async fn find(places: &CredentialPlaces, domain: &str, path: &str) -> Result<Lookup> {
    let mut tried = Vec::new();
    let name = format!("{domain}/{path}");
    for (path, format) in places.files() {
        let named = places.auth_file.is_some();
        let file = match AuthFile::read(&path, format, named)? {
            Ok(file) => file,
            Err(outcome) => {
                let outcome = outcome.to_owned();
                tried.push(Tried { path, outcome });
                continue;
            }
        };
        let located = |error: Error| error.context(path.display());
        let (credential, outcome) = search(places, &file, domain, &name)
            .await
            .map_err(located)?;
        tried.push(Tried { path, outcome });
        if credential.is_some() {
            return Ok(Lookup { credential, tried });
        }
    }
    Ok(Lookup {
        credential: None,
        tried,
    })
}

async fn search(
    places: &CredentialPlaces,
    file: &AuthFile,
    domain: &str,
    name: &str,
) -> Result<(Option<Credential>, String)> {
    if let Some(helper) = file.helper_for(domain)? {
        let found = Helper::find(helper, places)?.ask(domain).await?;
        let outcome = if found.is_some() {
            "asked"
        } else {
            "knows nothing"
        };
        return Ok((found, format!("helper {helper} for {domain} {outcome}")));
    }
    match file.entry_for(domain, name)? {
        Some(Entry { key, credential }) => Ok((Some(credential), format!("entry for {key}"))),
        None => Ok(ask_general_helper(places, file, domain).await),
    }
}

/// A broken general helper must not stop the pull of a public image, so its failure becomes an outcome.
async fn ask_general_helper(
    places: &CredentialPlaces,
    file: &AuthFile,
    domain: &str,
) -> (Option<Credential>, String) {
    let name = match file.general_helper() {
        Ok(Some(name)) => name,
        Ok(None) => return (None, format!("no entry for {domain}")),
        Err(error) => return (None, error.to_string()),
    };
    let answer = match Helper::find(name, places) {
        Ok(helper) => helper.ask(domain).await,
        Err(error) => Err(error),
    };
    match answer {
        Ok(Some(credential)) => (Some(credential), format!("helper {name} asked")),
        Ok(None) => (None, format!("helper {name} knows nothing of {domain}")),
        Err(error) => (None, format!("helper {name} failed: {error}")),
    }
}

fn invalid(path: &Path, message: impl fmt::Display) -> Error {
    Error::new(
        ErrorKind::InvalidInput,
        format!("{}: {message}", path.display()),
    )
}
