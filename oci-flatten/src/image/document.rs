//! The documents that lead to an image, parsed: index and manifest.
//!
//! What a document is follows from its fields, and its media types must agree: one that could be read
//! both as an image and as an index is refused
//! ([CVE-2021-41190](https://github.com/opencontainers/image-spec/security/advisories/GHSA-77vh-xpmg-72qh)).

use serde::Deserialize;
use serde::de::IgnoredAny;

use super::descriptor::Descriptor;
use crate::error::{Error, ErrorKind, Result, excerpt};
use crate::media_type::{MediaKind, MediaType};

/// An index or a manifest.
#[derive(Debug)]
pub(crate) enum ImageDocument {
    Index(Index),
    Manifest(Manifest),
}

/// An image index or manifest list.
#[derive(Debug)]
pub(crate) struct Index {
    pub(crate) manifests: Vec<Descriptor>,
}

/// An image manifest whose layers have types that can be flattened.
#[derive(Debug)]
pub(crate) struct Manifest {
    /// Old versions of Docker give it any media type; what it is, its content tells.
    pub(crate) config: Descriptor,
    pub(crate) layers: Vec<Descriptor>,
}

/// Every field that tells the documents apart, and those that are needed.
///
/// Go writes an empty list as `null`.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct AnyDocument {
    #[serde(default)]
    schema_version: Option<u64>,
    #[serde(default)]
    media_type: Option<MediaType>,
    #[serde(default)]
    artifact_type: Option<MediaType>,
    #[serde(default)]
    config: Option<Descriptor>,
    #[serde(default, deserialize_with = "present")]
    layers: Option<Option<Vec<Descriptor>>>,
    #[serde(default, deserialize_with = "present")]
    manifests: Option<Option<Vec<Descriptor>>>,
    #[serde(default)]
    fs_layers: Option<IgnoredAny>,
    #[serde(default)]
    blobs: Option<IgnoredAny>,
}

/// Tells `"layers": null` (an empty list) from no `layers` at all.
fn present<'de, D, T>(deserializer: D) -> Result<Option<Option<T>>, D::Error>
where
    D: serde::Deserializer<'de>,
    T: Deserialize<'de>,
{
    Option::deserialize(deserializer).map(Some)
}

impl ImageDocument {
    /// Parses an index or a manifest that a descriptor calls `declared`.
    pub(crate) fn parse(bytes: &[u8], declared: &MediaType) -> Result<Self> {
        let document: AnyDocument = parse_object(bytes, "manifest")?;
        if document.fs_layers.is_some()
            || document.schema_version == Some(1)
            || declared.kind() == MediaKind::Schema1
        {
            return Err(unsupported(
                "manifest is Docker schema 1, which is not supported",
            ));
        }
        if let Some(version) = document.schema_version.filter(|version| *version != 2) {
            return Err(unsupported(format!(
                "manifest has schemaVersion {version} (2 is known)"
            )));
        }
        let found = match (&document.config, &document.layers, &document.manifests) {
            (None, None, Some(_)) => MediaKind::Index,
            (Some(_), _, None) => MediaKind::Manifest,
            (_, _, Some(_)) => return Err(malformed("document is both an image and an index")),
            (None, _, None) => return Err(neither(&document, declared)),
        };
        for media_type in [Some(declared), document.media_type.as_ref()]
            .into_iter()
            .flatten()
        {
            let kind = media_type.kind();
            if matches!(kind, MediaKind::Index | MediaKind::Manifest) && kind != found {
                let is = if found == MediaKind::Index {
                    "an index"
                } else {
                    "an image manifest"
                };
                return Err(malformed(format!(
                    "document is {is}, its type says {media_type}"
                )));
            }
        }
        match document.config {
            None => Ok(Self::Index(Index {
                manifests: document.manifests.flatten().unwrap_or_default(),
            })),
            Some(config) => {
                let layers = document.layers.flatten().unwrap_or_default();
                Manifest::new(config, layers, document.artifact_type.as_ref()).map(Self::Manifest)
            }
        }
    }
}

/// Whether `bytes` are an image manifest or an index at all. One of a kind that is not supported is one.
#[cfg(feature = "registry")]
pub(crate) fn check_manifest(bytes: &[u8], declared: &MediaType) -> Result<()> {
    match ImageDocument::parse(bytes, declared) {
        Err(error) if error.kind() != ErrorKind::Unsupported => Err(error),
        _ => Ok(()),
    }
}

fn neither(document: &AnyDocument, declared: &MediaType) -> Error {
    if document.blobs.is_some() || document.artifact_type.is_some() {
        let artifact = document.artifact_type.as_ref().unwrap_or(declared);
        return not_an_image(artifact);
    }
    malformed(format!(
        "document is neither an image nor an index (type {declared})"
    ))
}

/// The media type of an index or manifest by its own fields; `None` for anything else.
///
/// What a server says about a document is not kept: a type that does not fit would hide what the document
/// refers to from whoever reads it later.
#[cfg(feature = "registry")]
pub(crate) fn media_type_of(bytes: &[u8]) -> Option<MediaType> {
    use crate::media_type::{OCI_INDEX, OCI_MANIFEST};
    let document: serde_json::Value = serde_json::from_slice(bytes).ok()?;
    let is_present = |field: &str| document.get(field).is_some_and(|value| !value.is_null());
    let (kind, plain) = match (is_present("config"), document.get("manifests").is_some()) {
        (false, true) => (MediaKind::Index, OCI_INDEX),
        (true, false) => (MediaKind::Manifest, OCI_MANIFEST),
        _ => return None,
    };
    let declared = document
        .get("mediaType")
        .and_then(serde_json::Value::as_str);
    let declared = declared.map(MediaType::from);
    Some(
        declared
            .filter(|declared| declared.kind() == kind)
            .unwrap_or_else(|| plain.into()),
    )
}

impl Index {
    /// Parses a document that must be an index, such as a layout's `index.json`.
    pub(crate) fn parse(bytes: &[u8]) -> Result<Self> {
        match ImageDocument::parse(bytes, &crate::media_type::OCI_INDEX.into())? {
            ImageDocument::Index(index) => Ok(index),
            ImageDocument::Manifest(_) => Err(malformed("document is an image, not an index")),
        }
    }
}

impl Manifest {
    fn new(
        config: Descriptor,
        layers: Vec<Descriptor>,
        artifact_type: Option<&MediaType>,
    ) -> Result<Self> {
        let is_named = config.media_type.kind() == MediaKind::Config;
        if let Some(artifact_type) = artifact_type.filter(|_| !is_named)
            && artifact_type.is_of_artifact()
        {
            return Err(not_an_image(artifact_type));
        }
        let count = layers.len();
        for (index, layer) in layers.iter().enumerate() {
            let place = format!("layer {} of {count}", index + 1);
            match layer.media_type.kind() {
                MediaKind::Layer(kind) if kind.encrypted => {
                    let what = format!("{place} is encrypted ({})", layer.media_type);
                    return Err(unsupported(what));
                }
                MediaKind::Layer(_) => {}
                _ if !is_named => return Err(not_an_image(&config.media_type)),
                _ => {
                    let what = format!("{place} is not a filesystem layer ({})", layer.media_type);
                    return Err(unsupported(what));
                }
            }
        }
        Ok(Self { config, layers })
    }
}

/// Parses a JSON object; a list of its values in order, which serde would take as well, is none.
pub(super) fn parse_object<'a, T: Deserialize<'a>>(bytes: &'a [u8], what: &str) -> Result<T> {
    if bytes.trim_ascii_start().first() != Some(&b'{') {
        return Err(malformed(format!(
            "{what} does not parse: it is no JSON object"
        )));
    }
    let failed = |at: &str, error: serde_json::Error| {
        malformed(format!("{what} does not parse{at}")).with_source(error)
    };
    let mut reader = serde_json::Deserializer::from_slice(bytes);
    let value = serde_path_to_error::deserialize(&mut reader).map_err(|error| {
        let path = error.path();
        let at = match path.iter().next() {
            None => String::new(),
            Some(_) => format!(" at {}", excerpt(&path.to_string())),
        };
        failed(&at, error.into_inner())
    })?;
    reader.end().map_err(|error| failed("", error))?;
    Ok(value)
}

pub(super) fn not_an_image(artifact_type: &MediaType) -> Error {
    let shown: &dyn std::fmt::Display = match artifact_type.as_str() {
        "" => &"its configuration has no media type",
        _ => artifact_type,
    };
    unsupported(format!("this is an artifact, not an image: {shown}"))
}

fn malformed(message: impl Into<String>) -> Error {
    Error::new(ErrorKind::Malformed, message)
}

pub(super) fn unsupported(message: impl Into<String>) -> Error {
    Error::new(ErrorKind::Unsupported, message)
}
