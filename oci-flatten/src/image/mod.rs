//! Images as their documents describe them: descriptors, manifests, indexes, configs.
//!
//! [`resolve`] walks from a document to the one image that fits a platform, reading further
//! documents through [`Documents`]; every one is bounded and checked against its descriptor.

mod config;
mod descriptor;
mod document;
mod load;
mod resolve;
mod select;

pub(crate) use config::Config;
pub use descriptor::Descriptor;
pub(crate) use document::Index;
#[cfg(feature = "registry")]
pub(crate) use document::{check_manifest, media_type_of};
pub use load::{Document, Documents};
pub(crate) use load::{Loaded, fetch, load};
pub use resolve::resolve;
pub(crate) use select::{Fit, select_each};

use crate::apply::TarRole;
use crate::digest::Digest;
use crate::entry::Timestamp;
use crate::media_type::MediaType;
use crate::platform::Platform;

/// One image for one platform: what there is to flatten, and how to check it.
#[derive(Clone, Debug)]
pub struct Image {
    /// The source, in full, as a person would write it.
    pub reference: String,
    /// What the image is known by: its manifest's digest.
    ///
    /// A `docker-archive:` without a manifest has its config's instead (Docker's image id). A root
    /// filesystem tar is known by the digest of its bytes, which
    /// [`Flattened::digest`](crate::flatten::Flattened::digest) gives once they have passed.
    pub digest: Option<Digest>,
    /// The manifest, byte for byte; empty where the source has none.
    pub manifest: Vec<u8>,
    /// The config, byte for byte; empty for a root filesystem tar.
    pub config: Vec<u8>,
    /// The platform it is for.
    pub platform: Platform,
    /// When it was made, if the config says so and it is not before 1970.
    pub created: Option<Timestamp>,
    /// The layers, bottom first.
    pub layers: Vec<Layer>,
    /// All images of the index through which this one was found; empty where there was none.
    pub offers: Vec<Offer>,
}

/// An image, or an index of images, that an index offers for a platform.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Offer {
    /// The platform, where the index names one.
    pub platform: Option<Platform>,
    /// The digest of its manifest, or of the index.
    pub digest: Digest,
    /// The bytes of that.
    pub size: u64,
}

/// One layer as its image describes it.
///
/// An image with a manifest knows all four; a `docker-archive:` without one knows size and diff_id,
/// a root filesystem tar at most its size.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Layer {
    /// The type that the manifest gives it.
    pub media_type: Option<MediaType>,
    /// The digest of the blob as it is stored.
    pub digest: Option<Digest>,
    /// The bytes of the blob as it is stored.
    pub size: Option<u64>,
    /// The digest of the decompressed tar.
    pub diff_id: Option<Digest>,
    /// What the tar is read as.
    pub role: TarRole,
}
