//! `WWW-Authenticate`: what a registry wants to be shown.

use http::HeaderMap;
use http::header::WWW_AUTHENTICATE;
use reqwest::Url;

use super::address::Scope;
use super::transport::host_and_port;
use crate::error::{Error, ErrorKind, Result};

/// What a registry wants to be shown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Challenge {
    /// User name and password, by RFC 7617.
    Basic,
    /// A token, by the
    /// [token specification](https://distribution.github.io/distribution/spec/auth/token/).
    Bearer(TokenServer),
}

/// Who gives tokens, and for what.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct TokenServer {
    /// Where tokens are given.
    pub(super) realm: Url,
    /// The registry's name at the token server.
    pub(super) service: Option<String>,
    /// What the token must allow, separated by spaces.
    pub(super) scope: Option<String>,
}

impl Challenge {
    /// The strongest challenge of a 401 response from `registry`; `None` when there is none that we can answer.
    ///
    /// What is not understood is passed over, and a parameter without a value counts as absent. A token server may be no
    /// nearer than `nearest`, unless it is the registry's own host.
    pub(super) fn of(headers: &HeaderMap, registry: &Url, nearest: Scope) -> Result<Option<Self>> {
        let mut basic = false;
        let mut refused = None;
        for value in headers.get_all(WWW_AUTHENTICATE) {
            for offer in parse(&String::from_utf8_lossy(value.as_bytes())) {
                if offer.scheme.eq_ignore_ascii_case("basic") {
                    basic = true;
                }
                if !offer.scheme.eq_ignore_ascii_case("bearer") {
                    continue;
                }
                let Some(realm) = offer.parameter("realm") else {
                    continue;
                };
                match check_realm(&realm, registry, nearest) {
                    Ok(realm) => {
                        return Ok(Some(Self::Bearer(TokenServer {
                            realm,
                            service: offer.parameter("service"),
                            scope: offer.parameter("scope"),
                        })));
                    }
                    Err(error) => refused = Some(error),
                }
            }
        }
        match (basic, refused) {
            (true, _) => Ok(Some(Self::Basic)),
            (false, Some(error)) => Err(error),
            (false, None) => Ok(None),
        }
    }
}

/// One challenge as it stands in the header.
#[derive(Debug, Default)]
struct Offer {
    scheme: String,
    parameters: Vec<(String, String)>,
}

impl Offer {
    /// The first value of a parameter that is not empty.
    fn parameter(&self, name: &str) -> Option<String> {
        let mut parameters = self.parameters.iter();
        parameters
            .find(|(key, value)| key.eq_ignore_ascii_case(name) && !value.is_empty())
            .map(|(_, value)| value.clone())
    }
}

/// Reads the challenges of one header, by
/// [RFC 9110](https://www.rfc-editor.org/rfc/rfc9110.html#name-www-authenticate) and beyond: values without quotes may hold
/// what a URL holds, commas may be missing, and a quote that is not closed ends with the line.
fn parse(line: &str) -> Vec<Offer> {
    let mut offers: Vec<Offer> = Vec::new();
    let mut rest = line;
    loop {
        rest = rest.trim_start_matches(|c: char| c.is_whitespace() || ",;=\"".contains(c));
        let end = rest
            .find(|c: char| c.is_whitespace() || ",;=\"".contains(c))
            .unwrap_or(rest.len());
        if end == 0 {
            return offers;
        }
        let (word, behind) = rest.split_at(end);
        let after = behind.trim_start();
        let value = after.strip_prefix('=');
        let (Some(value), Some(offer)) = (value, offers.last_mut()) else {
            if !after.starts_with('=') {
                offers.push(Offer {
                    scheme: word.to_owned(),
                    parameters: Vec::new(),
                });
            }
            rest = behind;
            continue;
        };
        let (text, behind) = read_value(value.trim_start());
        offer.parameters.push((word.to_owned(), text));
        rest = behind;
    }
}

/// A value, quoted or not, and what follows it.
fn read_value(text: &str) -> (String, &str) {
    let Some(quoted) = text.strip_prefix('"') else {
        let end = text
            .find(|c: char| c.is_whitespace() || ",;".contains(c))
            .unwrap_or(text.len());
        let (value, rest) = text.split_at(end);
        return (value.to_owned(), rest);
    };
    let mut value = String::new();
    let mut characters = quoted.char_indices();
    while let Some((index, character)) = characters.next() {
        match character {
            '"' => return (value.trim().to_owned(), &quoted[index + 1..]),
            '\\' => value.extend(characters.next().map(|(_, escaped)| escaped)),
            other => value.push(other),
        }
    }
    (value.trim().to_owned(), "")
}

/// Credentials will be sent to the realm, so a registry may not choose just any.
fn check_realm(realm: &str, registry: &Url, nearest: Scope) -> Result<Url> {
    let refused = |why: String| {
        let message = format!(
            "token server named by {} refused: {why}",
            host_and_port(registry)
        );
        Error::new(ErrorKind::Unauthorized, message)
    };
    // A path alone is one of the registry's own.
    let url = match realm.starts_with('/') {
        true => registry.join(realm),
        false => Url::parse(realm),
    };
    let url = url.map_err(|_| refused("its realm is not a URL".to_owned()))?;
    if !matches!(url.scheme(), "http" | "https") || url.host_str().is_none() {
        return Err(refused(format!("scheme {:?}", url.scheme())));
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err(refused("its realm holds a user name".to_owned()));
    }
    let host = host_and_port(&url);
    let same_host = url.host_str() == registry.host_str();
    let scope = Scope::of_literal(&url);
    if url.scheme() == "http" && registry.scheme() != "http" {
        return Err(refused(format!("plain HTTP to {host}")));
    }
    // Plain HTTP was allowed for the registry's own host or network, not for the world.
    if url.scheme() == "http" && !same_host && scope.unwrap_or_default() == Scope::Global {
        return Err(refused(format!("plain HTTP to another host, {host}")));
    }
    if !same_host && scope.is_some_and(|scope| scope > nearest) {
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
            headers.append(
                WWW_AUTHENTICATE,
                HeaderValue::from_bytes(value.as_bytes()).unwrap(),
            );
        }
        let registry = Url::parse(registry).unwrap();
        let nearest = Scope::of_literal(&registry).unwrap_or_default();
        Challenge::of(&headers, &registry, nearest)
    }

    #[test]
    fn prefers_tokens_wherever_they_are_offered() {
        let bearer = r#"Bearer realm="https://auth.example/t",service="r \"x\"",scope="repository:a/b:pull,push""#;
        let expected = Challenge::Bearer(TokenServer {
            realm: Url::parse("https://auth.example/t").unwrap(),
            service: Some("r \"x\"".to_owned()),
            scope: Some("repository:a/b:pull,push".to_owned()),
        });
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
            challenge("https://r.example", &["Negotiate", "\"", "Bearer"]).unwrap(),
            None
        );
    }

    #[test]
    fn what_is_not_understood_is_passed_over() {
        let bearer = |service: Option<&str>, scope: Option<&str>| {
            Some(Challenge::Bearer(TokenServer {
                realm: Url::parse("https://r.example/token?a=b").unwrap(),
                service: service.map(str::to_owned),
                scope: scope.map(str::to_owned),
            }))
        };
        let plain = bearer(Some("x"), None);
        for (line, expected) in [
            (
                r#"Bearer realm="https://r.example/token?a=b",service="x""#,
                plain.clone(),
            ),
            (
                r#"BEARER Realm="https://r.example/token?a=b",SERVICE="x""#,
                plain.clone(),
            ),
            (
                "Bearer realm=https://r.example/token?a=b,service=x",
                plain.clone(),
            ),
            ("Bearer realm=/token?a=b, service=x", plain.clone()),
            (
                "Bearer \t realm = \"https://r.example/token?a=b\" ,\tservice = \"x\" , ",
                plain.clone(),
            ),
            (
                r#"Bearer realm="https://r.example/token?a=b" service="x""#,
                plain.clone(),
            ),
            (
                r#"Bearer realm="https://r.example/token?a=b";service="x""#,
                plain.clone(),
            ),
            (
                r#"Bearer,realm="https://r.example/token?a=b",service="x""#,
                plain.clone(),
            ),
            (
                r#", ,Bearer realm="https://r.example/token?a=b",,service="x",,"#,
                plain.clone(),
            ),
            (
                r#"Bearer realm="https://r.example/token?a=b",service="x"#,
                plain.clone(),
            ),
            (
                r#"Bearer realm="https://r.example/token?a=b",service=x,error="invalid_token",x"#,
                plain.clone(),
            ),
            (
                r#"Bearer service="x",realm="https://r.example/token?a=b",realm="https://other.example""#,
                plain.clone(),
            ),
            (
                r#"Bearer realm="",realm="https://r.example/token?a=b",service="x""#,
                plain.clone(),
            ),
            (
                r#"Bearer realm="https://r.example/token?a=b",service="x",scope="""#,
                plain.clone(),
            ),
            (
                r#"Bearer realm="https://r.example/token?a=b",service="x",scope=" ""#,
                plain.clone(),
            ),
            (
                r#"Bearer realm="https://r.example/token?a=b",service="x",scope="#,
                plain.clone(),
            ),
            (
                r#"Negotiate, Bearer realm="https://r.example/token?a=b",service="x""#,
                plain.clone(),
            ),
            (
                r#"Negotiate YIIabc==, Bearer realm="https://r.example/token?a=b",service="x""#,
                plain.clone(),
            ),
            (
                r#"NTLM TlRMTVNT=, Bearer realm="https://r.example/token?a=b",service="x""#,
                plain.clone(),
            ),
            (
                r#"NTLM TlRMTVNT, Bearer realm="https://r.example/token?a=b",service="x""#,
                plain.clone(),
            ),
            (
                r#"Digest realm="a, b",nonce="c=d==",qop="auth", Bearer realm="https://r.example/token?a=b",service="x""#,
                plain.clone(),
            ),
            (
                r#"Bearer realm="not a URL", Bearer realm="https://r.example/token?a=b",service="x""#,
                plain,
            ),
            (
                r#"Bearer realm="https://r.example/token?a=b""#,
                bearer(None, None),
            ),
            (
                r#"Bearer realm="https://r.example/token?a=b",scope="repository:a/b:pull,push repository:c:pull""#,
                bearer(None, Some("repository:a/b:pull,push repository:c:pull")),
            ),
            ("Basic", Some(Challenge::Basic)),
            ("Basic realm=/", Some(Challenge::Basic)),
            ("Basic realm=\"caf\u{e9}\"", Some(Challenge::Basic)),
            (
                r#"Basic realm="x", charset="UTF-8""#,
                Some(Challenge::Basic),
            ),
            (
                r#"Bearer realm="",service="x", Basic realm="y""#,
                Some(Challenge::Basic),
            ),
            (
                r#"Bearer realm="ftp://x/", Basic realm="y""#,
                Some(Challenge::Basic),
            ),
            ("", None),
            ("=", None),
            ("\"\"", None),
            ("realm=\"https://r.example\"", None),
            ("Token realm=\"https://r.example\"", None),
        ] {
            let found = challenge("https://r.example", &[line]).unwrap();
            assert_eq!(found, expected, "{line}");
        }
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
            ("https://r.example", "localhost", false),
            ("https://r.example", "https://192.168.0.1/t", false),
            ("https://10.0.0.1", "https://127.0.0.1/t", false),
            ("http://127.0.0.1:5000", "http://10.0.0.2/t", true),
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
