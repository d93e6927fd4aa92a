//! Lists the merged root filesystem of an image, as `ls -l` and `find` would.
//!
//! ```text
//! cargo run --example ls -- oci:layout:latest
//! cargo run --example ls -- docker-archive:saved.tar:name:tag linux/arm64
//! ```

#![allow(clippy::print_stdout, reason = "printing is what this example does")]

use std::convert::Infallible;
use std::error::Error;
use std::io::Write;
use std::sync::Arc;

use oci_flatten::apply::ContentSink;
use oci_flatten::flatten::{CancellationToken, FlattenOptions, flatten};
use oci_flatten::limits::Limits;
use oci_flatten::path::Escaped;
use oci_flatten::platform::Platform;
use oci_flatten::progress::Silent;
use oci_flatten::rootfs::{NodeKind, Rootfs};
use oci_flatten::source::{OpenOptions, SourceName, open_local};

/// A sink for those who want the tree and not the contents.
struct Nowhere;

impl ContentSink for Nowhere {
    type Content = ();
    type Error = Infallible;

    fn begin(&mut self, _size: u64) -> Result<(), Infallible> {
        Ok(())
    }
    fn write(&mut self, _bytes: &[u8]) -> Result<(), Infallible> {
        Ok(())
    }
    fn hole(&mut self, _length: u64) -> Result<(), Infallible> {
        Ok(())
    }
    fn end(&mut self) -> Result<(), Infallible> {
        Ok(())
    }
    fn release(&mut self, _content: ()) -> Result<(), Infallible> {
        Ok(())
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let name = arguments.next().ok_or("usage: ls SOURCE [PLATFORM]")?;
    let platform = match arguments.next() {
        Some(platform) => platform.parse()?,
        None => Platform::linux_here(),
    };
    let SourceName::Local(name) = SourceName::parse(&name)? else {
        return Err("this example opens local sources only".into());
    };
    let limits = Limits::default();
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
    let token = CancellationToken::new();
    let flattened = flatten(source, Nowhere, options, Arc::new(Silent), token).await?;
    list(
        &flattened.rootfs,
        &mut std::io::BufWriter::new(std::io::stdout().lock()),
    )?;
    Ok(())
}

/// One line a name: type and mode, links, owner, size, time, path.
fn list<C>(rootfs: &Rootfs<C>, out: &mut impl Write) -> std::io::Result<()> {
    let mut pending = vec![(Vec::new(), rootfs.root())];
    while let Some((path, id)) = pending.pop() {
        let node = rootfs.node(id);
        let (kind, size, target) = match node.kind {
            NodeKind::File { size, .. } => ('-', size.to_string(), None),
            NodeKind::Directory => ('d', "0".into(), None),
            NodeKind::Symlink(target) => ('l', target.len().to_string(), Some(target)),
            NodeKind::CharDevice(number) => {
                ('c', format!("{},{}", number.major(), number.minor()), None)
            }
            NodeKind::BlockDevice(number) => {
                ('b', format!("{},{}", number.major(), number.minor()), None)
            }
            NodeKind::Fifo => ('p', "0".into(), None),
        };
        let metadata = node.metadata;
        write!(
            out,
            "{kind}{:04o} {} {}:{} {size:>10} {}.{:09} /{}",
            metadata.mode,
            node.links,
            metadata.uid,
            metadata.gid,
            metadata.mtime.seconds,
            metadata.mtime.nanoseconds,
            Escaped(&path),
        )?;
        if let Some(target) = target {
            write!(out, " -> {}", Escaped(target))?;
        }
        for (name, value) in metadata.xattrs.iter() {
            write!(out, " {}={}", Escaped(name), Escaped(value))?;
        }
        writeln!(out)?;
        for child in rootfs.children(id).into_iter().rev() {
            let separator = if path.is_empty() { &b""[..] } else { b"/" };
            pending.push(([&path, separator, rootfs.name(child)].concat(), child.node));
        }
    }
    out.flush()
}
