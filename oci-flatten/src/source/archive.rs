//! Archives that hold an image: a tar whose members are found by name.

use std::collections::BTreeMap;
use std::fs::File;
use std::sync::Arc;

use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::file::{self, FileReader, Opened};
use super::members::{self, Member, Place, clean};
use super::{OpenOptions, TarInput};
use crate::compression::Compression;
use crate::decode;
use crate::error::{Error, ErrorKind, Result, excerpt};

/// The most links followed from one name; `docker save` needs one.
const MAX_LINKS: usize = 16;

/// An archive whose members can be read in any order.
pub(super) struct Archive {
    name: String,
    members: BTreeMap<String, Member>,
}

impl Archive {
    /// Opens an archive and finds its members.
    ///
    /// What cannot be sought in, a pipe or a compressed file, is first copied into a file without a name.
    pub(super) async fn open(input: &TarInput, options: &OpenOptions) -> Result<Self> {
        let name = file::shown(input);
        let (file, length) = match file::open(input).await? {
            Opened::Stream(file) => spool(FileReader::stream(file), &name, options).await?,
            Opened::Regular(file, length) => {
                let head = FileReader::peek(file.clone(), 0, length);
                let in_place = |error| Error::io(format!("read {name}"), error);
                match decode::sniff(head).await.map_err(in_place)?.0 {
                    Compression::None => (file, length),
                    _ => spool(FileReader::part(file, 0, length), &name, options).await?,
                }
            }
        };
        let (limits, spool_dir) = (options.limits.clone(), options.spool_dir.clone());
        let search = move || members::find(&file, length, &limits, &spool_dir);
        let members = tokio::task::spawn_blocking(search)
            .await
            .unwrap_or_else(|error| std::panic::resume_unwind(error.into_panic()))
            .map_err(|error| error.context(&name))?;
        Ok(Self { name, members })
    }

    /// Whether there is such a member.
    pub(super) fn holds(&self, path: &str) -> bool {
        self.find(path).is_ok()
    }

    /// A member's bytes, and how many they are.
    pub(super) fn member(&self, path: &str) -> Result<(FileReader, u64)> {
        let Place {
            file,
            position,
            size,
        } = self.find(path)?.clone();
        Ok((FileReader::part(file, position, position + size), size))
    }

    fn find(&self, path: &str) -> Result<&Place> {
        let missing = || {
            let message = format!("{} has no member {}", self.name, excerpt(path));
            Error::new(ErrorKind::NotFound, message)
        };
        let mut at = clean(path.as_bytes()).ok_or_else(missing)?;
        for _ in 0..=MAX_LINKS {
            match self.members.get(&at) {
                Some(Member::File(place)) => return Ok(place),
                Some(Member::Link(target)) => at.clone_from(target),
                None => return Err(missing()),
            }
        }
        let message = format!("more than {MAX_LINKS} links from member {}", excerpt(path));
        Err(Error::new(ErrorKind::Malformed, message).context(&self.name))
    }
}

/// Copies a stream, decompressed, into a file that vanishes with its last handle.
async fn spool(reader: FileReader, name: &str, options: &OpenOptions) -> Result<(Arc<File>, u64)> {
    let directory = &options.spool_dir;
    let writing = |error| Error::io(format!("spool {name} in {}", directory.display()), error);
    let reading = |error| decode::stream_error(error).context(name);
    let file = tempfile::tempfile_in(directory).map_err(writing)?;
    let mut out = tokio::fs::File::from_std(file.try_clone().map_err(writing)?);
    let limit = options.limits.expanded_bytes;
    let decoded = decode::decode(reader, limit).await.map_err(reading)?;
    let mut stream = decoded.stream;
    let (mut buffer, mut length) = (vec![0; decode::BUFFER], 0);
    loop {
        let read = stream.read(&mut buffer).await.map_err(reading)?;
        if read == 0 {
            break;
        }
        length += read as u64;
        if length > limit {
            let message = format!("{name} has more than {limit} bytes");
            return Err(Error::new(ErrorKind::LimitExceeded, message));
        }
        out.write_all(&buffer[..read]).await.map_err(writing)?;
    }
    out.flush().await.map_err(writing)?;
    Ok((Arc::new(file), length))
}
