//! The check of the fuzz target `layer_stream`, whose header has the invariants.

use std::convert::Infallible;

use oci_flatten::apply::{ContentSink, LayerApplier};
use oci_flatten::entry::Timestamp;
use oci_flatten::limits::Limits;
use oci_flatten::rootfs::{NodeKind, Rootfs};
use oci_flatten::tar::{Event, TarReader};

use super::repair::repaired;

/// The first byte chooses the size of pieces, and if it is odd, the rest gets checksums that fit.
pub(crate) fn check(data: &[u8]) {
    let Some((first, layer)) = data.split_first() else {
        return;
    };
    let size = match first {
        0 | 1 => layer.len().max(1),
        first => usize::from(*first) * 7,
    };
    let archive = if first % 2 == 1 {
        repaired(layer)
    } else {
        layer.to_vec()
    };
    let layer = &archive[..];
    let whole = read(layer, layer.len().max(1));
    let pieces = read(layer, size);
    assert_eq!(whole, pieces, "pieces of {size} bytes");
    merge(layer, size);
}

/// What was read before the end or the error, and whether it was the end.
fn read(layer: &[u8], size: usize) -> (Vec<Summary>, bool) {
    let mut reader = TarReader::new(&Limits::default().tar());
    let mut entries: Vec<Summary> = Vec::new();
    let mut open = false;
    let mut data_bytes = 0;
    for mut piece in layer.chunks(size) {
        loop {
            match reader.next_event(&mut piece) {
                Err(_) => return (entries, false),
                Ok(None) => break,
                Ok(Some(Event::Entry(entry))) => {
                    assert!(!open, "entry inside an entry");
                    open = true;
                    assert!(!entry.kind.is_header_only() || entry.size == 0);
                    let names: Vec<_> =
                        entry.xattrs.iter().map(|(name, _)| name.to_vec()).collect();
                    assert!(names.is_sorted_by(|a, b| a < b), "attributes out of order");
                    let (path, link) = (entry.path.to_vec(), entry.link.to_vec());
                    entries.push(Summary {
                        path,
                        link,
                        size: entry.size,
                        ..Summary::default()
                    });
                }
                Ok(Some(Event::Data(data))) => {
                    let entry = entries
                        .last_mut()
                        .filter(|_| open)
                        .expect("data inside an entry");
                    assert!(!data.is_empty());
                    data_bytes += data.len();
                    entry.given += data.len() as u64;
                    entry.sum = data.iter().fold(entry.sum, |sum, &byte| {
                        sum.wrapping_mul(31).wrapping_add(u64::from(byte))
                    });
                }
                Ok(Some(Event::Hole(length))) => {
                    let entry = entries
                        .last_mut()
                        .filter(|_| open)
                        .expect("hole inside an entry");
                    assert!(length > 0);
                    entry.given += length;
                    entry.sum = entry.sum.wrapping_mul(37).wrapping_add(length);
                }
                Ok(Some(Event::EntryEnd)) => {
                    let entry = entries
                        .last_mut()
                        .filter(|_| open)
                        .expect("end of an entry");
                    assert_eq!(
                        entry.given, entry.size,
                        "content is not as long as announced"
                    );
                    entry.complete = true;
                    open = false;
                }
            }
        }
        assert!(piece.is_empty(), "bytes left over");
    }
    assert!(data_bytes <= layer.len());
    let complete = reader.finish().is_ok();
    assert!(!(complete && open), "complete inside an entry");
    (entries, complete)
}

#[derive(Debug, Default, PartialEq)]
struct Summary {
    path: Vec<u8>,
    link: Vec<u8>,
    size: u64,
    given: u64,
    sum: u64,
    complete: bool,
}

/// Applies the layer twice over itself, within tight limits.
fn merge(layer: &[u8], size: usize) {
    let mut limits = Limits::default();
    limits.entries = 1000;
    limits.metadata_bytes = 1 << 20;
    limits.expanded_bytes = 1 << 22;
    let mut rootfs = Rootfs::new(&limits, Timestamp::default());
    let mut sink = Counting::default();
    for _ in 0..2 {
        let mut applier = LayerApplier::new(&mut rootfs, &mut sink).expect("two layers");
        let pushed = layer.chunks(size).try_for_each(|piece| applier.push(piece));
        let report = pushed.and_then(|()| applier.finish());
        // One entry may pass the limit by what it brings itself: a header of a mebibyte, a path through links.
        assert!(rootfs.memory_bytes() <= limits.metadata_bytes + (4 << 20));
        let Ok(report) = report else { return };
        assert!(report.entries <= limits.entries);
        assert_eq!(sink.live, files(&rootfs), "contents in use");
    }
}

/// Files with content, each counted once; also that links are as many as names.
fn files(rootfs: &Rootfs<u64>) -> u64 {
    let mut links = std::collections::BTreeMap::new();
    let mut pending = vec![rootfs.root()];
    let mut names = 0;
    while let Some(directory) = pending.pop() {
        let children = rootfs.children(directory);
        assert!(children.is_sorted_by(|a, b| rootfs.name(*a) < rootfs.name(*b)));
        for child in children {
            names += 1;
            *links.entry(child.node).or_insert(0) += 1;
            if matches!(rootfs.node(child.node).kind, NodeKind::Directory) {
                pending.push(child.node);
            }
        }
    }
    assert_eq!(names, rootfs.len());
    let mut files = 0;
    for (node, count) in links {
        let node = rootfs.node(node);
        assert_eq!(node.links, count);
        files += u64::from(matches!(
            node.kind,
            NodeKind::File {
                content: Some(_),
                ..
            }
        ));
    }
    files
}

/// Sees that contents come whole, one after the other.
#[derive(Debug, Default)]
struct Counting {
    open: Option<u64>,
    live: u64,
}

impl ContentSink for Counting {
    type Content = u64;
    type Error = Infallible;

    fn begin(&mut self, size: u64) -> Result<(), Infallible> {
        assert_eq!(self.open.replace(size), None, "content inside a content");
        Ok(())
    }

    fn write(&mut self, bytes: &[u8]) -> Result<(), Infallible> {
        self.hole(bytes.len() as u64)
    }

    fn hole(&mut self, length: u64) -> Result<(), Infallible> {
        let open = self.open.as_mut().expect("content is open");
        *open = open
            .checked_sub(length)
            .expect("content is as long as announced");
        Ok(())
    }

    fn end(&mut self) -> Result<u64, Infallible> {
        assert_eq!(self.open.take(), Some(0), "content is as long as announced");
        self.live += 1;
        Ok(self.live)
    }

    fn release(&mut self, _content: u64) -> Result<(), Infallible> {
        self.live = self.live.checked_sub(1).expect("content is in use");
        Ok(())
    }
}
