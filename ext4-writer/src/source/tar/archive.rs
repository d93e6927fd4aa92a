//! The members of a tar: headers with what extends them, and bodies.
//!
//! POSIX.1-2024 `pax`, "ustar Interchange Format"; GNU tar's manual, "Tar Internals"; FreeBSD's `tar(5)`. The tar crate
//! has the layout of the blocks. Its own reader ends a PAX record at the first new line, which attributes may contain, takes the
//! size of what has no body, and takes a block of zeros for the end.

use std::io::{self, BufReader, Read};

use tar::{EntryType, GnuExtSparseHeader, GnuSparseHeader, Header};

use super::sparse::Sparse;
use super::{malformed, pax};
use crate::source::{SourceError, io_error};

/// Everything in a tar begins at a multiple of this.
pub(super) const BLOCK_BYTES: usize = 512;

/// The most bytes of what extends one header: many times what Linux allows for a path, a link and all attributes, unless they
/// lie in inodes of their own. Go's `archive/tar` has the same bound.
const MAX_EXTENSION_BYTES: u64 = 1 << 20;

pub(super) struct Archive<R> {
    stream: BufReader<R>,
    /// Bytes of the body that have not been read, and of the padding behind it.
    body: u64,
    padding: u64,
}

/// One file of an archive.
pub(super) struct Member {
    pub(super) header: Header,
    pub(super) kind: EntryType,
    pub(super) path: Vec<u8>,
    /// Target of a link.
    pub(super) link: Vec<u8>,
    /// Bytes of the body in the archive.
    pub(super) size: u64,
    /// PAX records, to be taken apart by [`pax::records`].
    pub(super) records: Vec<u8>,
    /// The map of a sparse file in GNU's own format.
    pub(super) sparse: Option<Sparse>,
}

impl<R: Read> Archive<R> {
    pub(super) fn new(stream: R) -> Self {
        Self {
            stream: BufReader::with_capacity(64 * 1024, stream),
            body: 0,
            padding: 0,
        }
    }

    /// The next member, its body to be read from the archive; `None` at the end.
    pub(super) fn next(&mut self) -> Result<Option<Member>, SourceError> {
        let failed = |error| io_error("read", b"archive", error);
        let mut records = Vec::new();
        let (mut long_path, mut long_link) = (None, None);
        loop {
            let Some(header) = self.header().map_err(failed)? else {
                if records.is_empty() && long_path.is_none() && long_link.is_none() {
                    return Ok(None);
                }
                return Err(failed(malformed(
                    "an extension without its file at the end",
                )));
            };
            let path = header.path_bytes().into_owned();
            let failed = |error| io_error("read header of", &path, error);
            let size = number(&header.as_old().size).and_then(unsigned);
            let size = size.map_err(failed)?;
            match header.entry_type() {
                EntryType::XHeader => self.extend(size, &mut records).map_err(failed)?,
                EntryType::GNULongName => {
                    long_path = Some(self.long(size).map_err(failed)?);
                }
                EntryType::GNULongLink => {
                    long_link = Some(self.long(size).map_err(failed)?);
                }
                // What a whole archive has in common is about nothing that an image keeps.
                EntryType::XGlobalHeader => self.begin(size),
                // Nor is the label of a volume a file.
                kind if kind.as_byte() == b'V' => {
                    (long_path, long_link) = (None, None);
                    records.clear();
                    self.begin(size);
                }
                _ => {
                    let mut member = Member {
                        kind: kind(&header),
                        path: long_path.unwrap_or_else(|| path.clone()),
                        link: long_link.unwrap_or_else(|| link(&header)),
                        size,
                        records,
                        sparse: None,
                        header,
                    };
                    self.complete(&mut member).map_err(failed)?;
                    return Ok(Some(member));
                }
            }
        }
    }

    /// Takes in what the records and the header's own extension say.
    fn complete(&mut self, member: &mut Member) -> io::Result<()> {
        for record in pax::records(&member.records) {
            let (key, value) = record?;
            match key {
                b"path" if !value.is_empty() => member.path = value.to_vec(),
                b"linkpath" if !value.is_empty() => member.link = value.to_vec(),
                b"size" if !value.is_empty() => member.size = pax::decimal(value)?,
                _ => {}
            }
        }
        if member.kind == EntryType::GNUSparse {
            member.sparse = Some(self.old_sparse(&member.header)?);
        }
        if !has_body(member.kind) {
            member.size = 0;
        }
        self.begin(member.size);
        Ok(())
    }

    /// The next header; `None` at the end of the archive, which two blocks of zeros mark, or nothing.
    fn header(&mut self) -> io::Result<Option<Header>> {
        self.skip()?;
        let Some(block) = self.block()? else {
            return Ok(None);
        };
        if block != [0; BLOCK_BYTES] {
            let header = Header::from_byte_slice(&block).clone();
            return match is_right(&header) {
                true => Ok(Some(header)),
                false => Err(malformed("a header's checksum is wrong")),
            };
        }
        match self.block()? {
            Some(next) if next != [0; BLOCK_BYTES] => {
                Err(malformed("one block of zeros, and no end behind it"))
            }
            _ => Ok(None),
        }
    }

    fn block(&mut self) -> io::Result<Option<[u8; BLOCK_BYTES]>> {
        let mut block = [0; BLOCK_BYTES];
        let mut filled = 0;
        while filled < block.len() {
            match self.stream.read(&mut block[filled..]) {
                Ok(0) if filled == 0 => return Ok(None),
                Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Ok(read) => filled += read,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(Some(block))
    }

    fn begin(&mut self, size: u64) {
        self.body = size;
        self.padding = size.wrapping_neg() % BLOCK_BYTES as u64;
    }

    /// Passes over what is left of a body and its padding. The padding of the last one may be missing.
    fn skip(&mut self) -> io::Result<()> {
        let body = std::mem::take(&mut self.body);
        let skipped = io::copy(&mut (&mut self.stream).take(body), &mut io::sink())?;
        if skipped < body {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let padding = std::mem::take(&mut self.padding);
        io::copy(&mut (&mut self.stream).take(padding), &mut io::sink())?;
        Ok(())
    }

    /// Appends the body of an extension.
    fn extend(&mut self, size: u64, out: &mut Vec<u8>) -> io::Result<()> {
        if out.len() as u64 + size > MAX_EXTENSION_BYTES {
            return Err(malformed(&format!(
                "extensions of more than {MAX_EXTENSION_BYTES} bytes"
            )));
        }
        self.begin(size);
        let before = out.len();
        self.read_to_end(out)?;
        if ((out.len() - before) as u64) < size {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        Ok(())
    }

    /// A name that did not fit the header, up to its NUL.
    fn long(&mut self, size: u64) -> io::Result<Vec<u8>> {
        let mut name = Vec::new();
        self.extend(size, &mut name)?;
        let end = name.iter().position(|&byte| byte == 0);
        name.truncate(end.unwrap_or(name.len()));
        Ok(name)
    }

    /// The map in a header of GNU's format, and in the blocks that follow it.
    fn old_sparse(&mut self, header: &Header) -> io::Result<Sparse> {
        let header = header
            .as_gnu()
            .ok_or_else(|| malformed("a sparse file in a header that is not GNU's"))?;
        let mut sparse = Sparse::sized(unsigned(number(&header.realsize)?)?);
        let mut more = header.is_extended();
        push(&mut sparse, &header.sparse)?;
        while more {
            let block = self.block()?.ok_or(io::ErrorKind::UnexpectedEof)?;
            let mut next = GnuExtSparseHeader::new();
            next.as_mut_bytes().copy_from_slice(&block);
            push(&mut sparse, next.sparse())?;
            more = next.is_extended();
        }
        Ok(sparse)
    }
}

/// The body of the member that came last.
impl<R: Read> Read for Archive<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = (&mut self.stream).take(self.body).read(buffer)?;
        self.body -= read as u64;
        Ok(read)
    }
}

fn push(sparse: &mut Sparse, pieces: &[GnuSparseHeader]) -> io::Result<()> {
    for piece in pieces.iter().take_while(|piece| piece.offset[0] != 0) {
        sparse.push(unsigned(number(&piece.offset)?)?)?;
        sparse.push(unsigned(number(&piece.numbytes)?)?)?;
    }
    Ok(())
}

/// A regular file of a version that knew no directories is one if its name says so.
fn kind(header: &Header) -> EntryType {
    match header.entry_type() {
        EntryType::Regular if header.path_bytes().ends_with(b"/") => EntryType::Directory,
        kind => kind,
    }
}

fn link(header: &Header) -> Vec<u8> {
    header.link_name_bytes().unwrap_or_default().into_owned()
}

/// Whether bytes follow the header. All that writers gave a size without them is listed, so that unknown kinds have bodies.
fn has_body(kind: EntryType) -> bool {
    use EntryType::{Block, Char, Directory, Fifo, Link, Symlink};
    !matches!(kind, Link | Symlink | Char | Block | Directory | Fifo)
}

/// Whether the checksum is right, of bytes with a sign or without: old tars added up either.
fn is_right(header: &Header) -> bool {
    let blanked = |index: usize, byte: u8| {
        if (148..156).contains(&index) {
            b' '
        } else {
            byte
        }
    };
    let bytes = || {
        let bytes = header.as_bytes().iter().enumerate();
        bytes.map(|(index, byte)| blanked(index, *byte))
    };
    let without: i64 = bytes().map(i64::from).sum();
    let with: i64 = bytes().map(|byte| i64::from(byte.cast_signed())).sum();
    number(&header.as_old().cksum).is_ok_and(|sum| sum == without || sum == with)
}

/// A number of a header: octal, nothing for zero, or two's complement behind a bit that says so.
pub(super) fn number(field: &[u8]) -> io::Result<i64> {
    let wrong = || malformed("a number in a header");
    if let [first, rest @ ..] = field
        && first & 0x80 != 0
    {
        // The first bit is the mark, and the second the sign.
        let first = i128::from((first << 1).cast_signed() >> 1);
        let value = rest
            .iter()
            .fold(first, |value, &byte| value << 8 | i128::from(byte));
        return value.try_into().map_err(|_| wrong());
    }
    let text = std::str::from_utf8(field).map_err(|_| wrong())?;
    let text = text.trim_start_matches([' ', '\0']);
    let text = text.split('\0').next().unwrap_or_default().trim_end();
    if text.is_empty() {
        return Ok(0);
    }
    // The library would take a sign as well.
    let octal = text.bytes().all(|byte| byte.is_ascii_digit());
    let value = i64::from_str_radix(text, 8).ok().filter(|_| octal);
    value.ok_or_else(wrong)
}

pub(super) fn unsigned(value: i64) -> io::Result<u64> {
    u64::try_from(value).map_err(|_| malformed("a number below zero in a header"))
}
