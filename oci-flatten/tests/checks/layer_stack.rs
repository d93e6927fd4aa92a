//! The check of the fuzz target `layer_stack`, whose header has the invariants.

use oci_flatten::apply::LayerApplier;
use oci_flatten::entry::Timestamp;
use oci_flatten::limits::Limits;
use oci_flatten::rootfs::Rootfs;
use oci_flatten::testkit::{IMPLIED_MTIME, Layer, MemorySink, list};

#[path = "../model/naive.rs"]
mod naive;

use naive::{Metadata, Model, Op};

/// Bytes are instructions: see [`Source::op`].
pub(crate) fn check(data: &[u8]) {
    let layers = Source(data).layers();
    let ours = ours(&layers);
    let mut model = Model::default();
    for (index, ops) in layers.iter().enumerate() {
        if model.apply(ops).is_err() {
            assert_eq!(
                ours,
                (index, Vec::new()),
                "the model refuses layer {index}: {layers:?}"
            );
            return;
        }
    }
    assert_eq!(ours, (layers.len(), model.list()), "{layers:?}");
}

fn ours(layers: &[Vec<Op>]) -> (usize, Vec<String>) {
    let mtime = Timestamp {
        seconds: IMPLIED_MTIME,
        nanoseconds: 0,
    };
    let mut rootfs = Rootfs::new(&Limits::default(), mtime);
    let mut sink = MemorySink::default();
    for (index, ops) in layers.iter().enumerate() {
        let mut layer = Layer::new();
        layer.extend(ops.iter().map(Op::entry));
        let mut applier = LayerApplier::new(&mut rootfs, &mut sink).expect("few layers");
        if applier
            .push(&layer.finish())
            .and_then(|()| applier.finish())
            .is_err()
        {
            return (index, Vec::new());
        }
    }
    (layers.len(), list(&rootfs, &sink))
}

struct Source<'a>(&'a [u8]);

impl Source<'_> {
    fn byte(&mut self) -> Option<u8> {
        let (first, rest) = self.0.split_first()?;
        self.0 = rest;
        Some(*first)
    }

    /// At most eight layers of together at most 64 entries.
    fn layers(&mut self) -> Vec<Vec<Op>> {
        let mut layers = vec![Vec::new()];
        for _ in 0..64 {
            match self.op() {
                Some(Some(op)) => layers.last_mut().expect("there is one").push(op),
                Some(None) if layers.len() < 8 => layers.push(Vec::new()),
                Some(None) => {}
                None => break,
            }
        }
        layers
    }

    /// One byte for the kind, then what it needs; `Some(None)` begins the next layer.
    fn op(&mut self) -> Option<Option<Op>> {
        let kind = self.byte()?;
        Some(Some(match kind % 8 {
            0 => Op::File {
                path: self.path()?,
                content: kind,
                metadata: self.metadata()?,
            },
            1 => Op::Directory {
                path: self.path()?,
                metadata: self.metadata()?,
            },
            2 => Op::Symlink {
                path: self.path()?,
                target: self.target()?,
            },
            3 => Op::HardLink {
                path: self.path()?,
                target: self.path()?,
                metadata: self.metadata()?,
            },
            4 => Op::Whiteout { path: self.path()? },
            5 => Op::Opaque { path: self.path()? },
            6 => Op::Opaque {
                path: String::new(),
            },
            _ => return Some(None),
        }))
    }

    /// Two bits for the depth, two for each name.
    fn path(&mut self) -> Option<String> {
        let bits = usize::from(self.byte()?);
        let deep = if bits & 3 == 3 {
            usize::from(self.byte()?)
        } else {
            0
        };
        let bits = bits | deep << 8;
        let names: Vec<_> = (0..=(bits & 3))
            .map(|index| ["a", "b", "c", "d"][bits >> (2 + 2 * index) & 3])
            .collect();
        Some(names.join("/"))
    }

    fn target(&mut self) -> Option<String> {
        Some(match self.byte()? % 5 {
            0 => self.path()?,
            1 => format!("/{}", self.path()?),
            2 => format!("../{}", self.path()?),
            3 => format!("{}/../{}", self.path()?, self.path()?),
            _ => format!("{}/./..", self.path()?),
        })
    }

    fn metadata(&mut self) -> Option<Metadata> {
        let byte = self.byte()?;
        let xattrs = (byte & 3 == 0).then_some((byte >> 2 & 1, byte >> 4));
        let mode = [0o600, 0o644, 0o700, 0o755][usize::from(byte >> 6)];
        Some(Metadata {
            mode,
            mtime: i64::from(byte & 3),
            xattrs: xattrs.into_iter().collect(),
        })
    }
}
