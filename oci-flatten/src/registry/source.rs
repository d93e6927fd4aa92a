//! An image of a registry, open.

use std::sync::{Arc, Mutex, PoisonError};

use tokio::task::spawn_blocking;

use super::download::Downloads;
use super::endpoint::Endpoint;
use super::fetch::Fetcher;
use super::repository::Repository;
use super::settings::{PullPolicy, RegistrySettings};
use super::transport::Transport;
use crate::cache::Cache;
use crate::error::{Error, ErrorKind, Result};
use crate::image::{Descriptor, Document, Documents, Image, resolve};
use crate::limits::Limits;
use crate::platform::Platform;
use crate::progress::{Event, Observer};
use crate::reference::Reference;
use crate::source::{Blob, BoxFuture, Source};
use crate::threads;

/// What a pull needs besides a reference.
#[derive(Clone)]
pub struct PullOptions {
    /// How registries are spoken to.
    pub settings: Arc<RegistrySettings>,
    /// Where blobs are kept.
    pub cache: Cache,
    /// The platform to choose where there is a choice.
    pub platform: Platform,
    /// Bounds on documents.
    pub limits: Limits,
    /// Hears of downloads.
    pub observer: Arc<dyn Observer>,
}

/// An image of a registry whose layers are on their way into the cache.
///
/// Dropping it stops the downloads; what has arrived is gone on with by the next pull.
#[derive(Debug)]
pub struct RegistrySource {
    image: Image,
    cache: Cache,
    downloads: Downloads,
    transport: Option<Arc<Transport>>,
}

impl RegistrySource {
    /// Finds the image of `reference` and starts fetching its layers. To be called within a tokio runtime.
    ///
    /// A cached blob that turns out corrupt while it is read gives an error whose cause is a
    /// [`CorruptBlob`](crate::cache::CorruptBlob), and is thrown away: opening the source once more fetches it.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::NotFound`] when the registry (or, offline, the cache) does not have it,
    /// [`ErrorKind::Unauthorized`] when the registry refuses the credentials, with the files that were tried,
    /// [`ErrorKind::Network`] when it does not answer, and what [`resolve`] gives.
    pub async fn open(reference: &Reference, options: &PullOptions) -> Result<Self> {
        threads::warm_up_pool().await?;
        let fetcher = options.fetcher(reference)?.map(Arc::new);
        let pull = Pull::new(reference, options, fetcher.clone());
        let place = |error: Error| error.context(reference.to_string());
        let image = pull.image().await.map_err(place)?;
        let blobs = image
            .layers
            .iter()
            .filter_map(|layer| Some((layer.digest.clone()?, layer.size?)));
        let observer = Arc::clone(&options.observer);
        observer.observe(Event::Resolved {
            reference: image.reference.clone(),
            digest: image.digest.clone(),
            platform: image.platform.clone(),
            layers: image
                .layers
                .iter()
                .map(|layer| (layer.digest.clone(), layer.size))
                .collect(),
        });
        let (cache, blobs) = (options.cache.clone(), blobs.collect());
        let transport = fetcher
            .as_ref()
            .map(|fetcher| Arc::clone(&fetcher.transport));
        let downloads = Downloads::start(cache, blobs, fetcher, observer);
        Ok(Self {
            image,
            cache: options.cache.clone(),
            downloads,
            transport,
        })
    }

    /// Finds the image of `reference` and reads its documents alone: no layer is fetched, and nothing is kept.
    ///
    /// # Errors
    ///
    /// Those of [`RegistrySource::open`].
    pub async fn inspect(reference: &Reference, options: &PullOptions) -> Result<Image> {
        let fetcher = options.fetcher(reference)?.map(Arc::new);
        let pull = Pull::new(reference, options, fetcher);
        let found = pull.find().await;
        let (image, _) = found.map_err(|error| error.context(reference.to_string()))?;
        Ok(image)
    }
}

impl Source for RegistrySource {
    fn image(&self) -> &Image {
        &self.image
    }

    fn open_layer(&self, layer: usize) -> BoxFuture<'_, Result<Blob>> {
        Box::pin(async move {
            let digest = self
                .image
                .layers
                .get(layer)
                .and_then(|layer| layer.digest.as_ref());
            let digest = digest.ok_or_else(|| {
                Error::new(
                    ErrorKind::NotFound,
                    format!("image has no layer {}", layer + 1),
                )
            })?;
            self.downloads.open(digest)
        })
    }

    fn take_warnings(&self) -> Vec<String> {
        let transport = self.transport.as_ref();
        let mut warnings = transport.map_or_else(Vec::new, |transport| transport.warnings.take());
        let discarded = self.cache.take_discarded().into_iter();
        warnings.extend(discarded.map(|blob| format!("{blob}; it was fetched again")));
        warnings
    }
}

impl PullOptions {
    /// What fetches; `None` when the network is not to be used.
    fn fetcher(&self, reference: &Reference) -> Result<Option<Fetcher>> {
        let settings = &self.settings;
        if settings.offline || settings.pull == PullPolicy::Never {
            return Ok(None);
        }
        let transport = Arc::new(Transport::new(Arc::clone(settings))?);
        let mut locations = settings.rules.locate(reference)?;
        if let Some(own) = locations.last_mut() {
            own.plain_http |= settings.plain_http;
        }
        let repositories = locations
            .into_iter()
            .map(|location| {
                let (settings, transport) = (Arc::clone(settings), Arc::clone(&transport));
                Arc::new(Repository::new(Endpoint::new(
                    location, settings, transport, "pull",
                )))
            })
            .collect();
        let (settings, observer) = (Arc::clone(settings), Arc::clone(&self.observer));
        Ok(Some(Fetcher {
            repositories,
            settings,
            observer,
            transport,
        }))
    }
}

/// The way from a reference to its image.
struct Pull<'a> {
    reference: &'a Reference,
    options: &'a PullOptions,
    fetcher: Option<Arc<Fetcher>>,
    /// What was read on the way, to be kept.
    fetched: Mutex<Vec<Document>>,
}

impl<'a> Pull<'a> {
    fn new(
        reference: &'a Reference,
        options: &'a PullOptions,
        fetcher: Option<Arc<Fetcher>>,
    ) -> Self {
        Self {
            reference,
            options,
            fetcher,
            fetched: Mutex::default(),
        }
    }

    /// The image, and the document that the reference stands for.
    async fn find(&self) -> Result<(Image, Document)> {
        let PullOptions {
            platform, limits, ..
        } = self.options;
        let top = self.top().await?;
        let name = self.reference.to_string();
        let image = resolve(self, &name, top.clone(), platform, limits).await?;
        Ok((image, top))
    }

    /// The image, whose documents are kept.
    async fn image(&self) -> Result<Image> {
        let (image, top) = self.find().await?;
        let descriptor = top.descriptor.clone();
        let mut documents = vec![top];
        documents.append(&mut self.fetched.lock().unwrap_or_else(PoisonError::into_inner));
        let (cache, reference) = (self.options.cache.clone(), self.reference.clone());
        let record = spawn_blocking(move || cache.record(&reference, &documents)).await;
        record
            .map_err(|error| Error::new(ErrorKind::Io, format!("write to cache: {error}")))?
            .map_err(|error| error.context(format!("keep manifest {}", descriptor.digest)))?;
        Ok(image)
    }

    /// The document that the reference stands for, from the cache where the policy allows.
    async fn top(&self) -> Result<Document> {
        let cached = self.cached_top()?;
        let pinned = self.reference.digest();
        let Some(fetcher) = &self.fetcher else {
            return cached.ok_or_else(|| {
                let message = "image is not in the cache, and the network is not to be used";
                Error::new(ErrorKind::NotFound, message)
            });
        };
        let tag = self.reference.tag().unwrap_or_default();
        if let Some(cached) = cached {
            let settled = pinned.is_some() || self.options.settings.pull == PullPolicy::Missing;
            if settled
                || fetcher.manifest_digest(tag).await.as_ref() == Some(&cached.descriptor.digest)
            {
                return Ok(cached);
            }
        }
        fetcher
            .manifest(tag, pinned, self.options.limits.manifest_bytes)
            .await
    }

    fn cached_top(&self) -> Result<Option<Document>> {
        let cache = &self.options.cache;
        let Some(descriptor) = cache.resolve(self.reference)? else {
            return Ok(None);
        };
        let bytes = cache.document(&descriptor.digest)?;
        Ok(bytes.map(|bytes| Document { descriptor, bytes }))
    }
}

impl Documents for Pull<'_> {
    async fn read(&self, descriptor: &Descriptor) -> Result<Vec<u8>> {
        if let Some(bytes) = self.options.cache.document(&descriptor.digest)? {
            return Ok(bytes);
        }
        let Some(fetcher) = &self.fetcher else {
            let message = format!(
                "{} is not in the cache, and the network is not to be used",
                descriptor.digest
            );
            return Err(Error::new(ErrorKind::NotFound, message));
        };
        let bytes = fetcher.document(descriptor).await?;
        let document = Document {
            descriptor: descriptor.clone(),
            bytes: bytes.clone(),
        };
        self.fetched
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(document);
        Ok(bytes)
    }
}
