//! Writes the merged root filesystem of an image as one tar, as `crane export` does.
//!
//! ```text
//! cargo run --example to_tar -- oci:layout:latest > rootfs.tar
//! ```
//!
//! Contents wait in a file without a name until the tree is known, because a tar wants them in its
//! own order.

use std::collections::HashMap;
use std::error::Error;
use std::fs::File;
use std::io::{self, BufWriter, Read, Write};
use std::os::unix::fs::FileExt;
use std::sync::Arc;

use oci_flatten::apply::ContentSink;
use oci_flatten::entry::{DeviceNumber, Metadata};
use oci_flatten::flatten::{CancellationToken, FlattenOptions, flatten};
use oci_flatten::limits::Limits;
use oci_flatten::platform::Platform;
use oci_flatten::progress::Silent;
use oci_flatten::rootfs::{Node, NodeId, NodeKind, Rootfs};
use oci_flatten::source::{OpenOptions, SourceName, open_local};
use tokio_tar::{EntryType, Header};

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let name = std::env::args()
        .nth(1)
        .ok_or("usage: to_tar SOURCE > FILE")?;
    let SourceName::Local(name) = SourceName::parse(&name)? else {
        return Err("this example opens local sources only".into());
    };
    let limits = Limits::default();
    let platform = Platform::linux_here();
    let options = OpenOptions {
        platform,
        limits: limits.clone(),
        allow_truncated_tar: false,
        spool_dir: std::env::temp_dir(),
    };
    let source = Arc::from(open_local(&name, &options).await?);
    let options = FlattenOptions {
        limits,
        ..FlattenOptions::default()
    };
    let spool = Spool {
        file: tempfile::tempfile()?,
        length: 0,
        extents: Vec::new(),
    };
    let token = CancellationToken::new();
    let flattened = flatten(source, spool, options, Arc::new(Silent), token).await?;
    let out = BufWriter::with_capacity(1 << 20, io::stdout().lock());
    let contents = flattened.sink.file;
    let mut writer = TarWriter {
        out,
        contents,
        linked: HashMap::new(),
    };
    writer.tree(&flattened.rootfs)?;
    Ok(())
}

/// Keeps contents one behind the other; what is released stays where it is.
struct Spool {
    file: File,
    length: u64,
    extents: Vec<Extent>,
}

/// `length` bytes of a file, from `file_offset` on, that lie at `spool_offset`; the rest is holes.
struct Extent {
    file_offset: u64,
    spool_offset: u64,
    length: u64,
}

impl Extent {
    fn end(&self) -> u64 {
        self.file_offset + self.length
    }
}

impl ContentSink for Spool {
    type Content = Vec<Extent>;
    type Error = io::Error;

    fn begin(&mut self, _size: u64) -> io::Result<()> {
        self.extents.clear();
        Ok(())
    }

    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        if self.extents.is_empty() {
            self.hole(0)?;
        }
        self.file.write_all_at(bytes, self.length)?;
        self.length += bytes.len() as u64;
        if let Some(last) = self.extents.last_mut() {
            last.length += bytes.len() as u64;
        }
        Ok(())
    }

    fn hole(&mut self, length: u64) -> io::Result<()> {
        let file_offset = self.extents.last().map_or(0, Extent::end) + length;
        self.extents.push(Extent {
            file_offset,
            spool_offset: self.length,
            length: 0,
        });
        Ok(())
    }

    fn end(&mut self) -> io::Result<Vec<Extent>> {
        Ok(std::mem::take(&mut self.extents))
    }

    fn release(&mut self, _content: Vec<Extent>) -> io::Result<()> {
        Ok(())
    }
}

struct TarWriter<W> {
    out: W,
    contents: File,
    /// Where files with more than one name were written first.
    linked: HashMap<NodeId, Vec<u8>>,
}

impl<W: Write> TarWriter<W> {
    fn tree(&mut self, rootfs: &Rootfs<Vec<Extent>>) -> io::Result<()> {
        let children = |directory: NodeId, path: &[u8]| -> Vec<_> {
            let children = rootfs.children(directory).into_iter().rev();
            children
                .map(|child| ([path, rootfs.name(child)].concat(), child.node))
                .collect()
        };
        let mut pending = children(rootfs.root(), b"");
        while let Some((mut path, id)) = pending.pop() {
            let node = rootfs.node(id);
            if matches!(node.kind, NodeKind::Directory) {
                path.push(b'/');
                pending.extend(children(id, &path));
            }
            self.entry(&path, id, &node)?;
        }
        self.out.write_all(&[0; 1024])?;
        self.out.flush()
    }

    fn entry(&mut self, path: &[u8], id: NodeId, node: &Node<'_, Vec<Extent>>) -> io::Result<()> {
        if let Some(first) = self.linked.get(&id).cloned() {
            return self.header(path, EntryType::Link, &first, 0, node.metadata, None);
        }
        if node.links > 1 {
            self.linked.insert(id, path.to_vec());
        }
        let (kind, target, device) = match node.kind {
            NodeKind::File { size, content } => {
                self.header(path, EntryType::Regular, b"", size, node.metadata, None)?;
                return self.content(content.map_or(&[], Vec::as_slice), size);
            }
            NodeKind::Directory => (EntryType::Directory, &b""[..], None),
            NodeKind::Symlink(target) => (EntryType::Symlink, target, None),
            NodeKind::CharDevice(number) => (EntryType::Char, &b""[..], Some(number)),
            NodeKind::BlockDevice(number) => (EntryType::Block, &b""[..], Some(number)),
            NodeKind::Fifo => (EntryType::Fifo, &b""[..], None),
        };
        self.header(path, kind, target, 0, node.metadata, device)
    }

    /// A ustar header; what does not fit it goes into a PAX header before it.
    fn header(
        &mut self,
        path: &[u8],
        kind: EntryType,
        target: &[u8],
        size: u64,
        metadata: &Metadata,
        device: Option<DeviceNumber>,
    ) -> io::Result<()> {
        const OCTAL_ID: u32 = 0o7_777_777;
        const OCTAL_SIZE: u64 = 0o77_777_777_777;
        let mut header = Header::new_ustar();
        let mut pax = Vec::new();
        let mut record = |key: &str, value: &[u8]| pax_record(&mut pax, key.as_bytes(), value);
        put_text(&mut header.as_mut_bytes()[..100], path, || {
            record("path", path)
        });
        put_text(&mut header.as_mut_bytes()[157..257], target, || {
            record("linkpath", target)
        });
        for (key, id) in [("uid", metadata.uid), ("gid", metadata.gid)] {
            if id > OCTAL_ID {
                record(key, id.to_string().as_bytes());
            }
        }
        if size > OCTAL_SIZE {
            record("size", size.to_string().as_bytes());
        }
        let (seconds, nanoseconds) = (metadata.mtime.seconds, metadata.mtime.nanoseconds);
        if nanoseconds > 0 || seconds < 0 {
            // A time before 1970 counts its fraction backwards.
            let time = i128::from(seconds) * 1_000_000_000 + i128::from(nanoseconds);
            let (sign, time) = (if time < 0 { "-" } else { "" }, time.unsigned_abs());
            let text = format!("{sign}{}.{:09}", time / 1_000_000_000, time % 1_000_000_000);
            record("mtime", text.as_bytes());
        }
        for (name, value) in metadata.xattrs.iter() {
            pax_record(&mut pax, &[b"SCHILY.xattr.", name].concat(), value);
        }
        header.set_entry_type(kind);
        header.set_mode(metadata.mode.into());
        header.set_uid(metadata.uid.min(OCTAL_ID).into());
        header.set_gid(metadata.gid.min(OCTAL_ID).into());
        header.set_size(size.min(OCTAL_SIZE));
        header.set_mtime(u64::try_from(seconds).unwrap_or(0));
        if let Some(number) = device {
            header.set_device_major(number.major())?;
            header.set_device_minor(number.minor())?;
        }
        header.set_cksum();
        if !pax.is_empty() {
            self.pax(&pax)?;
        }
        self.out.write_all(header.as_bytes())
    }

    fn pax(&mut self, records: &[u8]) -> io::Result<()> {
        let mut header = Header::new_ustar();
        put_text(&mut header.as_mut_bytes()[..100], b"PaxHeaders/x", || ());
        header.set_entry_type(EntryType::XHeader);
        header.set_mode(0o644);
        header.set_size(records.len() as u64);
        header.set_cksum();
        self.out.write_all(header.as_bytes())?;
        self.out.write_all(records)?;
        self.pad(records.len() as u64)
    }

    fn content(&mut self, extents: &[Extent], size: u64) -> io::Result<()> {
        let (mut buffer, mut written) = (vec![0; 1 << 17], 0);
        for extent in extents {
            self.zeros(extent.file_offset - written)?;
            written = extent.file_offset;
            while written < extent.end() {
                let length = (extent.end() - written).min(buffer.len() as u64);
                let part = &mut buffer[..length as usize];
                let offset = extent.spool_offset + (written - extent.file_offset);
                self.contents.read_exact_at(part, offset)?;
                self.out.write_all(part)?;
                written += length;
            }
        }
        self.zeros(size - written)?;
        self.pad(size)
    }

    fn pad(&mut self, size: u64) -> io::Result<()> {
        self.zeros(size.next_multiple_of(512) - size)
    }

    fn zeros(&mut self, length: u64) -> io::Result<()> {
        io::copy(&mut io::repeat(0).take(length), &mut self.out).map(drop)
    }
}

/// Puts text into a header's field, or calls `too_long`.
fn put_text(field: &mut [u8], text: &[u8], too_long: impl FnOnce()) {
    let length = text.len().min(field.len());
    field[..length].copy_from_slice(&text[..length]);
    if length < text.len() {
        too_long();
    }
}

/// A record starts with its own length in decimal, which counts itself.
fn pax_record(records: &mut Vec<u8>, key: &[u8], value: &[u8]) {
    let rest = key.len() + value.len() + 3;
    let mut length = rest + 1;
    while length != rest + length.to_string().len() {
        length = rest + length.to_string().len();
    }
    records.extend_from_slice(length.to_string().as_bytes());
    for part in [&b" "[..], key, b"=", value, b"\n"] {
        records.extend_from_slice(part);
    }
}
