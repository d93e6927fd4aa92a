//! Media types of manifests, configs and layers, OCI's and Docker's.
//!
//! OCI: [media-types.md](https://github.com/opencontainers/image-spec/blob/main/media-types.md);
//! Docker: [image manifest version 2, schema 2](https://distribution.github.io/distribution/spec/manifest-v2-2/).

use std::fmt;

use crate::compression::Compression;

/// `application/vnd.oci.image.index.v1+json`
pub const OCI_INDEX: &str = "application/vnd.oci.image.index.v1+json";
/// `application/vnd.oci.image.manifest.v1+json`
pub const OCI_MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
/// `application/vnd.oci.image.config.v1+json`
pub const OCI_CONFIG: &str = "application/vnd.oci.image.config.v1+json";
/// `application/vnd.oci.image.layer.v1.tar`
pub const OCI_LAYER: &str = "application/vnd.oci.image.layer.v1.tar";
/// `application/vnd.docker.distribution.manifest.list.v2+json`
pub const DOCKER_INDEX: &str = "application/vnd.docker.distribution.manifest.list.v2+json";
/// `application/vnd.docker.distribution.manifest.v2+json`
pub const DOCKER_MANIFEST: &str = "application/vnd.docker.distribution.manifest.v2+json";
/// `application/vnd.docker.container.image.v1+json`
pub const DOCKER_CONFIG: &str = "application/vnd.docker.container.image.v1+json";
/// `application/vnd.docker.image.rootfs.diff.tar`
pub const DOCKER_LAYER: &str = "application/vnd.docker.image.rootfs.diff.tar";

/// What a media type says about a layer.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct LayerType {
    /// The compression the type names: none, gzip or zstd; the bytes decide what is done.
    pub compression: Compression,
    /// Docker's "foreign", OCI's "nondistributable": the publisher may keep the bytes elsewhere.
    pub foreign: bool,
    /// `+encrypted` (ocicrypt).
    pub encrypted: bool,
}

/// What a media type stands for.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum MediaKind {
    /// An image index or manifest list.
    Index,
    /// An image manifest, OCI or Docker schema 2.
    Manifest,
    /// A Docker schema 1 manifest, signed or not.
    Schema1,
    /// An image's config.
    Config,
    /// A filesystem layer.
    Layer(LayerType),
    /// Anything else, such as an artifact's own type.
    Other,
}

/// A media type as it stands in a document.
#[derive(
    Clone, Default, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize,
)]
#[serde(transparent)]
pub struct MediaType(Box<str>);

impl MediaType {
    /// The text, such as `application/vnd.oci.image.manifest.v1+json`.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// What the type stands for; parameters and letter case are ignored, as RFC 2045 says.
    #[must_use]
    pub fn kind(&self) -> MediaKind {
        let essence = self
            .0
            .split(';')
            .next()
            .unwrap_or_default()
            .trim()
            .to_ascii_lowercase();
        match essence.as_str() {
            OCI_INDEX | DOCKER_INDEX => MediaKind::Index,
            OCI_MANIFEST | DOCKER_MANIFEST => MediaKind::Manifest,
            "application/vnd.docker.distribution.manifest.v1+json"
            | "application/vnd.docker.distribution.manifest.v1+prettyjws" => MediaKind::Schema1,
            OCI_CONFIG | DOCKER_CONFIG => MediaKind::Config,
            other => layer_type(other).map_or(MediaKind::Other, MediaKind::Layer),
        }
    }

    /// Whether it, as an `artifactType`, says that something is not an image. Registries and tools write the type of
    /// an image's config there as well, or nothing.
    pub(crate) fn is_of_artifact(&self) -> bool {
        !self.0.trim().is_empty() && self.kind() != MediaKind::Config
    }
}

/// The forms are `PREFIX.tar`, then `+SUFFIX` (OCI) or `.SUFFIX` (Docker), then `+encrypted`.
fn layer_type(essence: &str) -> Option<LayerType> {
    const PREFIXES: [(&str, bool); 4] = [
        (OCI_LAYER, false),
        (
            "application/vnd.oci.image.layer.nondistributable.v1.tar",
            true,
        ),
        (DOCKER_LAYER, false),
        ("application/vnd.docker.image.rootfs.foreign.diff.tar", true),
    ];
    let (plain, encrypted) = match essence.strip_suffix("+encrypted") {
        Some(plain) => (plain, true),
        None => (essence, false),
    };
    PREFIXES.into_iter().find_map(|(prefix, foreign)| {
        let compression = match plain.strip_prefix(prefix)? {
            "" => Compression::None,
            "+gzip" | ".gzip" => Compression::Gzip,
            "+zstd" | ".zstd" => Compression::Zstd,
            _ => return None,
        };
        Some(LayerType {
            compression,
            foreign,
            encrypted,
        })
    })
}

impl From<&str> for MediaType {
    fn from(text: &str) -> Self {
        Self(text.into())
    }
}

/// For people: escaped, and cut where it is too long to be honest.
impl fmt::Display for MediaType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&crate::error::excerpt(&self.0))
    }
}

impl fmt::Debug for MediaType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn knows_every_layer_type_of_oci_and_docker() {
        use Compression::{Gzip, None, Zstd};
        for (text, compression, foreign, encrypted) in [
            ("application/vnd.oci.image.layer.v1.tar", None, false, false),
            (
                "application/vnd.oci.image.layer.v1.tar+gzip",
                Gzip,
                false,
                false,
            ),
            (
                "application/vnd.oci.image.layer.v1.tar+zstd",
                Zstd,
                false,
                false,
            ),
            (
                "application/vnd.oci.image.layer.nondistributable.v1.tar",
                None,
                true,
                false,
            ),
            (
                "application/vnd.oci.image.layer.nondistributable.v1.tar+gzip",
                Gzip,
                true,
                false,
            ),
            (
                "application/vnd.oci.image.layer.nondistributable.v1.tar+zstd",
                Zstd,
                true,
                false,
            ),
            (
                "application/vnd.docker.image.rootfs.diff.tar",
                None,
                false,
                false,
            ),
            (
                "application/vnd.docker.image.rootfs.diff.tar.gzip",
                Gzip,
                false,
                false,
            ),
            (
                "application/vnd.docker.image.rootfs.diff.tar.zstd",
                Zstd,
                false,
                false,
            ),
            (
                "application/vnd.docker.image.rootfs.foreign.diff.tar",
                None,
                true,
                false,
            ),
            (
                "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip",
                Gzip,
                true,
                false,
            ),
            (
                "application/vnd.oci.image.layer.v1.tar+encrypted",
                None,
                false,
                true,
            ),
            (
                "application/vnd.oci.image.layer.v1.tar+gzip+encrypted",
                Gzip,
                false,
                true,
            ),
            (
                "Application/vnd.OCI.image.layer.v1.tar+zstd; q=1",
                Zstd,
                false,
                false,
            ),
        ] {
            let layer = LayerType {
                compression,
                foreign,
                encrypted,
            };
            assert_eq!(
                MediaType::from(text).kind(),
                MediaKind::Layer(layer),
                "{text}"
            );
        }
    }

    #[test]
    fn knows_the_documents() {
        for (text, kind) in [
            (OCI_INDEX, MediaKind::Index),
            (DOCKER_INDEX, MediaKind::Index),
            (OCI_MANIFEST, MediaKind::Manifest),
            (DOCKER_MANIFEST, MediaKind::Manifest),
            (OCI_CONFIG, MediaKind::Config),
            (DOCKER_CONFIG, MediaKind::Config),
            (
                "application/vnd.docker.distribution.manifest.v1+json",
                MediaKind::Schema1,
            ),
            (
                "application/vnd.docker.distribution.manifest.v1+prettyjws",
                MediaKind::Schema1,
            ),
            ("application/vnd.oci.empty.v1+json", MediaKind::Other),
            (
                "application/vnd.oci.image.layer.v1.tar+bzip2",
                MediaKind::Other,
            ),
            ("", MediaKind::Other),
        ] {
            assert_eq!(MediaType::from(text).kind(), kind, "{text}");
        }
    }
}
