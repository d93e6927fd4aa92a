//! The arguments that name an image and say how it is reached.

use std::path::PathBuf;
use std::sync::Arc;

use banger::Error;
use banger::config::Config;
use banger::source::{RegistryAccess, SourceOptions};
use clap::ValueEnum;
use oci_flatten::platform::Platform;
use oci_flatten::registry::PullPolicy;
use oci_flatten::source::SourceName;

/// Where an image comes from, as typed.
#[derive(Debug, clap::Args)]
pub(super) struct SourceArguments {
    /// Image to take
    #[arg(value_name = "SOURCE")]
    source: String,
    /// Platform to choose from an index, as OS/ARCH[/VARIANT] [default: Linux on this machine's architecture]
    #[arg(long, value_name = "PLATFORM")]
    platform: Option<Platform>,
    /// When to ask the registry what a tag stands for
    #[arg(long, value_enum, value_name = "POLICY", default_value_t = Pull::Always, help_heading = REGISTRY)]
    pull: Pull,
    /// Use only what is in the cache, never the network
    #[arg(long, help_heading = REGISTRY)]
    offline: bool,
    /// Speak plain HTTP to the registry (loopback registries need no saying)
    #[arg(long, help_heading = REGISTRY)]
    plain_http: bool,
    /// PEM file of one more certificate authority to believe
    #[arg(long, value_name = "FILE", help_heading = REGISTRY)]
    ca_cert: Vec<PathBuf>,
    /// File of credentials, in place of those of podman and docker
    #[arg(long, value_name = "FILE", help_heading = REGISTRY)]
    authfile: Option<PathBuf>,
}

const REGISTRY: &str = "Registry options";

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Pull {
    /// Each time; layers still come from the cache
    Always,
    /// When the cache does not know the tag
    Missing,
    /// Never: what is not in the cache is an error
    Never,
}

impl SourceArguments {
    /// What was meant by them, on this machine.
    pub(super) fn parse(self) -> Result<(SourceName, SourceOptions), Error> {
        let name = SourceName::parse(&self.source)?;
        let mut options = SourceOptions::default();
        if let Some(platform) = &self.platform {
            options.platform = platform.clone();
        }
        if let Some(folder) = std::env::var_os("TMPDIR").filter(|folder| !folder.is_empty()) {
            options.spool_dir = folder.into();
        }
        // A local image must not fail for want of a home or a readable configuration.
        if let SourceName::Registry(_) = name {
            options.registry = Some(self.registry_access()?);
        }
        Ok((name, options))
    }

    fn registry_access(self) -> Result<RegistryAccess, Error> {
        let Config {
            places,
            registry: mut settings,
        } = here()?;
        settings.pull = match self.pull {
            Pull::Always => PullPolicy::Always,
            Pull::Missing => PullPolicy::Missing,
            Pull::Never => PullPolicy::Never,
        };
        settings.offline = self.offline;
        settings.plain_http = self.plain_http;
        settings.trust.authorities.extend(self.ca_cert);
        if self.authfile.is_some() {
            settings.credentials.auth_file = self.authfile;
        }
        Ok(RegistryAccess {
            cache_dir: places.cache,
            settings: Arc::new(settings),
        })
    }
}

/// The configuration of this process's user and environment.
pub(super) fn here() -> Result<Config, Error> {
    Config::load(rustix::process::geteuid().as_raw(), |name| {
        std::env::var_os(name)
    })
}
