//! What only spares time may fail in any way: questions by HEAD, going on where it stopped, mirrors.

use std::sync::Mutex;
use std::time::Duration;

use oci_flatten::cache::CorruptBlob;
use oci_flatten::digest::Digest;
use oci_flatten::error::ErrorKind;
use oci_flatten::registry::RegistryRules;

use crate::parts::image::TestImage;
use crate::parts::memory::Memory;
use crate::parts::proxy::{Action, Answer, Proxy, Request};
use crate::parts::pull::{Client, chain};

#[tokio::test(flavor = "multi_thread")]
async fn a_warm_pull_works_wherever_a_cold_one_does() {
    let image = TestImage::new();
    let memory = Memory::of(&image);
    let digest = |text: &str| Answer::new(200).header("Docker-Content-Digest", text);
    let mut actions: Vec<Action> = [
        400, 401, 403, 404, 405, 408, 416, 418, 425, 429, 499, 500, 501, 502, 503, 504, 520, 599,
    ]
    .map(|status| Action::Answer(Answer::new(status)))
    .into();
    actions.extend([
        Action::Answer(Answer::new(429).header("Retry-After", "3600")),
        Action::Answer(Answer::new(401).header("WWW-Authenticate", "Basic realm=x")),
        Action::Answer(
            Answer::new(401).header("WWW-Authenticate", "Bearer realm=\"http://10.0.0.1/\""),
        ),
        Action::Answer(Answer::new(307).header("Location", "http://127.0.0.1:1/")),
        Action::Answer(Answer::new(302).header("Location", "ftp://x/")),
        Action::Answer(Answer::new(204)),
        Action::Answer(digest("sha256:0")),
        Action::Answer(digest(Digest::sha256(b"other").as_str())),
        Action::Answer(Answer::new(200).header("Content-Type", "text/html")),
        Action::Cut,
        Action::StallBefore,
    ]);
    for action in actions {
        let (label, memory) = (format!("{action:?}"), memory.clone());
        let registry = Proxy::before(0, move |request| match request.method.as_str() {
            "HEAD" => action.clone(),
            _ => Action::Answer(memory.answer(request)),
        });
        let mut client = Client::new();
        client.settings.timeouts.inactivity = Duration::from_millis(500);
        let reference = format!("{}/org/app:v1", registry.domain());
        for pull in ["cold", "warm"] {
            let layers = client.pull(&reference).await;
            let layers = layers.unwrap_or_else(|error| panic!("{pull} {label}: {}", chain(&error)));
            assert!(layers == image.layers, "{label}");
        }
        let heads = registry.count(|request| request.method == "HEAD");
        assert!(heads > 0, "{label}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_registry_that_cannot_go_on_gives_the_whole() {
    let image = TestImage::new();
    let memory = Memory::of(&image);
    for refusal in [
        Action::Answer(Answer::new(400)),
        Action::Answer(Answer::new(403)),
        Action::Answer(Answer::new(404)),
        Action::Answer(Answer::new(405)),
        Action::Answer(Answer::new(416)),
        Action::Answer(Answer::new(500)),
        Action::Answer(Answer::new(501)),
        Action::Answer(Answer::new(204)),
        Action::Answer(Answer::new(206).body("some")),
        Action::Answer(Answer::new(302).header("Location", "ftp://x/")),
        Action::Cut,
    ] {
        let label = format!("{refusal:?}");
        let behind = memory.clone();
        let whole = Proxy::alone(move |request| behind.answer(request));
        let cut = Mutex::new(false);
        let registry = Proxy::before(whole.port, move |request| {
            let mut cut = cut.lock().unwrap();
            match (request.is_layer(), request.header("range")) {
                (true, Some(_)) if request.earlier < 3 => refusal.clone(),
                (true, None) if !*cut => {
                    *cut = true;
                    Action::CutAfter(1000)
                }
                _ => Action::Forward,
            }
        });
        let client = Client::new();
        let reference = format!("{}/org/app:v1", registry.domain());
        let layers = client.pull(&reference).await;
        let layers = layers.unwrap_or_else(|error| panic!("{label}: {}", chain(&error)));
        assert!(layers == image.layers, "{label}");
        assert!(registry.count(|request| request.header("range").is_some()) > 0);
    }
}

/// A client that asks `mirror` first.
fn mirrored(mirror: &Proxy, registry: &Proxy) -> Client {
    let mut client = Client::new();
    let rules = format!(
        "[[registry]]\nprefix = \"example.com\"\nlocation = \"{}\"\n[[registry.mirror]]\nlocation = \"{}\"\n",
        registry.domain(),
        mirror.domain()
    );
    client.settings.rules = RegistryRules::parse(&rules).unwrap();
    client
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mirror_that_is_wrong_in_any_way_is_passed_over() {
    let image = TestImage::new();
    let other = TestImage::of(vec![b"another".to_vec()]);
    let memory = Memory::of(&image);
    let foreign = Memory::of(&other);
    type Change = fn(&Answer) -> Action;
    let flip: Change = |answer| {
        let mut answer = answer.clone();
        let middle = answer.body.len() / 2;
        answer.body[middle] ^= 1;
        Action::Answer(answer)
    };
    let changes: [(&str, Change); 9] = [
        ("flipped", flip),
        ("html", |_| {
            Action::Answer(
                Answer::new(200)
                    .header("Content-Type", "text/html")
                    .body("<html>"),
            )
        }),
        ("json", |_| Action::Answer(Answer::new(200).body("{}"))),
        ("empty", |_| Action::Answer(Answer::new(200))),
        ("404", |_| Action::Answer(Answer::new(404))),
        ("401", |_| Action::Answer(Answer::new(401))),
        ("longer", |answer| {
            let mut answer = answer.clone();
            answer.body.push(b' ');
            Action::Answer(answer)
        }),
        ("shorter", |answer| {
            let mut answer = answer.clone();
            answer.body.pop();
            Action::Answer(answer)
        }),
        ("cut", |_| Action::Cut),
    ];
    for (name, change) in changes {
        for place in ["manifest", "config", "layer", "everything"] {
            let label = format!("{name} {place}");
            let whole = memory.clone();
            let mirror = Proxy::before(0, move |request| {
                let answer = whole.answer(request);
                let wrong = match place {
                    "manifest" => request.is_manifest(),
                    "config" => whole.is_config(request),
                    "layer" => request.is_layer(),
                    _ => true,
                };
                match wrong {
                    true => change(&answer),
                    false => Action::Answer(answer),
                }
            });
            let right = memory.clone();
            let registry = Proxy::alone(move |request| right.answer(request));
            let client = mirrored(&mirror, &registry);
            for reference in [
                "example.com/org/app:v1".to_owned(),
                format!("example.com/org/app@{}", image.manifest),
            ] {
                let layers = pull_as_the_program(&client, &reference).await;
                assert!(layers == image.layers, "{label}");
                client.expect_clean_cache();
            }
        }
    }

    // Another image by tag is an answer; by digest it is none.
    let mirror = Proxy::alone(move |request| foreign.answer(request));
    let registry = Proxy::alone(move |request| memory.answer(request));
    let client = mirrored(&mirror, &registry);
    let pinned = format!("example.com/org/app@{}", image.manifest);
    client.expect(&pinned, &image).await;
    client.expect("example.com/org/app:v1", &other).await;
}

/// Starts over as often as the cache says so.
async fn pull_as_the_program(client: &Client, reference: &str) -> Vec<Vec<u8>> {
    for _ in 0..16 {
        match client.pull(reference).await {
            Ok(layers) => return layers,
            Err(error) if CorruptBlob::is_cause_of(&error) => {}
            Err(error) => panic!("{}", chain(&error)),
        }
    }
    panic!("it never ends");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_last_place_is_held_to_the_digest() {
    let image = TestImage::new();
    let memory = Memory::of(&image);
    let wrong = move |request: &Request| {
        let mut answer = memory.answer(request);
        if request.is_layer() {
            answer.body[0] ^= 1;
        }
        answer
    };
    let mirror = Proxy::alone(wrong.clone());
    let registry = Proxy::alone(wrong);
    let client = mirrored(&mirror, &registry);
    let mut kinds = Vec::new();
    for _ in 0..8 {
        let error = client.pull("example.com/org/app:v1").await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Integrity, "{}", chain(&error));
        kinds.push(CorruptBlob::is_cause_of(&error));
    }
    assert_eq!(kinds.last(), Some(&false), "it begins anew for ever");
    client.expect_clean_cache();
}
