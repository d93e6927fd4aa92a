//! How registries, and those that they point to, ask who one is.

use oci_flatten::error::ErrorKind;

use crate::parts::image::TestImage;
use crate::parts::memory::Memory;
use crate::parts::proxy::{Answer, Proxy, Request};
use crate::parts::pull::Client;

const BASIC: &str = "Basic dXNlcjpwYXNz";

/// What an anonymous request meets.
#[derive(Clone, Copy, Debug)]
enum Hidden {
    Status(u16),
    Challenge,
}

/// A registry that shows its image to `shown` alone, and gives the token `T` to who has the password.
fn guarded(
    memory: Memory,
    shown: &'static str,
    hidden: Hidden,
    challenge: impl Fn(&str) -> String + Send + Sync + 'static,
) -> Proxy {
    Proxy::alone(move |request| {
        if request.path.starts_with("/token") {
            let scope = "scope=repository%3Aorg%2Fapp%3Apull";
            let known = request.header("authorization") == Some(BASIC);
            let token = match known && request.path.contains(scope) {
                true => "T",
                false => "narrow",
            };
            return Answer::new(200)
                .body(format!("{{\"token\":null,\"access_token\":\"{token}\"}}"));
        }
        if request.header("authorization") == Some(shown) {
            return memory.answer(request);
        }
        let host = request.header("host").unwrap_or_default();
        match hidden {
            Hidden::Status(status) if request.path != "/v2/" => {
                Answer::new(status).body(r#"{"errors":[{"message":"manifest unknown"}]}"#)
            }
            _ => Answer::new(401).header("WWW-Authenticate", challenge(host)),
        }
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn a_registry_that_hides_is_asked_for_its_challenge() {
    let image = TestImage::new();
    for hidden in [
        Hidden::Status(404),
        Hidden::Status(403),
        Hidden::Status(401),
        Hidden::Challenge,
    ] {
        for shown in [BASIC, "Bearer T"] {
            let challenge = move |host: &str| match shown {
                BASIC => "Basic realm=x".to_owned(),
                _ => format!("Bearer realm=\"http://{host}/token\",service=\"x\""),
            };
            let registry = guarded(Memory::of(&image), shown, hidden, challenge);
            let reference = format!("{}/org/app:v1", registry.domain());
            let mut client = Client::new();
            client.login(&registry.domain(), r#"{"auth": "dXNlcjpwYXNz"}"#);
            client.expect(&reference, &image).await;

            // Without credentials nothing helps, and that is said.
            let asked = registry.requests().len();
            let stranger = Client::new();
            let error = stranger.expect_error(&reference, "credentials").await;
            let kind = match hidden {
                Hidden::Status(404) => ErrorKind::NotFound,
                _ => ErrorKind::Unauthorized,
            };
            assert_eq!(error.kind(), kind, "{error}");
            if let Hidden::Status(404) = hidden {
                assert!(
                    error.message().contains("no credentials were tried"),
                    "{error}"
                );
                assert_eq!(registry.requests().len(), asked + 1);
            }
            assert_eq!(error.server(), Some(&*registry.domain()));
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn challenges_come_in_many_forms() {
    let image = TestImage::new();
    for form in [
        "Bearer realm=\"http://%s/token\",service=\"x\",scope=\"\"",
        "Bearer realm=\"http://%s/token\",service=\"x\",scope=\"repository:org/other:pull\"",
        "Bearer realm=\"http://%s/token\",scope=\"registry:catalog:*\"",
        "bearer Realm = http://%s/token , service = x",
        "Negotiate, NTLM abc==, Bearer realm=/token",
        "Basic realm=/, Bearer realm=\"/token\" service=\"x\"",
    ] {
        let challenge = move |host: &str| form.replace("%s", host);
        let memory = Memory::of(&image);
        let registry = guarded(memory, "Bearer T", Hidden::Challenge, challenge);
        let mut client = Client::new();
        client.login(&registry.domain(), r#"{"auth": "dXNlcjpwYXNz"}"#);
        let reference = format!("{}/org/app:v1", registry.domain());
        client.expect(&reference, &image).await;
    }
}

/// A host that others redirect to.
fn guest(memory: Memory, challenge: impl Fn(&str) -> String + Send + Sync + 'static) -> Proxy {
    Proxy::alone(move |request| {
        if request.path.starts_with("/token") {
            return Answer::new(200).body(r#"{"token":"T"}"#);
        }
        if request.header("authorization") == Some("Bearer T") {
            return memory.answer(request);
        }
        let host = request.header("host").unwrap_or_default();
        Answer::new(401).header("WWW-Authenticate", challenge(host))
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn who_is_redirected_to_gets_an_anonymous_token_and_no_password() {
    let image = TestImage::new();
    let memory = Memory::of(&image);
    for status in [301, 302, 303, 307, 308] {
        for only_blobs in [false, true] {
            let far = guest(memory.clone(), |host| {
                format!("Bearer realm=\"http://{host}/token\",service=\"x\"")
            });
            let (target, own) = (far.domain(), memory.clone());
            let registry = Proxy::alone(move |request| {
                if request.header("authorization") != Some(BASIC) {
                    return Answer::new(401).header("WWW-Authenticate", "Basic realm=x");
                }
                match request.is_blob() || !only_blobs {
                    true => Answer::new(status)
                        .header("Location", format!("http://{target}{}", request.path)),
                    false => own.answer(request),
                }
            });
            let mut client = Client::new();
            client.login(&registry.domain(), r#"{"auth": "dXNlcjpwYXNz"}"#);
            let reference = format!("{}/org/app:v1", registry.domain());
            client.expect(&reference, &image).await;
            let leaked = |request: &Request| {
                let sent = request.header("authorization");
                sent.is_some_and(|sent| sent.starts_with("Basic"))
                    || request.path.contains("account")
            };
            assert_eq!(far.count(leaked), 0, "{status}");
            let stray = |request: &Request| request.header("authorization") == Some("Bearer T");
            assert_eq!(registry.count(stray), 0, "{status}");
        }
    }

    // What cannot be answered names who has asked.
    for challenge in ["Basic realm=x", "Negotiate", "Bearer realm=\"\""] {
        let far = guest(memory.clone(), move |_| challenge.to_owned());
        let target = far.domain();
        let registry = Proxy::alone(move |request| {
            Answer::new(307).header("Location", format!("http://{target}{}", request.path))
        });
        let client = Client::new();
        let reference = format!("{}/org/app:v1", registry.domain());
        let error = client.expect_error(&reference, "is not sent there").await;
        assert_eq!(error.kind(), ErrorKind::Unauthorized);
        assert_eq!(error.server(), Some(&*far.domain()), "{error}");
    }
}
