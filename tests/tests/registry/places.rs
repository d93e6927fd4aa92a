//! Mirrors, other locations, proxies, policies, and no network at all.

use oci_flatten::error::ErrorKind;
use oci_flatten::progress::Event;
use oci_flatten::registry::{PullPolicy, RegistryRules};

use crate::parts::image::TestImage;
use crate::parts::proxy::{Action, Answer, Proxy, Request};
use crate::parts::pull::{Client, chain};
use crate::parts::ready;
use crate::parts::server::Registry;

fn nothing_asked(_: &Request) -> Action {
    Action::Forward
}

#[tokio::test(flavor = "multi_thread")]
async fn mirrors_come_first_and_the_registry_last() {
    if !ready() {
        return;
    }
    let (registry, image) = (Registry::plain(), TestImage::new());
    image.push(&registry, "copies/org/app:v1");
    image.push(&registry, "org/app:v1");
    let broken = Proxy::alone(|_| Answer::new(500));
    let lacking = Proxy::before(registry.port, |request| match request.is_blob() {
        true => Action::CutAfter(1_000_000),
        false => Action::Forward,
    });
    let last = Proxy::before(registry.port, nothing_asked);
    let mut client = Client::new();
    client.settings.rules = RegistryRules::parse(&format!(
        r#"
        unqualified-search-registries = ["ignored.example"]
        [[registry]]
        prefix = "example.com"
        location = "{}"
        [[registry.mirror]]
        location = "{}"
        [[registry.mirror]]
        location = "{}/copies"
        "#,
        last.domain(),
        broken.domain(),
        lacking.domain()
    ))
    .unwrap();
    client.expect("example.com/org/app:v1", &image).await;
    assert!(broken.requests().len() >= 2);
    assert!(lacking.count(|request| request.path.contains("/v2/copies/org/app/manifests/v1")) == 1);
    let ranges = last.requests();
    assert!(
        ranges
            .iter()
            .any(|request| request.header("range") == Some("bytes=1000000-")),
        "it went on there"
    );
    assert_eq!(last.count(Request::is_manifest), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn blocked_registries_are_not_asked() {
    let proxy = Proxy::alone(|_| Answer::new(500));
    let mut client = Client::new();
    client.settings.rules = RegistryRules::parse(&format!(
        "[[registry]]\nlocation = \"{}\"\nblocked = true",
        proxy.domain()
    ))
    .unwrap();
    let error = client
        .expect_error(
            &format!("{}/app", proxy.domain()),
            "is blocked by configuration",
        )
        .await;
    assert_eq!(error.kind(), ErrorKind::Unauthorized);
    assert_eq!(proxy.requests().len(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn plain_http_and_http_proxies_are_used_as_told() {
    if !ready() {
        return;
    }
    let (registry, image) = (Registry::plain(), TestImage::new());
    image.push(&registry, "org/app:v1");
    // A forward proxy is asked for whole URLs; this one takes all hosts for the registry.
    let forward = Proxy::before(registry.port, nothing_asked);
    let mut client = Client::new();
    client.settings.plain_http = true;
    client.settings.proxies.http = Some(format!("http://{}", forward.domain()));
    client
        .expect("registry.example:8080/org/app:v1", &image)
        .await;
    assert!(
        forward.count(|request| request.path.starts_with("http://registry.example:8080/v2/")) == 5
    );

    let before = forward.requests().len();
    let mut client = Client::new();
    client.settings.proxies.http = Some(format!("http://{}", forward.domain()));
    client.settings.proxies.no_proxy = Some("other.example,127.0.0.0/8".to_owned());
    client
        .expect(&format!("{}/org/app:v1", registry.domain()), &image)
        .await;
    assert_eq!(forward.requests().len(), before);
}

#[tokio::test(flavor = "multi_thread")]
async fn policies_say_when_the_registry_is_asked() {
    if !ready() {
        return;
    }
    let (registry, image) = (Registry::plain(), TestImage::new());
    image.push(&registry, "app:v1");
    let proxy = Proxy::before(registry.port, nothing_asked);
    let reference = format!("{}/app:v1", proxy.domain());
    let mut client = Client::new();
    for (policy, offline) in [(PullPolicy::Never, false), (PullPolicy::Always, true)] {
        (client.settings.pull, client.settings.offline) = (policy, offline);
        let error = client
            .expect_error(&reference, "image is not in the cache")
            .await;
        assert_eq!(error.kind(), ErrorKind::NotFound);
        assert_eq!(proxy.requests().len(), 0);
    }
    (client.settings.pull, client.settings.offline) = (PullPolicy::Missing, false);
    client.expect(&reference, &image).await;
    let asked = proxy.requests().len();
    for (policy, offline) in [
        (PullPolicy::Missing, false),
        (PullPolicy::Never, false),
        (PullPolicy::Always, true),
    ] {
        (client.settings.pull, client.settings.offline) = (policy, offline);
        client.expect(&reference, &image).await;
        assert_eq!(proxy.requests().len(), asked);
    }
    (client.settings.pull, client.settings.offline) = (PullPolicy::Always, false);
    client
        .expect(
            &format!("{}/app@{}", proxy.domain(), image.manifest),
            &image,
        )
        .await;
    assert_eq!(proxy.requests().len(), asked, "a digest stays what it is");
    client.expect(&reference, &image).await;
    assert_eq!(proxy.count(|request| request.method == "HEAD"), 1);
    assert_eq!(proxy.requests().len(), asked + 1, "the tag has not moved");

    let moved = TestImage::of(vec![b"another layer".to_vec()]);
    moved.push(&registry, "app:v1");
    client.expect(&reference, &moved).await;
    client.settings.pull = PullPolicy::Never;
    client.expect(&reference, &moved).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_registry_without_head_is_asked_for_the_whole() {
    if !ready() {
        return;
    }
    let (registry, image, client) = (Registry::plain(), TestImage::new(), Client::new());
    image.push(&registry, "app:v1");
    let proxy = Proxy::before(registry.port, |request| match request.method.as_str() {
        "HEAD" => Action::Answer(Answer::new(405)),
        _ => Action::Forward,
    });
    for _ in 0..2 {
        client
            .expect(&format!("{}/app:v1", proxy.domain()), &image)
            .await;
    }
    assert_eq!(proxy.count(Request::is_manifest), 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn offline_a_blob_that_is_gone_is_an_error() {
    if !ready() {
        return;
    }
    let (registry, image) = (Registry::plain(), TestImage::new());
    image.push(&registry, "app:v1");
    let reference = format!("{}/app:v1", registry.domain());
    let mut client = Client::new();
    client.expect(&reference, &image).await;
    std::fs::remove_file(client.blob_path(&image.digest(3))).unwrap();
    client.settings.offline = true;
    let error = client
        .expect_error(
            &reference,
            "is not in the cache, and the network is not to be used",
        )
        .await;
    assert_eq!(error.kind(), ErrorKind::NotFound);
    client.settings.offline = false;
    client.settings.pull = PullPolicy::Missing;
    client.expect(&reference, &image).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn as_many_downloads_run_at_a_time_as_are_allowed() {
    if !ready() {
        return;
    }
    let layers = (0..8)
        .map(|seed| crate::parts::image::noise(seed, 20_000))
        .collect();
    let (registry, image) = (Registry::plain(), TestImage::of(layers));
    image.push(&registry, "app:v1");
    let running = std::sync::Arc::new(std::sync::Mutex::new((0, 0)));
    let counter = std::sync::Arc::clone(&running);
    let proxy = Proxy::before(registry.port, move |request| {
        if request.is_blob() {
            let mut running = counter.lock().unwrap();
            running.0 += 1;
            running.1 = running.0.max(running.1);
            drop(running);
            std::thread::sleep(std::time::Duration::from_millis(50));
            counter.lock().unwrap().0 -= 1;
        }
        Action::Forward
    });
    for parallel in [1, 3] {
        *running.lock().unwrap() = (0, 0);
        let mut client = Client::new();
        client.settings.parallel = parallel.try_into().unwrap();
        client
            .expect(&format!("{}/app:v1", proxy.domain()), &image)
            .await;
        let most = running.lock().unwrap().1;
        assert!(
            most <= parallel && (parallel == 1 || most > 1),
            "{most} of {parallel}"
        );
        assert_eq!(
            client.count_events(|event| matches!(event, Event::Downloaded { .. })),
            8
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn errors_name_the_proxy_without_its_password() {
    let busy = Proxy::alone(|_| Answer::new(503).body("no upstream"));
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let closed = listener.local_addr().unwrap().to_string();
    drop(listener);
    for (domain, plain_http, why) in [
        (closed.as_str(), true, "Connection refused"),
        (closed.as_str(), false, "Connection refused"),
        (&*busy.domain(), true, "no upstream"),
        (&*busy.domain(), false, "unsuccessful"),
    ] {
        let mut client = Client::new();
        client.settings.plain_http = plain_http;
        client.settings.proxies.all = Some(format!("http://user:secret@{domain}"));
        let error = client
            .expect_error("registry.example/org/app:v1", why)
            .await;
        assert_eq!(error.kind(), ErrorKind::Network);
        let named = format!("through the proxy http://{domain}");
        assert!(error.message().contains(&named), "{error}");
        assert!(!chain(&error).contains("secret"), "{error}");
        // The registry of this machine is none of the proxy's business.
        let registry = Proxy::alone(|_| Answer::new(418));
        client.settings.plain_http = false;
        let local = format!("{}/org/app:v1", registry.domain());
        client.expect_error(&local, "HTTP 418").await;
    }
}
