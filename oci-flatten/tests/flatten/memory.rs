//! A source in memory, with every fault a test may want.

use std::io::Cursor;
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};

use oci_flatten::digest::Digest;
use oci_flatten::error::Error;
use oci_flatten::image::{Image, Layer};
use oci_flatten::platform::Platform;
use oci_flatten::source::{Blob, BoxFuture, Source, Verified};
use tokio::io::{AsyncRead, BufReader, ReadBuf};

/// An image of these layers, stored as given.
pub struct Memory {
    pub image: Image,
    pub blobs: Vec<Vec<u8>>,
    /// How often each blob was opened, and how many of its bytes were read.
    pub opened: Vec<AtomicUsize>,
    pub read: Arc<Mutex<Vec<usize>>>,
    /// Whether the source checks what it gives.
    pub verified: bool,
}

impl Memory {
    /// Plain layers.
    pub fn plain(layers: &[Vec<u8>]) -> Self {
        Self::stored(layers, layers, oci_flatten::media_type::OCI_LAYER)
    }

    pub fn stored(layers: &[Vec<u8>], blobs: &[Vec<u8>], media_type: &str) -> Self {
        let described = layers.iter().zip(blobs).map(|(layer, blob)| Layer {
            media_type: Some(media_type.into()),
            digest: Some(Digest::sha256(blob)),
            size: Some(blob.len() as u64),
            diff_id: Some(Digest::sha256(layer)),
            ..Layer::default()
        });
        let image = Image {
            reference: "memory".into(),
            digest: Some(Digest::sha256(b"memory")),
            manifest: Vec::new(),
            config: Vec::new(),
            platform: Platform::new("linux", "amd64", None),
            created: None,
            layers: described.collect(),
            offers: Vec::new(),
        };
        Self {
            image,
            blobs: blobs.to_vec(),
            opened: blobs.iter().map(|_| AtomicUsize::new(0)).collect(),
            read: Arc::new(Mutex::new(vec![0; blobs.len()])),
            verified: true,
        }
    }
}

impl Source for Memory {
    fn image(&self) -> &Image {
        &self.image
    }

    fn open_layer(&self, layer: usize) -> BoxFuture<'_, Result<Blob, Error>> {
        self.opened[layer].fetch_add(1, Ordering::Relaxed);
        let (bytes, read) = (Cursor::new(self.blobs[layer].clone()), self.read.clone());
        let counted = Counted { bytes, layer, read };
        let described = &self.image.layers[layer];
        let blob: Blob = match (&described.digest, described.size, self.verified) {
            (Some(digest), Some(size), true) => {
                let verified = Verified::new(counted, digest.clone(), size);
                Box::pin(BufReader::new(verified))
            }
            _ => Box::pin(BufReader::new(counted)),
        };
        Box::pin(std::future::ready(Ok(blob)))
    }
}

/// Gives pieces of odd sizes, and counts them.
struct Counted {
    bytes: Cursor<Vec<u8>>,
    layer: usize,
    read: Arc<Mutex<Vec<usize>>>,
}

impl AsyncRead for Counted {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        out: &mut ReadBuf<'_>,
    ) -> Poll<std::io::Result<()>> {
        let mut piece = vec![0; out.remaining().min(10_007)];
        let mut piece = ReadBuf::new(&mut piece);
        let polled = Pin::new(&mut self.bytes).poll_read(cx, &mut piece);
        out.put_slice(piece.filled());
        self.read.lock().unwrap()[self.layer] += piece.filled().len();
        polled
    }
}
