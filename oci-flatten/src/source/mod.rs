//! Where images come from.
//!
//! [`SourceName::parse`] says what a name means; [`open_local`] opens what lies on this machine, and
//! [`registry`](crate::registry) what does not. Both give a [`Source`]: the image, and its layers
//! as verified streams.

mod archive;
mod docker;
mod file;
mod layout;
mod members;
mod name;
mod rootfs_tar;
mod verified;

use std::fs::File;
use std::future::Future;
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::Arc;

use tokio::io::AsyncBufRead;

pub use name::{ImageChoice, LocalName, SourceName, TarInput};
pub use verified::Verified;

use crate::digest::Digest;
use crate::error::Result;
use crate::image::Image;
use crate::limits::Limits;
use crate::platform::Platform;

/// A future of a trait object's method.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// The bytes of a layer as it is stored, still compressed.
pub type Blob = Pin<Box<dyn AsyncBufRead + Send>>;

/// An image that is open.
pub trait Source: Send + Sync {
    /// What the image is.
    fn image(&self) -> &Image;

    /// Opens the blob of one layer, counted from 0 at the bottom.
    ///
    /// Where [`Image::layers`] gives it a digest and a size, the stream must check both, and give an
    /// [`ErrorKind::Integrity`](crate::error::ErrorKind::Integrity) error (as an `io::Error`, made by
    /// `From`) in place of its end when they are wrong; [`Verified`] (in a [`BufReader`](tokio::io::BufReader)) and
    /// [`verified_file`] do. It is read to its end unless the flattening fails or is cancelled.
    fn open_layer(&self, layer: usize) -> BoxFuture<'_, Result<Blob>>;

    /// What was found wrong on the way and mended, and what the registry wants its users to know (`Warning` headers), since
    /// this was asked last: sentences for the user.
    fn take_warnings(&self) -> Vec<String> {
        Vec::new()
    }
}

/// A file's bytes from its beginning, verified like [`Verified`] does it, and read and hashed ahead on
/// tokio's blocking threads.
#[must_use]
pub fn verified_file(file: File, expected: Digest, size: u64) -> Blob {
    Box::pin(file::FileReader::part(Arc::new(file), 0, u64::MAX).verified(expected, size))
}

/// How a local source is opened.
#[derive(Clone, Debug)]
pub struct OpenOptions {
    /// The platform to choose where there is a choice.
    pub platform: Platform,
    /// Bounds on documents and on what a compressed archive expands to.
    pub limits: Limits,
    /// Whether a `tar:` may lack its end marker, without which nobody knows whether it is whole.
    pub allow_truncated_tar: bool,
    /// Where an archive that cannot be sought in is kept, in a file without a name.
    pub spool_dir: PathBuf,
}

/// Opens an image that lies on this machine.
///
/// # Errors
/// See [`resolve`](crate::image::resolve); and [`ErrorKind::NotFound`](crate::error::ErrorKind::NotFound)
/// for a missing file, layout or tag, [`ErrorKind::Io`](crate::error::ErrorKind::Io) for a failed read,
/// [`ErrorKind::NoSpace`](crate::error::ErrorKind::NoSpace) when the spool does not fit.
pub async fn open_local(name: &LocalName, options: &OpenOptions) -> Result<Box<dyn Source>> {
    match name {
        LocalName::Layout { directory, image } => {
            let files = layout::Files::Directory(directory.clone());
            let source = layout::open(files, &name.to_string(), image, options).await?;
            Ok(Box::new(source))
        }
        LocalName::OciArchive { file, image } => {
            let archive = archive::Archive::open(file, options).await?;
            let files = layout::Files::Archive(archive);
            let source = layout::open(files, &name.to_string(), image, options).await?;
            Ok(Box::new(source))
        }
        LocalName::DockerArchive { file, image } => {
            let archive = archive::Archive::open(file, options).await?;
            docker::open(
                layout::Files::Archive(archive),
                &name.to_string(),
                image.as_deref(),
                options,
            )
            .await
        }
        LocalName::RootfsTar(file) => {
            let source = rootfs_tar::RootfsTar::open(file, &name.to_string(), options).await?;
            Ok(Box::new(source))
        }
    }
}
