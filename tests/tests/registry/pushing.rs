//! Pushing, judged by pulling what was pushed.

use std::fs::File;
use std::io::Write as _;
use std::path::Path;
use std::process::Command;
use std::sync::{Arc, Mutex};

use banger_tests::succeed;
use oci_flatten::digest::Digest;
use oci_flatten::error::{ErrorKind, Result};
use oci_flatten::media_type::OCI_MANIFEST;
use oci_flatten::progress::Event;
use oci_flatten::reference::Reference;
use oci_flatten::registry::{LocalBlob, Pushed, Pusher};

use crate::parts::image::{TestImage, noise};
use crate::parts::proxy::{Action, Answer, Proxy, Request};
use crate::parts::pull::{Client, chain};
use crate::parts::ready;
use crate::parts::server::{Features, Registry};

fn pusher(client: &Client, reference: &str, events: &Arc<Mutex<Vec<Event>>>) -> Pusher {
    let reference = Reference::parse(reference).unwrap();
    let events = Arc::clone(events);
    let observer = Arc::new(move |event| events.lock().unwrap().push(event));
    Pusher::new(&reference, Arc::new(client.settings.clone()), observer).unwrap()
}

fn stored(layout: &Path, digest: &Digest) -> LocalBlob {
    let path = layout.join("blobs/sha256").join(digest.hex());
    let file = File::open(path).unwrap();
    let size = file.metadata().unwrap().len();
    LocalBlob {
        file: Arc::new(file),
        digest: digest.clone(),
        size,
    }
}

/// Pushes all that a test image is made of.
async fn push(client: &Client, reference: &str, image: &TestImage) -> Result<Vec<Pushed>> {
    let pusher = pusher(client, reference, &Arc::default());
    let manifest = stored(&image.path(), &image.manifest);
    let mut bytes = vec![0; usize::try_from(manifest.size).unwrap()];
    std::os::unix::fs::FileExt::read_exact_at(&*manifest.file, &mut bytes, 0).unwrap();
    let document: serde_json::Value = serde_json::from_slice(&bytes).unwrap();
    let layers = document["layers"].as_array().unwrap().iter();
    let mut pushed = Vec::new();
    for descriptor in layers.chain([&document["config"]]) {
        let digest = descriptor["digest"].as_str().unwrap().parse().unwrap();
        let blob = stored(&image.path(), &digest);
        pushed.push(pusher.blob(&blob, None).await?);
    }
    let digest = pusher.manifest("v1", &OCI_MANIFEST.into(), bytes).await?;
    assert_eq!(digest, image.manifest);
    Ok(pushed)
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_pushed_can_be_pulled_and_is_pushed_once() {
    use Pushed::{Existed, Uploaded};
    if !ready() {
        return;
    }
    let (registry, image, client) = (Registry::plain(), TestImage::new(), Client::new());
    let reference = format!("{}/org/app:v1", registry.domain());
    let pushed = push(&client, &reference, &image).await.unwrap();
    // The second layer comes twice.
    assert_eq!(
        pushed,
        [Uploaded, Uploaded, Uploaded, Uploaded, Existed, Uploaded]
    );
    client.expect(&reference, &image).await;
    let inspect = format!("docker://{reference}");
    let arguments = ["inspect", "--tls-verify=false", &inspect];
    let facts = succeed(Command::new("skopeo").args(arguments));
    assert!(facts.contains(image.manifest.as_str()), "{facts}");

    let proxy = Proxy::before(registry.port, |_| Action::Forward);
    let reference = format!("{}/org/app:v1", proxy.domain());
    let pushed = push(&client, &reference, &image).await.unwrap();
    assert_eq!(pushed, [Existed; 6]);
    let sent = |request: &Request| ["POST", "PATCH"].contains(&&*request.method);
    assert_eq!(proxy.count(sent), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_blob_is_mounted_from_another_repository() {
    if !ready() {
        return;
    }
    let (registry, image, client) = (Registry::plain(), TestImage::new(), Client::new());
    let proxy = Proxy::before(registry.port, |_| Action::Forward);
    let domain = proxy.domain();
    push(&client, &format!("{domain}/org/base:v1"), &image)
        .await
        .unwrap();
    let blob = stored(&image.path(), &image.digest(0));
    let pusher = pusher(&client, &format!("{domain}/org/app:v1"), &Arc::default());
    let patches = || proxy.count(|request| request.method == "PATCH");
    let before = patches();
    let mounted = pusher.blob(&blob, Some("org/base")).await.unwrap();
    assert_eq!((mounted, patches()), (Pushed::Mounted, before));
    // Where there is nothing to mount, it is sent.
    let other = stored(&image.path(), &image.digest(3));
    let sent = pusher.blob(&other, Some("org/nothing")).await.unwrap();
    assert_eq!((sent, patches()), (Pushed::Uploaded, before + 1));
}

/// docker-registry cancels a session that is further than it had said, so that most of these begin anew.
#[tokio::test(flavor = "multi_thread")]
async fn a_broken_upload_comes_to_its_end() {
    if !ready() {
        return;
    }
    let image = TestImage::of(vec![noise(7, 3_000_000)]);
    for (name, method, action, most_patches) in [
        (
            "cut request",
            "PATCH",
            Action::CutRequestAfter(1_000_000),
            2,
        ),
        ("cut at once", "PATCH", Action::Cut, 2),
        ("lost answer", "PATCH", Action::LoseAnswer, 2),
        ("busy", "PATCH", Action::Answer(Answer::new(503)), 2),
        ("session gone", "PATCH", Action::Answer(Answer::new(404)), 2),
        ("elsewhere", "PATCH", Action::Answer(Answer::new(416)), 2),
        ("too large", "PATCH", Action::Answer(Answer::new(413)), 2),
        ("lost end", "PUT", Action::LoseAnswer, 1),
        ("busy end", "PUT", Action::Answer(Answer::new(500)), 1),
        ("busy start", "POST", Action::Answer(Answer::new(502)), 1),
        ("no HEAD", "HEAD", Action::Answer(Answer::new(405)), 1),
    ] {
        let registry = Registry::plain();
        let done = Mutex::new(false);
        let proxy = Proxy::before(registry.port, move |request| {
            let mut done = done.lock().unwrap();
            // A manifest is put as well.
            let hit = request.method == method && request.path.contains("/blobs/");
            if hit && !*done {
                *done = true;
                return action.clone();
            }
            Action::Forward
        });
        let client = Client::new();
        let reference = format!("{}/org/app:v1", proxy.domain());
        let pushed = push(&client, &reference, &image).await;
        pushed.unwrap_or_else(|error| panic!("{name}: {}", chain(&error)));
        client.expect(&reference, &image).await;
        let layer: Vec<usize> = proxy
            .requests()
            .iter()
            .filter(|request| request.method == "PATCH" && request.body.len() > 100_000)
            .map(|request| request.body.len())
            .collect();
        assert!(layer.len() <= most_patches, "{name}: {layer:?}");
    }
}

/// A registry that keeps what a broken request has brought.
#[tokio::test(flavor = "multi_thread")]
async fn an_upload_goes_on_behind_what_the_registry_has() {
    let registry = Proxy::alone(|request| {
        let at = |last: &str| {
            Answer::new(202)
                .header(
                    "Location",
                    format!("/v2/org/app/blobs/uploads/1?state={last}"),
                )
                .header("Range", format!("0-{last}"))
        };
        match (request.method.as_str(), request.header("content-range")) {
            ("POST", _) => at("0"),
            ("PATCH", None) => Answer::new(503),
            ("GET", _) => Answer {
                status: 204,
                ..at("999999")
            },
            ("PATCH", Some("1000000-2999999")) => at("2999999"),
            ("PUT", _) => Answer::new(201),
            _ => Answer::new(404),
        }
    });
    let image = TestImage::of(vec![noise(7, 3_000_000)]);
    let blob = stored(&image.path(), &image.digest(0));
    let reference = format!("{}/org/app:v1", registry.domain());
    let pusher = pusher(&Client::new(), &reference, &Arc::default());
    assert_eq!(pusher.blob(&blob, None).await.unwrap(), Pushed::Uploaded);
    let sent: Vec<(String, usize)> = registry
        .requests()
        .iter()
        .filter(|request| request.method == "PATCH" || request.method == "PUT")
        .map(|request| (request.path.clone(), request.body.len()))
        .collect();
    let place = "/v2/org/app/blobs/uploads/1?state=";
    let digest = image.digest(0).to_string().replace(':', "%3A");
    assert_eq!(
        sent,
        [
            (format!("{place}0"), 3_000_000),
            (format!("{place}999999"), 2_000_000),
            (format!("{place}2999999&digest={digest}"), 0),
        ]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn credentials_are_those_of_pulling() {
    if !ready() {
        return;
    }
    let login = Features {
        login: Some("user:pass"),
        ..Features::default()
    };
    let (registry, image, mut client) = (Registry::start(&login), TestImage::new(), Client::new());
    let reference = format!("{}/org/app:v1", registry.domain());
    let error = push(&client, &reference, &image).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unauthorized, "{error}");
    client.login(&registry.domain(), r#"{"auth": "dXNlcjpwYXNz"}"#);
    push(&client, &reference, &image).await.unwrap();
    client.expect(&reference, &image).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_is_not_the_blob_is_refused() {
    if !ready() {
        return;
    }
    let (registry, client) = (Registry::plain(), Client::new());
    let mut file = tempfile::tempfile().unwrap();
    file.write_all(b"other bytes").unwrap();
    let blob = LocalBlob {
        file: Arc::new(file),
        digest: Digest::sha256(b"these bytes"),
        size: 11,
    };
    let reference = format!("{}/org/app:v1", registry.domain());
    let events = Arc::default();
    let outcome = pusher(&client, &reference, &events).blob(&blob, None).await;
    let error = outcome.unwrap_err();
    assert!(error.message().contains("HTTP 400"), "{error}");
    let retried = |event: &Event| matches!(event, Event::Retrying { .. });
    assert!(!events.lock().unwrap().iter().any(retried));
}

/// An upload that is sent elsewhere takes no password along, and not to any address.
#[tokio::test(flavor = "multi_thread")]
async fn an_upload_elsewhere_gets_no_password() {
    let elsewhere = Proxy::alone(|request| match request.method.as_str() {
        "PATCH" => {
            let last = request.body.len() - 1;
            Answer::new(202).header("Range", format!("0-{last}"))
        }
        _ => Answer::new(201),
    });
    let target = format!("http://{}/upload?state=1", elsewhere.domain());
    let image = TestImage::of(vec![noise(8, 10_000)]);
    for (location, works) in [(target.as_str(), true), ("ftp://127.0.0.1/x", false)] {
        let location = location.to_owned();
        let registry = Proxy::alone(move |request| {
            if request.header("authorization") != Some("Basic dXNlcjpwYXNz") {
                return Answer::new(401).header("WWW-Authenticate", "Basic realm=x");
            }
            match request.method.as_str() {
                "POST" => Answer::new(202).header("Location", location.clone()),
                "HEAD" => Answer::new(404),
                _ => Answer::new(201),
            }
        });
        let mut client = Client::new();
        client.login(&registry.domain(), r#"{"auth": "dXNlcjpwYXNz"}"#);
        let reference = format!("{}/org/app:v1", registry.domain());
        let blob = stored(&image.path(), &image.digest(0));
        let outcome = pusher(&client, &reference, &Arc::default())
            .blob(&blob, None)
            .await;
        match works {
            true => assert_eq!(outcome.unwrap(), Pushed::Uploaded),
            false => assert_eq!(outcome.unwrap_err().kind(), ErrorKind::Network),
        }
    }
    assert_eq!(elsewhere.requests().len(), 2);
    assert_eq!(
        elsewhere.count(|request| request.header("authorization").is_some()),
        0
    );
    let last = elsewhere.requests()[1].path.clone();
    assert!(last.starts_with("/upload?state=1&digest=sha256"), "{last}");
}
