//! The arguments that name an image and say how it is reached.

use std::path::PathBuf;

use banger::Error;
use banger::bare_path::refuse_bare_path;
use banger::config::Config;
use banger::operation::SourceParameters;
use banger::size::parse_size;
use banger::source::SourceOptions;
use clap::ValueEnum;
use oci_flatten::platform::Platform;
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
    /// Refuse an image whose layers expand to more [default: 64 GiB]
    #[arg(long, value_name = "SIZE", value_parser = parse_size)]
    max_size: Option<u64>,
    /// Accept a tar: without an end marker, which may have been cut off
    #[arg(long)]
    allow_truncated_tar: bool,
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
    /// What was meant by them, as an operation takes it.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Usage`](banger::ErrorKind::Usage) for a path without the prefix that says what it holds.
    pub(super) fn parameters(self) -> Result<SourceParameters, Error> {
        refuse_bare_path(&self.source)?;
        Ok(SourceParameters {
            reference: self.source,
            platform: self.platform.map(|platform| platform.to_string()),
            max_size_bytes: self.max_size,
            allow_truncated_tar: self.allow_truncated_tar,
            pull: match self.pull {
                Pull::Always => banger::operation::Pull::Always,
                Pull::Missing => banger::operation::Pull::Missing,
                Pull::Never => banger::operation::Pull::Never,
            },
            offline: self.offline,
            plain_http: self.plain_http,
            ca_certs: self.ca_cert,
            auth_file: self.authfile,
        })
    }

    /// What was meant by them, in this process.
    pub(super) fn parse(self) -> Result<(SourceName, SourceOptions), Error> {
        self.parameters()?.open_options(&spool_dir(), here)
    }
}

/// Folder for an archive that comes through a pipe.
pub(super) fn spool_dir() -> PathBuf {
    let folder = std::env::var_os("TMPDIR").filter(|folder| !folder.is_empty());
    folder.map_or_else(|| SourceOptions::default().spool_dir, PathBuf::from)
}

/// The configuration of this process's user and environment.
pub(super) fn here() -> Result<Config, Error> {
    Config::load(rustix::process::geteuid().as_raw(), |name| {
        std::env::var_os(name)
    })
}
