use crate::apply::ContentSink;

/// A sink that keeps contents in memory, holes filled in, and knows which are still in use.
#[derive(Debug, Default)]
pub struct MemorySink {
    open: Vec<u8>,
    expected: u64,
    stored: Vec<Option<Vec<u8>>>,
}

/// A content of a [`MemorySink`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MemoryContent(usize);

impl MemorySink {
    /// The bytes of a content; `None` once it was released.
    pub fn bytes(&self, content: MemoryContent) -> Option<&[u8]> {
        self.stored.get(content.0)?.as_deref()
    }

    /// How many contents are in use.
    pub fn live(&self) -> usize {
        self.stored.iter().flatten().count()
    }
}

/// A content was released twice, or is longer or shorter than announced.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("content is used against its contract")]
pub struct MisusedContent;

impl ContentSink for MemorySink {
    type Content = MemoryContent;
    type Error = MisusedContent;

    fn begin(&mut self, size: u64) -> Result<(), Self::Error> {
        self.open.clear();
        self.expected = size;
        self.open
            .reserve_exact(usize::try_from(size.min(1 << 20)).unwrap_or(0));
        Ok(())
    }

    fn write(&mut self, bytes: &[u8]) -> Result<(), Self::Error> {
        self.open.extend_from_slice(bytes);
        Ok(())
    }

    fn hole(&mut self, length: u64) -> Result<(), Self::Error> {
        let length = usize::try_from(length).map_err(|_| MisusedContent)?;
        self.open.resize(self.open.len() + length, 0);
        Ok(())
    }

    fn end(&mut self) -> Result<Self::Content, Self::Error> {
        if self.open.len() as u64 != self.expected {
            return Err(MisusedContent);
        }
        self.stored.push(Some(std::mem::take(&mut self.open)));
        Ok(MemoryContent(self.stored.len() - 1))
    }

    fn release(&mut self, content: Self::Content) -> Result<(), Self::Error> {
        let slot = self.stored.get_mut(content.0).ok_or(MisusedContent)?;
        slot.take().map(drop).ok_or(MisusedContent)
    }
}
