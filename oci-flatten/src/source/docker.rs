//! `docker-archive:`: what `docker save` writes.
//!
//! `manifest.json` lists images as a config and layer tars, by member name
//! ([image spec v1.2](https://github.com/moby/docker-image-spec/blob/main/spec.md#combined-image-json--filesystem-changeset-format)).
//! Since version 25 the archive is an OCI image layout too; then the image's true manifest is found by
//! its config, and everything is checked by digest.

use serde::Deserialize;

use super::layout::{self, Files, LayoutSource};
use super::{Blob, BoxFuture, ImageChoice, OpenOptions, Source};
use crate::apply::TarRole;
use crate::digest::Digest;
use crate::error::{Error, ErrorKind, Result, excerpt, excerpts};
use crate::image::{self, Config, Image, Index, Layer, Loaded};
use crate::json::list;
use crate::limits::{LimitExceeded, Limits};
use crate::media_type::MediaKind;
use crate::platform::Platform;
use crate::reference::Reference;

const MANIFEST: &str = "manifest.json";

/// One image of `manifest.json`.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Item {
    config: String,
    #[serde(default, deserialize_with = "list")]
    repo_tags: Vec<String>,
    #[serde(default, deserialize_with = "list")]
    layers: Vec<String>,
}

impl Item {
    /// Whether `wanted` names it, written out or the short way.
    fn is_called(&self, wanted: &str) -> bool {
        self.repo_tags.iter().any(|tag| {
            tag == wanted
                || Reference::parse(tag).is_ok_and(|tag| Reference::parse(wanted) == Ok(tag))
        })
    }
}

/// Opens one image of the files.
pub(super) async fn open(
    files: Files,
    reference: &str,
    choice: Option<&str>,
    options: &OpenOptions,
) -> Result<Box<dyn Source>> {
    if !files.holds(MANIFEST) && files.holds(layout::INDEX) {
        let choice = choice.map_or(ImageChoice::Only, |tag| ImageChoice::Tag(tag.into()));
        return Ok(Box::new(
            layout::open(files, reference, &choice, options).await?,
        ));
    }
    let place = |error: Error| error.context(reference);
    let found = find(&files, reference, choice, options)
        .await
        .map_err(place)?;
    Ok(match found {
        Found::Layout(image) => Box::new(LayoutSource::new(files, image)),
        Found::Members(image, members) => Box::new(DockerSource {
            files,
            image,
            members,
        }),
    })
}

enum Found {
    Layout(Image),
    /// The image, and the archive's member for each of its layers.
    Members(Image, Vec<String>),
}

async fn find(
    files: &Files,
    reference: &str,
    choice: Option<&str>,
    options: &OpenOptions,
) -> Result<Found> {
    let limits = &options.limits;
    let bytes = files
        .read_small(MANIFEST, limits.manifest_bytes)
        .await
        .map_err(|error| match error.kind() {
            ErrorKind::NotFound => error.context("not what docker save writes"),
            _ => error,
        })?;
    let items: Vec<Item> = serde_json::from_slice(&bytes).map_err(|error| {
        Error::new(ErrorKind::Malformed, format!("{MANIFEST} does not parse")).with_source(error)
    })?;
    let candidates = matching(items, choice)?;
    let chosen = for_platform(files, candidates, options).await?;
    if files.holds(layout::INDEX) {
        let id = Digest::sha256(&chosen.config_bytes);
        if let Some(loaded) = with_config(files, &id, limits).await? {
            return loaded
                .into_image(reference, chosen.platform)
                .map(Found::Layout);
        }
    }
    chosen.into_image(files, reference).await
}

/// The items that `choice` names, or the only image there is.
fn matching(items: Vec<Item>, choice: Option<&str>) -> Result<Vec<Item>> {
    let tags = |items: &[Item]| match excerpts(items.iter().flat_map(|item| &item.repo_tags)) {
        none if none.is_empty() => "no image has a name".to_string(),
        tags => format!("there is: {tags}"),
    };
    let Some(wanted) = choice else {
        return match items.is_empty() {
            true => Err(Error::new(ErrorKind::NotFound, "archive has no image")),
            false => Ok(items),
        };
    };
    let (named, others): (Vec<_>, Vec<_>) =
        items.into_iter().partition(|item| item.is_called(wanted));
    if named.is_empty() {
        let message = format!("no image called {}; {}", excerpt(wanted), tags(&others));
        return Err(Error::new(ErrorKind::NotFound, message));
    }
    Ok(named)
}

/// An item with its config.
struct Chosen {
    item: Item,
    config_bytes: Vec<u8>,
    config: Config,
    platform: Platform,
}

/// The one image among `candidates` that fits the platform: items of one name whose platforms are not equally near are
/// the platforms of one image.
async fn for_platform(
    files: &Files,
    candidates: Vec<Item>,
    options: &OpenOptions,
) -> Result<Chosen> {
    let (wanted, limits) = (&options.platform, &options.limits);
    let count = candidates.len() as u64;
    LimitExceeded::check(MANIFEST, count, "images", limits.index_entries as u64)
        .map_err(|error| Error::new(ErrorKind::LimitExceeded, error.to_string()))?;
    let (mut fits, mut offered): (Vec<(u32, Chosen)>, Vec<String>) = (Vec::new(), Vec::new());
    for item in candidates {
        let chosen = Chosen::read(files, item, options).await?;
        match wanted.distance(&chosen.platform) {
            Some(distance) => fits.push((distance, chosen)),
            None => offered.push(chosen.platform.to_string()),
        }
    }
    let ambiguous = fits.iter().enumerate().any(|(index, (distance, fit))| {
        fits[..index].iter().any(|(earlier, other)| {
            other.config_bytes != fit.config_bytes
                && (earlier == distance || other.item.repo_tags != fit.item.repo_tags)
        })
    });
    if ambiguous {
        let list = fits
            .iter()
            .map(|(_, fit)| match fit.item.repo_tags.first() {
                Some(tag) => tag,
                None => &fit.item.config,
            });
        let message = format!(
            "several images fit; choose one by its tag: {}",
            excerpts(list)
        );
        return Err(Error::new(ErrorKind::InvalidInput, message));
    }
    let nearest = fits.into_iter().min_by_key(|(distance, _)| *distance);
    nearest.map(|(_, chosen)| chosen).ok_or_else(|| {
        let message = format!("no image for {wanted}; there is: {}", excerpts(offered));
        Error::new(ErrorKind::NotFound, message)
    })
}

impl Chosen {
    async fn read(files: &Files, item: Item, options: &OpenOptions) -> Result<Self> {
        let limit = options.limits.config_bytes;
        let config_bytes = files.read_small(&item.config, limit).await?;
        if let Some(expected) = digest_in(&item.config) {
            let found = Digest::of(expected.algorithm(), &config_bytes);
            if found != expected {
                let message = format!("config has digest {found} (expected {expected})");
                return Err(Error::new(ErrorKind::Integrity, message));
            }
        }
        let config = Config::parse(&config_bytes)?;
        let platform = config.platform();
        Ok(Self {
            item,
            config_bytes,
            config,
            platform: platform.unwrap_or_else(|| options.platform.clone()),
        })
    }

    async fn into_image(self, files: &Files, reference: &str) -> Result<Found> {
        let (members, diff_ids) = (&self.item.layers, self.config.diff_ids());
        if members.len() != diff_ids.len() {
            let (layers, ids) = (members.len(), diff_ids.len());
            let message = format!("{MANIFEST} lists {layers} layers, the config {ids} diff_ids");
            return Err(Error::new(ErrorKind::Malformed, message));
        }
        let mut layers = Vec::with_capacity(members.len());
        for (member, diff_id) in members.iter().zip(diff_ids) {
            let (_, size) = files.open(member).await?;
            let (digest, diff_id) = (digest_in(member), Some(diff_id.clone()));
            layers.push(Layer {
                media_type: None,
                digest,
                size: Some(size),
                diff_id,
                role: TarRole::Layer,
            });
        }
        let image = Image {
            reference: reference.into(),
            digest: Some(Digest::sha256(&self.config_bytes)),
            manifest: Vec::new(),
            platform: self.platform,
            created: self.config.created(),
            layers,
            config: self.config_bytes,
            offers: Vec::new(),
        };
        Ok(Found::Members(image, self.item.layers))
    }
}

/// The digest in a blob's path, `blobs/sha256/…`.
fn digest_in(path: &str) -> Option<Digest> {
    let (algorithm, hex) = path.strip_prefix("blobs/")?.split_once('/')?;
    format!("{algorithm}:{hex}").parse().ok()
}

/// Finds the manifest whose config is `config`.
///
/// The index may list platforms and attestations that were not saved; those are passed over.
async fn with_config(files: &Files, config: &Digest, limits: &Limits) -> Result<Option<Loaded>> {
    let index = layout::read_index(files, limits).await?;
    let mut pending: Vec<_> = index
        .manifests
        .into_iter()
        .map(|entry| (entry, 1))
        .collect();
    for _ in 0..limits.index_entries {
        let Some((entry, depth)) = pending.pop() else {
            return Ok(None);
        };
        if entry.is_attestation() || !files.holds(&layout::blob_path(&entry.digest)) {
            continue;
        }
        match entry.media_type.kind() {
            MediaKind::Manifest => match image::load(files, &entry, limits).await {
                Ok(loaded) if loaded.config_digest() == config => return Ok(Some(loaded)),
                Err(error)
                    if !matches!(error.kind(), ErrorKind::NotFound | ErrorKind::Unsupported) =>
                {
                    return Err(error);
                }
                _ => {}
            },
            MediaKind::Index if depth < limits.index_depth => {
                let limit = limits.manifest_bytes;
                let bytes = image::fetch(files, &entry, "index", limit).await?;
                let nested = Index::parse(&bytes)?.manifests;
                pending.extend(nested.into_iter().map(|entry| (entry, depth + 1)));
            }
            _ => {}
        }
    }
    let message = format!("index lists more than {} descriptors", limits.index_entries);
    Err(Error::new(ErrorKind::LimitExceeded, message))
}

/// An image of plain members, checked by diff_id alone.
struct DockerSource {
    files: Files,
    image: Image,
    members: Vec<String>,
}

impl DockerSource {
    async fn layer(&self, layer: usize) -> Result<Blob> {
        let (Some(member), Some(described)) =
            (self.members.get(layer), self.image.layers.get(layer))
        else {
            let message = format!("image has no layer {layer}");
            return Err(Error::new(ErrorKind::InvalidInput, message));
        };
        let (reader, size) = self.files.open(member).await?;
        Ok(match &described.digest {
            Some(digest) => Box::pin(reader.verified(digest.clone(), size)),
            None => Box::pin(reader),
        })
    }
}

impl Source for DockerSource {
    fn image(&self) -> &Image {
        &self.image
    }

    fn open_layer(&self, layer: usize) -> BoxFuture<'_, Result<Blob>> {
        Box::pin(self.layer(layer))
    }
}
