//! The content of one file of the host.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};

use super::{SourceError, escaped, io_error};
use crate::content::Content;
use crate::device::{Device, host};
use crate::image::ImageWriter;

/// Stores the content of an open file, its holes as holes where the host tells them.
pub(super) fn store<D: Device>(
    image: &mut ImageWriter<D>,
    file: &mut File,
    size: u64,
    path: &[u8],
) -> Result<Content, SourceError> {
    let failed = |error| io_error("read", path, error);
    let mut buffer = vec![0; 256 * 1024];
    let mut content = image.content(size);
    let mut at = 0;
    while at < size {
        let data = host::next_data(file, at, size).map_err(failed)?;
        content.hole(data.start - at)?;
        at = data.start;
        file.seek(SeekFrom::Start(at)).map_err(failed)?;
        while at < data.end {
            let wanted = (data.end - at).min(buffer.len() as u64) as usize;
            let count = file.read(&mut buffer[..wanted]).map_err(failed)?;
            if count == 0 {
                return Err(SourceError::Changed {
                    path: escaped(path),
                });
            }
            content.append(&buffer[..count])?;
            at += count as u64;
        }
    }
    Ok(content.finish()?)
}
