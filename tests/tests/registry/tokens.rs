//! Tokens from a token server of ours, which a real registry checks.

use std::fs;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use oci_flatten::error::ErrorKind;
use tempfile::TempDir;

use crate::parts::image::TestImage;
use crate::parts::proxy::{Action, Answer, Proxy, Request};
use crate::parts::pull::Client;
use crate::parts::ready;
use crate::parts::server::{Features, Registry};
use crate::parts::tls::openssl;

/// Signs tokens that a registry with our certificate takes.
struct Signer {
    folder: TempDir,
}

impl Signer {
    fn new() -> Arc<Self> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().display();
        openssl(&format!(
            "req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=tokens -keyout {path}/key.pem -out {path}/cert.pem"
        ));
        openssl(&format!(
            "x509 -in {path}/cert.pem -outform DER -out {path}/cert.der"
        ));
        Arc::new(Self { folder })
    }

    /// A token that allows pulling `repository`; `serial` makes it another one.
    fn token(&self, repository: &str, serial: usize) -> String {
        let certificate = STANDARD.encode(fs::read(self.folder.path().join("cert.der")).unwrap());
        let header = format!(r#"{{"typ":"JWT","alg":"RS256","x5c":["{certificate}"]}}"#);
        let now = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap()
            .as_secs();
        let claims = format!(
            r#"{{"iss":"test-issuer","aud":"test-service","sub":"x","iat":{now},"nbf":{},"exp":{},"jti":"{serial}",
               "access":[{{"type":"repository","name":"{repository}","actions":["pull"]}}]}}"#,
            now - 60,
            now + 600,
        );
        let signed = format!(
            "{}.{}",
            URL_SAFE_NO_PAD.encode(header),
            URL_SAFE_NO_PAD.encode(claims)
        );
        let input = self.folder.path().join(format!("claims{serial}"));
        fs::write(&input, &signed).unwrap();
        let output = Command::new("openssl")
            .args(["dgst", "-sha256", "-sign"])
            .arg(self.folder.path().join("key.pem"))
            .arg(&input)
            .stderr(Stdio::inherit())
            .output()
            .unwrap();
        assert!(output.status.success());
        format!("{signed}.{}", URL_SAFE_NO_PAD.encode(output.stdout))
    }

    fn server(self: &Arc<Self>, allow: impl Fn(&Request) -> bool + Send + Sync + 'static) -> Proxy {
        let signer = Arc::clone(self);
        Proxy::alone(move |request| {
            if !allow(request) {
                return Answer::new(401)
                    .body(r#"{"errors":[{"code":"DENIED","message":"who are you?"}]}"#);
            }
            // Each request is another token.
            let serial = request.earlier;
            Answer::new(200).body(format!(
                r#"{{"access_token":"{}"}}"#,
                signer.token("org/app", serial)
            ))
        })
    }

    fn registry(&self, registry: Registry, tokens: &Proxy) -> Registry {
        let certificate = self.folder.path().join("cert.pem");
        let token = format!(
            "{{realm: \"http://{}/token\", service: test-service, issuer: test-issuer, rootcertbundle: {}}}",
            tokens.domain(),
            certificate.display()
        );
        registry.again(&Features {
            token: Some(token),
            ..Features::default()
        })
    }
}

fn pushed() -> (Registry, TestImage) {
    let (registry, image) = (Registry::plain(), TestImage::new());
    image.push(&registry, "org/app:v1");
    (registry, image)
}

#[tokio::test(flavor = "multi_thread")]
async fn anonymous_tokens_are_fetched_once() {
    if !ready() {
        return;
    }
    let (registry, image) = pushed();
    let signer = Signer::new();
    let tokens = signer.server(|request| request.header("authorization").is_none());
    let registry = signer.registry(registry, &tokens);
    Client::new()
        .expect(&format!("{}/org/app:v1", registry.domain()), &image)
        .await;
    let requests = tokens.requests();
    assert_eq!(requests.len(), 1);
    assert!(
        requests[0].path.contains("service=test-service"),
        "{}",
        requests[0].path
    );
    assert!(
        requests[0]
            .path
            .contains("scope=repository%3Aorg%2Fapp%3Apull"),
        "{}",
        requests[0].path
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn passwords_go_to_the_token_server_and_not_to_the_registry() {
    if !ready() {
        return;
    }
    let (registry, image) = pushed();
    let signer = Signer::new();
    let tokens =
        signer.server(|request| request.header("authorization") == Some("Basic dXNlcjpwYXNz"));
    let registry = signer.registry(registry, &tokens);
    let proxy = Proxy::before(registry.port, |_| Action::Forward);
    let reference = format!("{}/org/app:v1", proxy.domain());

    let error = Client::new().expect_error(&reference, "who are you?").await;
    assert_eq!(error.kind(), ErrorKind::Unauthorized);
    assert!(
        error
            .to_string()
            .contains(&format!("get a token from {}", tokens.domain())),
        "{error}"
    );

    let mut client = Client::new();
    client.login(&proxy.domain(), r#"{"auth": "dXNlcjpwYXNz"}"#);
    client.expect(&reference, &image).await;
    let basic = |request: &Request| {
        request
            .header("authorization")
            .is_some_and(|value| value.starts_with("Basic"))
    };
    assert_eq!(proxy.count(basic), 0);
    assert!(
        tokens
            .requests()
            .last()
            .unwrap()
            .path
            .contains("account=user")
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn identity_tokens_are_traded_in() {
    if !ready() {
        return;
    }
    let (registry, image) = pushed();
    let signer = Signer::new();
    let tokens = signer.server(|request| {
        let form = String::from_utf8_lossy(&request.body);
        let fields = [
            "grant_type=refresh_token",
            "refresh_token=long+lived",
            "service=test-service",
            "scope=repository",
        ];
        request.method == "POST" && fields.iter().all(|field| form.contains(field))
    });
    let registry = signer.registry(registry, &tokens);
    let mut client = Client::new();
    client.login(&registry.domain(), r#"{"identitytoken": "long lived"}"#);
    client
        .expect(&format!("{}/org/app:v1", registry.domain()), &image)
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn ready_tokens_are_sent_as_they_are() {
    if !ready() {
        return;
    }
    let (registry, image) = pushed();
    let signer = Signer::new();
    let tokens = signer.server(|_| false);
    let registry = signer.registry(registry, &tokens);
    let mut client = Client::new();
    client.login(
        &registry.domain(),
        &format!(r#"{{"registrytoken": "{}"}}"#, signer.token("org/app", 0)),
    );
    client
        .expect(&format!("{}/org/app:v1", registry.domain()), &image)
        .await;
    assert_eq!(tokens.requests().len(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_that_runs_out_in_the_middle_is_replaced() {
    if !ready() {
        return;
    }
    let (registry, image) = pushed();
    let signer = Signer::new();
    let tokens = signer.server(|_| true);
    let registry = signer.registry(registry, &tokens);
    let challenge = format!(
        "Bearer realm=\"http://{}/token\",service=\"test-service\",scope=\"repository:org/app:pull\",error=\"invalid_token\"",
        tokens.domain()
    );
    let first = std::sync::Mutex::new(None::<String>);
    let proxy = Proxy::before(registry.port, move |request| {
        let Some(token) = request.header("authorization") else {
            return Action::Forward;
        };
        let mut first = first.lock().unwrap();
        let is_first = first.get_or_insert_with(|| token.to_owned()) == token;
        match (request.is_blob(), is_first, request.earlier) {
            (true, true, 0) => Action::CutAfter(500_000),
            (true, true, _) => {
                Action::Answer(Answer::new(401).header("WWW-Authenticate", challenge.clone()))
            }
            _ => Action::Forward,
        }
    });
    Client::new()
        .expect(&format!("{}/org/app:v1", proxy.domain()), &image)
        .await;
    assert_eq!(
        tokens.requests().len(),
        2,
        "several refused requests share one new token"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_that_does_not_help_is_an_error() {
    if !ready() {
        return;
    }
    let (registry, _image) = pushed();
    let signer = Signer::new();
    let other = Arc::clone(&signer);
    let tokens = Proxy::alone(move |_| {
        Answer::new(200).body(format!(r#"{{"token":"{}"}}"#, other.token("org/other", 0)))
    });
    let registry = signer.registry(registry, &tokens);
    let error = Client::new()
        .expect_error(&format!("{}/org/app:v1", registry.domain()), "401")
        .await;
    assert_eq!(error.kind(), ErrorKind::Unauthorized);
    assert!(tokens.requests().len() <= 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn useless_answers_of_a_token_server_are_refused() {
    if !ready() {
        return;
    }
    for (body, why) in [
        (b"{}".to_vec(), "it gave none"),
        (b"no json".to_vec(), "it gave none"),
        (br#"{"token":"a\nb"}"#.to_vec(), "no header may"),
        (vec![b' '; 2 << 20], "limit 1048576"),
    ] {
        let (registry, _image) = pushed();
        let tokens = Proxy::alone(move |_| Answer::new(200).body(body.clone()));
        let registry = Signer::new().registry(registry, &tokens);
        Client::new()
            .expect_error(&format!("{}/org/app:v1", registry.domain()), why)
            .await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_realm_out_in_the_world_gets_no_password_in_clear() {
    let realm = "Bearer realm=\"http://tokens.example/token\",service=\"x\"";
    let registry = Proxy::alone(move |_| Answer::new(401).header("WWW-Authenticate", realm));
    let mut client = Client::new();
    client.login(&registry.domain(), r#"{"auth": "dXNlcjpwYXNz"}"#);
    let why = "plain HTTP to another host, tokens.example";
    let error = client
        .expect_error(&format!("{}/org/app:v1", registry.domain()), why)
        .await;
    assert_eq!(error.kind(), ErrorKind::Unauthorized);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_server_that_redirects_takes_no_password_elsewhere() {
    for (entry, followed) in [
        (r#"{"auth": "dXNlcjpwYXNz"}"#, true),
        // A form is not sent on: it holds the secret itself.
        (r#"{"identitytoken": "refresh"}"#, false),
    ] {
        let elsewhere = Proxy::alone(|_| Answer::new(200).body(r#"{"token":"anonymous"}"#));
        let target = format!("http://{}/token", elsewhere.domain());
        let tokens = Proxy::alone(move |_| Answer::new(307).header("Location", target.clone()));
        let realm = format!("Bearer realm=\"http://{}/token\"", tokens.domain());
        let registry =
            Proxy::alone(move |_| Answer::new(401).header("WWW-Authenticate", realm.clone()));
        let mut client = Client::new();
        client.login(&registry.domain(), entry);
        let error = client
            .expect_error(&format!("{}/org/app:v1", registry.domain()), "HTTP ")
            .await;
        let secret = |request: &Request| {
            request.header("authorization").is_some() || !request.body.is_empty()
        };
        assert!(tokens.count(secret) > 0, "{error}");
        assert_eq!(!elsewhere.requests().is_empty(), followed, "{error}");
        assert_eq!(elsewhere.count(secret), 0);
    }
}
