//! The parameters that name an image and say how it is reached.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use oci_flatten::platform::Platform;
use oci_flatten::registry::{DistrustedMirrors, PullPolicy};
use oci_flatten::source::SourceName;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{all_portable, portable};
use crate::artifact::failed;
use crate::config::Config;
use crate::error::{Error, ErrorKind};
use crate::source::{RegistryAccess, SourceOptions};

/// Where an image comes from.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct SourceParameters {
    /// Image to take: a registry reference, `oci:DIR[:TAG]`, `oci-archive:FILE[:TAG]`,
    /// `docker-archive:FILE[:REF]` or `tar:FILE`; paths are absolute.
    #[serde(rename = "ref")]
    pub reference: String,
    /// Platform to choose from an index, as `OS/ARCH[/VARIANT]`; Linux on this machine's architecture
    /// where none is given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub platform: Option<String>,
    /// Bytes that the layers may expand to; 64 GiB where none are given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_size_bytes: Option<u64>,
    /// Accept a `tar:` without an end marker, which may have been cut off.
    #[serde(default, skip_serializing_if = "is_default")]
    pub allow_truncated_tar: bool,
    /// When to ask the registry what a tag stands for.
    #[serde(default, skip_serializing_if = "is_default")]
    pub pull: Pull,
    /// Use only what is in the cache, never the network.
    #[serde(default, skip_serializing_if = "is_default")]
    pub offline: bool,
    /// Speak plain HTTP to the registry; loopback registries need no saying.
    #[serde(default, skip_serializing_if = "is_default")]
    pub plain_http: bool,
    /// PEM files of further certificate authorities to believe.
    #[serde(default, skip_serializing_if = "is_default")]
    pub ca_certs: Vec<PathBuf>,
    /// File of credentials, in place of those of podman and docker.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub auth_file: Option<PathBuf>,
}

fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

/// When a registry is asked what a tag stands for.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Pull {
    /// Each time; layers still come from the cache.
    #[default]
    Always,
    /// When the cache does not know the tag.
    Missing,
    /// Never: what is not in the cache is an error.
    Never,
}

impl SourceParameters {
    /// What they mean on this machine. `config` is asked for only where a registry is, so that a local
    /// image does not fail for want of a home or a readable configuration.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Usage`] for a reference, a platform or a path that is none; what `config` runs into.
    pub fn open_options(
        self,
        spool_dir: &Path,
        config: impl FnOnce() -> Result<Config, Error>,
    ) -> Result<(SourceName, SourceOptions), Error> {
        let name = SourceName::parse(&self.reference)?;
        let mut options = SourceOptions {
            allow_truncated_tar: self.allow_truncated_tar,
            spool_dir: spool_dir.to_owned(),
            ..SourceOptions::default()
        };
        if let Some(platform) = &self.platform {
            options.platform = platform.parse::<Platform>()?;
        }
        if let Some(limit) = self.max_size_bytes {
            options.limits.expanded_bytes = limit;
        }
        if let SourceName::Registry(_) = name {
            options.registry = Some(self.registry_access(config()?));
        }
        Ok((name, options))
    }

    fn registry_access(self, config: Config) -> RegistryAccess {
        let Config {
            places,
            registry: mut settings,
            ..
        } = config;
        settings.pull = match self.pull {
            Pull::Always => PullPolicy::Always,
            Pull::Missing => PullPolicy::Missing,
            Pull::Never => PullPolicy::Never,
        };
        settings.distrusted = DistrustedMirrors::default();
        settings.offline = self.offline;
        settings.plain_http = self.plain_http;
        settings.trust.authorities.extend(self.ca_certs);
        if self.auth_file.is_some() {
            settings.credentials.auth_file = self.auth_file;
        }
        RegistryAccess {
            cache_dir: places.cache,
            settings: Arc::new(settings),
        }
    }

    /// The same with absolute paths, which mean the same in every process. A path with a colon stays as it
    /// is where a source name would end at it.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Usage`] for a reference that is none; the working directory is gone.
    pub fn with_absolute_paths(self) -> Result<Self, Error> {
        let full = |path: &Path| {
            std::path::absolute(path).map_err(|error| failed("make absolute", path, error))
        };
        let mut name = SourceName::parse(&self.reference)?;
        if let SourceName::Local(local) = &mut name
            && let Some(path) = local.path_mut()
        {
            *path = full(path)?;
        }
        let text = name.to_string();
        let reference = match SourceName::parse(&text) {
            Ok(same) if same == name => text,
            _ => self.reference,
        };
        let ca_certs = self.ca_certs.iter().map(|path| full(path));
        Ok(Self {
            ca_certs: ca_certs.collect::<Result<_, _>>()?,
            auth_file: self.auth_file.as_deref().map(full).transpose()?,
            reference,
            ..self
        })
    }

    pub(super) fn check_portable(&self) -> Result<(), Error> {
        for path in &self.ca_certs {
            portable("ca_certs", path)?;
        }
        all_portable([("auth_file", self.auth_file.as_ref())])?;
        let SourceName::Local(mut local) = SourceName::parse(&self.reference)? else {
            return Ok(());
        };
        match local.path_mut() {
            Some(path) => portable("ref", path),
            None => Err(Error::new(
                ErrorKind::Usage,
                format!(
                    "{} is standard input, which is of one process alone",
                    self.reference
                ),
            )
            .with_hint("name a file")),
        }
    }
}
