//! Bytes as a tar: read whole and in pieces, and made into an image.

use std::io::Read;

use ext4_writer::{FormatOptions, ImageWriter, JournalRule, MemoryDevice, SizeRule, read_tar};

/// The image of the archive, where it is one. The first byte says how long the pieces are.
pub(crate) fn check(data: &[u8]) -> Option<Vec<u8>> {
    let (&length, archive) = data.split_first()?;
    let whole = image(archive);
    let pieces = image(Pieces(archive, usize::from(length) + 1));
    assert!(whole == pieces, "{:?} {:?}", whole.err(), pieces.err());
    whole.ok()
}

fn image(archive: impl Read) -> Result<Vec<u8>, String> {
    let device = MemoryDevice::new();
    let options = FormatOptions::default()
        .journal(JournalRule::None)
        .size(SizeRule::Shrink);
    let mut writer = ImageWriter::new(&device, options).expect("the options are good");
    // Wherever the bytes stop, they are tried as if they ended there.
    let whole = archive.chain(&[0; 1024][..]);
    let tree = read_tar(&mut writer, whole).map_err(|error| error.to_string())?;
    writer.finish(tree).map_err(|error| error.to_string())?;
    Ok(device.to_vec())
}

/// A reader that gives this many bytes at once.
struct Pieces<'a>(&'a [u8], usize);

impl Read for Pieces<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let length = self.1.min(buffer.len());
        self.0.read(&mut buffer[..length])
    }
}
