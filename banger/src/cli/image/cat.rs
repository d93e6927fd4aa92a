//! `banger image cat`.

use std::io::{self, Write};

use banger::Error;
use banger::operation::ImageReadFile;

use crate::cli::Global;
use crate::cli::backend::Backend;

/// Print a file of an image's root filesystem
///
/// Nothing is mounted. The bytes go to standard output as they are.
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// Image: its name, or the beginning of its id
    image: String,
    /// Path in the image
    path: String,
}

impl Arguments {
    pub(super) fn run(self, global: &Global) -> Result<(), Error> {
        let mut output = io::stdout().lock();
        let mut offset = 0;
        loop {
            let request = ImageReadFile::from(self.image.clone(), self.path.clone(), offset);
            let part = Backend::of(global)?.call(request, global)?;
            let bytes = part.bytes()?;
            match output.write_all(&bytes).and_then(|()| output.flush()) {
                // A reader that has gone away is no failure.
                Err(error) if error.kind() == io::ErrorKind::BrokenPipe => return Ok(()),
                Err(error) => return Err(Error::io("write to standard output", error)),
                Ok(()) => offset += bytes.len() as u64,
            }
            if bytes.is_empty() || offset >= part.size {
                return Ok(());
            }
        }
    }
}
