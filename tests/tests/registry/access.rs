//! Plain HTTP, TLS, certificates, passwords.

use std::fs;

use oci_flatten::error::ErrorKind;
use oci_flatten::progress::Event;
use oci_flatten::registry::CertificateProblem;

use crate::parts::image::TestImage;
use crate::parts::pull::Client;
use crate::parts::ready;
use crate::parts::server::{Features, Registry};
use crate::parts::tls::Certificates;

#[tokio::test(flavor = "multi_thread")]
async fn a_loopback_registry_needs_no_options() {
    if !ready() {
        return;
    }
    let (registry, image, client) = (Registry::plain(), TestImage::new(), Client::new());
    image.push(&registry, "org/app:v1");
    client
        .expect(&format!("{}/org/app:v1", registry.domain()), &image)
        .await;
    client
        .expect(
            &format!("{}/org/app@{}", registry.domain(), image.manifest),
            &image,
        )
        .await;
    let downloaded = client.count_events(|event| matches!(event, Event::Downloaded { .. }));
    let cached = client.count_events(|event| matches!(event, Event::Cached { .. }));
    assert_eq!(
        (downloaded, cached),
        (4, 4),
        "equal layers are fetched once, and everything once in two pulls"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_there_is_not_found() {
    if !ready() {
        return;
    }
    let (registry, image, mut client) = (Registry::plain(), TestImage::new(), Client::new());
    image.push(&registry, "app:v1");
    let domain = registry.domain();
    for name in [
        "app:v2",
        "nothing:v1",
        &format!("app@sha256:{}", "0".repeat(64)),
    ] {
        let error = client
            .expect_error(&format!("{domain}/{name}"), "404")
            .await;
        assert_eq!(error.kind(), ErrorKind::NotFound);
        assert!(
            error.to_string().starts_with(&format!("{domain}/{name}: ")),
            "{error}"
        );
    }
    client.platform = oci_flatten::platform::Platform::new("plan9", "mips", None);
    let error = client
        .expect_error(&format!("{domain}/app:v1"), "no image for plan9/mips")
        .await;
    assert_eq!(error.kind(), ErrorKind::NotFound);
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_there_is_a_network_error() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    drop(listener);
    let error = Client::new()
        .expect_error(&format!("127.0.0.1:{port}/app"), "refused")
        .await;
    assert_eq!(error.kind(), ErrorKind::Network);
    assert!(!error.to_string().contains("attempts"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn tls_is_believed_by_its_authority_only() {
    if !ready() {
        return;
    }
    let certificates = Certificates::new();
    let features = Features {
        certificates: Some(&certificates),
        ..Features::default()
    };
    let (registry, image) = (Registry::start(&features), TestImage::new());
    image.push(&registry, "app:v1");
    let reference = format!("{}/app:v1", registry.domain());

    let stranger = Client::new();
    let error = stranger.expect_error(&reference, "UnknownIssuer").await;
    assert_eq!(error.kind(), ErrorKind::Network);
    assert!(
        !error.to_string().contains("attempts"),
        "a wrong certificate stays wrong: {error}"
    );

    let mut client = Client::new();
    client.settings.trust.authorities = vec![certificates.authority()];
    client.expect(&reference, &image).await;

    let mut client = Client::new();
    client.settings.trust.bundles = vec!["/nonexistent".into(), certificates.authority()];
    client.expect(&reference, &image).await;

    let mut client = Client::new();
    client.settings.plain_http = true;
    client.expect_error(&reference, "HTTP 400").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_self_signed_certificate_is_believed_where_it_is_named() {
    if !ready() {
        return;
    }
    let [certificates, others] = [(); 2].map(|()| Certificates::self_signed());
    let features = Features {
        certificates: Some(&certificates),
        ..Features::default()
    };
    let (registry, image) = (Registry::start(&features), TestImage::new());
    image.push(&registry, "app:v1");
    let reference = format!("{}/app:v1", registry.domain());
    let mut stranger = Client::new();
    stranger.settings.trust.authorities = vec![others.authority()];
    let error = stranger.expect_error(&reference, "UnknownIssuer").await;
    let problem = CertificateProblem::of(&error);
    assert_eq!(problem, Some(CertificateProblem::UnknownIssuer), "{error}");
    let nobodys = Client::new();
    let why = "invalid peer certificate";
    let error = nobodys.expect_error(&reference, why).await;
    assert!(CertificateProblem::of(&error).is_some(), "{error}");

    let mut client = Client::new();
    client.settings.trust.authorities = vec![certificates.authority()];
    client.expect(&reference, &image).await;
    // The name still counts.
    let error = client
        .expect_error(
            &reference.replace("127.0.0.1", "localhost"),
            "not valid for name",
        )
        .await;
    let problem = CertificateProblem::of(&error);
    assert_eq!(problem, Some(CertificateProblem::WrongName), "{error}");

    let mut client = Client::new();
    let host = client.folder.path().join(registry.domain());
    fs::create_dir_all(&host).unwrap();
    fs::copy(certificates.authority(), host.join("ca.crt")).unwrap();
    client.settings.trust.certs_dirs = vec![client.folder.path().to_path_buf()];
    client.expect(&reference, &image).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn certs_d_names_authorities_and_client_certificates() {
    if !ready() {
        return;
    }
    let certificates = Certificates::mutual();
    let features = Features {
        certificates: Some(&certificates),
        ..Features::default()
    };
    let plain = Features {
        certificates: None,
        ..Features::default()
    };
    let (image, registry) = (TestImage::new(), Registry::start(&plain));
    image.push(&registry, "app:v1");
    let registry = registry.again(&features);
    let reference = format!("{}/app:v1", registry.domain());

    let mut client = Client::new();
    let folder = client.folder.path().join("certs.d");
    let host = folder.join(registry.domain());
    fs::create_dir_all(&host).unwrap();
    client.settings.trust.certs_dirs = vec![client.folder.path().join("absent"), folder];
    fs::copy(certificates.authority(), host.join("ca.crt")).unwrap();
    let error = client
        .expect_error(&reference, "received fatal alert")
        .await;
    assert_eq!(error.kind(), ErrorKind::Network);

    let (certificate, key) = certificates.client();
    fs::copy(certificate, host.join("client.cert")).unwrap();
    client
        .expect_error(&reference, "client certificate has no key beside it")
        .await;
    fs::copy(key, host.join("client.key")).unwrap();
    client.expect(&reference, &image).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_certificate_file_is_named() {
    let mut client = Client::new();
    let path = client.folder.path().join("ca.pem");
    fs::write(&path, "no certificate").unwrap();
    client.settings.trust.authorities = vec![path];
    let error = client
        .expect_error("127.0.0.1:1/app", "ca.pem: it holds no certificate")
        .await;
    assert_eq!(error.kind(), ErrorKind::InvalidInput);
}

#[tokio::test(flavor = "multi_thread")]
async fn passwords_are_shown_when_they_are_asked_for() {
    if !ready() {
        return;
    }
    let features = Features {
        login: Some("user:pass"),
        ..Features::default()
    };
    let (registry, image) = (Registry::start(&features), TestImage::new());
    image.push(&registry, "org/app:v1");
    let reference = format!("{}/org/app:v1", registry.domain());

    let mut client = Client::new();
    client.login("other.example", r#"{"auth": "dXNlcjpwYXNz"}"#);
    let error = client
        .expect_error(&reference, "wants a user name and a password")
        .await;
    assert_eq!(error.kind(), ErrorKind::Unauthorized);
    let file = client.folder.path().join("auth.json");
    let tried = format!(
        "credentials were looked for in {} (no entry for {})",
        file.display(),
        registry.domain()
    );
    assert!(error.to_string().contains(&tried), "{error}");

    client.login(
        &registry.domain(),
        r#"{"username": "user", "password": "wrong"}"#,
    );
    let error = client.expect_error(&reference, "401").await;
    assert_eq!(error.kind(), ErrorKind::Unauthorized);
    assert!(
        error
            .to_string()
            .contains(&format!("(entry for {})", registry.domain())),
        "{error}"
    );

    for key in [
        registry.domain(),
        format!("{}/org", registry.domain()),
        format!("{}/org/app", registry.domain()),
    ] {
        let mut client = Client::new();
        client.login(&key, r#"{"auth": "dXNlcjpwYXNz"}"#);
        client.expect(&reference, &image).await;
    }
}
