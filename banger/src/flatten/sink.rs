//! File contents of the layers, into the blocks of the filesystem.

use ext4_writer::{Content, ContentWriter, Device, Error, ImageWriter, SuspendedContent};
use oci_flatten::apply::ContentSink;

/// Passes contents on to the writer of the image.
pub(super) struct Ext4Sink<D: Device> {
    image: ImageWriter<D>,
    /// The content that is being stored, between two pieces of it.
    content: Option<SuspendedContent>,
}

impl<D: Device> Ext4Sink<D> {
    pub(super) fn new(image: ImageWriter<D>) -> Self {
        Self {
            image,
            content: None,
        }
    }

    pub(super) fn into_image(self) -> ImageWriter<D> {
        self.image
    }

    fn resume(&mut self) -> Result<ContentWriter<'_, D>, Error> {
        match self.content.take() {
            Some(content) => self.image.resume(content),
            None => Err(Error::IncompleteContent),
        }
    }

    fn step(
        &mut self,
        work: impl FnOnce(&mut ContentWriter<'_, D>) -> Result<(), Error>,
    ) -> Result<(), Error> {
        let mut content = self.resume()?;
        work(&mut content)?;
        self.content = Some(content.suspend()?);
        Ok(())
    }
}

impl<D: Device> ContentSink for Ext4Sink<D> {
    type Content = Content;
    type Error = Error;

    fn begin(&mut self, size: u64) -> Result<(), Error> {
        self.content = Some(self.image.content(size).suspend()?);
        Ok(())
    }

    fn write(&mut self, bytes: &[u8]) -> Result<(), Error> {
        self.step(|content| content.append(bytes))
    }

    fn hole(&mut self, length: u64) -> Result<(), Error> {
        self.step(|content| content.hole(length))
    }

    fn end(&mut self) -> Result<Content, Error> {
        self.resume()?.finish()
    }

    fn release(&mut self, content: Content) -> Result<(), Error> {
        self.image.release(content)
    }
}
