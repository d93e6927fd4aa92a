//! The blob cache, by its files.

#![allow(clippy::unwrap_used, reason = "tests may")]

use std::fs::{self, OpenOptions};
use std::io::Read as _;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use oci_flatten::cache::{Cache, Claim, CorruptBlob, Ingest, PrunePolicy};
use oci_flatten::digest::Digest;
use oci_flatten::error::{Error, ErrorKind};
use oci_flatten::image::{Descriptor, Document};
use oci_flatten::lock::Waiter;
use oci_flatten::media_type::{MediaType, OCI_CONFIG, OCI_LAYER, OCI_MANIFEST};
use oci_flatten::reference::Reference;
use proptest::prelude::*;
use tempfile::TempDir;

fn new_cache() -> (TempDir, Cache) {
    let folder = tempfile::tempdir().unwrap();
    let cache = Cache::open(folder.path().join("oci")).unwrap();
    (folder, cache)
}

async fn missing(cache: &Cache, bytes: &[u8]) -> Ingest {
    match cache
        .claim(&Digest::sha256(bytes), bytes.len() as u64)
        .await
        .unwrap()
    {
        Claim::Missing(ingest) => ingest,
        Claim::Cached(_) => panic!("blob is there"),
    }
}

async fn put(cache: &Cache, bytes: &[u8]) -> Digest {
    let mut ingest = missing(cache, bytes).await;
    ingest.write(bytes).unwrap();
    ingest.commit().unwrap();
    Digest::sha256(bytes)
}

fn read(cache: &Cache, digest: &Digest) -> std::io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    cache
        .blob(digest, None)
        .unwrap()
        .unwrap()
        .read_to_end(&mut bytes)?;
    Ok(bytes)
}

fn blob_path(cache: &Cache, digest: &Digest) -> PathBuf {
    cache.root().join("blobs/sha256").join(digest.hex())
}

fn part_path(cache: &Cache, digest: &Digest) -> PathBuf {
    cache
        .root()
        .join(format!("ingest/sha256-{}.part", digest.hex()))
}

fn files(folder: &Path) -> Vec<PathBuf> {
    fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect()
}

fn document(media_type: &str, bytes: &[u8]) -> Document {
    let descriptor = Descriptor::new(
        MediaType::from(media_type),
        Digest::sha256(bytes),
        bytes.len() as u64,
    );
    Document {
        descriptor,
        bytes: bytes.to_vec(),
    }
}

/// An image of one layer; its manifest's and config's digests follow from `name`.
fn image(name: &str, layer: &[u8]) -> (Reference, Vec<Document>) {
    let config = document(OCI_CONFIG, format!("{{\"author\":{name:?}}}").as_bytes());
    let text = format!(
        r#"{{"schemaVersion":2,"mediaType":"{OCI_MANIFEST}",
            "config":{{"mediaType":"{OCI_CONFIG}","digest":"{}","size":{}}},
            "layers":[{{"mediaType":"{OCI_LAYER}","digest":"{}","size":{}}}]}}"#,
        config.descriptor.digest,
        config.descriptor.size,
        Digest::sha256(layer),
        layer.len()
    );
    let reference = Reference::parse(&format!("r.example/{name}:v1")).unwrap();
    (
        reference,
        vec![document(OCI_MANIFEST, text.as_bytes()), config],
    )
}

async fn pull(cache: &Cache, name: &str, layer: &[u8]) -> Vec<Document> {
    let (reference, documents) = image(name, layer);
    cache.record(&reference, &documents).unwrap();
    if cache.blob(&Digest::sha256(layer), None).unwrap().is_none() {
        put(cache, layer).await;
    }
    documents
}

fn policy() -> PrunePolicy {
    PrunePolicy {
        now: SystemTime::now(),
        unused_for: None,
        keep_bytes: None,
        dry_run: false,
    }
}

fn make_older(cache: &Cache, digest: &Digest, days: u64) {
    let file = OpenOptions::new()
        .write(true)
        .open(blob_path(cache, digest))
        .unwrap();
    file.set_modified(SystemTime::now() - Duration::from_secs(days * 86400))
        .unwrap();
}

#[tokio::test]
async fn a_new_cache_is_an_empty_layout_for_its_owner_only() {
    let (_folder, cache) = new_cache();
    assert_eq!(
        fs::read(cache.root().join("oci-layout")).unwrap(),
        br#"{"imageLayoutVersion":"1.0.0"}"#
    );
    let index: serde_json::Value =
        serde_json::from_slice(&fs::read(cache.root().join("index.json")).unwrap()).unwrap();
    assert_eq!(index["manifests"], serde_json::json!([]));
    let digest = put(&cache, b"private").await;
    assert_eq!(
        fs::metadata(cache.root()).unwrap().permissions().mode() & 0o7777,
        0o700
    );
    assert_eq!(
        fs::metadata(blob_path(&cache, &digest))
            .unwrap()
            .permissions()
            .mode()
            & 0o7777,
        0o600
    );
    assert_eq!(Cache::open(cache.root()).unwrap().show().unwrap().blobs, 1);
}

#[test]
fn other_folders_are_not_taken_for_a_cache() {
    let folder = tempfile::tempdir().unwrap();
    assert!(
        Cache::open_existing(folder.path(), Waiter::default())
            .unwrap()
            .is_none()
    );
    for text in ["", "{}", r#"{"imageLayoutVersion":"2.0.0"}"#] {
        fs::write(folder.path().join("oci-layout"), text).unwrap();
        assert_eq!(
            Cache::open(folder.path()).unwrap_err().kind(),
            ErrorKind::InvalidInput,
            "{text}"
        );
    }
}

#[tokio::test]
async fn a_blob_appears_only_when_it_is_right() {
    let (_folder, cache) = new_cache();
    let digest = Digest::sha256(b"hello world");
    for wrong in [&b"hello worlD"[..], b"hello", b""] {
        let mut ingest = missing(&cache, b"hello world").await;
        ingest.write(wrong).unwrap();
        assert!(!blob_path(&cache, &digest).exists());
        let error = ingest.commit().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Integrity);
        assert!(!blob_path(&cache, &digest).exists());
        assert!(
            !part_path(&cache, &digest).exists(),
            "nothing wrong is kept"
        );
    }
    let mut ingest = missing(&cache, b"hello world").await;
    assert_eq!(
        ingest.write(b"hello world!").unwrap_err().kind(),
        ErrorKind::Integrity
    );
    ingest.restart().unwrap();
    ingest.write(b"hello ").unwrap();
    ingest.write(b"world").unwrap();
    drop(ingest.commit().unwrap());
    assert_eq!(read(&cache, &digest).unwrap(), b"hello world");
    assert!(files(&cache.root().join("ingest")).is_empty());
    assert!(matches!(
        cache.claim(&digest, 11).await.unwrap(),
        Claim::Cached(_)
    ));
}

#[tokio::test]
async fn an_interrupted_blob_is_gone_on_with() {
    let (_folder, cache) = new_cache();
    let bytes: Vec<u8> = (0..1_000_000_u32).map(|n| (n % 251) as u8).collect();
    let mut ingest = missing(&cache, &bytes).await;
    ingest.write(&bytes[..600_001]).unwrap();
    drop(ingest);
    let mut ingest = missing(&cache, &bytes).await;
    assert_eq!(ingest.written(), 600_001);
    ingest.write(&bytes[600_001..]).unwrap();
    ingest.commit().unwrap();
    assert_eq!(read(&cache, &Digest::sha256(&bytes)).unwrap(), bytes);
}

#[tokio::test]
async fn a_partial_file_that_is_too_long_is_dropped() {
    let (_folder, cache) = new_cache();
    fs::write(part_path(&cache, &Digest::sha256(b"abc")), b"abcdef").unwrap();
    assert_eq!(missing(&cache, b"abc").await.written(), 0);
}

#[tokio::test]
async fn corrupt_blobs_are_noticed_while_they_are_read_and_are_gone() {
    let (_folder, cache) = new_cache();
    let bytes = vec![7; 700_000];
    for damage in [
        |path: &Path| {
            let mut bytes = fs::read(path).unwrap();
            bytes[350_000] ^= 1;
            fs::write(path, bytes).unwrap();
        },
        |path: &Path| fs::write(path, vec![7; 699_999]).unwrap(),
        |path: &Path| fs::write(path, vec![7; 700_001]).unwrap(),
    ] {
        let digest = put(&cache, &bytes).await;
        damage(&blob_path(&cache, &digest));
        let error = read(&cache, &digest).unwrap_err();
        assert!(CorruptBlob::is_cause_of(&error), "{error}");
        let error = oci_flatten::error::Error::io("layer 1", error);
        assert!(CorruptBlob::is_cause_of(&error), "{error}");
        assert_eq!(error.kind(), ErrorKind::Integrity);
        assert!(!blob_path(&cache, &digest).exists());
    }
    let digest = put(&cache, &bytes).await;
    fs::write(blob_path(&cache, &digest), b"short").unwrap();
    assert!(
        cache.blob(&digest, Some(700_000)).unwrap().is_none(),
        "a wrong length shows at once"
    );
    assert!(!blob_path(&cache, &digest).exists());
}

#[tokio::test]
async fn truncation_behind_an_open_blob_is_noticed() {
    let (_folder, cache) = new_cache();
    let digest = put(&cache, &[1; 600_000]).await;
    let mut blob = cache.blob(&digest, None).unwrap().unwrap();
    blob.read_exact(&mut [0; 1000]).unwrap();
    OpenOptions::new()
        .write(true)
        .open(blob_path(&cache, &digest))
        .unwrap()
        .set_len(2000)
        .unwrap();
    let error = blob.read_to_end(&mut Vec::new()).unwrap_err();
    assert!(CorruptBlob::is_cause_of(&error), "{error}");
}

#[tokio::test]
async fn a_better_blob_is_not_thrown_away_for_a_worse_one() {
    let (_folder, cache) = new_cache();
    let digest = put(&cache, b"some bytes").await;
    fs::write(blob_path(&cache, &digest), b"same bytes").unwrap();
    let mut worse = cache.blob(&digest, None).unwrap().unwrap();
    fs::remove_file(blob_path(&cache, &digest)).unwrap();
    put(&cache, b"some bytes").await;
    assert!(worse.read_to_end(&mut Vec::new()).is_err());
    assert_eq!(read(&cache, &digest).unwrap(), b"some bytes");
}

#[tokio::test]
async fn one_writes_and_the_others_wait() {
    let (_folder, cache) = new_cache();
    let mut ingest = missing(&cache, b"shared").await;
    let waiting: Vec<_> = (0..4)
        .map(|_| {
            let cache = cache.clone();
            tokio::spawn(async move { cache.claim(&Digest::sha256(b"shared"), 6).await.unwrap() })
        })
        .collect();
    tokio::task::yield_now().await;
    ingest.write(b"shared").unwrap();
    drop(ingest.commit().unwrap());
    for task in waiting {
        assert!(matches!(task.await.unwrap(), Claim::Cached(_)));
    }
}

#[tokio::test]
async fn a_writer_that_gives_up_is_replaced() {
    let (_folder, cache) = new_cache();
    let mut ingest = missing(&cache, b"shared").await;
    ingest.write(b"sha").unwrap();
    let waiting = {
        let cache = cache.clone();
        tokio::spawn(async move { cache.claim(&Digest::sha256(b"shared"), 6).await.unwrap() })
    };
    tokio::task::yield_now().await;
    let file = ingest.file();
    drop(ingest);
    match waiting.await.unwrap() {
        Claim::Missing(ingest) => assert_eq!(ingest.written(), 3),
        Claim::Cached(_) => panic!("nobody has finished it"),
    }
    drop(file);
}

#[tokio::test]
async fn references_resolve_to_what_was_recorded_last() {
    let (_folder, cache) = new_cache();
    let (reference, first) = image("app", b"one");
    assert!(cache.resolve(&reference).unwrap().is_none());
    cache.record(&reference, &first).unwrap();
    cache.record(&reference, &first).unwrap();
    assert_eq!(
        cache.resolve(&reference).unwrap().unwrap().digest,
        first[0].descriptor.digest
    );
    let (_, second) = image("app", b"two");
    cache.record(&reference, &second).unwrap();
    let found = cache.resolve(&reference).unwrap().unwrap();
    assert_eq!(found.digest, second[0].descriptor.digest);
    assert_eq!(found.size, second[0].descriptor.size);
    assert_eq!(
        cache.document(&found.digest).unwrap().unwrap(),
        second[0].bytes
    );
    let pinned = Reference::parse(&format!("other.example/x@{}", found.digest)).unwrap();
    assert_eq!(
        cache.resolve(&pinned).unwrap().unwrap().digest,
        found.digest
    );
    assert_eq!(cache.show().unwrap().images.len(), 1);
}

#[test]
fn a_document_that_is_not_its_digest_is_not_recorded() {
    let (_folder, cache) = new_cache();
    let (reference, mut documents) = image("app", b"one");
    documents[1].bytes[0] = b' ';
    assert_eq!(
        cache.record(&reference, &documents).unwrap_err().kind(),
        ErrorKind::Integrity
    );
    assert!(cache.resolve(&reference).unwrap().is_none());
}

#[test]
fn many_records_at_a_time_are_all_kept() {
    let (_folder, cache) = new_cache();
    let names: Vec<String> = (0..24).map(|number| format!("app{number}")).collect();
    std::thread::scope(|scope| {
        for chunk in names.chunks(6) {
            let cache = Cache::open(cache.root()).unwrap();
            scope.spawn(move || {
                for name in chunk {
                    let (reference, documents) = image(name, b"layer");
                    cache.record(&reference, &documents).unwrap();
                }
            });
        }
    });
    let mut expected: Vec<String> = names
        .iter()
        .map(|name| format!("r.example/{name}:v1"))
        .collect();
    expected.sort();
    let found: Vec<String> = cache
        .show()
        .unwrap()
        .images
        .into_iter()
        .map(|image| image.reference)
        .collect();
    assert_eq!(found, expected);
}

#[tokio::test]
async fn show_sums_up() {
    let (_folder, cache) = new_cache();
    let a = pull(&cache, "a", b"shared layer").await;
    let b = pull(&cache, "b", b"shared layer").await;
    put(&cache, b"stray").await;
    let mut ingest = missing(&cache, b"arriving").await;
    ingest.write(b"arr").unwrap();
    let contents = cache.show().unwrap();
    let documents: u64 = a
        .iter()
        .chain(&b)
        .map(|document| document.descriptor.size)
        .sum();
    assert_eq!(contents.blobs, 6);
    assert_eq!(contents.blob_bytes, documents + 12 + 5);
    assert_eq!((contents.unreferenced, contents.unreferenced_bytes), (1, 5));
    assert_eq!((contents.partial, contents.partial_bytes), (1, 3));
    let own: u64 = a.iter().map(|document| document.descriptor.size).sum();
    assert_eq!(contents.images[0].reference, "r.example/a:v1");
    assert_eq!(contents.images[0].bytes, own + 12);
    assert_eq!(contents.images[0].missing, 0);
    assert!(contents.images[0].last_used.is_some());
}

#[tokio::test]
async fn verify_throws_corrupt_blobs_away_and_names_who_lacks_them() {
    let (_folder, cache) = new_cache();
    pull(&cache, "good", b"good layer").await;
    pull(&cache, "bad", b"bad layer!").await;
    assert!(cache.verify(|_, _| Ok(())).unwrap().corrupt.is_empty());
    let digest = Digest::sha256(b"bad layer!");
    fs::write(blob_path(&cache, &digest), b"bad layer?").unwrap();
    let mut seen = 0;
    let verified = cache
        .verify(|_, count| {
            seen += count;
            Ok(())
        })
        .unwrap();
    assert_eq!(verified.blobs, 6);
    assert_eq!(verified.bytes, seen);
    assert_eq!(verified.corrupt.len(), 1);
    assert_eq!(verified.corrupt[0].expected, digest);
    assert_eq!(verified.incomplete.len(), 1);
    assert_eq!(verified.incomplete[0].reference, "r.example/bad:v1");
    assert_eq!(
        verified.incomplete[0].missing,
        std::slice::from_ref(&digest)
    );
    assert!(!blob_path(&cache, &digest).exists());
}

#[tokio::test]
async fn verify_can_be_ended_amid_a_blob() {
    let (_folder, cache) = new_cache();
    let large = put(&cache, &vec![7; 3 << 20]).await;
    let (mut calls, mut seen) = (0, 0);
    let ended = cache.verify(|digest, count| {
        assert_eq!(*digest, large);
        calls += 1;
        seen += count;
        match calls {
            2 => Err(Error::cancelled()),
            _ => Ok(()),
        }
    });
    assert_eq!(ended.unwrap_err().kind(), ErrorKind::Cancelled);
    assert_eq!(calls, 2);
    assert!(seen < 3 << 20, "{seen}");
    assert!(blob_path(&cache, &large).exists());
}

#[tokio::test]
async fn prune_takes_leftovers_and_no_image() {
    let (_folder, cache) = new_cache();
    pull(&cache, "a", b"layer a").await;
    pull(&cache, "b", b"layer b").await;
    let stray = put(&cache, b"stray").await;
    let mut ingest = missing(&cache, b"interrupted").await;
    ingest.write(b"inter").unwrap();
    drop(ingest);
    let dry = cache
        .prune(&PrunePolicy {
            dry_run: true,
            ..policy()
        })
        .unwrap();
    assert!(blob_path(&cache, &stray).exists());
    let pruned = cache.prune(&policy()).unwrap();
    assert_eq!(dry, pruned);
    assert_eq!(pruned.freed_bytes(), 10);
    assert!(pruned.images.is_empty());
    assert!(!blob_path(&cache, &stray).exists());
    assert!(files(&cache.root().join("ingest")).is_empty());
    assert!(cache.verify(|_, _| Ok(())).unwrap().incomplete.is_empty());
}

#[tokio::test]
async fn images_of_other_tools_are_images_too() {
    let (_folder, cache) = new_cache();
    let documents = pull(&cache, "a", b"layer a").await;
    let path = cache.root().join("index.json");
    let mut index: serde_json::Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
    index["manifests"][0]
        .as_object_mut()
        .unwrap()
        .remove("annotations");
    fs::write(&path, index.to_string()).unwrap();
    let digest = documents[0].descriptor.digest.to_string();
    assert_eq!(cache.show().unwrap().images[0].reference, digest);
    assert!(cache.prune(&policy()).unwrap().removed.is_empty());
    let everything = PrunePolicy {
        keep_bytes: Some(0),
        ..policy()
    };
    assert_eq!(cache.prune(&everything).unwrap().images, [digest]);
    assert!(cache.show().unwrap().images.is_empty());
}

#[tokio::test]
async fn prune_by_age_looks_at_the_last_pull() {
    let (_folder, cache) = new_cache();
    let old = pull(&cache, "old", b"old layer").await;
    let used = pull(&cache, "used", b"used layer").await;
    for documents in [&old, &used] {
        make_older(&cache, &documents[0].descriptor.digest, 40);
    }
    drop(
        cache
            .blob(&used[0].descriptor.digest, None)
            .unwrap()
            .unwrap(),
    );
    let month = Some(Duration::from_secs(30 * 86400));
    let pruned = cache
        .prune(&PrunePolicy {
            unused_for: month,
            ..policy()
        })
        .unwrap();
    assert_eq!(pruned.images, ["r.example/old:v1"]);
    assert_eq!(pruned.removed.len(), 3);
    assert!(!blob_path(&cache, &Digest::sha256(b"old layer")).exists());
    assert_eq!(
        read(&cache, &Digest::sha256(b"used layer")).unwrap(),
        b"used layer"
    );
    let back = PrunePolicy {
        now: SystemTime::UNIX_EPOCH,
        unused_for: month,
        ..policy()
    };
    assert!(
        cache.prune(&back).unwrap().images.is_empty(),
        "a clock that went back prunes nothing"
    );
}

#[tokio::test]
async fn prune_by_size_keeps_the_most_recent_and_counts_shared_blobs_once() {
    let (_folder, cache) = new_cache();
    let (shared, other) = (vec![1; 100_000], vec![2; 100_000]);
    for (name, layer, days) in [("a", &shared, 3), ("b", &other, 2), ("c", &shared, 1)] {
        let documents = pull(&cache, name, layer).await;
        make_older(&cache, &documents[0].descriptor.digest, days);
    }
    let keep = |bytes| PrunePolicy {
        keep_bytes: Some(bytes),
        dry_run: true,
        ..policy()
    };
    assert!(cache.prune(&keep(210_000)).unwrap().images.is_empty());
    let pruned = cache
        .prune(&PrunePolicy {
            dry_run: false,
            ..keep(110_000)
        })
        .unwrap();
    assert_eq!(pruned.images, ["r.example/b:v1"]);
    assert!(pruned.kept_bytes <= 110_000);
    assert!(blob_path(&cache, &Digest::sha256(&shared)).exists());
    let pruned = cache
        .prune(&PrunePolicy {
            dry_run: false,
            ..keep(0)
        })
        .unwrap();
    assert_eq!(pruned.kept_bytes, 0);
    assert_eq!(cache.show().unwrap().blobs, 0);
}

#[tokio::test]
async fn prune_spares_what_is_in_use() {
    let (_folder, cache) = new_cache();
    let stray = put(&cache, b"being read").await;
    let mut reader = cache.blob(&stray, None).unwrap().unwrap();
    let mut ingest = missing(&cache, b"being written").await;
    ingest.write(b"being").unwrap();
    let everything = PrunePolicy {
        keep_bytes: Some(0),
        ..policy()
    };
    let pruned = cache.prune(&everything).unwrap();
    assert_eq!(pruned.in_use, 2);
    assert!(pruned.removed.is_empty());
    ingest.write(b" written").unwrap();
    drop(ingest.commit().unwrap());
    let mut bytes = Vec::new();
    reader.read_to_end(&mut bytes).unwrap();
    assert_eq!(bytes, b"being read");
    drop(reader);
    assert_eq!(cache.prune(&everything).unwrap().removed.len(), 2);
}

#[tokio::test]
async fn blobs_are_on_one_disk_with_their_parts() {
    let (_folder, cache) = new_cache();
    let mut ingest = missing(&cache, b"bytes").await;
    ingest.write(b"bytes").unwrap();
    let inode = ingest.file().metadata().unwrap().ino();
    ingest.commit().unwrap();
    let path = blob_path(&cache, &Digest::sha256(b"bytes"));
    assert_eq!(
        fs::metadata(path).unwrap().ino(),
        inode,
        "a rename, not a copy"
    );
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    /// Whatever pieces it comes in, and wherever runs are interrupted, the same blob comes out.
    #[test]
    fn pieces_and_interruptions_do_not_matter(
        bytes in prop::collection::vec(any::<u8>(), 0..5000),
        cuts in prop::collection::vec((0_usize..5000, any::<bool>()), 0..8),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        runtime.block_on(async {
            let (_folder, cache) = new_cache();
            let mut cuts: Vec<(usize, bool)> =
                cuts.into_iter().map(|(cut, stop)| (cut.min(bytes.len()), stop)).collect();
            cuts.sort_unstable();
            let mut ingest = missing(&cache, &bytes).await;
            for (cut, stop) in cuts {
                let start = usize::try_from(ingest.written()).unwrap();
                ingest.write(&bytes[start..cut]).unwrap();
                if stop {
                    drop(ingest);
                    ingest = missing(&cache, &bytes).await;
                    assert_eq!(ingest.written(), cut as u64);
                }
            }
            let start = usize::try_from(ingest.written()).unwrap();
            ingest.write(&bytes[start..]).unwrap();
            drop(ingest.commit().unwrap());
            assert_eq!(read(&cache, &Digest::sha256(&bytes)).unwrap(), bytes);
        });
    }
}
