//! Archives that hold an image: a tar whose members are found by name.

use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::sync::Arc;

use futures_util::StreamExt;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio_tar::EntryType;

use super::file::{self, FileReader, Opened};
use super::{OpenOptions, TarInput};
use crate::decode::{self, Decoded};
use crate::error::{Error, ErrorKind, Result, excerpt};
use crate::media_type::Compression;

/// The most members an archive may have: an image of 1000 layers needs 5000.
const MAX_MEMBERS: usize = 65_536;

/// The most links followed from one name; `docker save` needs one.
const MAX_LINKS: usize = 16;

const BLOCK: u64 = 512;

/// An archive whose members can be read in any order.
pub(super) struct Archive {
    file: Arc<File>,
    name: String,
    members: BTreeMap<String, Member>,
}

#[derive(Clone, Debug)]
enum Member {
    File {
        position: u64,
        size: u64,
    },
    /// The cleaned path of another member.
    Link(String),
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
        let members = members(&file, length)
            .await
            .map_err(|error| error.context(&name))?;
        Ok(Self {
            file,
            name,
            members,
        })
    }

    /// Whether there is such a member.
    pub(super) fn holds(&self, path: &str) -> bool {
        self.find(path).is_ok()
    }

    /// A member's bytes, and how many they are.
    pub(super) fn member(&self, path: &str) -> Result<(FileReader, u64)> {
        let (position, size) = self.find(path)?;
        Ok((
            FileReader::part(self.file.clone(), position, position + size),
            size,
        ))
    }

    fn find(&self, path: &str) -> Result<(u64, u64)> {
        let missing = || {
            let message = format!("{} has no member {}", self.name, excerpt(path));
            Error::new(ErrorKind::NotFound, message)
        };
        let mut at = clean(path.as_bytes()).ok_or_else(missing)?;
        for _ in 0..=MAX_LINKS {
            match self.members.get(&at) {
                Some(Member::File { position, size }) => return Ok((*position, *size)),
                Some(Member::Link(target)) => at.clone_from(target),
                None => return Err(missing()),
            }
        }
        let message = format!("more than {MAX_LINKS} links from member {}", excerpt(path));
        Err(Error::new(ErrorKind::Integrity, message).context(&self.name))
    }
}

/// Copies a stream, decompressed, into a file that vanishes with its last handle.
async fn spool(reader: FileReader, name: &str, options: &OpenOptions) -> Result<(Arc<File>, u64)> {
    let directory = &options.spool_dir;
    let writing = |error| Error::io(format!("spool {name} in {}", directory.display()), error);
    let reading = |error| decode::stream_error(error).context(name);
    let file = tempfile::tempfile_in(directory).map_err(writing)?;
    let mut out = tokio::fs::File::from_std(file.try_clone().map_err(writing)?);
    let Decoded { mut stream, .. } = decode::decode(reader).await.map_err(reading)?;
    let (mut buffer, mut length) = (vec![0; decode::BUFFER], 0);
    loop {
        let read = stream.read(&mut buffer).await.map_err(reading)?;
        if read == 0 {
            break;
        }
        length += read as u64;
        let limit = options.limits.expanded_bytes;
        if length > limit {
            let message = format!("{name} expands to more than {limit} bytes");
            return Err(Error::new(ErrorKind::LimitExceeded, message));
        }
        out.write_all(&buffer[..read]).await.map_err(writing)?;
    }
    out.flush().await.map_err(writing)?;
    Ok((Arc::new(file), length))
}

/// Reads the headers only: the reader starts anew behind every member's bytes.
async fn members(file: &Arc<File>, length: u64) -> Result<BTreeMap<String, Member>> {
    let mut members = BTreeMap::new();
    let (mut position, mut count) = (0, 0);
    while let Some(header) = next_header(file, position, length).await? {
        count += 1;
        if count > MAX_MEMBERS {
            let message = format!("archive has more than {MAX_MEMBERS} members");
            return Err(Error::new(ErrorKind::LimitExceeded, message));
        }
        let end = header
            .body
            .checked_add(header.size)
            .filter(|end| *end <= length);
        let Some(end) = end else {
            let (name, size) = (header.path.escape_ascii(), header.size);
            let message = format!("archive ends inside member {name} ({size} bytes)");
            return Err(Error::new(ErrorKind::Integrity, message));
        };
        if let (Some(path), Some(member)) = (clean(&header.path), header.member()) {
            members.insert(path, member);
        }
        position = end.next_multiple_of(BLOCK);
    }
    Ok(members)
}

struct Header {
    path: Vec<u8>,
    link: Option<Vec<u8>>,
    kind: EntryType,
    body: u64,
    size: u64,
}

async fn next_header(file: &Arc<File>, position: u64, length: u64) -> Result<Option<Header>> {
    let malformed = |error: io::Error| {
        Error::new(
            ErrorKind::Integrity,
            format!("malformed archive near byte {position}"),
        )
        .with_source(error)
    };
    let reader = FileReader::peek(file.clone(), position, length);
    let mut archive = tokio_tar::Archive::new(reader);
    let mut entries = archive.entries().map_err(malformed)?;
    let Some(entry) = entries.next().await else {
        return Ok(None);
    };
    let entry = entry.map_err(malformed)?;
    let kind = entry.header().entry_type();
    // Links and directories have no body, whatever their header says.
    let size = if kind.is_file() || kind.is_contiguous() {
        entry.effective_size()
    } else {
        0
    };
    Ok(Some(Header {
        path: entry.path_bytes().map_err(malformed)?.into_owned(),
        link: entry
            .link_name_bytes()
            .map_err(malformed)?
            .map(|link| link.into_owned()),
        kind,
        body: position + entry.raw_file_position(),
        size,
    }))
}

impl Header {
    fn member(&self) -> Option<Member> {
        let link = self.link.as_deref().unwrap_or_default();
        if self.kind.is_file() || self.kind.is_contiguous() {
            Some(Member::File {
                position: self.body,
                size: self.size,
            })
        } else if self.kind.is_hard_link() {
            clean(link).map(Member::Link)
        } else if self.kind.is_symlink() {
            let mut target = match self.path.iter().rposition(|byte| *byte == b'/') {
                Some(slash) if !link.starts_with(b"/") => self.path[..=slash].to_vec(),
                _ => Vec::new(),
            };
            target.extend_from_slice(link);
            clean(&target).map(Member::Link)
        } else {
            None
        }
    }
}

/// A path without `.`, `..` and repeated slashes; `None` where it leads out of the archive or is not text.
fn clean(path: &[u8]) -> Option<String> {
    let mut parts: Vec<&str> = Vec::new();
    for part in std::str::from_utf8(path).ok()?.split('/') {
        match part {
            "" | "." => {}
            ".." => drop(parts.pop()?),
            part => parts.push(part),
        }
    }
    Some(parts.join("/"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cleans_paths_within_the_archive() {
        for (path, cleaned) in [
            ("manifest.json", Some("manifest.json")),
            ("./blobs//sha256/./ab", Some("blobs/sha256/ab")),
            ("a/../b/layer.tar", Some("b/layer.tar")),
            ("a/../../b", None),
            ("..", None),
        ] {
            assert_eq!(clean(path.as_bytes()).as_deref(), cleaned, "{path}");
        }
        assert_eq!(clean(b"\xff"), None);
    }
}
