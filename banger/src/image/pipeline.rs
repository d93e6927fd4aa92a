//! The flattener that a pull uses: the source, opened, through the one pass into `rootfs.ext4`.

use std::time::Duration;

use oci_flatten::source::Source;
use tokio::runtime::Handle;

use super::pull::{FlattenRequest, Flattened, Flattener};
use crate::error::{Error, ErrorKind};
use crate::flatten::{self, Summary, open_and_flatten};
use crate::source::SourceOptions;
use crate::watch::{Observer, Watch};

/// The one pass, on a tokio runtime. A pull that uses it must be called outside of that runtime's
/// asynchronous threads, such as in `spawn_blocking`.
pub struct Pipeline {
    /// Where the work runs.
    pub runtime: Handle,
    /// How sources are opened. The platform is the request's.
    pub options: SourceOptions,
    /// Who is told how it goes, the steps included, and may end it.
    pub watch: Watch,
}

impl Flattener for Pipeline {
    fn flatten(
        &self,
        request: &FlattenRequest<'_>,
        _observer: &dyn Observer,
    ) -> Result<Flattened, Error> {
        self.runtime.block_on(async {
            tokio::select! {
                outcome = self.run(request) => outcome,
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
        self.watch.cancellation.cancelled().await;
        tokio::time::sleep(GRACE).await;
    }

    async fn run(&self, request: &FlattenRequest<'_>) -> Result<Flattened, Error> {
        let source_options = SourceOptions {
            platform: request.platform.clone(),
            ..self.options.clone()
        };
        let options = flatten::Options {
            limits: source_options.limits.clone(),
            ..request.filesystem.clone()
        };
        let (source, summary) = open_and_flatten(
            request.source,
            &source_options,
            request.output,
            &options,
            &self.watch,
        )
        .await?;
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
