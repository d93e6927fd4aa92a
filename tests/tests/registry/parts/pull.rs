//! A client with a cache of its own.

use std::error::Error as StdError;
use std::fs;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use oci_flatten::cache::{Cache, CorruptBlob};
use oci_flatten::digest::Digest;
use oci_flatten::error::{Error, Result};
use oci_flatten::limits::Limits;
use oci_flatten::platform::Platform;
use oci_flatten::progress::Event;
use oci_flatten::reference::Reference;
use oci_flatten::registry::{
    PullOptions, RegistrySettings, RegistrySource, Retries, Timeouts, Trust,
};
use oci_flatten::source::Source as _;
use tempfile::TempDir;
use tokio::io::AsyncReadExt as _;

use super::image::TestImage;

/// A client.
pub(crate) struct Client {
    pub(crate) folder: TempDir,
    pub(crate) settings: RegistrySettings,
    pub(crate) platform: Platform,
    pub(crate) cache_dir: PathBuf,
    events: Arc<Mutex<Vec<Event>>>,
}

impl Client {
    pub(crate) fn new() -> Self {
        let settings = RegistrySettings {
            trust: Trust {
                bundles: Vec::new(),
                ..Trust::default()
            },
            timeouts: Timeouts {
                connect: Duration::from_secs(20),
                inactivity: Duration::from_secs(20),
                ..Timeouts::default()
            },
            retries: Retries {
                attempts: 4,
                first_wait: Duration::from_millis(5),
                longest_wait: Duration::from_millis(20),
                longest_requested: Duration::from_secs(2),
            },
            ..RegistrySettings::default()
        };
        let folder = tempfile::tempdir().unwrap();
        Self {
            settings,
            platform: Platform::linux_here(),
            cache_dir: folder.path().join("cache"),
            events: Arc::default(),
            folder,
        }
    }

    pub(crate) fn cache(&self) -> Cache {
        Cache::open(&self.cache_dir).unwrap()
    }

    pub(crate) async fn open(&self, reference: &str) -> Result<RegistrySource> {
        let events = Arc::clone(&self.events);
        let options = PullOptions {
            settings: Arc::new(self.settings.clone()),
            cache: self.cache(),
            platform: self.platform.clone(),
            limits: Limits::default(),
            observer: Arc::new(move |event| events.lock().unwrap().push(event)),
        };
        RegistrySource::open(&Reference::parse(reference).unwrap(), &options).await
    }

    /// Pulls all layers, bottom first.
    pub(crate) async fn pull(&self, reference: &str) -> Result<Vec<Vec<u8>>> {
        let source = self.open(reference).await?;
        let mut layers = Vec::new();
        for layer in 0..source.image().layers.len() {
            layers.push(read_layer(&source, layer).await?);
        }
        Ok(layers)
    }

    /// Pulls, and starts over once when the cache turns out corrupt, as the program does.
    pub(crate) async fn pull_again_if_corrupt(&self, reference: &str) -> Result<Vec<Vec<u8>>> {
        match self.pull(reference).await {
            Err(error) if CorruptBlob::is_cause_of(&error) => self.pull(reference).await,
            outcome => outcome,
        }
    }

    /// Pulls what must be `image`, and looks the cache over.
    pub(crate) async fn expect(&self, reference: &str, image: &TestImage) {
        let layers = self
            .pull(reference)
            .await
            .unwrap_or_else(|error| panic!("{}", chain(&error)));
        assert!(layers == image.layers, "other bytes");
        self.expect_clean_cache();
    }

    /// Fails to pull, for a reason that holds `why`, and leaves nothing wrong behind.
    pub(crate) async fn expect_error(&self, reference: &str, why: &str) -> Error {
        let error = self.pull(reference).await.map(drop).expect_err(why);
        let text = chain(&error);
        assert!(text.contains(why), "{text}");
        self.expect_clean_cache();
        error
    }

    pub(crate) fn expect_clean_cache(&self) {
        assert_eq!(self.cache().verify(|_, _| Ok(())).unwrap().corrupt, []);
    }

    pub(crate) fn blob_path(&self, digest: &Digest) -> PathBuf {
        self.cache().root().join("blobs/sha256").join(digest.hex())
    }

    pub(crate) fn part_path(&self, digest: &Digest) -> PathBuf {
        self.cache()
            .root()
            .join(format!("ingest/sha256-{}.part", digest.hex()))
    }

    pub(crate) fn count_events(&self, which: impl Fn(&Event) -> bool) -> usize {
        self.events
            .lock()
            .unwrap()
            .iter()
            .filter(|event| which(event))
            .count()
    }

    /// A credential file for `domain`.
    pub(crate) fn login(&mut self, domain: &str, entry: &str) {
        let path = self.folder.path().join("auth.json");
        fs::write(&path, format!("{{\"auths\": {{\"{domain}\": {entry}}}}}")).unwrap();
        self.settings.credentials.auth_file = Some(path);
    }
}

pub(crate) async fn read_layer(source: &RegistrySource, layer: usize) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let mut blob = source.open_layer(layer).await?;
    let count = blob.read_to_end(&mut bytes).await;
    count.map_err(|error| Error::io(format!("layer {}", layer + 1), error))?;
    Ok(bytes)
}

/// An error with its causes.
pub(crate) fn chain(error: &Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(error) = next {
        text += &format!(": {error}");
        next = error.source();
    }
    text
}
