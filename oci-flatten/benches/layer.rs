//! Entries per second of the layer reader and of the merge, beside the `tar` and `tokio_tar` crates on the same bytes.
//!
//! `cargo bench -p oci-flatten --bench layer [ENTRIES...]`; the best of three runs counts. All run in one thread, and what
//! is measured is the time that it had a processor (on Linux), so that other work on the machine counts little.

#![expect(clippy::print_stdout, reason = "a bench prints its table")]

#[path = "../tests/support/nowhere.rs"]
mod nowhere;

use std::hint::black_box;
use std::io::Read;
use std::time::{Duration, Instant};

use futures_util::StreamExt;
use nowhere::Nowhere;
use oci_flatten::apply::LayerApplier;
use oci_flatten::entry::Timestamp;
use oci_flatten::limits::Limits;
use oci_flatten::rootfs::Rootfs;
use oci_flatten::tar::{Event, TarReader};
use oci_flatten::testkit::{Entry, Layer};
use tokio::io::AsyncReadExt;

/// Pieces in which decoded bytes arrive.
const PIECE: usize = 256 << 10;

fn main() {
    let mut sizes: Vec<u32> = std::env::args()
        .filter_map(|arg| arg.parse().ok())
        .collect();
    if sizes.is_empty() {
        sizes = vec![100_000, 1_000_000];
    }
    for entries in sizes {
        for kind in [Kind::Ustar, Kind::Pax] {
            let layer = layer(entries, kind, 0);
            println!("{entries} entries, {kind:?}, {} MiB", layer.len() >> 20);
            report("  reader: ours", entries, || ours(&layer));
            report("  reader: tar", entries, || tar_crate(&layer));
            report("  reader: tokio_tar", entries, || tokio_tar_crate(&layer));
        }
        for count in [1, 10, 100] {
            let layers: Vec<_> = (0..count)
                .map(|index| layer(entries / count, Kind::Ustar, index))
                .collect();
            println!("{entries} entries in {count} layers");
            report("  reader and merge: ours", entries, || merge(&layers));
            report("  reader alone: ours", entries, || sum(&layers, ours));
            report("  reader alone: tar", entries, || sum(&layers, tar_crate));
            report("  reader alone: tokio_tar", entries, || {
                sum(&layers, tokio_tar_crate)
            });
        }
        one_directory(entries);
    }
}

fn report(name: &str, entries: u32, run: impl Fn() -> u64) {
    let best = (0..3)
        .map(|_| {
            let start = (processor_time(), Instant::now());
            black_box(run());
            match (start.0, processor_time()) {
                (Some(start), Some(end)) => end - start,
                _ => start.1.elapsed(),
            }
        })
        .min()
        .unwrap_or(Duration::MAX);
    let rate = f64::from(entries) / best.as_secs_f64() / 1e6;
    println!("{name:25} {rate:8.2} M entries/s   {best:10.1?}");
}

/// What this thread has had of its processor.
fn processor_time() -> Option<Duration> {
    let stat = std::fs::read_to_string("/proc/thread-self/schedstat").ok()?;
    let nanoseconds = stat.split(' ').next()?.parse().ok()?;
    Some(Duration::from_nanos(nanoseconds))
}

fn sum(layers: &[Vec<u8>], read: impl Fn(&[u8]) -> u64) -> u64 {
    layers.iter().map(|layer| read(layer)).sum()
}

#[derive(Debug, Clone, Copy)]
enum Kind {
    /// Nothing but headers, as `docker build` writes plain files.
    Ustar,
    /// A PAX header with nanoseconds before each, as BuildKit writes them.
    Pax,
}

/// Files of 100 bytes in directories of a hundred; every tenth name is the same in all layers.
fn layer(entries: u32, kind: Kind, index: u32) -> Vec<u8> {
    let body = [b'x'; 100];
    let mut layer = Layer::new();
    layer.extend((0..entries).map(|entry| {
        let directory = format!(
            "usr/lib/package-{:04}/share/{:03}",
            entry / 10_000,
            entry / 100 % 100
        );
        if entry % 100 == 0 {
            return Entry::directory(directory + "/");
        }
        let owner = if entry % 10 == 0 { 0 } else { index };
        let file = Entry::file(format!("{directory}/file-{owner}-{entry}.txt"), body);
        match kind {
            Kind::Ustar => file,
            Kind::Pax => file.pax("mtime", "1700000000.123456789"),
        }
    }));
    layer.finish()
}

fn ours(layer: &[u8]) -> u64 {
    let mut reader = TarReader::new(&Limits::default().tar());
    let mut sum = 0;
    for mut piece in layer.chunks(PIECE) {
        while let Some(event) = reader.next_event(&mut piece).expect("layer is well-formed") {
            match event {
                Event::Entry(entry) => sum += entry.path.len() as u64 + entry.mtime.seconds as u64,
                Event::Data(data) => sum += data.len() as u64,
                Event::Hole(_) | Event::EntryEnd => {}
            }
        }
    }
    sum
}

/// Gives the layer in pieces, as a decoder would.
fn tar_crate(layer: &[u8]) -> u64 {
    let mut archive = tar::Archive::new(layer);
    let mut buffer = vec![0; PIECE];
    let mut sum = 0;
    for entry in archive.entries().expect("layer is well-formed") {
        let mut entry = entry.expect("layer is well-formed");
        sum += entry.path_bytes().len() as u64 + entry.header().mtime().unwrap_or(0);
        if let Ok(Some(extensions)) = entry.pax_extensions() {
            sum += extensions.count() as u64;
        }
        loop {
            match entry.read(&mut buffer).expect("layer is well-formed") {
                0 => break,
                count => sum += count as u64,
            }
        }
    }
    sum
}

fn tokio_tar_crate(layer: &[u8]) -> u64 {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .expect("runtime starts");
    runtime.block_on(async {
        let mut archive = tokio_tar::Archive::new(layer);
        let mut buffer = vec![0; PIECE];
        let mut sum = 0;
        let mut entries = archive.entries().expect("layer is well-formed");
        while let Some(entry) = entries.next().await {
            let mut entry = entry.expect("layer is well-formed");
            sum += entry.path_bytes().expect("layer is well-formed").len() as u64
                + entry.header().mtime().unwrap_or(0);
            if let Ok(Some(extensions)) = entry.pax_extensions().await {
                sum += extensions.count() as u64;
            }
            loop {
                match entry.read(&mut buffer).await.expect("layer is well-formed") {
                    0 => break,
                    count => sum += count as u64,
                }
            }
        }
        sum
    })
}

fn merge(layers: &[Vec<u8>]) -> u64 {
    merged(layers).len()
}

fn merged(layers: &[Vec<u8>]) -> Rootfs<u32> {
    let mut rootfs = Rootfs::new(&Limits::default(), Timestamp::default());
    let mut sink = Nowhere;
    for layer in layers {
        let mut applier = LayerApplier::new(&mut rootfs, &mut sink).expect("few layers");
        for piece in layer.chunks(PIECE) {
            applier.push(piece).expect("layer merges");
        }
        applier.finish().expect("layer merges");
    }
    rootfs
}

/// All names in one directory, and then all of them in order.
fn one_directory(entries: u32) {
    let mut layer = Layer::new();
    let name = |entry: u32| format!("d/{:08x}", entry.reverse_bits());
    layer.extend((0..entries).map(|entry| Entry::file(name(entry), "")));
    let layer = layer.finish();
    println!("{entries} entries in one directory");
    report("  reader and merge", entries, || {
        merge(std::slice::from_ref(&layer))
    });
    let rootfs = merged(std::slice::from_ref(&layer));
    println!(
        "  memory of the tree       {:8} bytes/entry",
        rootfs.memory_bytes() / u64::from(entries)
    );
    let directory = rootfs.children(rootfs.root())[0].node;
    report("  children in order", entries, || {
        rootfs.children(directory).len() as u64
    });
}
