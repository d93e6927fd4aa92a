//! Descriptors, as in [descriptor.md](https://github.com/opencontainers/image-spec/blob/main/descriptor.md).

use std::collections::BTreeMap;

use serde::Deserialize;

use crate::digest::Digest;
use crate::media_type::{MediaKind, MediaType};
use crate::platform::Platform;

/// What a document says about another document or blob: its type, digest and size.
///
/// Its `urls` and `data` are not read: bytes come from the source only.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Descriptor {
    /// The type.
    pub media_type: MediaType,
    /// The digest of the bytes.
    pub digest: Digest,
    /// The count of the bytes.
    pub size: u64,
    #[serde(default)]
    platform: Option<PlatformFields>,
    #[serde(default)]
    annotations: Option<BTreeMap<String, String>>,
}

impl Descriptor {
    /// A descriptor without platform and annotations.
    #[must_use]
    pub fn new(media_type: MediaType, digest: Digest, size: u64) -> Self {
        Self {
            media_type,
            digest,
            size,
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
        self.annotations.as_ref()?.get(key).map(String::as_str)
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

    /// Whether it is a layer that its publisher may keep elsewhere.
    #[must_use]
    pub fn is_foreign(&self) -> bool {
        matches!(self.media_type.kind(), MediaKind::Layer(layer) if layer.foreign)
    }
}

/// A platform as an index writes it: any field may be missing.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
struct PlatformFields {
    #[serde(default)]
    os: String,
    #[serde(default)]
    architecture: String,
    #[serde(default)]
    variant: Option<String>,
}

impl PlatformFields {
    fn normal(&self) -> Platform {
        Platform::new(&self.os, &self.architecture, self.variant.as_deref())
    }
}
