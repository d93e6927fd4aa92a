//! Ends before the end: cancellation, a dropped future, a sink that fails.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use oci_flatten::apply::ContentSink;
use oci_flatten::error::ErrorKind;
use oci_flatten::flatten::{CancellationToken, FlattenOptions, flatten};
use oci_flatten::image::Image;
use oci_flatten::progress::{Event, Silent};
use oci_flatten::source::{Blob, BoxFuture, Source};
use oci_flatten::testkit::{Entry, Layer, MemorySink};

use crate::memory::Memory;
use crate::support::layer;

fn big() -> Memory {
    let big = Layer::new()
        .entry(Entry::file("big", vec![1; 8 << 20]))
        .finish();
    Memory::plain(&[layer("a", "1"), big])
}

#[tokio::test]
async fn cancelled_before_it_begins() {
    let token = CancellationToken::new();
    token.cancel();
    let (sink, options) = (MemorySink::default(), FlattenOptions::default());
    let outcome = flatten(Arc::new(big()), sink, options, Arc::new(Silent), token).await;
    assert_eq!(outcome.unwrap_err().kind(), ErrorKind::Cancelled);
}

#[tokio::test]
async fn cancelled_while_a_layer_passes() {
    let token = CancellationToken::new();
    let cancel = token.clone();
    let observer = Arc::new(move |event| {
        if matches!(event, Event::LayerProgress { layer: 1, .. }) {
            cancel.cancel();
        }
    });
    let (sink, options) = (MemorySink::default(), FlattenOptions::default());
    let source = Arc::new(big());
    let outcome = flatten(source.clone(), sink, options, observer, token).await;
    assert_eq!(outcome.unwrap_err().kind(), ErrorKind::Cancelled);
    assert!(
        source.read.lock().unwrap()[1] < 8 << 20,
        "the rest was not read"
    );
}

/// A source whose layer never comes.
struct Stalled(Image);

impl Source for Stalled {
    fn image(&self) -> &Image {
        &self.0
    }

    fn open_layer(&self, _layer: usize) -> BoxFuture<'_, oci_flatten::error::Result<Blob>> {
        let (never_ends, keep_open) = tokio::io::duplex(16);
        Box::pin(async move {
            // The other end stays open and silent for as long as this stream is there.
            let stream = tokio::io::AsyncReadExt::chain(never_ends, tokio::io::empty());
            std::mem::drop(tokio::spawn(async move {
                std::future::pending::<()>().await;
                drop(keep_open);
            }));
            Ok(Box::pin(tokio::io::BufReader::new(stream)) as Blob)
        })
    }
}

/// Tells when it is dropped.
struct Watched(MemorySink, Arc<AtomicBool>);

impl Drop for Watched {
    fn drop(&mut self) {
        self.1.store(true, Ordering::Release);
    }
}

impl ContentSink for Watched {
    type Content = <MemorySink as ContentSink>::Content;
    type Error = <MemorySink as ContentSink>::Error;

    fn begin(&mut self, size: u64) -> Result<(), Self::Error> {
        self.0.begin(size)
    }
    fn write(&mut self, bytes: &[u8]) -> Result<(), Self::Error> {
        self.0.write(bytes)
    }
    fn hole(&mut self, length: u64) -> Result<(), Self::Error> {
        self.0.hole(length)
    }
    fn end(&mut self) -> Result<Self::Content, Self::Error> {
        self.0.end()
    }
    fn release(&mut self, content: Self::Content) -> Result<(), Self::Error> {
        self.0.release(content)
    }
}

#[tokio::test]
async fn a_stalled_source_can_be_cancelled_or_dropped() {
    let stalled = || Arc::new(Stalled(Memory::plain(&[layer("a", "1")]).image));
    let token = CancellationToken::new();
    let cancel = token.clone();
    let observer = Arc::new(move |event| {
        if matches!(event, Event::Resolved { .. }) {
            let cancel = cancel.clone();
            drop(tokio::spawn(async move { cancel.cancel() }));
        }
    });
    let (sink, options) = (MemorySink::default(), FlattenOptions::default());
    let outcome = flatten(stalled(), sink, options.clone(), observer, token).await;
    assert_eq!(outcome.unwrap_err().kind(), ErrorKind::Cancelled);

    let dropped = Arc::new(AtomicBool::new(false));
    let sink = Watched(MemorySink::default(), dropped.clone());
    let token = CancellationToken::new();
    let flattening = flatten(stalled(), sink, options, Arc::new(Silent), token);
    tokio::select! {
        biased;
        _ = flattening => panic!("a stalled source has no end"),
        () = tokio::task::yield_now() => {}
    }
    // The threads see it and let the sink go; without that this would wait for ever.
    while !dropped.load(Ordering::Acquire) {
        tokio::task::yield_now().await;
    }
}

/// Fails after so many bytes.
struct Full(u64);

impl ContentSink for Full {
    type Content = ();
    type Error = io::Error;

    fn begin(&mut self, _size: u64) -> io::Result<()> {
        Ok(())
    }
    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.0 = self
            .0
            .checked_sub(bytes.len() as u64)
            .ok_or(io::ErrorKind::StorageFull)?;
        Ok(())
    }
    fn hole(&mut self, _length: u64) -> io::Result<()> {
        Ok(())
    }
    fn end(&mut self) -> io::Result<()> {
        Ok(())
    }
    fn release(&mut self, (): ()) -> io::Result<()> {
        Ok(())
    }
}

#[tokio::test]
async fn the_sinks_own_error_is_the_cause() {
    let (source, token) = (Arc::new(big()), CancellationToken::new());
    let options = FlattenOptions::default();
    let outcome = flatten(
        source.clone(),
        Full(1 << 20),
        options,
        Arc::new(Silent),
        token,
    )
    .await;
    let Err(error) = outcome else {
        panic!("the sink is too small")
    };
    assert_eq!(error.kind(), ErrorKind::Sink);
    assert!(
        error.message().starts_with("layer 2 of 2 (sha256:"),
        "{error}"
    );
    let cause = error
        .into_source()
        .unwrap()
        .downcast::<io::Error>()
        .unwrap();
    assert_eq!(cause.kind(), io::ErrorKind::StorageFull);
    assert!(
        source.read.lock().unwrap()[1] < 8 << 20,
        "the rest was not read"
    );
}
