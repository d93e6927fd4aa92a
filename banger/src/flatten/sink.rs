//! File contents of the layers, into the blocks of the filesystem.

use ext4_writer::{Content, Device, Error, ImageWriter};
use oci_flatten::apply::ContentSink;

/// Passes contents on to the writer of the image.
pub(super) struct Ext4Sink<D: Device> {
    image: ImageWriter<D>,
}

impl<D: Device> Ext4Sink<D> {
    pub(super) fn new(image: ImageWriter<D>) -> Self {
        Self { image }
    }

    pub(super) fn into_image(self) -> ImageWriter<D> {
        self.image
    }
}

impl<D: Device> ContentSink for Ext4Sink<D> {
    type Content = Content;
    type Error = Error;

    fn begin(&mut self, size: u64) -> Result<(), Error> {
        self.image.begin_content(size)
    }

    fn write(&mut self, bytes: &[u8]) -> Result<(), Error> {
        self.image.write_content(bytes)
    }

    fn hole(&mut self, length: u64) -> Result<(), Error> {
        self.image.skip_content(length)
    }

    fn end(&mut self) -> Result<Content, Error> {
        self.image.end_content()
    }

    fn release(&mut self, content: Content) -> Result<(), Error> {
        self.image.release(content)
    }
}
