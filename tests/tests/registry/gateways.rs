//! Servers of TLS that are not Go's: versions, client certificates, certificates that are wrong, HTTP/2.

use std::fs;

use banger_tests::tool;
use oci_flatten::error::ErrorKind;
use oci_flatten::registry::CertificateProblem;

use crate::parts::gateway::Gateway;
use crate::parts::image::TestImage;
use crate::parts::pull::Client;
use crate::parts::ready;
use crate::parts::server::Registry;
use crate::parts::tls::Certificates;

fn with_gateways() -> bool {
    ready() && tool("nginx") && tool("nghttpx")
}

fn pushed() -> (Registry, TestImage) {
    let (registry, image) = (Registry::plain(), TestImage::new());
    image.push(&registry, "org/app:v1");
    (registry, image)
}

fn believing(certificates: &Certificates) -> Client {
    let mut client = Client::new();
    client.settings.trust.authorities = vec![certificates.authority()];
    client
}

#[tokio::test(flavor = "multi_thread")]
async fn every_version_of_tls_is_spoken_with_and_without_client_certificates() {
    if !with_gateways() {
        return;
    }
    let (registry, image) = pushed();
    for version in ["TLSv1.2", "TLSv1.3"] {
        for certificates in [Certificates::new(), Certificates::mutual()] {
            let gateway = Gateway::nginx(&certificates, version, registry.port);
            let reference = format!("{}/org/app:v1", gateway.domain());
            let mut client = believing(&certificates);
            let mut verified = "NONE";
            if certificates.wants_client {
                let why = "400 No required SSL certificate was sent";
                let error = client.expect_error(&reference, why).await;
                assert_eq!(error.kind(), ErrorKind::Network, "{error}");
                let host = client.folder.path().join(gateway.domain());
                fs::create_dir_all(&host).unwrap();
                let (certificate, key) = certificates.client();
                fs::copy(certificate, host.join("client.cert")).unwrap();
                fs::copy(key, host.join("client.key")).unwrap();
                client.settings.trust.certs_dirs = vec![client.folder.path().to_owned()];
                verified = "SUCCESS";
            }
            client.expect(&reference, &image).await;
            let expected = format!("HTTP/1.1 {version} {verified}");
            let log = gateway.log();
            assert!(
                log.lines().any(|line| line == expected),
                "{expected}: {log}"
            );
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_that_is_wrong_is_told_apart() {
    if !with_gateways() {
        return;
    }
    let (registry, _image) = pushed();
    for (names, days, problem, why) in [
        ("IP:127.0.0.1", -1, CertificateProblem::Expired, "xpired"),
        (
            "DNS:other.example",
            2,
            CertificateProblem::WrongName,
            "not valid for name",
        ),
    ] {
        let certificates = Certificates::for_server(names, days);
        let gateway = Gateway::nginx(&certificates, "TLSv1.2 TLSv1.3", registry.port);
        let reference = format!("{}/org/app:v1", gateway.domain());
        let client = believing(&certificates);
        let error = client.expect_error(&reference, why).await;
        assert_eq!(error.kind(), ErrorKind::Network);
        assert_eq!(CertificateProblem::of(&error), Some(problem), "{error}");
        assert_eq!(error.server(), Some(&*gateway.domain()));
        assert!(
            !error.message().contains("attempts"),
            "it stays wrong: {error}"
        );
        assert_eq!(gateway.log(), "", "nothing was asked");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_has_nothing_but_http2_is_spoken_to_in_it() {
    if !with_gateways() {
        return;
    }
    let (registry, image) = pushed();
    let certificates = Certificates::new();
    let gateway = Gateway::http2_only(&certificates, registry.port);
    let reference = format!("{}/org/app:v1", gateway.domain());
    believing(&certificates).expect(&reference, &image).await;
    let stranger = Client::new();
    let error = stranger.expect_error(&reference, "UnknownIssuer").await;
    assert_eq!(error.kind(), ErrorKind::Network);
}
