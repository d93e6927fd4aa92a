//! The whole way: an open source in, a merged root filesystem out.
//!
//! ```text
//!   decoding thread                          applying thread
//!   blob → size, digest → inflate  ──────►   diff_id → tar → Rootfs → ContentSink
//!                                  ◄──────
//!            full buffers go one way, empty ones come back: memory is bounded
//! ```
//!
//! Layers go through one after the other and each is decompressed once, so the order of arrival decides
//! nothing; while the last buffers of one are applied, the next is being decoded.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::runtime::Handle;
use tokio::sync::mpsc;
use tokio::task::{JoinError, JoinHandle};
pub use tokio_util::sync::CancellationToken;

use crate::apply::{ApplyError, ContentSink, LayerApplier, LayerReport};
use crate::digest::Digest;
use crate::entry::Timestamp;
use crate::error::{Error, ErrorKind, Result};
use crate::image::{Image, Layer};
use crate::layer::{BUFFERS, Chunk, Decoder, Ended, Step, place};
use crate::limits::Limits;
use crate::media_type::MediaKind;
use crate::progress::{Event, Observer};
use crate::rootfs::Rootfs;
use crate::source::Source;
use crate::warning::Warning;

/// How an image is flattened.
#[derive(Clone, Debug, Default)]
pub struct FlattenOptions {
    /// Bounds on what the layers may hold.
    pub limits: Limits,
    /// The modification time of directories that no layer describes; by default that of the image,
    /// else 1970.
    pub implied_mtime: Option<Timestamp>,
    /// Whether SELinux labels are left out.
    pub skip_selinux: bool,
}

/// A flattened image.
#[derive(Debug)]
pub struct Flattened<S: ContentSink> {
    /// The merged tree.
    pub rootfs: Rootfs<S::Content>,
    /// The caller's sink, which has the contents.
    pub sink: S,
    /// What the image is known by: [`Image::digest`], or that of the bytes that have passed where the
    /// image has none.
    pub digest: Digest,
    /// What each layer was made of, bottom first.
    pub layers: Vec<LayerReport>,
    /// Bytes of all blobs, as they are stored.
    pub stored_bytes: u64,
}

impl<S: ContentSink> Flattened<S> {
    /// What a user should know, with the layer it is about, counted from 0.
    pub fn warnings(&self) -> impl Iterator<Item = (usize, &Warning)> {
        let layers = self.layers.iter().enumerate();
        layers.flat_map(|(index, layer)| layer.warnings.iter().map(move |warning| (index, warning)))
    }
}

/// Flattens an image: decodes, verifies and merges all its layers, and gives file contents to `sink`.
///
/// Must be called within a tokio runtime, on whose blocking threads the work is done; a runtime of the
/// multi-threaded kind is needed only where the source itself needs one. Dropping the future stops the
/// work soon, as `cancellation` does.
///
/// # Errors
/// [`ErrorKind::Integrity`] when a blob or a layer is not what its digests say, [`ErrorKind::Malformed`] when a layer
/// cannot be applied and [`ErrorKind::LimitExceeded`] when it passes a limit, both with the [`ApplyError`] as the
/// cause; [`ErrorKind::Unsupported`] for a compression that is not known, each with the layer in the message;
/// [`ErrorKind::Sink`] with the sink's error as the cause;
/// [`ErrorKind::Cancelled`]; and what the source gives. The sink is dropped.
pub async fn flatten<S>(
    source: Arc<dyn Source>,
    sink: S,
    options: FlattenOptions,
    observer: Arc<dyn Observer>,
    cancellation: CancellationToken,
) -> Result<Flattened<S>>
where
    S: ContentSink + Send + 'static,
    S::Content: Send,
{
    observer.observe(resolved(source.image()));
    let cancellation = cancellation.child_token();
    let _stop_when_dropped = cancellation.clone().drop_guard();
    let (step_sender, step_receiver) = mpsc::channel(BUFFERS);
    let (pool_sender, pool_receiver) = mpsc::channel(BUFFERS);
    for _ in 0..BUFFERS {
        // There is room for every one of them, now and whenever one comes back.
        let _ = pool_sender.try_send(Chunk::new());
    }
    let suspect = Arc::new(AtomicBool::new(false));
    let decoder = Decoder {
        source: source.clone(),
        steps: step_sender,
        pool: pool_receiver,
        observer: observer.clone(),
        cancellation: cancellation.clone(),
        expanded_bytes: options.limits.expanded_bytes,
        suspect: suspect.clone(),
    };
    let decoding = start_decoding(decoder, cancellation.clone());
    let implied_mtime = options
        .implied_mtime
        .or(source.image().created)
        .unwrap_or_default();
    let applying = Applying {
        rootfs: Rootfs::new(&options.limits, implied_mtime),
        skip_selinux: options.skip_selinux,
        source,
        sink,
        steps: step_receiver,
        pool: pool_sender,
        observer,
        cancellation: cancellation.clone(),
        suspect,
    };
    let applying = tokio::task::spawn_blocking(move || applying.run());
    // The decoder's error comes first: where it has one, the other half has only been cut off.
    let (decoded, applied) = (joined(decoding.await), joined(applying.await));
    if cancellation.is_cancelled() {
        return Err(Error::cancelled());
    }
    decoded?;
    applied
}

fn start_decoding(decoder: Decoder, cancellation: CancellationToken) -> JoinHandle<Result<()>> {
    let runtime = Handle::current();
    tokio::task::spawn_blocking(move || {
        runtime.block_on(async move {
            tokio::select! {
                biased;
                () = cancellation.cancelled() => Err(Error::cancelled()),
                outcome = decoder.run() => outcome,
            }
        })
    })
}

fn joined<T>(outcome: Result<T, JoinError>) -> T {
    match outcome {
        Ok(value) => value,
        // Only a panic of a sink or a source can bring this about; it goes on in the caller.
        Err(error) => std::panic::resume_unwind(error.into_panic()),
    }
}

fn resolved(image: &Image) -> Event {
    Event::Resolved {
        reference: image.reference.clone(),
        digest: image.digest.clone(),
        platform: image.platform.clone(),
        layers: image
            .layers
            .iter()
            .map(|layer| (layer.digest.clone(), layer.size))
            .collect(),
    }
}

/// The applying half.
struct Applying<S: ContentSink> {
    source: Arc<dyn Source>,
    skip_selinux: bool,
    rootfs: Rootfs<S::Content>,
    sink: S,
    steps: mpsc::Receiver<Step>,
    pool: mpsc::Sender<Chunk>,
    observer: Arc<dyn Observer>,
    cancellation: CancellationToken,
    suspect: Arc<AtomicBool>,
}

impl<S: ContentSink> Applying<S> {
    fn run(mut self) -> Result<Flattened<S>> {
        let source = self.source.clone();
        let image = source.image();
        let mut layers = Vec::with_capacity(image.layers.len());
        let (mut stored_bytes, mut digest) = (0, image.digest.clone());
        while let Some(Step::Begin) = self.steps.blocking_recv() {
            let index = layers.len();
            let layer = image.layers.get(index).ok_or_else(cut_off)?;
            let (report, ended) = self
                .layer(index, layer)
                .map_err(|error| error.context(place(index, &image.layers)))?;
            stored_bytes += ended.read;
            digest = digest.or(ended.digest);
            let (expanded, entries) = (report.expanded_bytes, report.entries);
            self.observer.observe(Event::LayerFinished {
                layer: index,
                expanded,
                entries,
            });
            layers.push(report);
        }
        if layers.len() != image.layers.len() {
            return Err(cut_off());
        }
        // Every local or registry image has a digest, and a tar has a layer, whose digest this is.
        let digest = digest.ok_or_else(cut_off)?;
        Ok(Flattened {
            rootfs: self.rootfs,
            sink: self.sink,
            digest,
            layers,
            stored_bytes,
        })
    }

    fn layer(&mut self, index: usize, layer: &Layer) -> Result<(LayerReport, Ended)> {
        let mut hasher = layer.diff_id.as_ref().map(Digest::hasher);
        let suspect = &self.suspect;
        let failed = |error| apply_error(error, suspect);
        let applier = LayerApplier::new(&mut self.rootfs, &mut self.sink).map_err(failed)?;
        let mut applier = applier.skip_selinux(self.skip_selinux).role(layer.role);
        let mut expanded = 0;
        let ended = loop {
            let chunk = match self.steps.blocking_recv() {
                Some(Step::Bytes(chunk)) => chunk,
                Some(Step::End(ended)) => break ended,
                Some(Step::Begin) | None => return Err(cut_off()),
            };
            if self.cancellation.is_cancelled() {
                return Err(Error::cancelled());
            }
            if let Some(hasher) = &mut hasher {
                hasher.update(chunk.bytes());
            }
            applier.push(chunk.bytes()).map_err(failed)?;
            expanded += chunk.bytes().len() as u64;
            let read = chunk.read;
            self.observer.observe(Event::LayerProgress {
                layer: index,
                read,
                expanded,
                entries: applier.entries(),
            });
            // A decoder that has nothing more to fill has closed the pool.
            let _ = self.pool.try_send(chunk);
        };
        let mut report = applier.finish().map_err(failed)?;
        if let (Some(hasher), Some(expected)) = (hasher, &layer.diff_id) {
            let found = hasher.finish();
            if found != *expected {
                let message =
                    format!("decompressed bytes have diff_id {found} (expected {expected})");
                return Err(Error::new(ErrorKind::Integrity, message));
            }
        }
        if let Some(warning) = media_type_warning(layer, &ended) {
            report.warnings.push(warning);
        }
        Ok((report, ended))
    }
}

/// The error of a half whose other half has gone; that one's error is the one to report.
fn cut_off() -> Error {
    Error::new(ErrorKind::Malformed, "layers end too early")
}

fn apply_error<E>(error: ApplyError<E>, suspect: &AtomicBool) -> Error
where
    E: std::error::Error + Send + Sync + 'static,
{
    let kind = match error {
        ApplyError::Sink(error) => {
            return Error::new(ErrorKind::Sink, "store file contents").with_source(error);
        }
        _ if error.limit().is_some() => ErrorKind::LimitExceeded,
        _ => {
            suspect.store(true, Ordering::Release);
            ErrorKind::Malformed
        }
    };
    Error::new(kind, "cannot be applied").with_source(error)
}

/// The warning about a media type that names another compression than the bytes have.
fn media_type_warning(layer: &Layer, ended: &Ended) -> Option<Warning> {
    let declared = layer.media_type.as_ref()?;
    let MediaKind::Layer(layer_type) = declared.kind() else {
        return None;
    };
    // An empty blob is an empty layer, whatever its type.
    if layer_type.compression == ended.compression || ended.read == 0 {
        return None;
    }
    let found = ended.compression.to_string();
    Some(Warning::MediaType {
        declared: declared.as_str().to_string(),
        found,
    })
}
