//! `WWW-Authenticate`: what a registry wants to be shown.

use http::HeaderMap;
use http::header::WWW_AUTHENTICATE;
use reqwest::Url;

use super::transport::{host_and_port, is_internal};
use crate::error::{Error, ErrorKind, Result};

/// What a registry wants to be shown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Challenge {
    /// User name and password, by RFC 7617.
    Basic,
    /// A token, by the
    /// [token specification](https://distribution.github.io/distribution/spec/auth/token/).
    Bearer {
        /// Where tokens are given.
        realm: Url,
        /// The registry's name at the token server.
        service: Option<String>,
        /// What the token must allow.
        scope: Option<String>,
    },
}

impl Challenge {
    /// The strongest challenge of a 401 response from `registry`; `None` when there is none that we can answer.
    pub(super) fn of(headers: &HeaderMap, registry: &Url) -> Result<Option<Self>> {
        let mut basic = false;
        for value in headers.get_all(WWW_AUTHENTICATE) {
            let Some(challenges) = value
                .to_str()
                .ok()
                .and_then(|text| http_auth::parse_challenges(text).ok())
            else {
                continue;
            };
            for challenge in challenges {
                let parameter = |name: &str| {
                    let mut parameters = challenge.params.iter();
                    parameters
                        .find(|(key, _)| key.eq_ignore_ascii_case(name))
                        .map(|(_, value)| value.to_unescaped())
                };
                if challenge.scheme.eq_ignore_ascii_case("basic") {
                    basic = true;
                } else if challenge.scheme.eq_ignore_ascii_case("bearer") {
                    let realm = check_realm(&parameter("realm").unwrap_or_default(), registry)?;
                    let (service, scope) = (parameter("service"), parameter("scope"));
                    return Ok(Some(Self::Bearer {
                        realm,
                        service,
                        scope,
                    }));
                }
            }
        }
        Ok(basic.then_some(Self::Basic))
    }
}

/// Credentials will be sent to the realm, so a registry may not choose just any.
fn check_realm(realm: &str, registry: &Url) -> Result<Url> {
    let refused = |why: String| {
        let message = format!(
            "token server named by {} refused: {why}",
            host_and_port(registry)
        );
        Error::new(ErrorKind::Unauthorized, message)
    };
    let url = Url::parse(realm).map_err(|_| refused("its realm is not a URL".to_owned()))?;
    if !matches!(url.scheme(), "http" | "https") || url.host_str().is_none() {
        return Err(refused(format!("scheme {:?}", url.scheme())));
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err(refused("its realm holds a user name".to_owned()));
    }
    let host = host_and_port(&url);
    let same_host = url.host_str() == registry.host_str();
    if url.scheme() == "http" && registry.scheme() != "http" {
        return Err(refused(format!("plain HTTP to {host}")));
    }
    // Plain HTTP was allowed for the registry's own host or network, not for the world.
    if url.scheme() == "http" && !same_host && !is_internal(&url) {
        return Err(refused(format!("plain HTTP to another host, {host}")));
    }
    if is_internal(&url) && !is_internal(registry) && !same_host {
        return Err(refused(format!("internal address {host}")));
    }
    Ok(url)
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;

    fn challenge(registry: &str, values: &[&str]) -> Result<Option<Challenge>> {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(WWW_AUTHENTICATE, HeaderValue::from_str(value).unwrap());
        }
        Challenge::of(&headers, &Url::parse(registry).unwrap())
    }

    #[test]
    fn prefers_tokens_wherever_they_are_offered() {
        let bearer = r#"Bearer realm="https://auth.example/t",service="r \"x\"",scope="repository:a/b:pull,push""#;
        let expected = Challenge::Bearer {
            realm: Url::parse("https://auth.example/t").unwrap(),
            service: Some("r \"x\"".to_owned()),
            scope: Some("repository:a/b:pull,push".to_owned()),
        };
        for values in [
            vec![bearer.to_owned()],
            vec!["Basic realm=\"x\"".to_owned(), bearer.to_owned()],
            vec![format!("Basic realm=\"x\", {bearer}")],
            vec!["Negotiate".to_owned(), bearer.replace("Bearer", "bearer")],
        ] {
            let values: Vec<&str> = values.iter().map(String::as_str).collect();
            assert_eq!(
                challenge("https://r.example", &values).unwrap(),
                Some(expected.clone()),
                "{values:?}"
            );
        }
        assert_eq!(
            challenge("https://r.example", &["BASIC realm=x"]).unwrap(),
            Some(Challenge::Basic)
        );
        assert_eq!(challenge("https://r.example", &[]).unwrap(), None);
        assert_eq!(
            challenge("https://r.example", &["Negotiate", "\"", "Bearer"])
                .ok()
                .flatten(),
            None
        );
    }

    #[test]
    fn realms_must_be_fit_for_credentials() {
        for (registry, realm, fit) in [
            ("https://r.example", "https://auth.example/t", true),
            ("https://r.example", "https://r.example/t", true),
            ("https://r.example", "http://auth.example/t", false),
            ("https://r.example", "http://r.example/t", false),
            ("https://r.example", "https://127.0.0.1/t", false),
            ("https://r.example", "https://169.254.169.254/latest", false),
            ("https://r.example", "https://[::1]/t", false),
            ("https://r.example", "https://[::ffff:10.0.0.1]/t", false),
            ("https://r.example", "https://localhost/t", false),
            ("https://r.example", "https://user:pw@auth.example/t", false),
            ("https://r.example", "file:///etc/passwd", false),
            ("https://r.example", "", false),
            ("https://10.0.0.1", "https://10.0.0.2/t", true),
            ("http://127.0.0.1:5000", "http://127.0.0.1:5001/t", true),
            ("http://127.0.0.1:5000", "http://auth.example/t", false),
            ("http://r.example", "http://r.example:5001/t", true),
            ("http://127.0.0.1:5000", "https://auth.example/t", true),
        ] {
            let found = challenge(registry, &[&format!("Bearer realm=\"{realm}\"")]);
            assert_eq!(found.is_ok(), fit, "{registry} {realm}: {found:?}");
        }
    }
}
