//! The cache, across pulls and processes.

use std::fs;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use banger_tests::succeed;
use oci_flatten::cache::{CorruptBlob, PrunePolicy};
use oci_flatten::progress::Event;
use oci_flatten::source::Source as _;

use crate::parts::image::TestImage;
use crate::parts::proxy::{Action, Proxy};
use crate::parts::pull::{Client, chain, read_layer};
use crate::parts::ready;
use crate::parts::server::Registry;

#[tokio::test(flavor = "multi_thread")]
async fn skopeo_reads_the_cache() {
    if !ready() {
        return;
    }
    let (registry, image, client) = (Registry::plain(), TestImage::new(), Client::new());
    image.push(&registry, "org/app:v1");
    let reference = format!("{}/org/app:v1", registry.domain());
    client.expect(&reference, &image).await;
    let layout = format!("oci:{}:{reference}", client.cache().root().display());
    let text = succeed(Command::new("skopeo").args(["inspect", &layout]));
    let facts: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!(facts["Digest"], image.manifest.as_str());
    assert_eq!(facts["Layers"].as_array().unwrap().len(), 5);
    let copy = format!("dir:{}", client.folder.path().join("copy").display());
    succeed(Command::new("skopeo").args(["copy", "--quiet", &layout, &copy]));
}

#[tokio::test(flavor = "multi_thread")]
async fn layers_can_be_read_while_they_arrive() {
    if !ready() {
        return;
    }
    let (registry, image) = (Registry::plain(), TestImage::new());
    image.push(&registry, "app:v1");
    let proxy = Proxy::before(registry.port, |request| {
        match request.is_layer() && request.earlier == 0 {
            true => Action::StallAfter(1_000_000),
            false => Action::Forward,
        }
    });
    let client = Client::new();
    let source = client
        .open(&format!("{}/app:v1", proxy.domain()))
        .await
        .unwrap();
    let mut start = vec![0; 1_000_000];
    let mut layer = source.open_layer(0).await.unwrap();
    // The rest never comes, and yet the start is there.
    tokio::io::AsyncReadExt::read_exact(&mut layer, &mut start)
        .await
        .unwrap();
    assert!(start == image.layers[0][..1_000_000]);
    assert!(!client.blob_path(&image.digest(0)).exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_aborted_pull_is_gone_on_with() {
    if !ready() {
        return;
    }
    let (registry, image) = (Registry::plain(), TestImage::new());
    image.push(&registry, "app:v1");
    let stalled = Proxy::before(registry.port, |request| match request.is_layer() {
        true => Action::StallAfter(1_000_000),
        false => Action::Forward,
    });
    let mut client = Client::new();
    let source = client.open(&format!("{}/app:v1", stalled.domain())).await;
    // The config stalls as well unless it is short of the mark.
    let source = source.unwrap();
    let mut layer = source.open_layer(0).await.unwrap();
    tokio::io::AsyncReadExt::read_exact(&mut layer, &mut vec![0; 1_000_000])
        .await
        .unwrap();
    drop((layer, source));
    assert_eq!(
        fs::metadata(client.part_path(&image.digest(0)))
            .unwrap()
            .len(),
        1_000_000
    );

    let proxy = Proxy::before(registry.port, |_| Action::Forward);
    client.settings.parallel = 1.try_into().unwrap();
    client
        .expect(&format!("{}/app:v1", proxy.domain()), &image)
        .await;
    let requests = proxy.requests();
    let resumed = requests
        .iter()
        .find(|request| request.asks_for(&image.digest(0)))
        .unwrap();
    assert_eq!(resumed.header("range"), Some("bytes=1000000-"));
}

#[tokio::test(flavor = "multi_thread")]
async fn corrupt_and_truncated_blobs_are_fetched_once_more() {
    if !ready() {
        return;
    }
    let (registry, image) = (Registry::plain(), TestImage::new());
    image.push(&registry, "app:v1");
    let proxy = Proxy::before(registry.port, |_| Action::Forward);
    let reference = format!("{}/app:v1", proxy.domain());
    let client = Client::new();
    client.expect(&reference, &image).await;
    let path = client.blob_path(&image.digest(0));
    let fetched = || proxy.count(|request| request.asks_for(&image.digest(0)));

    let mut bytes = image.layers[0].clone();
    bytes[2_000_000] ^= 0x80;
    fs::write(&path, &bytes).unwrap();
    let error = client.pull(&reference).await.unwrap_err();
    assert!(CorruptBlob::is_cause_of(&error), "{error}");
    assert!(
        error.to_string().contains("cached blob is corrupt"),
        "{error}"
    );
    assert_eq!(fetched(), 1);
    client.expect(&reference, &image).await;
    assert_eq!(fetched(), 2);

    // A wrong length shows before anything is read.
    fs::write(&path, &image.layers[0][..100]).unwrap();
    client.expect(&reference, &image).await;
    assert_eq!(fetched(), 3);
    assert_eq!(fs::read(&path).unwrap(), image.layers[0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_corrupt_manifest_is_fetched_once_more() {
    if !ready() {
        return;
    }
    let (registry, image, client) = (Registry::plain(), TestImage::new(), Client::new());
    image.push(&registry, "app:v1");
    let reference = format!("{}/app:v1", registry.domain());
    client.expect(&reference, &image).await;
    fs::write(client.blob_path(&image.manifest), "{}").unwrap();
    client.expect(&reference, &image).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn equal_pulls_download_once() {
    if !ready() {
        return;
    }
    let (registry, image, client) = (Registry::plain(), TestImage::new(), Client::new());
    image.push(&registry, "app:v1");
    let proxy = Proxy::before(registry.port, |request| match request.is_layer() {
        true => Action::Drip,
        false => Action::Forward,
    });
    let reference = format!("{}/app:v1", proxy.domain());
    // Each opens the cache for itself, as processes do: flock knows no processes, only open files.
    let pulls = [
        client.pull(&reference),
        client.pull(&reference),
        client.pull(&reference),
    ];
    for outcome in futures(pulls).await {
        assert!(outcome.unwrap() == image.layers);
    }
    // The third has no bytes to ask for.
    for layer in [0, 1, 3] {
        assert_eq!(
            proxy.count(|request| request.asks_for(&image.digest(layer))),
            1,
            "layer {layer}"
        );
    }
    assert_eq!(
        client.count_events(|event| matches!(event, Event::Downloaded { .. })),
        4
    );
    client.expect_clean_cache();
}

/// Set for a child process: what to pull, and into which cache.
const CHILD_PULLS: &str = "BANGER_TEST_PULL";
const CHILD_CACHE: &str = "BANGER_TEST_CACHE";

/// Does nothing by itself: other tests run this binary again to have it done by a process that they can kill.
#[tokio::test(flavor = "multi_thread")]
async fn as_a_child_process() {
    let variable = |name| std::env::var(name).ok();
    if let (Some(reference), Some(cache)) = (variable(CHILD_PULLS), variable(CHILD_CACHE)) {
        let mut client = Client::new();
        client.cache_dir = cache.into();
        client.expect(&reference, &TestImage::new()).await;
    }
}

fn child(reference: &str, client: &Client) -> Child {
    Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "cached::as_a_child_process", "--test-threads=1"])
        .env(CHILD_PULLS, reference)
        .env(CHILD_CACHE, &client.cache_dir)
        .stdout(Stdio::null())
        .spawn()
        .unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_pull_is_gone_on_with() {
    if !ready() {
        return;
    }
    let (registry, image, client) = (Registry::plain(), TestImage::new(), Client::new());
    image.push(&registry, "app:v1");
    let proxy = Proxy::before(registry.port, |request| {
        match request.is_layer() && request.earlier == 0 {
            true => Action::StallAfter(1_000_000),
            false => Action::Forward,
        }
    });
    let reference = format!("{}/app:v1", proxy.domain());
    let part = client.part_path(&image.digest(0));
    let mut killed = child(&reference, &client);
    while fs::metadata(&part).map_or(0, |part| part.len()) < 1_000_000 {
        assert!(killed.try_wait().unwrap().is_none(), "the child has ended");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    killed.kill().unwrap();
    killed.wait().unwrap();
    client.expect_clean_cache();
    client.expect(&reference, &image).await;
    let requests = proxy.requests();
    let ranges = requests
        .iter()
        .filter(|request| request.asks_for(&image.digest(0)));
    let ranges: Vec<_> = ranges.map(|request| request.header("range")).collect();
    assert_eq!(ranges, [None, Some("bytes=1000000-")]);
}

#[tokio::test(flavor = "multi_thread")]
async fn processes_that_want_the_same_download_once() {
    if !ready() {
        return;
    }
    let (registry, image, client) = (Registry::plain(), TestImage::new(), Client::new());
    image.push(&registry, "app:v1");
    let proxy = Proxy::before(registry.port, |request| match request.is_layer() {
        true => Action::Drip,
        false => Action::Forward,
    });
    let reference = format!("{}/app:v1", proxy.domain());
    let mut children: Vec<Child> = (0..3).map(|_| child(&reference, &client)).collect();
    for child in &mut children {
        assert!(child.wait().unwrap().success());
    }
    for layer in [0, 1, 3] {
        assert_eq!(
            proxy.count(|request| request.asks_for(&image.digest(layer))),
            1,
            "layer {layer}"
        );
    }
    client.expect_clean_cache();
}

async fn futures<T>(pulls: [impl Future<Output = T>; 3]) -> [T; 3] {
    let [a, b, c] = pulls;
    let (a, b, c) = tokio::join!(a, b, c);
    [a, b, c]
}

#[tokio::test(flavor = "multi_thread")]
async fn pruning_harms_no_running_pull() {
    if !ready() {
        return;
    }
    let (registry, image, client) = (Registry::plain(), TestImage::new(), Client::new());
    image.push(&registry, "app:v1");
    let reference = format!("{}/app:v1", registry.domain());
    let everything = PrunePolicy {
        now: std::time::SystemTime::now(),
        unused_for: None,
        keep_bytes: Some(0),
        dry_run: false,
    };
    for _ in 0..2 {
        let source = client.open(&reference).await.unwrap();
        for layer in 0..image.layers.len() {
            let cache = client.cache();
            let policy = everything.clone();
            tokio::task::spawn_blocking(move || cache.prune(&policy))
                .await
                .unwrap()
                .unwrap();
            assert!(read_layer(&source, layer).await.unwrap() == image.layers[layer]);
        }
        assert_eq!(source.image().digest.as_ref(), Some(&image.manifest));
    }
    client.cache().prune(&everything).unwrap();
    assert_eq!(client.cache().show().unwrap().blobs, 0);
    client.expect(&reference, &image).await;
}

/// A disk of 2 MiB, for root only.
#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_is_a_clear_error_and_is_given_back() {
    if !ready() || !banger_tests::root() {
        return;
    }
    let (registry, image, mut client) = (Registry::plain(), TestImage::new(), Client::new());
    client.settings.parallel = 1.try_into().unwrap();
    image.push(&registry, "app:v1");
    let folder = client.folder.path().join("cache");
    fs::create_dir(&folder).unwrap();
    let mounted = Command::new("mount")
        .args(["-t", "tmpfs", "-o", "size=2m", "tmpfs"])
        .arg(&folder)
        .stderr(Stdio::null())
        .status()
        .unwrap();
    if !mounted.success() {
        eprintln!("skipped: this root may not mount");
        return;
    }
    let outcome = client
        .pull(&format!("{}/app:v1", registry.domain()))
        .await
        .map(drop);
    let left = client.part_path(&image.digest(0)).exists();
    succeed(Command::new("umount").arg("-l").arg(&folder));
    let error = outcome.unwrap_err();
    assert_eq!(
        error.kind(),
        oci_flatten::error::ErrorKind::NoSpace,
        "{error}"
    );
    let told = chain(&error);
    assert!(told.contains("write blob to cache"), "{told}");
    assert!(told.contains("No space left on device"), "{told}");
    assert!(!left, "space is given back");
}
