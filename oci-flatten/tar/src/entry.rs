//! From a header and the extension headers before it to an entry.

use crate::block::{Block, replace};
use crate::error::TarProblem;
use crate::header::{self, Header};
use crate::kind::EntryKind;
use crate::pax::{Key, PaxHeader, PaxRecords, XattrRecords};
use crate::pending::Pending;
use crate::sparse::{MapRest, SparseMap};
use crate::time::Timestamp;

/// One entry with its extension headers resolved; names and numbers as they stand, not yet judged.
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
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
    /// All PAX records, for what this reader does not look at.
    pub records: PaxRecords<'r>,
}

/// The entry whose header was read last.
#[derive(Debug)]
pub(crate) struct Current {
    kind: EntryKind,
    path: Vec<u8>,
    link: Vec<u8>,
    header: Header,
    mtime: Timestamp,
    /// Bytes of content, once they are known.
    pub(crate) size: u64,
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

impl Current {
    pub(crate) fn entry<'r>(&'r self, pax: &'r PaxHeader) -> Entry<'r> {
        let Self {
            kind,
            path,
            link,
            header,
            mtime,
            size,
        } = self;
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
            xattrs: pax.xattrs(),
            records: pax.records(),
        }
    }

    /// Takes the entry over that `header`, parsed from `block`, begins; how many bytes its body has in the archive.
    pub(crate) fn begin(
        &mut self,
        header: Header,
        block: &Block,
        pending: &mut Pending,
    ) -> Result<u64, TarProblem> {
        self.header = header;
        let header = &mut self.header;
        let is_header_only = EntryKind::from_type_flag(header.type_flag).is_header_only();
        if header.size < 0 && !is_header_only {
            return Err(TarProblem::NegativeSize);
        }
        let pax = &pending.pax;
        if let Some(uid) = pax.number(Key::Uid, "user id")? {
            header.uid = uid;
        }
        if let Some(gid) = pax.number(Key::Gid, "group id")? {
            header.gid = gid;
        }
        if let Some(size) = pax.number(Key::Size, "size")? {
            header.size = size;
        }
        pax.time(Key::AccessTime, "access time")?;
        pax.time(Key::ChangeTime, "change time")?;
        let mtime = pax.time(Key::ModificationTime, "modification time")?;
        self.mtime = mtime.unwrap_or(Timestamp {
            seconds: header.mtime,
            nanoseconds: 0,
        });
        self.name(block, pending);
        let size = if self.kind.is_header_only() {
            0
        } else {
            self.header.size
        };
        u64::try_from(size).map_err(|_| TarProblem::NegativeSize)
    }

    /// Chooses name and target: GNU's long ones before PAX' before the header's.
    fn name(&mut self, block: &Block, pending: &mut Pending) {
        let pax = &pending.pax;
        match (pending.long_name.is_empty(), pax.value(Key::Path)) {
            (false, _) => std::mem::swap(&mut self.path, &mut pending.long_name),
            (true, Some(path)) => replace(&mut self.path, path),
            (true, None) => self.header.copy_name(block, &mut self.path),
        }
        match (pending.long_link.is_empty(), pax.value(Key::LinkPath)) {
            (false, _) => std::mem::swap(&mut self.link, &mut pending.long_link),
            (true, Some(link)) => replace(&mut self.link, link),
            (true, None) => replace(&mut self.link, header::link_name(block)),
        }
        // Before ustar a directory was a file whose name ends in a slash.
        let flag = self.header.type_flag;
        self.kind = match EntryKind::from_type_flag(flag) {
            EntryKind::File if flag == 0 && self.path.ends_with(b"/") => EntryKind::Directory,
            kind => kind,
        };
    }

    /// Begins the map of a sparse file, which may have its name among the records; `None` where the entry is not sparse.
    pub(crate) fn begin_map(
        &mut self,
        map: &mut SparseMap,
        block: &Block,
        pax: &PaxHeader,
    ) -> Result<Option<MapRest>, TarProblem> {
        let Some(rest) = map.begin(&self.header, block, pax)? else {
            return Ok(None);
        };
        if self.kind.is_header_only() {
            return Err(TarProblem::SparseMap);
        }
        if self.header.type_flag != b'S'
            && let Some(name) = pax.value(Key::SparseName)
        {
            replace(&mut self.path, name);
        }
        Ok(Some(rest))
    }
}
