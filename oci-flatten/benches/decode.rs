//! MB/s of tar that come out of one gzip layer: the whole chain beside its parts and beside other readers.
//!
//! ```text
//! cargo bench -p oci-flatten --bench decode                  a layer made for it
//! cargo bench -p oci-flatten --bench decode -- BLOB          a gzip layer from a file
//! ```
//!
//! Each figure is the best of seven, taken in turns. All inflate with zlib-rs. "Decoded" is gzip and tar in one
//! thread with nothing checked; "checked" has the digests of blob and tar as well, which is what a program needs,
//! and `flatten()`, which also merges, does it in threads of its own.

#![allow(
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "a bench prints, and may stop at once"
)]

#[path = "../tests/support/nowhere.rs"]
mod nowhere;

use std::fs::File;
use std::hint::black_box;
use std::io::{Read, Write};
use std::sync::Arc;
use std::time::{Duration, Instant};

use async_compression::tokio::bufread::GzipDecoder;
use futures_util::StreamExt;
use nowhere::Nowhere;
use oci_flatten::decode::decode;
use oci_flatten::digest::Digest;
use oci_flatten::flatten::{CancellationToken, FlattenOptions, flatten};
use oci_flatten::image::{Image, Layer};
use oci_flatten::limits::Limits;
use oci_flatten::platform::Platform;
use oci_flatten::progress::Silent;
use oci_flatten::source::{Blob, BoxFuture, Source, verified_file};
use oci_flatten::tar::TarReader;
use sha2::{Digest as _, Sha256};
use tokio::io::AsyncReadExt;
use tokio::runtime::Runtime;

const BUFFER: usize = 256 * 1024;

fn main() {
    let argument = std::env::args()
        .skip(1)
        .find(|argument| !argument.starts_with("--"));
    let blob = match argument {
        Some(path) => std::fs::read(path).unwrap(),
        None => sample_layer(),
    };
    let mut tar = Vec::new();
    flate2::read::MultiGzDecoder::new(blob.as_slice())
        .read_to_end(&mut tar)
        .unwrap();
    let (diff_id, length) = (Digest::sha256(&tar), tar.len());
    drop(tar);
    let mib = |bytes: usize| bytes as f64 / f64::from(1 << 20);
    println!(
        "layer: {:.1} MiB of tar in {:.1} MiB of gzip",
        mib(length),
        mib(blob.len())
    );
    let source: Arc<dyn Source> = Arc::new(OneLayer::new(&blob, diff_id));
    let runtime = Runtime::new().unwrap();
    type Run<'a> = Box<dyn Fn() + 'a>;
    let rows: [(&str, Run<'_>); 7] = [
        (
            "inflated: ours",
            Box::new(|| runtime.block_on(inflate_alone(&blob))),
        ),
        ("inflated: flate2", Box::new(|| inflate_blocking(&blob))),
        (
            "decoded: ours",
            Box::new(|| runtime.block_on(decode_alone(&blob))),
        ),
        ("decoded: flate2 and tar", Box::new(|| tar_crate(&blob))),
        (
            "decoded: async-compression and tokio_tar",
            Box::new(|| runtime.block_on(tokio_tar(&blob))),
        ),
        (
            "checked: flatten()",
            Box::new(|| runtime.block_on(whole_chain(&source))),
        ),
        (
            "checked: flate2, tar and sha2",
            Box::new(|| checked_tar_crate(&blob)),
        ),
    ];
    let mut best = [Duration::MAX; 7];
    for _ in 0..7 {
        for ((_, run), best) in rows.iter().zip(&mut best) {
            let start = Instant::now();
            run();
            *best = start.elapsed().min(*best);
        }
    }
    for ((name, _), time) in rows.iter().zip(best) {
        let rate = mib(length) / time.as_secs_f64();
        let ratio = time.as_secs_f64() / best[0].as_secs_f64();
        println!(
            "{name:<40} {:>8.1} ms {rate:>8.0} MiB/s {ratio:>6.2} x",
            time.as_secs_f64() * 1e3
        );
    }
}

async fn inflate_alone(blob: &[u8]) {
    let mut stream = decode(blob, u64::MAX).await.unwrap().stream;
    let mut buffer = vec![0; BUFFER];
    while stream.read(&mut buffer).await.unwrap() > 0 {}
}

fn inflate_blocking(blob: &[u8]) {
    let mut decoder = flate2::bufread::MultiGzDecoder::new(blob);
    let mut buffer = vec![0; BUFFER];
    while decoder.read(&mut buffer).unwrap() > 0 {}
}

async fn whole_chain(source: &Arc<dyn Source>) {
    let (options, token) = (FlattenOptions::default(), CancellationToken::new());
    flatten(source.clone(), Nowhere, options, Arc::new(Silent), token)
        .await
        .unwrap();
}

async fn decode_alone(blob: &[u8]) {
    let mut stream = decode(blob, u64::MAX).await.unwrap().stream;
    let mut reader = TarReader::new(&Limits::default().tar());
    let mut buffer = vec![0; BUFFER];
    loop {
        let read = stream.read(&mut buffer).await.unwrap();
        let mut piece = &buffer[..read];
        if read == 0 {
            reader.finish().unwrap();
            return;
        }
        while let Some(event) = reader.next_event(&mut piece).unwrap() {
            black_box(event);
        }
    }
}

fn tar_crate(blob: &[u8]) {
    read_tar(flate2::bufread::MultiGzDecoder::new(blob));
}

/// Reads a tar as a program of one thread does that checks what it reads.
fn checked_tar_crate(blob: &[u8]) {
    let mut compressed = Hashed(blob, Sha256::new());
    let buffered = std::io::BufReader::with_capacity(BUFFER, &mut compressed);
    let mut tar = Hashed(
        flate2::bufread::MultiGzDecoder::new(buffered),
        Sha256::new(),
    );
    read_tar(&mut tar);
    std::io::copy(&mut tar, &mut std::io::sink()).unwrap();
    black_box((tar.1.finalize(), compressed.1.finalize()));
}

/// A reader whose bytes are hashed.
struct Hashed<R>(R, Sha256);

impl<R: Read> Read for Hashed<R> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let read = self.0.read(buffer)?;
        self.1.update(&buffer[..read]);
        Ok(read)
    }
}

fn read_tar(decoder: impl Read) {
    let mut archive = tar::Archive::new(std::io::BufReader::with_capacity(BUFFER, decoder));
    let mut buffer = vec![0; BUFFER];
    for entry in archive.entries().unwrap() {
        let mut entry = entry.unwrap();
        entry.path().unwrap();
        while entry.read(&mut buffer).unwrap() > 0 {}
    }
}

async fn tokio_tar(blob: &[u8]) {
    let mut decoder = GzipDecoder::new(blob);
    decoder.multiple_members(true);
    let buffered = tokio::io::BufReader::with_capacity(BUFFER, decoder);
    let mut archive = tokio_tar::Archive::new(buffered);
    let mut entries = archive.entries().unwrap();
    let mut buffer = vec![0; BUFFER];
    while let Some(entry) = entries.next().await {
        let mut entry = entry.unwrap();
        entry.path().unwrap();
        while entry.read(&mut buffer).await.unwrap() > 0 {}
    }
}

/// An image of one layer in a file.
struct OneLayer {
    image: Image,
    file: File,
}

impl OneLayer {
    fn new(blob: &[u8], diff_id: Digest) -> Self {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(blob).unwrap();
        let layer = Layer {
            digest: Some(Digest::sha256(blob)),
            size: Some(blob.len() as u64),
            diff_id: Some(diff_id.clone()),
            ..Layer::default()
        };
        let image = Image {
            reference: "bench".into(),
            digest: Some(diff_id),
            manifest: Vec::new(),
            config: Vec::new(),
            platform: Platform::linux_here(),
            created: None,
            layers: vec![layer],
            offers: Vec::new(),
        };
        Self { image, file }
    }
}

impl Source for OneLayer {
    fn image(&self) -> &Image {
        &self.image
    }

    fn open_layer(&self, layer: usize) -> BoxFuture<'_, oci_flatten::error::Result<Blob>> {
        let Layer { digest, size, .. } = self.image.layers[layer].clone();
        let file = self.file.try_clone().unwrap();
        let blob = verified_file(file, digest.unwrap(), size.unwrap());
        Box::pin(std::future::ready(Ok(blob)))
    }
}

/// About 200 MiB in files of the sizes that a distribution has, which gzip makes a third of.
fn sample_layer() -> Vec<u8> {
    let mut state = 0x2545_f491_4f6c_dd1d_u64;
    let mut random = move || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state
    };
    let words: Vec<[u8; 16]> = (0..1024)
        .map(|_| (u128::from(random()) << 64 | u128::from(random())).to_le_bytes())
        .collect();
    let encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    let mut builder = tar::Builder::new(encoder);
    let mut content = Vec::new();
    for file in 0..8000 {
        content.clear();
        // Most files are small, and a few make up most of the bytes.
        let words_of_file = (random() % 160) << (random() % 8);
        for _ in 0..words_of_file {
            let drawn = random();
            let length = 4 + (drawn >> 32) as usize % 12;
            content.extend_from_slice(&words[drawn as usize % words.len()][..length]);
        }
        let mut header = tar::Header::new_gnu();
        header.set_size(content.len() as u64);
        header.set_mode(0o644);
        header.set_cksum();
        let path = format!("usr/lib/directory-{:03}/file-{file}", file / 50);
        builder
            .append_data(&mut header, path, content.as_slice())
            .unwrap();
    }
    let mut encoder = builder.into_inner().unwrap();
    encoder.flush().unwrap();
    encoder.finish().unwrap()
}
