//! The operation that looks at an image where it is.

use oci_flatten::image::Image;
use oci_flatten::progress::Observer;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::sync::Arc;
use tokio::runtime::Handle;

use super::{Context, Operation, Pace, SourceParameters, Watch};
use crate::boot::RuntimeConfig;
use crate::error::Error;
use crate::progress::Forward;
use crate::source;

/// Reads the documents of an image where it is. No layer is fetched, and nothing is kept.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct SourceInspect {
    /// The image.
    #[serde(flatten)]
    pub source: SourceParameters,
}

/// An image as its documents describe it.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct SourceInspected {
    /// The reference, in full.
    pub reference: String,
    /// The digest of the manifest; none for a root filesystem tar, which is not read.
    pub digest: Option<String>,
    /// The platform, as `os/arch[/variant]`.
    pub platform: String,
    /// When it was made: RFC 3339 in UTC.
    pub created: Option<String>,
    /// Bytes of the layers as they are stored, where all are known.
    pub layers_bytes: Option<u64>,
    /// The layers, bottom first.
    pub layers: Vec<InspectedLayer>,
    /// What there is to choose from, where there is an index.
    pub platforms: Vec<OfferedPlatform>,
    /// The process that a container of it runs.
    pub runtime: RuntimeConfig,
    /// The manifest; none where the source has none.
    pub manifest: Option<Value>,
    /// The image configuration; none for a root filesystem tar.
    pub config: Option<Value>,
}

/// A layer as its image describes it.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct InspectedLayer {
    /// The digest of the blob as it is stored.
    pub digest: Option<String>,
    /// The digest of the tar in it.
    pub diff_id: Option<String>,
    /// The type that the manifest gives it.
    pub media_type: Option<String>,
    /// Bytes of the blob as it is stored.
    pub size_bytes: Option<u64>,
}

/// An image that an index offers.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct OfferedPlatform {
    /// The platform, where the index names one.
    pub platform: Option<String>,
    /// The digest of its manifest.
    pub digest: String,
    /// Bytes of the manifest.
    pub size_bytes: u64,
}

impl Operation for SourceInspect {
    const METHOD: &'static str = "source.inspect";
    const PACE: Pace = Pace::Fetch;
    type Reply = SourceInspected;

    fn check_portable(&self) -> Result<(), Error> {
        self.source.check_portable()
    }

    fn run(self, context: &Context, watch: &Watch) -> Result<SourceInspected, Error> {
        let config = || Ok(context.config.clone());
        let (name, options) = self.source.open_options(&context.spool_dir, config)?;
        let observer: Arc<dyn Observer> = Forward::to(watch.progress.clone());
        let cancellation = watch.cancellation.clone();
        let image = Handle::current()
            .block_on(async { source::inspect(&name, &options, &observer, &cancellation).await })?;
        SourceInspected::of(&image)
    }
}

impl SourceInspected {
    fn of(image: &Image) -> Result<Self, Error> {
        let text = |digest: &Option<_>| digest.as_ref().map(ToString::to_string);
        let layers = image.layers.iter().map(|layer| InspectedLayer {
            digest: text(&layer.digest),
            diff_id: text(&layer.diff_id),
            media_type: layer.media_type.as_ref().map(ToString::to_string),
            size_bytes: layer.size,
        });
        let platforms = image.offers.iter().map(|offer| OfferedPlatform {
            platform: offer.platform.as_ref().map(ToString::to_string),
            digest: offer.digest.to_string(),
            size_bytes: offer.size,
        });
        let sizes = image.layers.iter().map(|layer| layer.size);
        let created = image.created.and_then(|time| {
            let time = jiff::Timestamp::from_second(time.seconds).ok()?;
            Some(time.strftime("%Y-%m-%dT%H:%M:%SZ").to_string())
        });
        Ok(Self {
            reference: image.reference.clone(),
            digest: text(&image.digest),
            platform: image.platform.to_string(),
            created,
            layers_bytes: sizes.sum(),
            layers: layers.collect(),
            platforms: platforms.collect(),
            runtime: match image.config.is_empty() {
                true => RuntimeConfig::default(),
                false => RuntimeConfig::from_oci(&image.config)?,
            },
            manifest: document(&image.manifest),
            config: document(&image.config),
        })
    }
}

/// A document that was parsed before; none where there are no bytes.
fn document(bytes: &[u8]) -> Option<Value> {
    serde_json::from_slice(bytes).ok()
}
