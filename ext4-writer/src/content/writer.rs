//! The content of one file while it is written.

use std::io;

use super::Content;
use super::store::{ContentStore, OpenContent};
use crate::device::{Access, Device};
use crate::error::Error;

/// Writes the content of one file into an image; comes from [`ImageWriter::content`](crate::ImageWriter::content).
///
/// Bytes come by [`io::Write`], whose errors hold an [`Error`], or by [`ContentWriter::append`]. A writer that is dropped before
/// [`ContentWriter::finish`] gives its blocks back.
///
/// ```
/// use std::io::Write;
/// use ext4_writer::{FormatOptions, ImageWriter, MemoryDevice};
///
/// let mut image = ImageWriter::new(MemoryDevice::new(), FormatOptions::default())?;
/// let mut content = image.content(0);
/// content.write_all(b"begin")?;
/// content.hole(1 << 30)?;
/// content.write_all(b"end")?;
/// assert_eq!(content.finish()?.size(), (1 << 30) + 8);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct ContentWriter<'a, D: Device> {
    store: &'a mut ContentStore,
    access: &'a Access<D>,
    /// `None` once it failed, or is no longer ours.
    open: Option<OpenContent>,
}

/// A content that is not complete, apart from its image; [`ImageWriter::resume`](crate::ImageWriter::resume) goes on with it.
///
/// For callers who get a content piece by piece and cannot keep the image borrowed in between. Several may be under way at once.
/// The blocks of one that is dropped are free when the image is finished.
#[derive(Debug)]
#[must_use = "a content that is dropped is lost"]
pub struct SuspendedContent(OpenContent);

impl<'a, D: Device> ContentWriter<'a, D> {
    pub(crate) fn new(
        store: &'a mut ContentStore,
        access: &'a Access<D>,
        open: OpenContent,
    ) -> Self {
        Self {
            store,
            access,
            open: Some(open),
        }
    }

    pub(crate) fn resume(
        store: &'a mut ContentStore,
        access: &'a Access<D>,
        content: SuspendedContent,
    ) -> Result<Self, Error> {
        store.check(&content.0)?;
        Ok(Self::new(store, access, content.0))
    }

    /// Adds bytes. Blocks of zeros take no space of the device, and with
    /// [`FormatOptions::zeros_to_holes`](crate::FormatOptions::zeros_to_holes) none of the filesystem.
    ///
    /// # Errors
    /// Where the device fails or the file becomes too large for ext4. Nothing can be added or finished after that.
    pub fn append(&mut self, bytes: &[u8]) -> Result<(), Error> {
        self.step(|store, access, open| store.write(access, open, bytes))
    }

    /// Adds a hole of `length` bytes. Blocks that are partly written take space all the same.
    ///
    /// # Errors
    /// As for [`ContentWriter::append`].
    pub fn hole(&mut self, length: u64) -> Result<(), Error> {
        self.step(|store, access, open| store.skip(access, open, length))
    }

    /// Ends the content, which then can be given to a tree.
    ///
    /// # Errors
    /// Where the device fails, or failed before.
    pub fn finish(mut self) -> Result<Content, Error> {
        let open = self.open.take().ok_or(Error::IncompleteContent)?;
        self.store.end(self.access, open)
    }

    /// Sets the content aside, so that the image is free for something else.
    ///
    /// # Errors
    /// Where writing it has failed.
    pub fn suspend(mut self) -> Result<SuspendedContent, Error> {
        let open = self.open.take().ok_or(Error::IncompleteContent)?;
        Ok(SuspendedContent(open))
    }

    fn step(
        &mut self,
        work: impl FnOnce(&mut ContentStore, &Access<D>, &mut OpenContent) -> Result<(), Error>,
    ) -> Result<(), Error> {
        let mut open = self.open.take().ok_or(Error::IncompleteContent)?;
        match work(self.store, self.access, &mut open) {
            Ok(()) => {
                self.open = Some(open);
                Ok(())
            }
            Err(error) => {
                self.store.abandon(open);
                Err(error)
            }
        }
    }
}

impl<D: Device> io::Write for ContentWriter<'_, D> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.append(bytes)?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<D: Device> Drop for ContentWriter<'_, D> {
    fn drop(&mut self) {
        if let Some(open) = self.open.take() {
            self.store.abandon(open);
        }
    }
}
