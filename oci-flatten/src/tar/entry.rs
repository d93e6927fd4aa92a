//! From a header and the extension headers before it to an entry.

use super::TarProblem;
use super::body::{Body, SparsePosition};
use super::header::{self, Dialect, Header};
use super::pax::{Key, XattrRecords};
use super::reader::{LayerReader, State, Step, padding, replace};
use crate::entry::{EntryKind, Timestamp};
use crate::limits::LimitExceeded;

/// One entry with its extension headers resolved; names and numbers as they stand, not yet judged.
#[derive(Debug, Clone, Copy)]
pub struct Entry<'r> {
    /// What it is.
    pub kind: EntryKind,
    /// Name as in the archive.
    pub path: &'r [u8],
    /// Target of a hard or symbolic link as in the archive.
    pub link: &'r [u8],
    /// Mode, possibly with bits of the file's type.
    pub mode: i64,
    /// Owner.
    pub uid: i64,
    /// Group.
    pub gid: i64,
    /// Time of last modification.
    pub mtime: Timestamp,
    /// Bytes of content, holes included; 0 for kinds without content.
    pub size: u64,
    /// Major device number.
    pub device_major: i64,
    /// Minor device number.
    pub device_minor: i64,
    /// Extended attributes.
    pub xattrs: XattrRecords<'r>,
}

/// The entry whose header was read last.
#[derive(Debug)]
pub(super) struct Current {
    pub(super) kind: EntryKind,
    pub(super) path: Vec<u8>,
    pub(super) link: Vec<u8>,
    pub(super) header: Header,
    pub(super) mtime: Timestamp,
    pub(super) size: u64,
}

impl Default for Current {
    fn default() -> Self {
        Self {
            kind: EntryKind::File,
            path: Vec::new(),
            link: Vec::new(),
            header: Header::default(),
            mtime: Timestamp::default(),
            size: 0,
        }
    }
}

impl LayerReader {
    pub(super) fn entry(&self) -> Entry<'_> {
        let Current {
            kind,
            path,
            link,
            header,
            mtime,
            size,
        } = &self.entry;
        Entry {
            kind: *kind,
            path,
            link,
            mode: header.mode,
            uid: header.uid,
            gid: header.gid,
            mtime: *mtime,
            size: *size,
            device_major: header.device_major,
            device_minor: header.device_minor,
            xattrs: self.pending.pax.xattrs(),
        }
    }

    pub(super) fn begin_entry<'i>(&mut self, header: Header) -> Result<Step<'i>, TarProblem> {
        let pax = &self.pending.pax;
        self.entry.header = header;
        let entry = &mut self.entry;
        if entry.header.size < 0
            && !EntryKind::from_type_flag(entry.header.type_flag).is_header_only()
        {
            return Err(TarProblem::NegativeSize);
        }
        if let Some(uid) = pax.number(Key::Uid, "user id")? {
            entry.header.uid = uid;
        }
        if let Some(gid) = pax.number(Key::Gid, "group id")? {
            entry.header.gid = gid;
        }
        if let Some(size) = pax.number(Key::Size, "size")? {
            entry.header.size = size;
        }
        pax.time(Key::AccessTime, "access time")?;
        pax.time(Key::ChangeTime, "change time")?;
        let mtime = pax.time(Key::ModificationTime, "modification time")?;
        entry.mtime = mtime.unwrap_or(Timestamp {
            seconds: entry.header.mtime,
            nanoseconds: 0,
        });
        self.name_entry();
        self.begin_body()
    }

    /// Chooses name and target: GNU's long ones before PAX' before the header's.
    fn name_entry(&mut self) {
        let Self {
            entry,
            pending,
            block,
            ..
        } = self;
        let pax = &pending.pax;
        match (pending.long_name.is_empty(), pax.value(Key::Path)) {
            (false, _) => std::mem::swap(&mut entry.path, &mut pending.long_name),
            (true, Some(path)) => replace(&mut entry.path, path),
            (true, None) => entry.header.copy_name(block, &mut entry.path),
        }
        match (pending.long_link.is_empty(), pax.value(Key::LinkPath)) {
            (false, _) => std::mem::swap(&mut entry.link, &mut pending.long_link),
            (true, Some(link)) => replace(&mut entry.link, link),
            (true, None) => replace(&mut entry.link, header::link_name(block)),
        }
        // Before ustar a directory was a file whose name ends in a slash.
        let flag = entry.header.type_flag;
        entry.kind = match EntryKind::from_type_flag(flag) {
            EntryKind::File if flag == 0 && entry.path.ends_with(b"/") => EntryKind::Directory,
            kind => kind,
        };
    }

    fn begin_body<'i>(&mut self) -> Result<Step<'i>, TarProblem> {
        let Current { kind, header, .. } = &self.entry;
        let size = if kind.is_header_only() {
            0
        } else {
            header.size
        };
        let left = u64::try_from(size).map_err(|_| TarProblem::NegativeSize)?;
        let mut body = Body {
            left,
            padding: padding(left),
            sparse: None,
        };
        if header.type_flag == b'S' {
            if header.dialect != Dialect::Gnu {
                return Err(TarProblem::SparseMap);
            }
            let size = header::gnu_real_size(&self.block).ok_or(TarProblem::Number("real size"))?;
            self.map.reset(size)?;
            let (entries, extended) = header::gnu_sparse_map(&self.block);
            self.map.push_old_gnu(entries)?;
            body.sparse = Some(SparsePosition::default());
            if extended {
                self.state = State::SparseBlock { blocks: 1, body };
                return Ok(Step::Again);
            }
        } else if let Some(text) = self.begin_pax_sparse()? {
            body.sparse = Some(SparsePosition::default());
            if text {
                self.sparse_text.clear();
                self.state = State::SparseText { body };
                return Ok(Step::Again);
            }
        }
        self.announce(body)
    }

    /// Whether the entry is sparse by its PAX records, and if so, whether the map stands before the data.
    fn begin_pax_sparse(&mut self) -> Result<Option<bool>, TarProblem> {
        let pax = &self.pending.pax;
        let has_map = || pax.sparse_numbers().next().is_some();
        let text = match (pax.value(Key::SparseMajor), pax.value(Key::SparseMinor)) {
            (Some(b"0"), Some(b"0" | b"1")) => false,
            (Some(b"1"), Some(b"0")) => true,
            (None, None) if has_map() => false,
            _ => return Ok(None),
        };
        if self.entry.kind.is_header_only() {
            return Err(TarProblem::SparseMap);
        }
        if let Some(name) = pax.value(Key::SparseName) {
            replace(&mut self.entry.path, name);
        }
        let size = match pax.number(Key::SparseSize, "sparse size")? {
            Some(size) => Some(size),
            None => pax.number(Key::SparseRealSize, "sparse size")?,
        };
        self.map.reset(size.unwrap_or(self.entry.header.size))?;
        if !text {
            self.map.read_records(pax)?;
        }
        Ok(Some(text))
    }

    /// All that precedes the content has been read.
    pub(super) fn announce<'i>(&mut self, body: Body) -> Result<Step<'i>, TarProblem> {
        self.entry.size = if body.sparse.is_some() {
            self.map.size()
        } else {
            body.left
        };
        LimitExceeded::check("file", self.entry.size, "bytes", self.limits.file_bytes)?;
        self.state = State::Body(body);
        Ok(Step::Entry)
    }
}
