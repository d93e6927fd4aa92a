//! Layers of every number and form.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use async_compression::tokio::write::ZstdEncoder;
use oci_flatten::digest::Digest;
use oci_flatten::entry::Timestamp;
use oci_flatten::flatten::FlattenOptions;
use oci_flatten::testkit::{Entry, Layer};
use tokio::io::AsyncWriteExt;

use crate::memory::Memory;
use crate::support::{OCI_GZIP, OCI_ZSTD, flatten, flatten_with, gzip, layer};

async fn zstd(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = ZstdEncoder::new(Vec::new());
    encoder.write_all(bytes).await.unwrap();
    encoder.shutdown().await.unwrap();
    encoder.into_inner()
}

#[tokio::test]
async fn no_layers_are_an_empty_tree() {
    let merged = flatten(Arc::new(Memory::plain(&[]))).await.unwrap();
    assert!(merged.flattened.rootfs.is_empty());
    assert_eq!(merged.flattened.digest, Digest::sha256(b"memory"));
    assert_eq!(merged.flattened.stored_bytes, 0);
}

#[tokio::test]
async fn five_hundred_layers_and_each_is_opened_once() {
    let layers: Vec<_> = (0..500)
        .map(|number| {
            let new = Entry::file(format!("{number:03}"), "x");
            let old = Entry::file(format!(".wh.{:03}", number - 1), "");
            Layer::new().entry(new).entry(old).finish()
        })
        .collect();
    let blobs: Vec<_> = layers.iter().map(|layer| gzip(layer)).collect();
    let source = Arc::new(Memory::stored(&layers, &blobs, OCI_GZIP));
    let merged = flatten(source.clone()).await.unwrap();
    assert_eq!(merged.listing, ["499=x"]);
    assert_eq!(merged.flattened.layers.len(), 500);
    assert_eq!(merged.flattened.sink.live(), 1);
    assert!(
        source
            .opened
            .iter()
            .all(|count| count.load(Ordering::Relaxed) == 1)
    );
}

#[tokio::test]
async fn a_repeated_layer_is_applied_each_time() {
    let (one, two) = (layer("a", "1"), layer("a", "2"));
    let layers = [one.clone(), two, one];
    let merged = flatten(Arc::new(Memory::plain(&layers))).await.unwrap();
    assert_eq!(merged.listing, ["a=1 mtime=1"]);
    let entries: Vec<_> = merged
        .flattened
        .layers
        .iter()
        .map(|layer| layer.entries)
        .collect();
    assert_eq!(entries, [1, 1, 1]);
}

#[tokio::test]
async fn an_empty_blob_is_an_empty_layer() {
    let nothing = Vec::new();
    let layers = [
        layer("a", "1"),
        nothing.clone(),
        vec![0; 1024],
        nothing.clone(),
    ];
    let blobs = [
        gzip(&layers[0]),
        nothing.clone(),
        gzip(&layers[2]),
        gzip(&nothing),
    ];
    let merged = flatten(Arc::new(Memory::stored(&layers, &blobs, OCI_GZIP)))
        .await
        .unwrap();
    assert_eq!(merged.listing, ["a=1 mtime=1"]);
    assert_eq!(merged.flattened.warnings().count(), 0);
}

/// A gzip member for each entry, and files that tell a snapshotter what to fetch first.
#[tokio::test]
async fn estargz_layers_keep_their_landmarks() {
    let entries = [
        Entry::file(".prefetch.landmark", [0xf]),
        Entry::file("a", "1"),
        Entry::file(".no.prefetch.landmark", [0xf]),
        Entry::file("stargz.index.json", "{}"),
    ];
    let members: Vec<_> = entries
        .into_iter()
        .map(|entry| Layer::new().entry(entry).cut())
        .chain([vec![0; 1024]])
        .collect();
    let blob: Vec<_> = members.iter().flat_map(|member| gzip(member)).collect();
    let source = Memory::stored(&[members.concat()], &[blob], OCI_GZIP);
    let merged = flatten(Arc::new(source)).await.unwrap();
    let landmark = |name: &str| format!("{name}=\\u{{f}}");
    assert_eq!(
        merged.listing,
        [
            landmark(".no.prefetch.landmark"),
            landmark(".prefetch.landmark"),
            "a=1".to_owned(),
            "stargz.index.json={}".to_owned(),
        ]
    );
}

#[tokio::test]
async fn a_media_type_that_does_not_match_is_a_warning() {
    let tar = layer("a", "1");
    let plain = oci_flatten::media_type::OCI_LAYER;
    let zstd = zstd(&tar).await;
    for (media_type, blob, warning) in [
        (plain, tar.clone(), None),
        (OCI_GZIP, gzip(&tar), None),
        (OCI_ZSTD, zstd.clone(), None),
        (
            plain,
            gzip(&tar),
            Some("layer is gzip, its media type says "),
        ),
        (OCI_GZIP, zstd, Some("layer is zstd, its media type says ")),
        (
            OCI_ZSTD,
            tar.clone(),
            Some("layer is uncompressed, its media type says "),
        ),
    ] {
        let layers = [tar.clone(), tar.clone()];
        let mut source = Memory::stored(&layers, &[tar.clone(), blob], media_type);
        source.image.layers[0].media_type = Some(plain.into());
        let merged = flatten(Arc::new(source)).await.unwrap();
        assert_eq!(merged.listing, ["a=1 mtime=1"]);
        let found: Vec<_> = merged
            .flattened
            .warnings()
            .map(|(layer, warning)| (layer, warning.to_string()))
            .collect();
        let wanted: Vec<_> = warning
            .map(|text| (1, format!("{text}{media_type}")))
            .into_iter()
            .collect();
        assert_eq!(found, wanted);
    }
}

#[tokio::test]
async fn warnings_of_the_layers_come_with_their_number() {
    let device = Layer::new()
        .entry(Entry::char_device("null", 0, 0))
        .finish();
    let layers = [layer("a", "1"), device];
    let merged = flatten(Arc::new(Memory::plain(&layers))).await.unwrap();
    let found: Vec<_> = merged
        .flattened
        .warnings()
        .map(|(layer, warning)| format!("{layer}: {warning}"))
        .collect();
    assert_eq!(found, ["1: character device 0:0 kept as a device: null"]);
}

#[tokio::test]
async fn implied_directories_have_the_time_of_the_caller_or_the_image() {
    let at = |seconds| {
        Some(Timestamp {
            seconds,
            nanoseconds: 0,
        })
    };
    for (created, given, time) in [
        (None, None, ""),
        (at(5), None, " mtime=5"),
        (at(5), at(6), " mtime=6"),
    ] {
        let mut source = Memory::plain(&[layer("a/b", "1")]);
        source.image.created = created;
        let options = FlattenOptions {
            implied_mtime: given,
            ..FlattenOptions::default()
        };
        let merged = flatten_with(Arc::new(source), options).await.unwrap();
        assert_eq!(
            merged.listing,
            [format!("a/{time}"), "a/b=1 mtime=1".into()]
        );
    }
}

/// The order of threads decides nothing.
#[test]
fn every_runtime_gives_the_same() {
    let layers: Vec<_> = (0..20)
        .map(|number| layer(&format!("d/{}", number % 7), &number.to_string()))
        .collect();
    let mut multi = tokio::runtime::Builder::new_multi_thread();
    let mut single = tokio::runtime::Builder::new_current_thread();
    let listings: Vec<_> = [multi.worker_threads(4), &mut single]
        .map(|builder| {
            let runtime = builder.build().unwrap();
            runtime
                .block_on(flatten(Arc::new(Memory::plain(&layers))))
                .unwrap()
                .listing
        })
        .to_vec();
    assert_eq!(listings[0].len(), 8);
    assert_eq!(listings[0], listings[1]);
}
