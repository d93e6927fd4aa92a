//! `tar:FILE`: one root filesystem tar as an image of one layer.

use std::fs::File;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use super::file::{self, FileReader, Opened};
use super::{Blob, BoxFuture, OpenOptions, Source, TarInput};
use crate::apply::{RoleProblem, TarRole};
use crate::error::{Error, ErrorKind, Result};
use crate::image::{Image, Layer};

/// An image whose only layer is a tar, as it comes.
pub(super) struct RootfsTar {
    image: Image,
    input: Input,
}

enum Input {
    File(Arc<File>, u64),
    /// A pipe, until it is read.
    Stream(Mutex<Option<File>>),
}

impl RootfsTar {
    pub(super) async fn open(
        input: &TarInput,
        reference: &str,
        options: &OpenOptions,
    ) -> Result<Self> {
        if let TarInput::File(path) = input
            && holds_layout(path)
        {
            let message = format!("open {}", path.display());
            let error = Error::new(ErrorKind::InvalidInput, message);
            return Err(error.with_source(RoleProblem::OciLayout));
        }
        let (input, size) = match file::open(input).await? {
            Opened::Regular(file, length) => (Input::File(file, length), Some(length)),
            Opened::Stream(file) => (Input::Stream(Mutex::new(Some(file))), None),
        };
        let image = Image {
            reference: reference.into(),
            digest: None,
            manifest: Vec::new(),
            config: Vec::new(),
            platform: options.platform.clone(),
            created: None,
            layers: vec![Layer {
                size,
                role: TarRole::RootFilesystem {
                    allow_truncated: options.allow_truncated_tar,
                },
                ..Layer::default()
            }],
            offers: Vec::new(),
        };
        Ok(Self { image, input })
    }

    fn layer(&self, layer: usize) -> Result<Blob> {
        if layer > 0 {
            let message = format!("image has no layer {layer}");
            return Err(Error::new(ErrorKind::InvalidInput, message));
        }
        match &self.input {
            Input::File(file, length) => Ok(Box::pin(FileReader::part(file.clone(), 0, *length))),
            Input::Stream(file) => {
                let file = file.lock().unwrap_or_else(PoisonError::into_inner).take();
                let file = file.ok_or_else(|| {
                    Error::new(ErrorKind::InvalidInput, "a pipe can be read only once")
                })?;
                Ok(Box::pin(FileReader::stream(file)))
            }
        }
    }
}

/// Whether the user has named a layout in place of a tar.
#[expect(
    clippy::disallowed_methods,
    reason = "the path is the user's, and nothing is opened"
)]
fn holds_layout(path: &Path) -> bool {
    path.join("oci-layout").is_file()
}

impl Source for RootfsTar {
    fn image(&self) -> &Image {
        &self.image
    }

    fn open_layer(&self, layer: usize) -> BoxFuture<'_, Result<Blob>> {
        Box::pin(std::future::ready(self.layer(layer)))
    }
}
