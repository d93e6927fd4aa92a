//! MB/s of tar that come out of one gzip layer: the whole chain beside its parts and beside other readers.
//!
//! ```text
//! cargo bench -p oci-flatten --bench decode                  a layer made for it
//! cargo bench -p oci-flatten --bench decode -- BLOB          a gzip layer from a file
//! ```
//!
//! Each figure is the best of five. The chain is `flatten()`: digest, inflate, diff_id, tar, merge, and a
//! sink that throws contents away. It should cost little more than inflating alone, as long as there
//! are two cores.

#![allow(
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "a bench prints, and may stop at once"
)]

use std::convert::Infallible;
use std::fs::File;
use std::io::{Cursor, Read, Write};
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::StreamExt;
use oci_flatten::apply::ContentSink;
use oci_flatten::decode::decode;
use oci_flatten::digest::Digest;
use oci_flatten::flatten::{CancellationToken, FlattenOptions, flatten};
use oci_flatten::image::{Image, Layer};
use oci_flatten::platform::Platform;
use oci_flatten::progress::Silent;
use oci_flatten::source::{Blob, BoxFuture, Source, verified_file};
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
    let blob: Arc<[u8]> = blob.into();
    let runtime = Runtime::new().unwrap();
    let inflate = measure(|| runtime.block_on(inflate_alone(blob.clone())));
    let rows = [
        ("inflate alone, to nowhere", inflate),
        (
            "inflate alone, flate2 without async",
            measure(|| inflate_blocking(&blob)),
        ),
        (
            "flatten(), the whole chain",
            measure(|| runtime.block_on(whole_chain(&source))),
        ),
        (
            "tar crate, same inflate, one thread",
            measure(|| tar_crate(&blob)),
        ),
        (
            "tokio_tar, same inflate, one thread",
            measure(|| runtime.block_on(tokio_tar(&blob))),
        ),
    ];
    for (name, time) in rows {
        let rate = mib(length) / time.as_secs_f64();
        let ratio = time.as_secs_f64() / inflate.as_secs_f64();
        println!(
            "{name:<38} {:>8.1} ms {rate:>8.0} MiB/s {ratio:>6.2} x",
            time.as_secs_f64() * 1e3
        );
    }
}

fn measure(mut run: impl FnMut()) -> Duration {
    let time = |()| {
        let start = Instant::now();
        run();
        start.elapsed()
    };
    [(); 5].map(time).into_iter().min().unwrap()
}

async fn inflate_alone(blob: Arc<[u8]>) {
    let mut stream = decode(Cursor::new(blob)).await.unwrap().stream;
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

fn tar_crate(blob: &[u8]) {
    let decoder = flate2::bufread::MultiGzDecoder::new(blob);
    let mut archive = tar::Archive::new(std::io::BufReader::with_capacity(BUFFER, decoder));
    let mut buffer = vec![0; BUFFER];
    for entry in archive.entries().unwrap() {
        let mut entry = entry.unwrap();
        entry.path().unwrap();
        while entry.read(&mut buffer).unwrap() > 0 {}
    }
}

async fn tokio_tar(blob: &Arc<[u8]>) {
    let stream = decode(Cursor::new(blob.clone())).await.unwrap().stream;
    let buffered = tokio::io::BufReader::with_capacity(BUFFER, stream);
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
            media_type: None,
            digest: Some(Digest::sha256(blob)),
            size: Some(blob.len() as u64),
            diff_id: Some(diff_id.clone()),
        };
        let image = Image {
            reference: "bench".into(),
            digest: Some(diff_id),
            manifest: Vec::new(),
            config: Vec::new(),
            platform: Platform::linux_here(),
            created: None,
            layers: vec![layer],
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

/// About 200 MiB in files of the sizes that a distribution has, which gzip makes a third of.
fn sample_layer() -> Vec<u8> {
    let mut state = 0x2545_f491_4f6c_dd1d_u64;
    let mut random = move || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state
    };
    let words: Vec<[u8; 8]> = (0..4096).map(|_| random().to_le_bytes()).collect();
    let encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    let mut builder = tar::Builder::new(encoder);
    let mut content = Vec::new();
    for file in 0..8000 {
        content.clear();
        // Most files are small, and a few make up most of the bytes.
        let words_of_file = (random() % 512) << (random() % 8);
        for _ in 0..words_of_file {
            let drawn = random();
            let length = 1 + (drawn >> 32) as usize % 8;
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
