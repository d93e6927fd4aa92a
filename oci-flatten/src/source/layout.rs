//! OCI image layouts, in a directory or in an archive:
//! [image-layout.md](https://github.com/opencontainers/image-spec/blob/main/image-layout.md).

use std::collections::BTreeSet;
use std::path::PathBuf;

use tokio::io::AsyncReadExt;

use super::archive::Archive;
use super::file::{self, FileReader};
use super::{Blob, BoxFuture, ImageChoice, OpenOptions, Source};
use crate::digest::Digest;
use crate::error::{Error, ErrorKind, Result, excerpt, excerpts};
use crate::image::{self, Descriptor, Document, Documents, Fit, Image, Index};
use crate::limits::Limits;
use crate::media_type::{MediaKind, MediaType};

pub(super) const INDEX: &str = "index.json";
const REF_NAME: &str = "org.opencontainers.image.ref.name";
/// Docker and containerd put the full name here, and the tag alone into the annotation above.
const CONTAINERD_NAME: &str = "io.containerd.image.name";

/// The files of a layout.
pub(super) enum Files {
    Directory(PathBuf),
    Archive(Archive),
}

impl Files {
    /// Whether there is such a file.
    #[expect(clippy::disallowed_methods, reason = "the user names the layout")]
    pub(super) fn holds(&self, path: &str) -> bool {
        match self {
            Self::Archive(archive) => archive.holds(path),
            Self::Directory(directory) => directory.join(path).exists(),
        }
    }

    /// Opens a file; gives its size too.
    pub(super) async fn open(&self, path: &str) -> Result<(FileReader, u64)> {
        match self {
            Self::Archive(archive) => archive.member(path),
            Self::Directory(directory) => {
                let (file, length) = file::open_regular(&directory.join(path)).await?;
                Ok((FileReader::part(file, 0, length), length))
            }
        }
    }

    /// Reads a file of at most `limit` bytes.
    pub(super) async fn read_small(&self, path: &str, limit: u64) -> Result<Vec<u8>> {
        let (reader, size) = self.open(path).await?;
        if size > limit {
            let message = format!("{path} is {size} bytes (limit {limit})");
            return Err(Error::new(ErrorKind::LimitExceeded, message));
        }
        read_up_to(reader, size, path).await
    }
}

async fn read_up_to(reader: FileReader, most: u64, name: &str) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let read = reader.take(most).read_to_end(&mut bytes).await;
    read.map_err(|error| Error::io(format!("read {name}"), error))?;
    Ok(bytes)
}

impl Documents for Files {
    async fn read(&self, descriptor: &Descriptor) -> Result<Vec<u8>> {
        let path = blob_path(&descriptor.digest);
        let (reader, _) = self.open(&path).await?;
        // One byte more tells a longer file.
        read_up_to(reader, descriptor.size.saturating_add(1), &path).await
    }
}

/// Where a layout keeps a blob.
pub(super) fn blob_path(digest: &Digest) -> String {
    format!("blobs/{}/{}", digest.algorithm().name(), digest.hex())
}

/// An image of a layout.
pub(super) struct LayoutSource {
    files: Files,
    image: Image,
}

impl LayoutSource {
    pub(super) fn new(files: Files, image: Image) -> Self {
        Self { files, image }
    }

    async fn layer(&self, layer: usize) -> Result<Blob> {
        let described = self.image.layers.get(layer);
        let (Some(digest), Some(size)) =
            described.map_or((None, None), |layer| (layer.digest.as_ref(), layer.size))
        else {
            let message = format!("image has no layer {layer}");
            return Err(Error::new(ErrorKind::InvalidInput, message));
        };
        let (reader, _) = self.files.open(&blob_path(digest)).await.map_err(|error| {
            let media_type = described.and_then(|layer| layer.media_type.as_ref());
            if error.kind() == ErrorKind::NotFound && media_type.is_some_and(is_foreign) {
                return error.context("foreign layer, which only a registry may have");
            }
            error
        })?;
        Ok(Box::pin(reader.verified(digest.clone(), size)))
    }
}

fn is_foreign(media_type: &MediaType) -> bool {
    matches!(media_type.kind(), MediaKind::Layer(layer) if layer.foreign)
}

impl Source for LayoutSource {
    fn image(&self) -> &Image {
        &self.image
    }

    fn open_layer(&self, layer: usize) -> BoxFuture<'_, Result<Blob>> {
        Box::pin(self.layer(layer))
    }
}

/// Opens one image of a layout.
pub(super) async fn open(
    files: Files,
    reference: &str,
    choice: &ImageChoice,
    options: &OpenOptions,
) -> Result<LayoutSource> {
    let image = find(&files, reference, choice, options)
        .await
        .map_err(|error| error.context(reference))?;
    Ok(LayoutSource::new(files, image))
}

async fn find(
    files: &Files,
    reference: &str,
    choice: &ImageChoice,
    options: &OpenOptions,
) -> Result<Image> {
    let index = read_index(files, &options.limits).await?;
    let entries = match choice {
        ImageChoice::Only => index.manifests,
        ImageChoice::Tag(tag) => tagged(index, tag)?,
        ImageChoice::Digest(digest) => {
            let document = by_digest(files, &index, digest, &options.limits).await?;
            return image::resolve(
                files,
                reference,
                document,
                &options.platform,
                &options.limits,
            )
            .await;
        }
    };
    let entries = images_among(entries);
    let fits = image::select_each(files, entries, &options.platform, &options.limits).await?;
    let fit = only(fits)?;
    fit.loaded.into_image(reference, fit.platform)
}

/// Reads the layout's `index.json`.
pub(super) async fn read_index(files: &Files, limits: &Limits) -> Result<Index> {
    let bytes = files
        .read_small(INDEX, limits.manifest_bytes)
        .await
        .map_err(|error| match error.kind() {
            ErrorKind::NotFound => error.context("not an OCI image layout"),
            _ => error,
        })?;
    Index::parse(&bytes).map_err(|error| error.context(INDEX))
}

/// Each digest once. What only says something about an image, such as a signature under the tag that its digest
/// makes, is left out unless there is nothing else.
fn images_among(entries: Vec<Descriptor>) -> Vec<Descriptor> {
    let mut seen = BTreeSet::new();
    let (about, images): (Vec<_>, Vec<_>) = entries
        .into_iter()
        .filter(|entry| seen.insert(entry.digest.clone()))
        .partition(|entry| names_of(entry).any(is_referrers_tag));
    if images.is_empty() { about } else { images }
}

/// `ALGORITHM-HEX`, perhaps with `.sig` or another suffix: the
/// [referrers tag](https://github.com/opencontainers/distribution-spec/blob/main/spec.md#referrers-tag-schema) of an
/// image, and what cosign made of it.
fn is_referrers_tag(name: &str) -> bool {
    let (stem, _) = name.split_once('.').unwrap_or((name, ""));
    stem.replacen('-', ":", 1).parse::<Digest>().is_ok()
}

/// The one image that fits, or one of several platforms of it: entries of one name, or of none, whose platforms are
/// not equally near.
fn only(fits: Vec<(Descriptor, Fit)>) -> Result<Fit> {
    let name = |entry: &Descriptor| names_of(entry).next().map(str::to_owned);
    let ambiguous = fits.iter().enumerate().any(|(index, (entry, fit))| {
        fits[..index].iter().any(|(other, earlier)| {
            earlier.loaded.digest() != fit.loaded.digest()
                && (earlier.distance == fit.distance || name(other) != name(entry))
        })
    });
    if ambiguous {
        let list = fits.iter().map(|(entry, _)| match names_of(entry).last() {
            Some(name) => format!("{name} (@{})", entry.digest),
            None => format!("@{}", entry.digest),
        });
        let message = format!(
            "several images fit; choose one by its tag or its digest: {}",
            excerpts(list)
        );
        return Err(Error::new(ErrorKind::InvalidInput, message));
    }
    let nearest = fits.into_iter().min_by_key(|(_, fit)| fit.distance);
    nearest
        .map(|(_, fit)| fit)
        .ok_or_else(|| Error::new(ErrorKind::NotFound, "index lists no image"))
}

fn tagged(mut index: Index, tag: &str) -> Result<Vec<Descriptor>> {
    let is = |entry: &Descriptor| names_of(entry).any(|name| name == tag);
    if !index.manifests.iter().any(is) {
        let names: BTreeSet<&str> = index
            .manifests
            .iter()
            .filter(|entry| !entry.is_attestation())
            .filter_map(|entry| entry.annotation(REF_NAME))
            .collect();
        let there_is = match names.is_empty() {
            true => "no image has one".into(),
            false => format!("there is: {}", excerpts(&names)),
        };
        let message = format!("no image with tag {}; {there_is}", excerpt(tag));
        return Err(Error::new(ErrorKind::NotFound, message));
    }
    index.manifests.retain(is);
    Ok(index.manifests)
}

/// The names of an entry, the fullest last.
fn names_of(entry: &Descriptor) -> impl Iterator<Item = &str> {
    [REF_NAME, CONTAINERD_NAME]
        .into_iter()
        .filter_map(|key| entry.annotation(key))
}

/// A manifest or index of the layout, named in `index.json` or not.
async fn by_digest(
    files: &Files,
    index: &Index,
    digest: &Digest,
    limits: &Limits,
) -> Result<Document> {
    let descriptor = match index.manifests.iter().find(|entry| entry.digest == *digest) {
        Some(entry) => entry.clone(),
        None => {
            let (_, size) = files.open(&blob_path(digest)).await?;
            Descriptor::new("".into(), digest.clone(), size)
        }
    };
    let bytes = image::fetch(files, &descriptor, "manifest", limits.manifest_bytes).await?;
    Ok(Document { descriptor, bytes })
}
