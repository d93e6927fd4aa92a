//! What an archive holds: every member's place, found by the reader that layers are read with, so that both take a tar the same
//! way.

use std::collections::BTreeMap;
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::Arc;

use crate::error::{Error, ErrorKind, Result, excerpt};
use crate::limits::{LimitExceeded, Limits};
use crate::tar::{Entry, EntryKind, Event, TarError, TarProblem, TarReader};

/// The most members an archive may have: an image of 1000 layers needs 5000.
const MAX_MEMBERS: u64 = 65_536;

/// Bytes read at once, for headers, as contents are passed over.
const WINDOW: usize = 16 * 1024;

/// One member.
#[derive(Clone, Debug)]
pub(super) enum Member {
    File(Place),
    /// The cleaned path of another member.
    Link(String),
}

/// Where a member's bytes are.
#[derive(Clone, Debug)]
pub(super) struct Place {
    pub(super) file: Arc<File>,
    pub(super) position: u64,
    pub(super) size: u64,
}

/// Finds the members of an archive of `length` bytes by their cleaned paths; of several with one path, the last.
///
/// Sparse ones are copied, holes as holes, into a file without a name in `spool_dir`.
pub(super) fn find(
    archive: &Arc<File>,
    length: u64,
    limits: &Limits,
    spool_dir: &Path,
) -> Result<BTreeMap<String, Member>> {
    let mut members = Members::default();
    let mut spool = Spool::new(spool_dir);
    let mut reader = TarReader::new(&limits.tar());
    let (mut window, mut position, mut count) = (vec![0; WINDOW], 0, 0);
    while position < length && !reader.is_at_end() {
        let read = archive
            .read_at(&mut window, position)
            .map_err(|error| Error::io("read archive", error))?;
        if read == 0 {
            break;
        }
        let mut rest = &window[..read];
        let mut next = position + read as u64;
        while let Some(event) = reader.next_event(&mut rest).map_err(malformed)? {
            match event {
                Event::Entry(entry) => {
                    count += 1;
                    LimitExceeded::check("archive", count, "members", MAX_MEMBERS)
                        .map_err(exceeded)?;
                    let header = Header::of(&entry, limits)?;
                    let begin = position + (read - rest.len()) as u64;
                    match reader.pass_over_content() {
                        Some(size) => {
                            if size > length - begin {
                                return Err(header.cut_short(size));
                            }
                            let file = archive.clone();
                            members.add(
                                header,
                                Place {
                                    file,
                                    position: begin,
                                    size,
                                },
                            );
                            if size > 0 {
                                next = begin + size;
                                break;
                            }
                        }
                        None => spool.begin(header)?,
                    }
                }
                Event::Data(bytes) => spool.write(bytes)?,
                Event::Hole(length) => spool.skip(length),
                Event::EntryEnd => {
                    if let Some((header, place)) = spool.end()? {
                        members.add(header, place);
                    }
                }
            }
        }
        position = next;
    }
    reader.finish().map_err(malformed)?;
    Ok(members.0)
}

fn malformed(error: TarError) -> Error {
    let kind = match error.problem {
        TarProblem::Limit(_) => ErrorKind::LimitExceeded,
        _ => ErrorKind::Malformed,
    };
    Error::new(kind, error.to_string())
}

fn exceeded(error: LimitExceeded) -> Error {
    Error::new(ErrorKind::LimitExceeded, error.to_string())
}

/// What is kept of an entry.
struct Header {
    kind: EntryKind,
    path: Vec<u8>,
    link: Vec<u8>,
}

impl Header {
    fn of(entry: &Entry<'_>, limits: &Limits) -> Result<Self> {
        let limit = limits.path_bytes as u64;
        for (what, name) in [
            ("path of a member", entry.path),
            ("link of a member", entry.link),
        ] {
            LimitExceeded::check(what, name.len() as u64, "bytes", limit).map_err(exceeded)?;
        }
        Ok(Self {
            kind: entry.kind,
            path: entry.path.to_vec(),
            link: entry.link.to_vec(),
        })
    }

    fn cut_short(&self, size: u64) -> Error {
        let name = self.path.escape_ascii().to_string();
        let message = format!(
            "archive ends inside member {} ({size} bytes)",
            excerpt(&name)
        );
        Error::new(ErrorKind::Malformed, message)
    }
}

#[derive(Default)]
struct Members(BTreeMap<String, Member>);

impl Members {
    fn add(&mut self, header: Header, place: Place) {
        let member = match header.kind {
            EntryKind::File => Some(Member::File(place)),
            // It is the file that has the name now, whatever gets the name later.
            EntryKind::HardLink => clean(&header.link).map(|target| match self.0.get(&target) {
                Some(known) => known.clone(),
                None => Member::Link(target),
            }),
            EntryKind::Symlink => {
                let mut target = match header.path.iter().rposition(|byte| *byte == b'/') {
                    Some(slash) if !header.link.starts_with(b"/") => header.path[..=slash].to_vec(),
                    _ => Vec::new(),
                };
                target.extend_from_slice(&header.link);
                clean(&target).map(Member::Link)
            }
            _ => None,
        };
        if let (Some(path), Some(member)) = (clean(&header.path), member) {
            self.0.insert(path, member);
        }
    }
}

/// The file of sparse members, one behind the other.
struct Spool<'a> {
    directory: &'a Path,
    file: Option<Arc<File>>,
    /// Where the next byte goes.
    position: u64,
    /// The member that is copied, and where it begins.
    current: Option<(Header, u64)>,
}

impl<'a> Spool<'a> {
    fn new(directory: &'a Path) -> Self {
        Self {
            directory,
            file: None,
            position: 0,
            current: None,
        }
    }

    fn failed(&self, error: std::io::Error) -> Error {
        Error::io(
            format!("spool a sparse member in {}", self.directory.display()),
            error,
        )
    }

    fn begin(&mut self, header: Header) -> Result<()> {
        if self.file.is_none() {
            let file = tempfile::tempfile_in(self.directory);
            self.file = Some(Arc::new(file.map_err(|error| self.failed(error))?));
        }
        self.current = Some((header, self.position));
        Ok(())
    }

    fn write(&mut self, bytes: &[u8]) -> Result<()> {
        if let Some(file) = &self.file {
            let written = file.write_all_at(bytes, self.position);
            written.map_err(|error| self.failed(error))?;
        }
        self.position += bytes.len() as u64;
        Ok(())
    }

    fn skip(&mut self, length: u64) {
        self.position += length;
    }

    /// What was copied; nothing where nothing was.
    fn end(&mut self) -> Result<Option<(Header, Place)>> {
        let (Some((header, begin)), Some(file)) = (self.current.take(), &self.file) else {
            return Ok(None);
        };
        // A hole at the end is only there when the file is that long.
        file.set_len(self.position)
            .map_err(|error| self.failed(error))?;
        let size = self.position - begin;
        let place = Place {
            file: file.clone(),
            position: begin,
            size,
        };
        Ok(Some((header, place)))
    }
}

/// A path without `.`, `..` and repeated slashes; `None` where it leads out of the archive or is not text.
pub(super) fn clean(path: &[u8]) -> Option<String> {
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
