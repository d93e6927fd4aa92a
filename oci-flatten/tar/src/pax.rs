//! PAX extended headers: "length key=value\n" records, of which the last with a key counts.

use std::ops::Range;

use crate::error::TarProblem;
use crate::time::Timestamp;

/// One extended header: its records, and where those are that the reader itself needs.
#[derive(Debug, Default)]
pub(crate) struct PaxHeader {
    body: Vec<u8>,
    known: [Option<Range<usize>>; Key::COUNT],
    xattrs: Vec<XattrRange>,
    /// Offsets and lengths in turn, as sparse format 0.0 repeats them.
    sparse_pairs: Vec<Range<usize>>,
}

#[derive(Debug, Clone)]
struct XattrRange {
    name: Range<usize>,
    value: Range<usize>,
}

/// Keys whose last value is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Key {
    Path,
    LinkPath,
    Size,
    Uid,
    Gid,
    ModificationTime,
    AccessTime,
    ChangeTime,
    SparseMajor,
    SparseMinor,
    SparseName,
    SparseMap,
    SparseBlocks,
    SparseSize,
    SparseRealSize,
}

impl Key {
    const COUNT: usize = Self::SparseRealSize as usize + 1;

    fn parse(key: &[u8]) -> Option<Self> {
        Some(match key {
            b"path" => Self::Path,
            b"linkpath" => Self::LinkPath,
            b"size" => Self::Size,
            b"uid" => Self::Uid,
            b"gid" => Self::Gid,
            b"mtime" => Self::ModificationTime,
            b"atime" => Self::AccessTime,
            b"ctime" => Self::ChangeTime,
            b"GNU.sparse.major" => Self::SparseMajor,
            b"GNU.sparse.minor" => Self::SparseMinor,
            b"GNU.sparse.name" => Self::SparseName,
            b"GNU.sparse.map" => Self::SparseMap,
            b"GNU.sparse.numblocks" => Self::SparseBlocks,
            b"GNU.sparse.size" => Self::SparseSize,
            b"GNU.sparse.realsize" => Self::SparseRealSize,
            _ => return None,
        })
    }
}

impl PaxHeader {
    pub(crate) fn clear(&mut self) {
        self.body.clear();
        self.known = [const { None }; Key::COUNT];
        self.xattrs.clear();
        self.sparse_pairs.clear();
    }

    /// Reads a whole header in place of what was there; its buffer is taken over and the old one given back.
    pub(crate) fn replace(&mut self, body: &mut Vec<u8>) -> Result<(), TarProblem> {
        self.clear();
        std::mem::swap(&mut self.body, body);
        let mut start = 0;
        while start < self.body.len() {
            let record = Record::parse(&self.body, start).ok_or(TarProblem::PaxRecord)?;
            self.keep(&record)?;
            start = record.end;
        }
        self.sort_xattrs();
        Ok(())
    }

    fn keep(&mut self, record: &Record) -> Result<(), TarProblem> {
        let key = &self.body[record.key.clone()];
        let value = &self.body[record.value.clone()];
        let is_string = matches!(key, b"path" | b"linkpath" | b"uname" | b"gname");
        if key.is_empty() || key.contains(&0) || (is_string && value.contains(&0)) {
            return Err(TarProblem::PaxRecord);
        }
        let is_offset = key == b"GNU.sparse.offset";
        if is_offset || key == b"GNU.sparse.numbytes" {
            if is_offset != self.sparse_pairs.len().is_multiple_of(2) || value.contains(&b',') {
                return Err(TarProblem::PaxRecord);
            }
            self.sparse_pairs.push(record.value.clone());
        } else if let Some(known) = Key::parse(key) {
            self.known[known as usize] = Some(record.value.clone());
        } else if key.starts_with(XATTR_PREFIX) {
            let name = record.key.start + XATTR_PREFIX.len()..record.key.end;
            self.xattrs.push(XattrRange {
                name,
                value: record.value.clone(),
            });
        }
        Ok(())
    }

    /// Orders attributes by name and keeps the last of each.
    fn sort_xattrs(&mut self) {
        let body = &self.body;
        let name = |xattr: &XattrRange| &body[xattr.name.clone()];
        self.xattrs.sort_by(|a, b| name(a).cmp(name(b)));
        // Of a run of equal names the first stays, and it takes over what comes later.
        self.xattrs.dedup_by(|later, kept| {
            let same = name(later) == name(kept);
            if same {
                kept.value = later.value.clone();
            }
            same
        });
    }

    /// The value of a key, unless it is empty, which in PAX deletes what came before: then the header's counts.
    pub(crate) fn value(&self, key: Key) -> Option<&[u8]> {
        let range = self.known[key as usize].clone()?;
        Some(&self.body[range]).filter(|value| !value.is_empty())
    }

    pub(crate) fn number(&self, key: Key, name: &'static str) -> Result<Option<i64>, TarProblem> {
        self.value(key)
            .map(|value| parse_decimal(value).ok_or(TarProblem::Number(name)))
            .transpose()
    }

    pub(crate) fn time(
        &self,
        key: Key,
        name: &'static str,
    ) -> Result<Option<Timestamp>, TarProblem> {
        self.value(key)
            .map(|value| parse_time(value).ok_or(TarProblem::Number(name)))
            .transpose()
    }

    /// The numbers of a sparse map of formats 0.0 and 0.1, one by one; 0.0 wins where a header has both.
    pub(crate) fn sparse_numbers(&self) -> Box<dyn Iterator<Item = &[u8]> + '_> {
        if !self.sparse_pairs.is_empty() {
            return Box::new(
                self.sparse_pairs
                    .iter()
                    .map(|range| &self.body[range.clone()]),
            );
        }
        match self.value(Key::SparseMap) {
            Some(map) => Box::new(map.split(|&byte| byte == b',')),
            None => Box::new(std::iter::empty()),
        }
    }

    pub(crate) fn records(&self) -> PaxRecords<'_> {
        PaxRecords { body: &self.body }
    }

    pub(crate) fn xattrs(&self) -> XattrRecords<'_> {
        XattrRecords {
            body: &self.body,
            ranges: &self.xattrs,
        }
    }
}

const XATTR_PREFIX: &[u8] = b"SCHILY.xattr.";

/// The extended attributes of an entry, in order of name, no name twice; from `SCHILY.xattr.*` records.
#[derive(Debug, Clone, Copy)]
pub struct XattrRecords<'r> {
    body: &'r [u8],
    ranges: &'r [XattrRange],
}

impl<'r> XattrRecords<'r> {
    /// Names and values.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (&'r [u8], &'r [u8])> + use<'r> {
        let body = self.body;
        self.ranges
            .iter()
            .map(move |xattr| (&body[xattr.name.clone()], &body[xattr.value.clone()]))
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.ranges.is_empty()
    }
}

/// All PAX records of an entry as they stand, those that it was made of included.
#[derive(Debug, Clone, Copy)]
pub struct PaxRecords<'r> {
    body: &'r [u8],
}

impl<'r> PaxRecords<'r> {
    /// Keys and values in the order of the archive. A key may come again, and then the last counts; an empty value
    /// means that the record is not there, where it is no attribute's.
    pub fn iter(&self) -> impl Iterator<Item = (&'r [u8], &'r [u8])> + use<'r> {
        let body = self.body;
        let mut start = 0;
        std::iter::from_fn(move || {
            let Record { key, value, end } = Record::parse(body, start)?;
            start = end;
            Some((&body[key], &body[value]))
        })
    }
}

struct Record {
    key: Range<usize>,
    value: Range<usize>,
    end: usize,
}

impl Record {
    /// The record at `start`. Its length counts itself, the space and the newline, so it is at least 5.
    fn parse(body: &[u8], start: usize) -> Option<Self> {
        let rest = &body[start..];
        let space = rest.iter().position(|&byte| byte == b' ')?;
        let length = usize::try_from(parse_decimal(&rest[..space])?).ok()?;
        if length < 5 || length > rest.len() || space + 1 > length - 1 || rest[length - 1] != b'\n'
        {
            return None;
        }
        let end = start + length;
        let key = start + space + 1;
        let equals = key + body[key..end - 1].iter().position(|&byte| byte == b'=')?;
        Some(Self {
            key: key..equals,
            value: equals + 1..end - 1,
            end,
        })
    }
}

/// A decimal number with an optional sign, as Go's `strconv.ParseInt` reads it.
pub(crate) fn parse_decimal(bytes: &[u8]) -> Option<i64> {
    // `i64::from_str` has the same grammar: one optional sign, then digits, at least one.
    std::str::from_utf8(bytes).ok()?.parse().ok()
}

/// Seconds with an optional fraction, of which nanoseconds count; `-1.5` is a second and a half before 1970.
fn parse_time(bytes: &[u8]) -> Option<Timestamp> {
    let (whole, fraction) = match bytes.iter().position(|&byte| byte == b'.') {
        Some(dot) => (&bytes[..dot], &bytes[dot + 1..]),
        None => (bytes, &[][..]),
    };
    let seconds = parse_decimal(whole)?;
    if !fraction.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let digits = fraction.iter().chain(std::iter::repeat(&b'0')).take(9);
    let nanoseconds = digits.fold(0, |sum, digit| sum * 10 + u32::from(digit - b'0'));
    if whole.starts_with(b"-") && nanoseconds > 0 {
        let seconds = seconds.saturating_sub(1);
        return Some(Timestamp {
            seconds,
            nanoseconds: 1_000_000_000 - nanoseconds,
        });
    }
    Some(Timestamp {
        seconds,
        nanoseconds,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_times_as_go_does() {
        let time = |seconds, nanoseconds| {
            Some(Timestamp {
                seconds,
                nanoseconds,
            })
        };
        for (text, expected) in [
            ("1350244992.023960108", time(1_350_244_992, 23_960_108)),
            ("1.5", time(1, 500_000_000)),
            ("1.", time(1, 0)),
            ("1.1234567899", time(1, 123_456_789)),
            ("-1.5", time(-2, 500_000_000)),
            ("-0.25", time(-1, 750_000_000)),
            ("-1", time(-1, 0)),
            ("+1.5", time(1, 500_000_000)),
            (".5", None),
            ("", None),
            ("1.-5", None),
            ("1e5", None),
            ("1 ", None),
        ] {
            assert_eq!(parse_time(text.as_bytes()), expected, "{text}");
        }
    }

    fn parse(body: &str) -> Result<PaxHeader, TarProblem> {
        let mut records = PaxHeader::default();
        records
            .replace(&mut body.as_bytes().to_vec())
            .map(|()| records)
    }

    #[test]
    fn reads_records_as_go_does() {
        for body in [
            "6 k=v\n",
            "6 k=v\n6 k=w\n",
            "5 k=\n",
            "11 key=a=b\n",
            "07 k=v\n",
            "7 k=\0v\n",
            "+7 k=v\n",
        ] {
            assert!(parse(body).is_ok(), "{body:?}");
        }
        for body in [
            "k=v\n",
            "6 k=v",
            "60 k=v\n",
            "5 kv\n",
            "4 =\n",
            "5 =v\n",
            "6 k=v\n\0",
            "-6 k=v\n",
            "7 \0=vv\n",
            " 6 k=v\n",
        ] {
            assert!(parse(body).is_err(), "{body:?}");
        }
        assert!(parse("10 path=\0\0\n").is_err());
    }

    #[test]
    fn passes_on_all_records() {
        let body = "6 k=v\n18 comment=\n6 k=w\n6 k=x\n5 k=\n";
        let header = parse(body).expect("valid");
        let records: Vec<_> = header.records().iter().collect();
        let expected: [(&[u8], &[u8]); 4] = [
            (b"k", b"v"),
            (b"comment", b"\n6 k=w"),
            (b"k", b"x"),
            (b"k", b""),
        ];
        assert_eq!(records, expected);
    }

    #[test]
    fn the_last_value_of_a_key_counts() {
        let records = parse("9 path=a\n9 path=b\n11 uname=x\n").expect("valid");
        assert_eq!(records.value(Key::Path), Some(&b"b"[..]));
        let records = parse("9 path=a\n8 path=\n").expect("valid");
        assert_eq!(records.value(Key::Path), None);
    }
}
