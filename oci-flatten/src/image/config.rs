//! The image configuration:
//! [config.md](https://github.com/opencontainers/image-spec/blob/main/config.md).

use std::collections::BTreeMap;

use serde::Deserialize;
use serde::de::IgnoredAny;

use super::document::parse_object;
use crate::digest::Digest;
use crate::entry::Timestamp;
use crate::error::Result;
use crate::json::{list, null_is_default};
use crate::platform::Platform;

/// An image configuration. Fields that are not needed here are read all the same, so that a malformed one is
/// reported before any layer is fetched.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Config {
    #[serde(deserialize_with = "null_is_default")]
    os: String,
    #[serde(deserialize_with = "null_is_default")]
    architecture: String,
    variant: Option<String>,
    #[serde(rename = "os.version")]
    _os_version: Option<String>,
    #[serde(rename = "os.features", deserialize_with = "list")]
    os_features: Vec<String>,
    created: Option<String>,
    #[serde(rename = "author")]
    _author: Option<String>,
    #[serde(rename = "config")]
    _process: Option<Process>,
    rootfs: Option<RootfsFields>,
    #[serde(rename = "history")]
    _history: Option<Vec<Option<HistoryEntry>>>,
}

/// The `config` object: how a container is run.
#[derive(Debug, Deserialize)]
struct Process {
    #[serde(rename = "User")]
    _user: Option<String>,
    #[serde(rename = "ExposedPorts")]
    _exposed_ports: Option<BTreeMap<String, IgnoredAny>>,
    #[serde(rename = "Env")]
    _env: Option<Vec<Option<String>>>,
    #[serde(rename = "Entrypoint")]
    _entrypoint: Option<Vec<Option<String>>>,
    #[serde(rename = "Cmd")]
    _cmd: Option<Vec<Option<String>>>,
    #[serde(rename = "Volumes")]
    _volumes: Option<BTreeMap<String, IgnoredAny>>,
    #[serde(rename = "WorkingDir")]
    _working_dir: Option<String>,
    #[serde(rename = "Labels")]
    _labels: Option<BTreeMap<String, Option<String>>>,
    #[serde(rename = "StopSignal")]
    _stop_signal: Option<String>,
}

#[derive(Debug, Deserialize)]
struct RootfsFields {
    #[serde(rename = "type")]
    _type: Option<String>,
    #[serde(default, deserialize_with = "list")]
    diff_ids: Vec<Digest>,
}

#[derive(Debug, Deserialize)]
struct HistoryEntry {
    #[serde(rename = "created")]
    _created: Option<String>,
    #[serde(rename = "author")]
    _author: Option<String>,
    #[serde(rename = "created_by")]
    _created_by: Option<String>,
    #[serde(rename = "comment")]
    _comment: Option<String>,
    #[serde(rename = "empty_layer")]
    _empty_layer: Option<bool>,
}

impl Config {
    pub(crate) fn parse(bytes: &[u8]) -> Result<Self> {
        parse_object(bytes, "image configuration")
    }

    /// The platform; `None` when the configuration names neither an operating system nor an architecture.
    pub(crate) fn platform(&self) -> Option<Platform> {
        let platform = Platform::new(&self.os, &self.architecture, self.variant.as_deref());
        (!platform.is_unknown()).then_some(platform)
    }

    /// Features that the operating system must have for the image to run.
    pub(crate) fn os_features(&self) -> &[String] {
        &self.os_features
    }

    /// Whether it lists layers at all, as only the configuration of an image does.
    pub(crate) fn describes_layers(&self) -> bool {
        self.rootfs.is_some()
    }

    pub(crate) fn diff_ids(&self) -> &[Digest] {
        self.rootfs
            .as_ref()
            .map(|rootfs| &*rootfs.diff_ids)
            .unwrap_or_default()
    }

    /// The time of `created`; the zero time of Go (year 1) and all before 1970 mean that it is not known.
    pub(crate) fn created(&self) -> Option<Timestamp> {
        let time: jiff::Timestamp = self.created.as_deref()?.parse().ok()?;
        let nanoseconds = u32::try_from(time.subsec_nanosecond()).ok()?;
        let seconds = time.as_second();
        (seconds >= 0).then_some(Timestamp {
            seconds,
            nanoseconds,
        })
    }
}
