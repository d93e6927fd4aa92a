//! Answers that are successes and yet not what was asked for, and servers that are no registries.

use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use banger_tests::tool;
use flate2::Compression;
use flate2::write::{DeflateEncoder, GzEncoder, ZlibEncoder};
use oci_flatten::error::ErrorKind;
use oci_flatten::media_type::{DOCKER_INDEX, DOCKER_MANIFEST, OCI_INDEX, OCI_MANIFEST};

use crate::parts::image::TestImage;
use crate::parts::memory::Memory;
use crate::parts::proxy::{Action, Answer, Proxy, Request};
use crate::parts::pull::{Client, chain};

/// What an answer is to.
#[derive(Clone, Copy, Debug)]
enum Place {
    Manifest,
    Config,
    Layer,
    Token,
}

const PLACES: [Place; 4] = [Place::Manifest, Place::Config, Place::Layer, Place::Token];

impl Place {
    fn is_of(self, request: &Request, memory: &Memory) -> bool {
        match self {
            Self::Manifest => request.is_manifest(),
            Self::Config => memory.is_config(request),
            Self::Layer => request.is_layer(),
            Self::Token => request.path.starts_with("/token"),
        }
    }
}

/// A registry that wants a token, with the answers to one place changed.
fn registry(
    memory: &Memory,
    place: Place,
    change: impl Fn(Answer) -> Answer + Send + Sync + 'static,
) -> Proxy {
    let memory = memory.clone();
    Proxy::alone(move |request| {
        let answer = if request.path.starts_with("/token") {
            Answer::new(200).body(r#"{"token":"T"}"#)
        } else if request.header("authorization").is_none() {
            let host = request.header("host").unwrap_or_default();
            let challenge = format!("Bearer realm=\"http://{host}/token\"");
            return Answer::new(401).header("WWW-Authenticate", challenge);
        } else {
            memory.answer(request)
        };
        match place.is_of(request, &memory) {
            true => change(answer),
            false => answer,
        }
    })
}

fn piped(program: &str, input: &[u8]) -> Vec<u8> {
    let mut child = Command::new(program)
        .arg("-c")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let input = input.to_vec();
    let writer = thread::spawn(move || stdin.write_all(&input).unwrap());
    let output = child.wait_with_output().unwrap();
    writer.join().unwrap();
    output.stdout
}

fn encode(encoding: &str, bytes: &[u8]) -> Vec<u8> {
    let level = Compression::fast();
    match encoding {
        "gzip" | "x-gzip" | "GZIP" => {
            let mut encoder = GzEncoder::new(Vec::new(), level);
            encoder.write_all(bytes).unwrap();
            encoder.finish().unwrap()
        }
        "deflate" => {
            let mut encoder = ZlibEncoder::new(Vec::new(), level);
            encoder.write_all(bytes).unwrap();
            encoder.finish().unwrap()
        }
        "raw deflate" => {
            let mut encoder = DeflateEncoder::new(Vec::new(), level);
            encoder.write_all(bytes).unwrap();
            encoder.finish().unwrap()
        }
        "zstd" => piped("zstd", bytes),
        other => unreachable!("no such coding: {other}"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn codings_that_nobody_asked_for_are_undone() {
    if !tool("zstd") {
        return;
    }
    let image = TestImage::new();
    let memory = Memory::of(&image);
    for place in PLACES {
        for encoding in ["gzip", "x-gzip", "GZIP", "deflate", "raw deflate", "zstd"] {
            let registry = registry(&memory, place, move |answer| {
                let body = encode(encoding, &answer.body);
                let name = encoding.trim_start_matches("raw ");
                answer.header("Content-Encoding", name).body(body)
            });
            let reference = format!("{}/org/app:v1", registry.domain());
            let layers = Client::new().pull(&reference).await;
            let layers =
                layers.unwrap_or_else(|error| panic!("{place:?} {encoding}: {}", chain(&error)));
            assert!(layers == image.layers, "{place:?} {encoding}");
            let asks = |request: &Request| request.header("accept-encoding") == Some("identity");
            assert_eq!(registry.count(asks), registry.requests().len());
        }
        // A server may name the compression of what it keeps, and send it as it is.
        for encoding in ["gzip", "br", "identity", "gzip, identity"] {
            let registry = registry(&memory, place, move |answer| {
                answer.header("Content-Encoding", encoding)
            });
            let reference = format!("{}/org/app:v1", registry.domain());
            Client::new().expect(&reference, &image).await;
        }
        for encoding in ["br", "gzip, br", "aws-chunked"] {
            let registry = registry(&memory, place, move |answer| {
                answer
                    .header("Content-Encoding", encoding)
                    .body("\u{1}\u{2}\u{3}")
            });
            let reference = format!("{}/org/app:v1", registry.domain());
            let why = format!("Content-Encoding {encoding}, which was not asked for");
            let error = Client::new().expect_error(&reference, &why).await;
            assert_eq!(error.kind(), ErrorKind::Network, "{place:?} {encoding}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_is_reported_as_one_wherever_it_comes() {
    let image = TestImage::new();
    let memory = Memory::of(&image);
    for place in PLACES {
        for (media_type, page, why) in [
            (
                "text/html",
                "<html><title>Sign\nin</title>",
                "an HTML page (Sign in) in place of the",
            ),
            (
                "text/html; charset=utf-8",
                "\n<!DOCTYPE html><h1>Wireless</h1>",
                "an HTML page (Wireless)",
            ),
            ("text/html", "<html>", "an HTML page in place of the"),
        ] {
            let registry = registry(&memory, place, move |_| {
                Answer::new(200)
                    .header("Content-Type", media_type)
                    .body(page)
            });
            let reference = format!("{}/org/app:v1", registry.domain());
            let error = Client::new().expect_error(&reference, why).await;
            assert_eq!(error.kind(), ErrorKind::Network, "{place:?}: {error}");
            assert!(error.message().contains(&registry.domain()), "{error}");
        }
    }
    // What is said in the type alone harms nobody.
    for place in PLACES {
        let registry = registry(&memory, place, |answer| Answer {
            headers: vec![("Content-Type".to_owned(), "text/html".to_owned())],
            ..answer
        });
        let reference = format!("{}/org/app:v1", registry.domain());
        Client::new().expect(&reference, &image).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn errors_that_come_as_successes_are_told() {
    let image = TestImage::new();
    let memory = Memory::of(&image);
    let registry = registry(&memory, Place::Manifest, |_| {
        Answer::new(200).body(r#"{"errors":[{"code":"UNKNOWN","message":"backend is away"}]}"#)
    });
    let reference = format!("{}/org/app:v1", registry.domain());
    let error = Client::new()
        .expect_error(&reference, "backend is away")
        .await;
    assert_eq!(error.kind(), ErrorKind::Network);
}

#[tokio::test(flavor = "multi_thread")]
async fn warnings_reach_the_user() {
    let image = TestImage::new();
    let memory = Memory::of(&image);
    for place in PLACES {
        let registry = registry(&memory, place, |answer| {
            answer.header("Warning", "299 - \"this image is deprecated\"")
        });
        let client = Client::new();
        let reference = format!("{}/org/app:v1", registry.domain());
        let source = client.open(&reference).await.unwrap();
        for layer in 0..5 {
            crate::parts::pull::read_layer(&source, layer)
                .await
                .unwrap();
        }
        let warnings = oci_flatten::source::Source::take_warnings(&source);
        let expected = format!("{}: this image is deprecated", registry.domain());
        assert_eq!(warnings, [expected], "{place:?}");
        // Where the image cannot be had, the error says it.
        let failing = Proxy::alone(|_| {
            Answer::new(410).header("Warning", "299 - \"moved to other.example\"")
        });
        let reference = format!("{}/org/app:v1", failing.domain());
        client
            .expect_error(&reference, "moved to other.example")
            .await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn all_types_are_asked_for_in_one_line() {
    let image = TestImage::new();
    let memory = Memory::of(&image);
    let registry = Proxy::alone(move |request| {
        let lines: Vec<_> = request
            .headers
            .iter()
            .filter(|(name, _)| name.eq_ignore_ascii_case("accept"))
            .collect();
        let wanted = [OCI_INDEX, OCI_MANIFEST, DOCKER_INDEX, DOCKER_MANIFEST].join(", ");
        match request.is_manifest() && (lines.len() != 1 || lines[0].1 != wanted) {
            true => Answer::new(406),
            false => memory.answer(request),
        }
    });
    let reference = format!("{}/org/app:v1", registry.domain());
    Client::new().expect(&reference, &image).await;
}

/// A server that is none of HTTP: it does the same with every connection.
fn server(serve: impl Fn(std::net::TcpStream) + Send + Sync + 'static) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let domain = listener.local_addr().unwrap().to_string();
    let serve = std::sync::Arc::new(serve);
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let serve = std::sync::Arc::clone(&serve);
            thread::spawn(move || serve(stream));
        }
    });
    domain
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_never_begins_ends() {
    for endless in [
        "HTTP/1.1 100 Continue\r\n\r\n",
        "HTTP/1.1 102 Processing\r\n\r\n",
        " ",
    ] {
        let domain = server(move |mut stream| {
            let mut start = [0; 3];
            if stream.read_exact(&mut start).is_err() || &start != b"GET" {
                return;
            }
            if endless == " " {
                let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nX-Slow: ");
            }
            while stream.write_all(endless.as_bytes()).is_ok() {
                thread::sleep(Duration::from_millis(20));
            }
        });
        let mut client = Client::new();
        client.settings.timeouts.inactivity = Duration::from_millis(400);
        client.settings.retries.attempts = 2;
        let start = Instant::now();
        let error = client.expect_error(&format!("{domain}/app"), "").await;
        assert_eq!(error.kind(), ErrorKind::Network, "{error}");
        assert!(start.elapsed() < Duration::from_secs(15), "{endless:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_that_drips_for_ever_ends() {
    let image = TestImage::new();
    let memory = Memory::of(&image);
    for place in PLACES {
        let whole = registry(&memory, place, |answer| answer);
        let memory = memory.clone();
        let proxy = Proxy::before(whole.port, move |request| {
            match place.is_of(request, &memory) {
                true => Action::Drip,
                false => Action::Forward,
            }
        });
        let mut client = Client::new();
        client.settings.retries.attempts = 1;
        client.settings.timeouts.slowest = 1 << 40;
        client.settings.timeouts.window = Duration::from_millis(200);
        let reference = format!("{}/org/app:v1", proxy.domain());
        let error = client.expect_error(&reference, "too slow").await;
        assert_eq!(error.kind(), ErrorKind::Network, "{place:?}");
    }
}

/// Servers of plain HTTP that cannot make anything of a TLS greeting, and wait for more.
#[tokio::test(flavor = "multi_thread")]
async fn a_plain_registry_that_waits_for_more_is_recognised_within_a_second() {
    let image = TestImage::new();
    for one_at_a_time in [false, true] {
        let memory = Memory::of(&image);
        let behind = Proxy::alone(move |request| memory.answer(request)).port;
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let domain = listener.local_addr().unwrap().to_string();
        thread::spawn(move || {
            for mut client in listener.incoming().flatten() {
                let mut serve = move || {
                    let mut start = [0; 1];
                    if client.read_exact(&mut start).is_err() {
                        return;
                    }
                    if start[0] == 0x16 {
                        // Until the client gives up.
                        let _ = client.read_to_end(&mut Vec::new());
                        return;
                    }
                    let mut registry = std::net::TcpStream::connect(("127.0.0.1", behind)).unwrap();
                    let _ = registry.write_all(&start);
                    let (mut up, mut down) =
                        (client.try_clone().unwrap(), registry.try_clone().unwrap());
                    thread::spawn(move || std::io::copy(&mut up, &mut down));
                    let _ = std::io::copy(&mut registry, &mut client);
                    let _ = client.shutdown(std::net::Shutdown::Both);
                };
                match one_at_a_time {
                    true => serve(),
                    false => drop(thread::spawn(serve)),
                }
            }
        });
        let client = Client::new();
        let start = Instant::now();
        client.open(&format!("{domain}/org/app:v1")).await.unwrap();
        // The connection waits for half a second; the rest is for a machine that is busy.
        assert!(start.elapsed() < Duration::from_secs(5));
        client.expect(&format!("{domain}/org/app:v1"), &image).await;
    }
}
