//! The arguments that name an image and say how it is reached.

use banger::Error;
use banger::source::SourceOptions;
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
}

impl SourceArguments {
    /// What was meant by them.
    pub(super) fn parse(self) -> Result<(SourceName, SourceOptions), Error> {
        let name = SourceName::parse(&self.source)?;
        let mut options = SourceOptions::default();
        if let Some(platform) = self.platform {
            options.platform = platform;
        }
        if let Some(folder) = std::env::var_os("TMPDIR").filter(|folder| !folder.is_empty()) {
            options.spool_dir = folder.into();
        }
        Ok((name, options))
    }
}
