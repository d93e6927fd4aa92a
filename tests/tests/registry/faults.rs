//! Each fault gives the same bytes in the end or a clear error, and never a bad cache entry.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use oci_flatten::digest::Digest;
use oci_flatten::error::ErrorKind;
use oci_flatten::progress::Event;

use crate::parts::image::TestImage;
use crate::parts::proxy::{Action, Answer, Proxy, Request};
use crate::parts::pull::{Client, chain};
use crate::parts::ready;
use crate::parts::server::{Features, Registry};
use crate::parts::tls::Certificates;

/// A registry with an image behind a proxy.
struct Scene {
    image: TestImage,
    proxy: Proxy,
    client: Client,
    reference: String,
    _registry: Registry,
}

impl Scene {
    fn new(decide: impl Fn(&Request) -> Action + Send + Sync + 'static) -> Self {
        let (registry, image) = (Registry::plain(), TestImage::new());
        image.push(&registry, "org/app:v1");
        let proxy = Proxy::before(registry.port, decide);
        let reference = format!("{}/org/app:v1", proxy.domain());
        Self {
            image,
            proxy,
            client: Client::new(),
            reference,
            _registry: registry,
        }
    }

    /// The fault befalls the big layer's first request.
    fn once(action: Action) -> Self {
        Self::new(
            move |request| match request.is_layer() && request.earlier == 0 {
                true => action.clone(),
                false => Action::Forward,
            },
        )
    }

    async fn expect(&self) {
        self.client.expect(&self.reference, &self.image).await;
    }

    async fn expect_error(&self, why: &str) -> ErrorKind {
        self.client.expect_error(&self.reference, why).await.kind()
    }

    fn retries(&self) -> usize {
        self.client
            .count_events(|event| matches!(event, Event::Retrying { .. }))
    }

    /// The `Range` headers of the big layer's requests.
    fn ranges(&self) -> Vec<String> {
        let requests = self.proxy.requests();
        let wanted = requests
            .iter()
            .filter(|request| request.asks_for(&self.image.digest(0)));
        wanted
            .filter_map(|request| request.header("range").map(str::to_owned))
            .collect()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cut_connection_is_gone_on_with_where_it_broke() {
    if !ready() {
        return;
    }
    for cut in [1, 4096, 1_234_567, (3 << 20) - 1] {
        let scene = Scene::once(Action::CutAfter(cut));
        scene.expect().await;
        assert!(scene.retries() > 0);
        let ranges = scene.ranges();
        assert!(
            ranges.iter().all(|range| *range == format!("bytes={cut}-")),
            "{cut}: {ranges:?}"
        );
        assert_eq!(ranges.len(), 1);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_blob_that_breaks_again_and_again_arrives_when_it_gets_further() {
    if !ready() {
        return;
    }
    // Seven cuts are more than the four tries that may bring less than 1 MiB.
    let scene = Scene::new(|request| match request.is_layer() && request.earlier < 12 {
        true => Action::CutAfter(400_000),
        false => Action::Forward,
    });
    scene.expect().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_blob_that_never_gets_further_is_given_up() {
    if !ready() {
        return;
    }
    let scene = Scene::new(|request| {
        if request.is_layer() {
            Action::CutAfter(0)
        } else {
            Action::Forward
        }
    });
    assert_eq!(
        scene.expect_error("after 4 attempts").await,
        ErrorKind::Network
    );
    assert_eq!(
        scene
            .proxy
            .count(|request| request.asks_for(&scene.image.digest(0))),
        4
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn connections_that_break_before_the_answer_are_tried_again() {
    if !ready() {
        return;
    }
    let scene = Scene::new(|request| {
        if request.earlier < 2 {
            Action::Cut
        } else {
            Action::Forward
        }
    });
    scene.expect().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn too_many_requests_and_server_errors_pass() {
    if !ready() {
        return;
    }
    for status in [408, 429, 500, 502, 503, 504] {
        let scene = Scene::new(move |request| match request.earlier < 2 {
            true => Action::Answer(Answer::new(status)),
            false => Action::Forward,
        });
        scene.expect().await;
        assert!(scene.retries() >= 2, "{status}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn errors_that_last_are_told_in_the_registrys_words() {
    if !ready() {
        return;
    }
    for (status, body, why, kind) in [
        (
            429,
            r#"{"errors":[{"code":"TOOMANYREQUESTS","message":"slow down"}]}"#,
            "slow down",
            ErrorKind::Network,
        ),
        (
            503,
            "upstream is ill\u{1b}[2J",
            "upstream is ill\\u{1b}[2J",
            ErrorKind::Network,
        ),
        (
            502,
            "<html>big page</html>",
            "HTTP 502 Bad Gateway (after",
            ErrorKind::Network,
        ),
        (
            403,
            r#"{"errors":[{"code":"DENIED"}]}"#,
            "Denied",
            ErrorKind::Unauthorized,
        ),
        (
            404,
            r#"{"errors":[{"code":"X_OWN","message":""}]}"#,
            "X_OWN",
            ErrorKind::NotFound,
        ),
        (418, "", "HTTP 418", ErrorKind::Network),
    ] {
        let scene = Scene::new(move |_| Action::Answer(Answer::new(status).body(body)));
        assert_eq!(scene.expect_error(why).await, kind, "{status}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn retry_after_is_waited_for() {
    if !ready() {
        return;
    }
    for value in ["1", "Wed, 21 Oct 2015 07:28:01 GMT"] {
        let scene = Scene::new(move |request| {
            let busy = Answer::new(429)
                .header("Retry-After", value)
                .header("Date", "Wed, 21 Oct 2015 07:28:00 GMT");
            if request.is_manifest() && request.earlier == 0 {
                Action::Answer(busy)
            } else {
                Action::Forward
            }
        });
        let start = Instant::now();
        scene.expect().await;
        assert!(start.elapsed() >= Duration::from_secs(1), "{value}");
    }
    let scene = Scene::new(|_| Action::Answer(Answer::new(429).header("Retry-After", "21600")));
    assert_eq!(
        scene.expect_error("asks to wait 21600 s (limit 2 s)").await,
        ErrorKind::Network
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn silence_is_noticed_and_slowness_is_borne() {
    if !ready() {
        return;
    }
    let mut scene = Scene::once(Action::StallAfter(2_000_000));
    scene.client.settings.timeouts.inactivity = Duration::from_millis(500);
    scene.expect().await;
    assert_eq!(scene.ranges(), ["bytes=2000000-"]);

    let mut scene = Scene::once(Action::Drip);
    // The whole takes three seconds.
    scene.client.settings.timeouts.inactivity = Duration::from_secs(2);
    scene.expect().await;
    assert_eq!(scene.retries(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn lengths_are_held_to_the_descriptor() {
    if !ready() {
        return;
    }
    let scene = Scene::once(Action::EndAfter(1_000_000));
    scene.expect().await;
    assert_eq!(scene.ranges(), ["bytes=1000000-"]);

    let scene = Scene::once(Action::Lengthen);
    assert_eq!(
        scene.expect_error("longer than its descriptor says").await,
        ErrorKind::Integrity
    );

    let scene = Scene::new(|request| match request.is_layer() {
        true => Action::Answer(Answer::new(200).body("welcome to this wireless network")),
        false => Action::Forward,
    });
    assert_eq!(
        scene.expect_error("it has 32 bytes").await,
        ErrorKind::Integrity
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn wrong_bytes_never_get_a_name() {
    if !ready() {
        return;
    }
    let scene = Scene::new(|request| {
        if request.is_layer() {
            Action::Flip(1000)
        } else {
            Action::Forward
        }
    });
    let kind = scene
        .expect_error("has the wrong digest: expected sha256:")
        .await;
    assert_eq!(kind, ErrorKind::Integrity);
    assert!(!scene.client.blob_path(&scene.image.digest(0)).exists());
    assert!(!scene.client.part_path(&scene.image.digest(0)).exists());

    let scene = Scene::new(|request| {
        if request.is_manifest() {
            Action::Flip(40)
        } else {
            Action::Forward
        }
    });
    assert_eq!(scene.expect_error("digest").await, ErrorKind::Integrity);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_resumed_blob_with_a_wrong_start_is_fetched_anew() {
    if !ready() {
        return;
    }
    let scene = Scene::new(|_| Action::Forward);
    let digest = scene.image.digest(0);
    std::fs::write(scene.client.part_path(&digest), vec![0; 100_000]).unwrap();
    let layers = scene
        .client
        .pull_again_if_corrupt(&scene.reference)
        .await
        .unwrap();
    assert!(layers == scene.image.layers);
    assert_eq!(scene.ranges(), ["bytes=100000-"]);
    scene.client.expect_clean_cache();
}

#[tokio::test(flavor = "multi_thread")]
async fn ranges_are_taken_strictly() {
    if !ready() {
        return;
    }
    for then in [
        Action::IgnoreRange,
        Action::WrongRange("bytes 0-3145727/3145728"),
        Action::WrongRange("bytes 999999-3145727/3145728"),
        Action::WrongRange("bytes 1000000-3145727/3145729"),
        Action::WrongRange("nonsense"),
        Action::Answer(Answer::new(416)),
    ] {
        let label = format!("{then:?}");
        let scene = Scene::new(move |request| match (request.is_layer(), request.earlier) {
            (true, 0) => Action::CutAfter(1_000_000),
            (true, 1) => then.clone(),
            _ => Action::Forward,
        });
        let layers = scene.client.pull(&scene.reference).await;
        let layers = layers.unwrap_or_else(|error| panic!("{label}: {}", chain(&error)));
        assert!(layers == scene.image.layers, "{label}");
        scene.client.expect_clean_cache();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn documents_are_bounded() {
    if !ready() {
        return;
    }
    let scene = Scene::new(|request| match request.is_manifest() {
        true => Action::Answer(Answer::new(200).body(vec![b' '; 5 << 20])),
        false => Action::Forward,
    });
    assert_eq!(
        scene
            .expect_error("manifest has 5242880 bytes (limit 4194304)")
            .await,
        ErrorKind::LimitExceeded
    );

    let scene = Scene::new(|request| match request.is_manifest() {
        true => Action::Endless,
        false => Action::Forward,
    });
    assert_eq!(
        scene
            .expect_error("manifest has more bytes (limit 4194304)")
            .await,
        ErrorKind::LimitExceeded
    );
    let scene = Scene::new(|request| match request.is_layer() {
        true => Action::Endless,
        false => Action::Forward,
    });
    assert_eq!(
        scene.expect_error("longer than its descriptor says").await,
        ErrorKind::Integrity
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn redirects_end() {
    if !ready() {
        return;
    }
    let scene = Scene::new(|request| {
        let next = Answer::new(307).header("Location", request.path.clone());
        if request.is_layer() {
            Action::Answer(next)
        } else {
            Action::Forward
        }
    });
    assert_eq!(
        scene.expect_error("redirected more than 10 times").await,
        ErrorKind::Network
    );
    for (target, why) in [
        ("ftp://127.0.0.1/x", "to scheme \"ftp\""),
        ("http://user@127.0.0.1/x", "holds a user name"),
        ("http://[", "not a URL"),
    ] {
        let scene = Scene::new(move |request| match request.is_layer() {
            true => Action::Answer(Answer::new(302).header("Location", target)),
            false => Action::Forward,
        });
        scene.expect_error(why).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn other_hosts_get_the_request_without_the_password() {
    if !ready() {
        return;
    }
    let login = Features {
        login: Some("user:pass"),
        ..Features::default()
    };
    let (registry, image) = (Registry::start(&login), TestImage::new());
    image.push(&registry, "org/app:v1");
    let layers: HashMap<String, Vec<u8>> = image
        .layers
        .iter()
        .map(|layer| (Digest::sha256(layer).to_string(), layer.clone()))
        .collect();
    let names: Vec<String> = layers.keys().cloned().collect();
    let elsewhere = Proxy::alone(move |request| {
        let digest = request
            .path
            .trim_start_matches("/store/")
            .trim_end_matches("?signed=1");
        layers.get(digest).map_or(Answer::new(404), |layer| {
            Answer::new(200).body(layer.clone())
        })
    });
    let port = elsewhere.port;
    let proxy = Proxy::before(registry.port, move |request| {
        let digest = names.iter().find(|name| request.path.ends_with(*name));
        match digest.filter(|_| request.header("authorization").is_some()) {
            Some(digest) => {
                let target = format!("http://127.0.0.1:{port}/store/{digest}?signed=1");
                Action::Answer(Answer::new(307).header("Location", target))
            }
            None => Action::Forward,
        }
    });
    let mut client = Client::new();
    client.login(&proxy.domain(), r#"{"auth": "dXNlcjpwYXNz"}"#);
    client
        .expect(&format!("{}/org/app:v1", proxy.domain()), &image)
        .await;
    assert_eq!(elsewhere.requests().len(), 3);
    assert_eq!(
        elsewhere.count(|request| request.header("authorization").is_some()),
        0
    );

    // A host that blobs are kept at may not ask for the registry's password either.
    let greedy =
        Proxy::alone(|_| Answer::new(401).header("WWW-Authenticate", "Basic realm=\"gimme\""));
    let port = greedy.port;
    let proxy = Proxy::before(registry.port, move |request| {
        let target = format!("http://127.0.0.1:{port}/x");
        let known = request.is_layer() && request.header("authorization").is_some();
        if known {
            Action::Answer(Answer::new(302).header("Location", target))
        } else {
            Action::Forward
        }
    });
    let mut client = Client::new();
    client.login(&proxy.domain(), r#"{"auth": "dXNlcjpwYXNz"}"#);
    let error = client
        .expect_error(
            &format!("{}/org/app:v1", proxy.domain()),
            "is not sent there",
        )
        .await;
    assert_eq!(error.kind(), ErrorKind::Unauthorized);
    assert_eq!(
        greedy.count(|request| request.header("authorization").is_some()),
        0
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn https_never_becomes_http() {
    if !ready() {
        return;
    }
    let (registry, image) = (Registry::plain(), TestImage::new());
    image.push(&registry, "org/app:v1");
    let elsewhere = Proxy::alone(|_| Answer::new(404));
    let certificates = Certificates::new();
    let registry = registry.again(&Features {
        certificates: Some(&certificates),
        redirect: Some(format!("http://{}/", elsewhere.domain())),
        ..Features::default()
    });
    let mut client = Client::new();
    client.settings.trust.authorities = vec![certificates.authority()];
    let why = "from https to http";
    let error = client
        .expect_error(&format!("{}/org/app:v1", registry.domain()), why)
        .await;
    assert_eq!(error.kind(), ErrorKind::Network);
    assert_eq!(elsewhere.requests().len(), 0);
}
