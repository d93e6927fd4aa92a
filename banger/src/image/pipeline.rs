//! The flattener that a pull uses: the source, opened, through the one pass into `rootfs.ext4`.

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use oci_flatten::flatten::CancellationToken;
use oci_flatten::progress::{self, Event};
use oci_flatten::source::Source;
use tokio::runtime::Handle;
use tokio::sync::Notify;

use super::pull::{FlattenRequest, Flattened, Flattener, Observer, Step};
use crate::error::{Error, ErrorKind};
use crate::flatten::{self, Summary, open_and_flatten};
use crate::source::SourceOptions;

/// The one pass, on a tokio runtime. A pull that uses it must be called outside of that runtime's
/// asynchronous threads, such as in `spawn_blocking`.
pub struct Pipeline {
    /// Where the work runs.
    pub runtime: Handle,
    /// How sources are opened. The platform is the request's.
    pub options: SourceOptions,
    /// Who is told how it goes.
    pub progress: Arc<dyn progress::Observer>,
    /// Ends the work, soon after it is cancelled.
    pub cancellation: CancellationToken,
}

impl Flattener for Pipeline {
    fn flatten(
        &self,
        request: &FlattenRequest<'_>,
        observer: &dyn Observer,
    ) -> Result<Flattened, Error> {
        self.runtime.block_on(async {
            tokio::select! {
                outcome = self.run(request, observer) => outcome,
                () = self.abandoned() => Err(Error::new(ErrorKind::Interrupted, "interrupted")),
            }
        })
    }
}

/// How long the work may take to notice that it is cancelled. It looks between buffers, so only a read
/// from a silent pipe outlasts this.
const GRACE: Duration = Duration::from_secs(1);

impl Pipeline {
    async fn abandoned(&self) {
        self.cancellation.cancelled().await;
        tokio::time::sleep(GRACE).await;
    }

    async fn run(
        &self,
        request: &FlattenRequest<'_>,
        observer: &dyn Observer,
    ) -> Result<Flattened, Error> {
        let source_options = SourceOptions {
            platform: request.platform.clone(),
            ..self.options.clone()
        };
        let applied = Arc::new(LastLayer {
            left: AtomicUsize::new(0),
            done: Notify::new(),
            below: self.progress.clone(),
        });
        let options = flatten::Options {
            limits: source_options.limits.clone(),
            ..request.filesystem.clone()
        };
        let watched: Arc<dyn progress::Observer> = applied.clone();
        let work = open_and_flatten(
            request.source,
            &source_options,
            request.output,
            &options,
            &watched,
            &self.cancellation,
        );
        let tell = async {
            applied.done.notified().await;
            observer.step(Step::Size);
            observer.step(Step::Finish);
            std::future::pending::<Infallible>().await
        };
        let (source, summary) = tokio::select! {
            // What came first is told first, also where both are there at once.
            biased;
            never = tell => match never {},
            outcome = work => outcome?,
        };
        Ok(flattened(&*source, summary))
    }
}

fn flattened(source: &dyn Source, summary: Summary) -> Flattened {
    let image = source.image();
    let filled = |bytes: &Vec<u8>| Some(bytes.clone()).filter(|bytes| !bytes.is_empty());
    Flattened {
        reference: Some(summary.reference),
        digest: Some(summary.digest),
        platform: Some(summary.platform),
        manifest: filled(&image.manifest),
        config: filled(&image.config),
        content_bytes: summary.content_bytes,
        verity: summary.verity,
        warnings: summary.warnings,
    }
}

/// Passes events on, and notices when the last layer is applied: then the size is decided.
struct LastLayer {
    left: AtomicUsize,
    done: Notify,
    below: Arc<dyn progress::Observer>,
}

impl progress::Observer for LastLayer {
    fn observe(&self, event: Event) {
        let finished = matches!(event, Event::LayerFinished { .. });
        if let Event::Resolved { layers, .. } = &event {
            self.left.store(layers.len(), Ordering::Relaxed);
        }
        self.below.observe(event);
        if finished && self.left.fetch_sub(1, Ordering::Relaxed) == 1 {
            self.done.notify_one();
        }
    }
}
