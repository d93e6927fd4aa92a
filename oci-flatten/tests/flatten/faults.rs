//! Everything that can be wrong with a blob or a layer, and the error that says so.

use std::sync::Arc;

use oci_flatten::digest::{Algorithm, Digest};
use oci_flatten::error::{Error, ErrorKind};
use oci_flatten::flatten::FlattenOptions;
use oci_flatten::limits::Limits;
use oci_flatten::testkit::{Entry, Header, Layer};

use crate::memory::Memory;
use crate::support::{OCI_GZIP, assert_nothing_said_twice, flatten, flatten_with, gzip, layer};

fn layers() -> Vec<Vec<u8>> {
    // Bytes that do not shrink, so that a blob takes several reads.
    let noise: Vec<u8> = (0..40_000_u32)
        .flat_map(|i| (i.wrapping_mul(2_654_435_761)).to_le_bytes())
        .collect();
    let big = Layer::new().entry(Entry::file("big", noise)).finish();
    vec![layer("first", "1"), big, layer("last", "3")]
}

fn zipped() -> Memory {
    let layers = layers();
    let blobs: Vec<_> = layers.iter().map(|layer| gzip(layer)).collect();
    Memory::stored(&layers, &blobs, OCI_GZIP)
}

async fn fail(source: Memory) -> Error {
    flatten(Arc::new(source)).await.unwrap_err()
}

#[track_caller]
fn assert_message(error: &Error, kind: ErrorKind, parts: &[&str]) {
    assert_eq!(error.kind(), kind, "{error}");
    assert_nothing_said_twice(error);
    for part in parts {
        assert!(error.message().contains(part), "{error} (wanted {part})");
    }
}

#[tokio::test]
async fn nothing_is_wrong_with_the_sample() {
    let source = Arc::new(zipped());
    let merged = flatten(source.clone()).await.unwrap();
    assert_eq!(merged.listing.len(), 3);
    let sizes: Vec<_> = source.blobs.iter().map(Vec::len).collect();
    assert_eq!(
        *source.read.lock().unwrap(),
        sizes,
        "every byte was read, and once"
    );
    assert_eq!(
        merged.flattened.stored_bytes,
        sizes.iter().sum::<usize>() as u64
    );
}

#[tokio::test]
async fn a_damaged_blob_is_told_by_its_digest_whatever_it_does_to_the_decoder() {
    let whole = zipped();
    let digest = whole.image.layers[1].digest.clone().unwrap();
    let place = format!("layer 2 of 3 ({digest}): ");
    let length = whole.blobs[1].len();
    for position in [
        0,
        3,
        9,
        10,
        100,
        length / 2,
        length - 9,
        length - 8,
        length - 1,
    ] {
        let mut source = zipped();
        source.blobs[1][position] ^= 0x10;
        let found = Digest::sha256(&source.blobs[1]);
        let parts = [&place, digest.as_str(), "has digest", found.as_str()];
        assert_message(&fail(source).await, ErrorKind::Integrity, &parts);
    }
    // The same where nothing but the tar reader could stumble.
    let mut source = Memory::plain(&layers());
    source.blobs[1][150] ^= 0x10;
    assert_message(
        &fail(source).await,
        ErrorKind::Integrity,
        &["layer 2 of 3", "has digest"],
    );
}

#[tokio::test]
async fn a_blob_of_another_size_is_told_by_its_size() {
    let size = zipped().blobs[1].len();
    for length in [0, 1, 9, 10, 1000, size - 8, size - 1] {
        let mut source = zipped();
        source.blobs[1].truncate(length);
        let ends = format!("ends after {length} bytes (expected {size})");
        assert_message(
            &fail(source).await,
            ErrorKind::Integrity,
            &["layer 2 of 3", &ends],
        );
    }
    for tail in [&b"x"[..], &[0; 100], &gzip(b"another member")] {
        let mut source = zipped();
        source.blobs[1].extend_from_slice(tail);
        let more = format!("has more than {size} bytes");
        assert_message(
            &fail(source).await,
            ErrorKind::Integrity,
            &["layer 2 of 3", &more],
        );
    }
}

#[tokio::test]
async fn sizes_are_held_even_where_the_source_does_not() {
    let size = zipped().blobs[1].len();
    for length in [size - 1, size + 1] {
        let mut source = zipped();
        source.verified = false;
        source.blobs[1].resize(length, 0);
        let error = fail(source).await;
        assert_message(
            &error,
            ErrorKind::Integrity,
            &["layer 2 of 3", &format!("(expected {size})")],
        );
    }
}

#[tokio::test]
async fn a_right_blob_of_other_bytes_is_told_by_its_diff_id() {
    for algorithm in [Algorithm::Sha256, Algorithm::Sha384, Algorithm::Sha512] {
        let mut source = zipped();
        let right = Digest::of(algorithm, &layers()[1]);
        source.image.layers[1].diff_id = Some(right.clone());
        assert!(flatten(Arc::new(source)).await.is_ok());

        let mut source = zipped();
        let wrong = Digest::of(algorithm, b"something else");
        source.image.layers[1].diff_id = Some(wrong.clone());
        let found = format!("diff_id {right}");
        let expected = format!("(expected {wrong})");
        let parts = ["layer 2 of 3", &found, &expected];
        assert_message(&fail(source).await, ErrorKind::Integrity, &parts);
    }
}

/// The sample with another second blob, described as it is.
fn replaced(blob: Vec<u8>, tar: &[u8]) -> Memory {
    let mut source = zipped();
    source.image.layers[1].digest = Some(Digest::sha256(&blob));
    source.image.layers[1].size = Some(blob.len() as u64);
    source.image.layers[1].diff_id = Some(Digest::sha256(tar));
    source.blobs[1] = blob;
    source
}

#[tokio::test]
async fn malformed_compression_is_told_where_the_blob_itself_is_right() {
    let tar = layers()[1].clone();
    let good = gzip(&tar);
    let mut bad_crc = good.clone();
    let crc = good.len() - 8;
    bad_crc[crc] ^= 1;
    for (blob, part) in [
        (good[..good.len() - 1].to_vec(), "truncated gzip data"),
        (good[..good.len() / 2].to_vec(), "truncated gzip data"),
        ([&good[..], b"trailing"].concat(), "malformed gzip data"),
        (bad_crc, "malformed gzip data"),
        (
            [&[0x28, 0xb5, 0x2f, 0xfd][..], &[0xff; 100]].concat(),
            "malformed zstd data",
        ),
        (b"BZh91AY&SYxxxx".to_vec(), "truncated bzip2 data"),
    ] {
        let error = fail(replaced(blob, &tar)).await;
        let parts = ["layer 2 of 3 (sha256:", part];
        assert_message(&error, ErrorKind::Malformed, &parts);
    }
    let padded = [&good[..], &[0; 1000]].concat();
    assert!(flatten(Arc::new(replaced(padded, &tar))).await.is_ok());
    let error = fail(replaced(b"\x89LZO\0xxxxxxxxxxxxxx".to_vec(), &tar)).await;
    assert_message(&error, ErrorKind::Unsupported, &["layer 2 of 3", "lzo"]);
}

#[tokio::test]
async fn a_malformed_tar_is_told_with_its_layer() {
    let half = layers()[1][..100_000].to_vec();
    let garbage = vec![7; 5000];
    for tar in [half, garbage] {
        let error = fail(replaced(tar.clone(), &tar)).await;
        assert_message(&error, ErrorKind::Malformed, &["layer 2 of 3 (sha256:"]);
    }
}

#[tokio::test]
async fn bytes_after_the_end_marker_count_for_the_diff_id() {
    let tar = [&layer("a", "1")[..], &[9; 3000]].concat();
    let merged = flatten(Arc::new(replaced(gzip(&tar), &tar))).await.unwrap();
    assert_eq!(merged.flattened.layers[1].expanded_bytes, tar.len() as u64);
    let error = fail(replaced(gzip(&tar), &tar[..tar.len() - 1])).await;
    assert_message(&error, ErrorKind::Integrity, &["layer 2 of 3", "diff_id"]);
}

#[tokio::test]
async fn limits_hold_over_all_layers() {
    let total: u64 = layers().iter().map(|layer| layer.len() as u64).sum();
    for (expanded_bytes, good) in [(total, true), (total - 1, false)] {
        let mut limits = Limits::default();
        limits.expanded_bytes = expanded_bytes;
        let options = FlattenOptions {
            limits,
            ..FlattenOptions::default()
        };
        let outcome = flatten_with(Arc::new(zipped()), options).await;
        assert_eq!(outcome.is_ok(), good);
        if let Err(error) = outcome {
            assert_message(&error, ErrorKind::LimitExceeded, &["layer 3 of 3"]);
        }
    }
}

#[tokio::test]
async fn a_gzip_bomb_ends_at_the_limit() {
    let size = |header: Header| header.number(Header::SIZE, 1 << 30);
    let mut bomb = Layer::new()
        .entry(Entry::file("zeros", "").header(size))
        .cut();
    bomb.extend(std::iter::repeat_n(0, 64 << 20));
    let blob = gzip(&bomb);
    assert!(blob.len() < 1 << 20);
    let source = Arc::new(Memory::stored(&[bomb], &[blob], OCI_GZIP));
    let mut limits = Limits::default();
    limits.expanded_bytes = 10 << 20;
    let options = FlattenOptions {
        limits,
        ..FlattenOptions::default()
    };
    let error = flatten_with(source, options).await.unwrap_err();
    assert_message(
        &error,
        ErrorKind::LimitExceeded,
        &["layer 1 of 1", "expands to more than 10485760 bytes"],
    );
}
