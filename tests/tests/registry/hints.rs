//! What the program makes of a registry's answers: hints that name the right server, and warnings in the result.

use std::sync::Arc;

use banger::flatten::{Options, open_and_flatten};
use banger::source::{RegistryAccess, SourceOptions, open};
use banger::watch::Watch;
use banger::{Error, ErrorKind};
use oci_flatten::flatten::CancellationToken;
use oci_flatten::progress::{Observer, Silent};
use oci_flatten::registry::RegistryRules;
use oci_flatten::source::SourceName;
use oci_flatten::testkit::{Entry, Layer};

use crate::parts::gateway::Gateway;
use crate::parts::image::TestImage;
use crate::parts::memory::Memory;
use crate::parts::proxy::{Answer, Proxy};
use crate::parts::pull::Client;
use crate::parts::ready;
use crate::parts::tls::Certificates;

fn options(client: &Client) -> SourceOptions {
    SourceOptions {
        registry: Some(RegistryAccess {
            cache_dir: client.cache_dir.clone(),
            settings: Arc::new(client.settings.clone()),
        }),
        ..SourceOptions::default()
    }
}

async fn refused(client: &Client, reference: &str) -> Error {
    let name = SourceName::parse(reference).unwrap();
    let observer: Arc<dyn Observer> = Arc::new(Silent);
    match open(
        &name,
        &options(client),
        &observer,
        &CancellationToken::new(),
    )
    .await
    {
        Ok(_) => panic!("{reference} opens"),
        Err(error) => error,
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hint_names_the_server_that_has_asked() {
    let asking = || Proxy::alone(|_| Answer::new(401).header("WWW-Authenticate", "Basic realm=x"));
    let registry = asking();
    let domain = registry.domain();
    let error = refused(&Client::new(), &format!("{domain}/app")).await;
    assert_eq!(error.kind(), ErrorKind::Unauthorized);
    assert!(
        error
            .hint()
            .unwrap()
            .contains(&format!("`podman login {domain}`"))
    );

    // The place that the configuration has for a name is who is logged in to.
    let mut client = Client::new();
    let rules = format!("[[registry]]\nprefix = \"example.com\"\nlocation = \"{domain}\"\n");
    client.settings.rules = RegistryRules::parse(&rules).unwrap();
    let error = refused(&client, "example.com/app").await;
    assert!(
        error
            .hint()
            .unwrap()
            .contains(&format!("`podman login {domain}`"))
    );

    // A login does not reach who is redirected to.
    let far = asking();
    let target = format!("http://{}/", far.domain());
    let registry = Proxy::alone(move |_| Answer::new(307).header("Location", target.clone()));
    let error = refused(&Client::new(), &format!("{}/app", registry.domain())).await;
    let hint = error.hint().unwrap();
    assert!(
        hint.contains(&far.domain()) && !hint.contains("podman login"),
        "{hint}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hint_about_a_certificate_says_what_helps() {
    if !ready() || !banger_tests::tool("nginx") {
        return;
    }
    for (names, days, known, hint) in [
        ("IP:127.0.0.1", 2, false, "--ca-cert"),
        ("IP:127.0.0.1", -1, true, "check the clock"),
        ("DNS:other.example", 2, true, "use a name"),
    ] {
        let certificates = Certificates::for_server(names, days);
        let gateway = Gateway::nginx(&certificates, "TLSv1.3", 1);
        let mut client = Client::new();
        if known {
            client.settings.trust.authorities = vec![certificates.authority()];
        }
        let error = refused(&client, &format!("{}/app", gateway.domain())).await;
        assert_eq!(error.kind(), ErrorKind::Network, "{error}");
        assert!(error.hint().unwrap().contains(hint), "{:?}", error.hint());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn warnings_are_part_of_the_result() {
    let layer = Layer::new().entry(Entry::file("a", "b")).finish();
    let memory = Memory::of(&TestImage::of(vec![layer]));
    let registry = Proxy::alone(move |request| {
        let answer = memory.answer(request);
        answer.header("Warning", "299 - \"this image is deprecated\"")
    });
    let client = Client::new();
    let reference = format!("{}/app", registry.domain());
    let name = SourceName::parse(&reference).unwrap();
    let file = tempfile::tempfile().unwrap();
    let (_, summary) = open_and_flatten(
        &name,
        &options(&client),
        &file,
        &Options::default(),
        &Watch::silent(CancellationToken::new()),
    )
    .await
    .unwrap();
    let warning = format!("{}: this image is deprecated", registry.domain());
    assert_eq!(summary.warnings, [warning]);
}
