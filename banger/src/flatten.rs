//! The whole way: source → merged tree and contents → `rootfs.ext4`.

mod device;
mod identity;
mod options;
mod sink;
mod summary;
mod tree;

use std::fs::File;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::sync::{Arc, Mutex, PoisonError};

use ext4_writer::{ImageWriter, VerityOptions, append_verity};
use oci_flatten::apply::LayerReport;
use oci_flatten::digest::Digest;
use oci_flatten::flatten::{FlattenOptions, Flattened};
use oci_flatten::image::Image;
use oci_flatten::process_limits;
use oci_flatten::progress::Observer;
use oci_flatten::source::{Source, SourceName};
use oci_flatten::threads;
use oci_flatten::warning::Warning;
use uuid::Uuid;

use crate::error::{Error, ErrorKind};
use crate::progress::Forward;
use crate::size::format_size;
use crate::source::{SourceOptions, explain_tar, is_corrupt_cache, open};
use crate::watch::{Observer as _, Step, Watch};
use device::WatchedDevice;
use identity::{Effects, uuid_of};
pub use options::{FsFeature, Options, Profile};
use sink::Ext4Sink;
pub use summary::{LayerSummary, Summary, VeritySummary};
use tree::{LeaveOut, ext4_tree};

/// Opens the image that `name` stands for and flattens it into `file`.
///
/// Where a cached blob turns out to have changed on disk, it is thrown away and all begins anew.
///
/// # Errors
///
/// Those of [`open`] and [`flatten`].
pub async fn open_and_flatten(
    name: &SourceName,
    source_options: &SourceOptions,
    file: &File,
    options: &Options,
    watch: &Watch,
) -> Result<(Arc<dyn Source>, Summary), Error> {
    options.check(file)?;
    let mended = Mutex::new(Vec::new());
    let note = |warnings: Vec<String>| {
        let mut mended = mended.lock().unwrap_or_else(PoisonError::into_inner);
        // A registry repeats itself when all begins anew.
        for warning in warnings {
            if !mended.contains(&warning) {
                mended.push(warning);
            }
        }
    };
    let observer: Arc<dyn Observer> = Forward::to(watch.progress.clone());
    let attempt = async || {
        // A registry that says nothing is not waited for by someone who has had enough.
        let source = tokio::select! {
            source = open(name, source_options, &observer, &watch.cancellation) => source?,
            () = watch.cancellation.cancelled() => {
                return Err(Error::new(ErrorKind::Interrupted, "interrupted"));
            }
        };
        let file = file
            .try_clone()
            .map_err(|error| Error::io("open the output once more", error))?;
        let (options, observer) = (options.clone(), observer.clone());
        let summary = flatten(source.clone(), file, options, observer, watch).await;
        note(source.take_warnings());
        Ok((source, summary?))
    };
    // Each round throws one blob away and fetches it anew; a disk that spoils what was just written ends it.
    let mut spoiled = None;
    let mut outcome = attempt().await;
    for _ in 0..MAX_REFETCHED_BLOBS {
        match outcome {
            Err(error) if is_corrupt_cache(&error) => {
                tracing::debug!(%error, "fetches a corrupt cached blob anew");
                spoiled = Some(error);
                outcome = attempt().await;
            }
            _ => break,
        }
    }
    let (source, mut summary) = outcome.map_err(|error| because(error, spoiled))?;
    summary
        .warnings
        .append(&mut mended.into_inner().unwrap_or_else(PoisonError::into_inner));
    Ok((source, summary))
}

/// A blob that cannot be fetched anew is missing because it was thrown away, which the user should know.
fn because(error: Error, spoiled: Option<Error>) -> Error {
    match spoiled {
        Some(spoiled) if std::error::Error::source(&error).is_none() => error.with_source(spoiled),
        _ => error,
    }
}

/// Corrupt cached blobs that one flattening replaces before it gives up: far more than a healthy disk has.
const MAX_REFETCHED_BLOBS: usize = 16;

/// Flattens an image into `file`, whose content is lost, and leaves the flushing to the caller.
///
/// Must be called within a tokio runtime. The same image and options give the same bytes.
///
/// # Errors
///
/// [`ErrorKind::Integrity`] for an image that is not what its digests say, is malformed or passes a
/// limit; [`ErrorKind::NoSpace`] when the disk is full or the size asked for is too small, with the
/// smallest that would do; [`ErrorKind::Interrupted`] when cancelled.
pub async fn flatten(
    source: Arc<dyn Source>,
    file: File,
    options: Options,
    observer: Arc<dyn Observer>,
    watch: &Watch,
) -> Result<Summary, Error> {
    let image = WatchedDevice::of(&file, watch)?;
    let format = options.format();
    let begun = threads::run("begin", move || ImageWriter::new(image, format)).await?;
    // What the device says of an operation that is to end is that it was stopped.
    watch.check()?;
    let image = begun.map_err(from_ext4)?;
    let flatten_options = FlattenOptions {
        limits: options.limits.clone(),
        implied_mtime: None,
        // They are left out of the tree, so that it is known whether there were any.
        skip_selinux: false,
    };
    let flattened = oci_flatten::flatten::flatten(
        source.clone(),
        Ext4Sink::new(image),
        flatten_options,
        observer,
        watch.cancellation.clone(),
    )
    .await
    .map_err(from_flatten)?;
    let finishing = watch.clone();
    let finished = threads::run("finish", move || {
        finish(source.image(), flattened, &options, &file, &finishing)
    })
    .await?;
    watch.check()?;
    finished
}

/// Writes the metadata once all layers are applied.
fn finish(
    image: &Image,
    flattened: Flattened<Ext4Sink<WatchedDevice>>,
    options: &Options,
    file: &File,
    watch: &Watch,
) -> Result<Summary, Error> {
    watch.begin(Step::Size)?;
    let mut warnings = warnings(&flattened, options);
    let layers = layer_summaries(image, &flattened.layers);
    let Flattened {
        rootfs,
        sink,
        digest,
        stored_bytes,
        ..
    } = flattened;
    let leave_out = LeaveOut {
        devices: options.skip_devices,
        selinux: options.skip_selinux,
    };
    let (tree, left_out) = ext4_tree(rootfs, leave_out).map_err(|error| {
        Error::new(
            ErrorKind::Integrity,
            "the image does not fit an ext4 filesystem",
        )
        .with_source(error)
    })?;
    let mut writer = sink.into_image();
    let usual = || uuid_of(&digest, &Options::default(), &Effects::default());
    writer
        .set_uuid(options.uuid.unwrap_or_else(usual))
        .map_err(from_ext4)?;
    watch.begin(Step::Finish)?;
    let mut planned = writer.plan(tree).map_err(from_ext4)?;
    let uuid = options.uuid.unwrap_or_else(|| {
        let size = planned.size_bytes();
        let effects = Effects {
            size: (!planned.equals_size_rule(options.usual_size())).then_some(size),
            without_devices: left_out.devices,
            without_selinux: left_out.selinux,
        };
        uuid_of(&digest, options, &effects)
    });
    planned.set_uuid(uuid).map_err(from_ext4)?;
    let filesystem = planned.write().map_err(from_ext4)?;
    let size_bytes = filesystem.blocks * u64::from(filesystem.block_size);
    tracing::debug!(%uuid, size_bytes, inodes = filesystem.inodes, "filesystem is complete");
    if size_bytes < filesystem.size_bytes {
        // What ext4 cannot use of the size asked for: part of a block, or a last group that is too short
        // for its own backups. The file ends where the filesystem does.
        let asked = filesystem.size_bytes;
        warnings.push(format!(
            "size of {asked} bytes became {size_bytes}, the most that ext4 can use of it"
        ));
        file.set_len(size_bytes).map_err(|error| {
            Error::io(format!("shorten the image to {size_bytes} bytes"), error)
        })?;
    }
    let verity = match options.profile {
        Profile::ReadOnly { verity: true } => Some(seal(file, size_bytes, uuid, watch)?),
        _ => None,
    };
    let metadata = file
        .metadata()
        .map_err(|error| Error::io("look at the finished image", error))?;
    Ok(Summary {
        reference: image.reference.clone(),
        digest: digest.to_string(),
        platform: image.platform.to_string(),
        entries: layers.iter().map(|layer| layer.entries).sum(),
        stored_bytes,
        expanded_bytes: layers.iter().map(|layer| layer.expanded_bytes).sum(),
        layers,
        content_bytes: filesystem.content_bytes,
        size_bytes,
        free_bytes: filesystem.free_bytes,
        used_inodes: filesystem.inodes - filesystem.free_inodes,
        free_inodes: filesystem.free_inodes,
        disk_bytes: metadata.blocks() * 512,
        uuid,
        verity,
        warnings,
    })
}

/// Appends the dm-verity hash tree. Its salt is empty, so that one image gives one root hash.
fn seal(file: &File, size_bytes: u64, uuid: Uuid, watch: &Watch) -> Result<VeritySummary, Error> {
    watch.begin(Step::Seal)?;
    let device = WatchedDevice::of(file, watch)?;
    let tree = append_verity(device, size_bytes, &VerityOptions::new(uuid));
    let tree = tree.map_err(from_ext4)?;
    let digits = tree.root_hash.iter().map(|byte| format!("{byte:02x}"));
    Ok(VeritySummary {
        root_hash: digits.collect(),
        hash_offset: tree.hash_offset,
        total_bytes: tree.total_bytes,
    })
}

fn layer_summaries(image: &Image, reports: &[LayerReport]) -> Vec<LayerSummary> {
    let text = |digest: &Option<Digest>| digest.as_ref().map(ToString::to_string);
    let layers = image.layers.iter().zip(reports);
    layers
        .map(|(layer, report)| LayerSummary {
            digest: text(&layer.digest),
            diff_id: text(&layer.diff_id),
            media_type: layer.media_type.as_ref().map(ToString::to_string),
            size: layer.size,
            expanded_bytes: report.expanded_bytes,
            entries: report.entries,
        })
        .collect()
}

/// The warnings of all layers; of those that a layer has too many of, only the number.
fn warnings(flattened: &Flattened<Ext4Sink<WatchedDevice>>, options: &Options) -> Vec<String> {
    let count = flattened.layers.len();
    let mut lines: Vec<String> = flattened
        .warnings()
        .filter(|(_, warning)| {
            !(options.skip_devices && matches!(warning, Warning::ZeroDevice { .. }))
        })
        .map(|(layer, warning)| format!("layer {} of {count}: {warning}", layer + 1))
        .collect();
    for (index, report) in flattened.layers.iter().enumerate() {
        let unsaid = report.warnings.total() - report.warnings.iter().len() as u64;
        if unsaid > 0 {
            lines.push(format!(
                "layer {} of {count}: {unsaid} more warnings",
                index + 1
            ));
        }
    }
    lines
}

fn from_ext4(error: ext4_writer::Error) -> Error {
    match &error {
        ext4_writer::Error::TooSmall { smallest, .. } => {
            let hint = format!("use --size {smallest} ({}) or more", format_size(*smallest));
            Error::new(ErrorKind::NoSpace, error.to_string()).with_hint(hint)
        }
        ext4_writer::Error::Options(_) => Error::new(ErrorKind::Usage, error.to_string()),
        ext4_writer::Error::Device { source, .. }
            if source.kind() == io::ErrorKind::FileTooLarge =>
        {
            let message = match process_limits::file_bytes() {
                Some(limit) => format!("the output may have {limit} bytes (ulimit -f)"),
                None => "the filesystem of the output cannot hold so large a file".into(),
            };
            Error::new(ErrorKind::NoSpace, message).with_source(error)
        }
        _ if error.is_no_space() => {
            Error::new(ErrorKind::NoSpace, "the disk is full").with_source(error)
        }
        ext4_writer::Error::Device { .. } => {
            Error::new(ErrorKind::Failure, "write the image").with_source(error)
        }
        _ => Error::new(
            ErrorKind::Integrity,
            "the image does not fit an ext4 filesystem",
        )
        .with_source(error),
    }
}

/// A failure of the pipeline; one of the filesystem's writer keeps its own kind.
fn from_flatten(error: oci_flatten::error::Error) -> Error {
    if error.kind() != oci_flatten::error::ErrorKind::Sink {
        return explain_tar(error);
    }
    let message = error.message().to_owned();
    match error
        .into_source()
        .map(|source| source.downcast::<ext4_writer::Error>())
    {
        Some(Ok(source)) => {
            let inner = from_ext4(*source);
            let kind = inner.kind();
            Error::new(kind, message).with_source(inner)
        }
        Some(Err(source)) => Error::new(ErrorKind::Failure, message).with_source(source),
        None => Error::new(ErrorKind::Failure, message),
    }
}
