//! Descriptors, as in [descriptor.md](https://github.com/opencontainers/image-spec/blob/main/descriptor.md).

use std::collections::BTreeMap;

use serde::Deserialize;

use crate::digest::Digest;
use crate::json::{list, null_is_default};
use crate::media_type::{MediaKind, MediaType};
use crate::platform::Platform;

/// What a document says about another document or blob: its type, digest and size.
///
/// Its `urls` and `data` are not read: bytes come from the source only.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Descriptor {
    /// The type; empty where none is given.
    #[serde(default, deserialize_with = "null_is_default")]
    pub media_type: MediaType,
    /// The digest of the bytes.
    pub digest: Digest,
    /// The count of the bytes.
    pub size: u64,
    #[serde(default)]
    artifact_type: Option<MediaType>,
    #[serde(default)]
    platform: Option<PlatformFields>,
    #[serde(default)]
    annotations: Option<BTreeMap<String, Option<String>>>,
}

impl Descriptor {
    /// A descriptor without platform and annotations.
    #[must_use]
    pub fn new(media_type: MediaType, digest: Digest, size: u64) -> Self {
        Self {
            media_type,
            digest,
            size,
            artifact_type: None,
            platform: None,
            annotations: None,
        }
    }

    /// The platform, when the descriptor has one.
    #[must_use]
    pub fn platform(&self) -> Option<Platform> {
        let named = |platform: &&PlatformFields| **platform != PlatformFields::default();
        let platform = self.platform.as_ref().filter(named);
        platform.map(PlatformFields::normal)
    }

    /// The annotation called `key`.
    #[must_use]
    pub fn annotation(&self, key: &str) -> Option<&str> {
        self.annotations.as_ref()?.get(key)?.as_deref()
    }

    /// Whether it stands for something that is said about an image, and never for an image:
    /// BuildKit's attestations, and all whose platform is `unknown/unknown`.
    #[must_use]
    pub fn is_attestation(&self) -> bool {
        self.annotation("vnd.docker.reference.type") == Some("attestation-manifest")
            || self
                .platform()
                .is_some_and(|platform| platform.is_unknown())
    }

    /// The type of the artifact that it stands for; `None` when it may stand for an image.
    #[must_use]
    pub fn artifact_type(&self) -> Option<&MediaType> {
        self.artifact_type
            .as_ref()
            .filter(|artifact_type| artifact_type.is_of_artifact())
    }

    /// Features that the operating system must have for the image to run (`os.features`).
    #[must_use]
    pub fn os_features(&self) -> &[String] {
        self.platform
            .as_ref()
            .map(|platform| &*platform.os_features)
            .unwrap_or_default()
    }

    /// Whether it is a layer that its publisher may keep elsewhere.
    #[must_use]
    pub fn is_foreign(&self) -> bool {
        matches!(self.media_type.kind(), MediaKind::Layer(layer) if layer.foreign)
    }
}

/// A platform as an index writes it: any field may be missing.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
struct PlatformFields {
    #[serde(default, deserialize_with = "null_is_default")]
    os: String,
    #[serde(default, deserialize_with = "null_is_default")]
    architecture: String,
    #[serde(default)]
    variant: Option<String>,
    #[serde(rename = "os.features", default, deserialize_with = "list")]
    os_features: Vec<String>,
}

impl PlatformFields {
    fn normal(&self) -> Platform {
        Platform::new(&self.os, &self.architecture, self.variant.as_deref())
    }
}
