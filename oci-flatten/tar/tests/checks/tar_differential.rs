//! The check of the fuzz target `tar_differential`, whose header has the invariants.

use std::io::Read;

use futures_util::StreamExt;
use tar_core::parse::{ParseEvent, Parser};
use tar_events::{EntryKind, Event, Limits, TarReader};
use tokio::io::AsyncReadExt;

use super::repair::repaired;

/// If the first byte is odd, the rest gets checksums that fit.
pub(crate) fn check(data: &[u8]) {
    match data.split_first() {
        Some((first, archive)) if first % 2 == 1 => compare(&repaired(archive)),
        Some((_, archive)) => compare(archive),
        None => {}
    }
}

fn compare(data: &[u8]) {
    let (end, _known) = plain_prefix(data);
    let plain = &data[..end];
    let ours = read(plain).expect("plain archive reads");
    assert_eq!(ours, tar_crate(plain), "tar");
    assert_eq!(ours, tokio_tar_crate(plain), "tokio_tar");
    assert_eq!(ours, tar_core_crate(plain), "tar-core");
    // What follows may be read otherwise, or not at all, but changes nothing of what was before.
    let whole = read(data).unwrap_or_else(|before| before);
    assert!(
        whole.starts_with(&ours),
        "later bytes change earlier entries"
    );
}

/// What all readers must see alike.
#[derive(Debug, PartialEq, Eq, Clone)]
struct Seen {
    kind: EntryKind,
    path: Vec<u8>,
    link: Vec<u8>,
    size: u64,
    content: Vec<u8>,
}

impl Seen {
    fn new(kind: EntryKind, path: &[u8], link: &[u8], size: u64) -> Self {
        let is_link = matches!(kind, EntryKind::HardLink | EntryKind::Symlink);
        let link = if is_link { link.to_vec() } else { Vec::new() };
        Self {
            kind,
            path: path.to_vec(),
            link,
            size,
            content: Vec::new(),
        }
    }
}

/// Where the crates are known to read otherwise than Go's `archive/tar`, and so than we do, and why we are right.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Known {
    /// Nothing is left, or the end marker follows.
    End,
    /// A block of zeros with more behind it: the crates end silently, so that entries vanish.
    LoneZeroBlock,
    /// The header or body is cut short; the crates tell some of that late or not at all.
    Truncated,
    /// Neither the checksum nor another number is plain octal: the crates refuse empty fields and signed sums that
    /// real tars have, and read numbers only when asked, so that rubbish passes.
    Number,
    /// Magic other than ustar's, GNU's and version 7's: star and ustar with odd versions lose their prefix.
    Magic,
    /// A GNU header with a prefix, as old versions of Go wrote them, whose names the crates cut.
    StrayPrefix,
    /// A type without body that has a size: the crates skip that many bytes, and with them the next entries.
    HeaderOnlySize,
    /// A directory of version 7, known by its trailing slash.
    OldDirectory,
    /// Sparse formats, of which the crates know one, and that not for unaligned pieces.
    Sparse,
    /// A global header: the crates give it out as an entry.
    Global,
    /// Extension headers out of the ordinary: repeated, which the crates refuse; without an entry; beyond the
    /// limits, which they lack; with a NUL inside a name; of Solaris' type `X`, which tokio_tar takes for PAX's; of GNU
    /// and PAX for one entry, of which tar-core takes PAX's.
    Extension,
    /// PAX records out of the ordinary: duplicate or empty, of which the crates take the first; with a newline
    /// inside, where they split; malformed or with a NUL, which they let pass; sizes that are no plain number.
    PaxRecord,
}

/// How far an archive is one that every reader must read alike, and what comes there.
fn plain_prefix(data: &[u8]) -> (usize, Known) {
    let mut start = 0;
    loop {
        match plain_group(data, start) {
            Ok(end) => start = end,
            Err(known) => return (start, known),
        }
    }
}

/// One entry with its extension headers.
fn plain_group(data: &[u8], start: usize) -> Result<usize, Known> {
    let mut at = start;
    let mut seen = Vec::new();
    let mut pax_size = None;
    let mut long_name = None;
    loop {
        let block = data.get(at..at + 512).ok_or(if at == data.len() {
            Known::End
        } else {
            Known::Truncated
        })?;
        if block.iter().all(|&byte| byte == 0) {
            let next = data.get(at + 512..).unwrap_or(&[]);
            let is_end = next.len() < 512 || next[..512].iter().all(|&byte| byte == 0);
            return Err(if is_end {
                Known::End
            } else {
                Known::LoneZeroBlock
            });
        }
        let size = plain_header(block)?;
        let flag = block[156];
        if !matches!(flag, b'x' | b'L' | b'K') {
            plain_entry(block, pax_size, long_name)?;
            return body(data, at + 512, pax_size.unwrap_or(size)).map(|(_, end)| end);
        }
        let (body, end) = body(data, at + 512, size)?;
        let is_repeated = seen.contains(&flag);
        let is_mixed = !seen.is_empty() && (flag == b'x' || seen.contains(&b'x'));
        if is_repeated || is_mixed || is_v7(block) || body.len() > 1 << 20 || end == data.len() {
            return Err(Known::Extension);
        }
        seen.push(flag);
        if flag == b'x' {
            let (size, path) = plain_records(body)?;
            pax_size = size;
            long_name = path;
        } else {
            let name = body.strip_suffix(b"\0").unwrap_or(body);
            if name.is_empty() || name.contains(&0) {
                return Err(Known::Extension);
            }
            if flag == b'L' {
                long_name = Some(name);
            }
        }
        at = end;
    }
}

fn plain_header(block: &[u8]) -> Result<u64, Known> {
    let numbers = [(100, 8), (108, 8), (116, 8), (124, 12), (136, 12), (148, 8)];
    let devices = [(329, 8), (337, 8)];
    if !is_v7(block) && &block[257..265] != b"ustar\x0000" && &block[257..265] != b"ustar  \0" {
        return Err(Known::Magic);
    }
    let is_star = &block[508..] == b"tar\0";
    if is_star {
        return Err(Known::Magic);
    }
    for (start, length) in numbers
        .into_iter()
        .chain(devices.into_iter().filter(|_| !is_v7(block)))
    {
        octal(&block[start..start + length])?;
    }
    let sum: u64 = block.iter().map(|&byte| u64::from(byte)).sum();
    let own: u64 = block[148..156].iter().map(|&byte| u64::from(byte)).sum();
    if octal(&block[148..156])? != sum - own + 256 {
        return Err(Known::Number);
    }
    if &block[257..265] == b"ustar  \0" && block[345..369].iter().any(|&byte| byte != 0) {
        return Err(Known::StrayPrefix);
    }
    octal(&block[124..136])
}

fn is_v7(block: &[u8]) -> bool {
    block[257..265] == [0; 8]
}

/// Digits, then nothing but spaces and NULs.
fn octal(field: &[u8]) -> Result<u64, Known> {
    let digits = field
        .iter()
        .take_while(|byte| matches!(byte, b'0'..=b'7'))
        .count();
    let rest_is_padding = field[digits..].iter().all(|byte| matches!(byte, b' ' | 0));
    let text = std::str::from_utf8(&field[..digits]).map_err(|_| Known::Number)?;
    u64::from_str_radix(text, 8)
        .ok()
        .filter(|_| rest_is_padding)
        .ok_or(Known::Number)
}

fn plain_entry(block: &[u8], pax_size: Option<u64>, long_name: Option<&[u8]>) -> Result<(), Known> {
    let flag = block[156];
    let kind = EntryKind::from_type_flag(flag);
    if kind.is_header_only() && (octal(&block[124..136])? != 0 || pax_size.is_some()) {
        return Err(Known::HeaderOnlySize);
    }
    let name = block[..100].split(|&byte| byte == 0).next().unwrap_or(&[]);
    match flag {
        b'S' => Err(Known::Sparse),
        b'g' => Err(Known::Global),
        b'X' => Err(Known::Extension),
        // An empty name leaves a prefix with its slash.
        0 if name.is_empty()
            || name.ends_with(b"/")
            || long_name.is_some_and(|name| name.ends_with(b"/")) =>
        {
            Err(Known::OldDirectory)
        }
        _ => Ok(()),
    }
}

fn body(data: &[u8], start: usize, size: u64) -> Result<(&[u8], usize), Known> {
    let size = usize::try_from(size).map_err(|_| Known::Truncated)?;
    let rest = data.get(start..).ok_or(Known::Truncated)?;
    let padded = size.checked_next_multiple_of(512).ok_or(Known::Truncated)?;
    if padded > rest.len() {
        return Err(Known::Truncated);
    }
    Ok((&rest[..size], start + padded))
}

/// The size and the path among the records.
fn plain_records(body: &[u8]) -> Result<(Option<u64>, Option<&[u8]>), Known> {
    let mut rest = body;
    let mut keys = Vec::new();
    let (mut size, mut path) = (None, None);
    while !rest.is_empty() {
        let space = rest
            .iter()
            .position(|&byte| byte == b' ')
            .ok_or(Known::PaxRecord)?;
        let digits = &rest[..space];
        let is_plain = digits.iter().all(u8::is_ascii_digit) && !digits.starts_with(b"0");
        let length = std::str::from_utf8(digits)
            .ok()
            .filter(|_| is_plain)
            .and_then(|text| text.parse().ok());
        let length: usize = length.ok_or(Known::PaxRecord)?;
        let record = rest.get(space + 1..length).ok_or(Known::PaxRecord)?;
        let record = record.strip_suffix(b"\n").ok_or(Known::PaxRecord)?;
        let equals = record
            .iter()
            .position(|&byte| byte == b'=')
            .ok_or(Known::PaxRecord)?;
        let (key, value) = (&record[..equals], &record[equals + 1..]);
        if key.is_empty() || value.is_empty() || keys.contains(&key) {
            return Err(Known::PaxRecord);
        }
        if record.contains(&0) || record.contains(&b'\n') || key.contains(&b' ') {
            return Err(Known::PaxRecord);
        }
        match key {
            b"size" => size = Some(plain_number(value)?),
            b"path" => path = Some(value),
            b"uid" | b"gid" | b"mtime" | b"atime" | b"ctime" => drop(plain_number(value)?),
            _ if key.starts_with(b"GNU.sparse.") => return Err(Known::Sparse),
            _ => {}
        }
        keys.push(key);
        rest = &rest[length..];
    }
    Ok((size, path))
}

fn plain_number(value: &[u8]) -> Result<u64, Known> {
    let is_plain = value.iter().all(u8::is_ascii_digit) && value.len() < 15;
    let text = std::str::from_utf8(value).ok().filter(|_| is_plain);
    text.and_then(|text| text.parse().ok())
        .ok_or(Known::PaxRecord)
}

/// Ours; with an error, what was read completely before it.
fn read(mut data: &[u8]) -> Result<Vec<Seen>, Vec<Seen>> {
    let mut reader = TarReader::new(&Limits::default());
    let mut entries = Vec::new();
    let mut current = None;
    loop {
        match reader.next_event(&mut data) {
            Err(_) => return Err(entries),
            Ok(None) => break,
            Ok(Some(Event::Entry(entry))) => {
                current = Some(Seen::new(entry.kind, entry.path, entry.link, entry.size));
            }
            Ok(Some(Event::Data(data))) => {
                current
                    .iter_mut()
                    .for_each(|seen: &mut Seen| seen.content.extend_from_slice(data));
            }
            Ok(Some(Event::Hole(_))) => {}
            Ok(Some(Event::EntryEnd)) => entries.extend(current.take()),
        }
    }
    if reader.finish().is_ok() {
        Ok(entries)
    } else {
        Err(entries)
    }
}

fn tar_crate(data: &[u8]) -> Vec<Seen> {
    let mut archive = tar::Archive::new(data);
    let mut seen = Vec::new();
    for entry in archive.entries().expect("plain archive reads") {
        let mut entry = entry.expect("plain archive reads");
        let kind = EntryKind::from_type_flag(entry.header().as_bytes()[156]);
        let link = entry
            .link_name_bytes()
            .map(|link| link.to_vec())
            .unwrap_or_default();
        let mut one = Seen::new(kind, &entry.path_bytes(), &link, entry.size());
        entry
            .read_to_end(&mut one.content)
            .expect("plain archive reads");
        seen.push(one);
    }
    seen
}

fn tokio_tar_crate(data: &[u8]) -> Vec<Seen> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .expect("runtime starts");
    runtime.block_on(async {
        let mut archive = tokio_tar::Archive::new(data);
        let mut entries = archive.entries().expect("plain archive reads");
        let mut seen = Vec::new();
        while let Some(entry) = entries.next().await {
            let mut entry = entry.expect("plain archive reads");
            let kind = EntryKind::from_type_flag(entry.header().as_bytes()[156]);
            let link = entry.link_name_bytes().expect("plain archive reads");
            let link = link.map(|link| link.to_vec()).unwrap_or_default();
            let path = entry.path_bytes().expect("plain archive reads").to_vec();
            let mut one = Seen::new(kind, &path, &link, 0);
            entry
                .read_to_end(&mut one.content)
                .await
                .expect("plain archive reads");
            // The crate has no size of its own to tell.
            one.size = one.content.len() as u64;
            seen.push(one);
        }
        seen
    })
}

fn tar_core_crate(data: &[u8]) -> Vec<Seen> {
    let mut parser = Parser::with_defaults();
    parser.set_allow_empty_path(true);
    let (mut seen, mut rest) = (Vec::new(), data);
    while !rest.is_empty() {
        match parser.parse(rest).expect("plain archive reads") {
            ParseEvent::Entry { consumed, entry } => {
                let kind = EntryKind::from_type_flag(entry.header.as_bytes()[156]);
                let link = entry.link_target.as_deref().unwrap_or_default();
                let mut one = Seen::new(kind, &entry.path, link, entry.size);
                let (size, padded) = (entry.size as usize, entry.padded_size() as usize);
                rest = &rest[consumed..];
                one.content.extend_from_slice(&rest[..size]);
                rest = &rest[padded..];
                seen.push(one);
            }
            event => panic!("plain archive gives {event:?}"),
        }
    }
    seen
}
