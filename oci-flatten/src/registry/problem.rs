//! Responses that are refusals, made into errors.

use http::StatusCode;
use oci_client::errors::OciErrorCode;
use reqwest::Response;
use serde::Deserialize as _;
use serde_json::Value;

use super::body::{looks_like_html, read_excerpt, title};
use super::proxy;
use super::retry::{Failure, Remedy, requested_wait};
use super::settings::Timeouts;
use super::transport::{Via, server_of};
use super::warnings;
use crate::credentials::Secrets;
use crate::error::{Error, ErrorKind, excerpt};

/// Most of an error's body that is read, in bytes.
const BODY_LIMIT: u64 = 64 << 10;
/// Errors of one body that are shown.
const SHOWN: usize = 3;
/// Fields in which registries, token servers and proxies put a sentence, the most telling first.
const SENTENCES: [&str; 8] = [
    "message",
    "error_description",
    "detail",
    "details",
    "description",
    "msg",
    "reason",
    "title",
];

/// The failure that a response without success means. What it says is not shown where it repeats a secret that it was
/// sent.
pub(super) async fn classify(response: Response, doing: &str, timeouts: Timeouts) -> Failure {
    let status = response.status();
    let server = server_of(&response);
    let requested = requested_wait(response.headers());
    let via = response.extensions().get::<Via>();
    let via = via.map(|Via(url)| format!(" (through the proxy {})", proxy::shown(url)));
    let warned: String = warnings::texts(response.headers())
        .into_iter()
        .map(|text| format!("; warning: {text}"))
        .collect();
    let secrets = response.extensions().get::<Secrets>().cloned();
    let secrets = secrets.unwrap_or_default();
    let warned = Some(warned).filter(|warned| !secrets.are_in(warned));
    let warned = warned.unwrap_or_default();
    let body = read_excerpt(response, BODY_LIMIT, timeouts).await;
    let repeats = secrets.are_in(&String::from_utf8_lossy(&body));
    let said = words(&body).filter(|said| !repeats && !secrets.are_in(said));
    // The title of most pages is the status once more.
    let name = status.canonical_reason().unwrap_or_default();
    let said = said
        .filter(|said| name.is_empty() || !said.contains(name))
        .map(|said| format!(": {said}"));
    let kind = match status {
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => ErrorKind::Unauthorized,
        StatusCode::NOT_FOUND | StatusCode::GONE => ErrorKind::NotFound,
        _ => ErrorKind::Network,
    };
    let space = if name.is_empty() { "" } else { " " };
    let message = format!(
        "{doing}: HTTP {}{space}{name}{}{}{warned}",
        status.as_u16(),
        via.unwrap_or_default(),
        said.unwrap_or_default()
    );
    let error = Error::new(kind, message).with_server(server);
    let remedy = match (is_transient(status), requested) {
        (false, _) => Remedy::None,
        (true, None) => Remedy::Wait,
        (true, Some(wait)) => Remedy::WaitFor(wait),
    };
    Failure {
        error,
        remedy,
        status: Some(status),
    }
}

/// Whether the same request may succeed later: the server or a gateway before it is busy or broken. 499 is what nginx says
/// when somebody on the way has hung up.
fn is_transient(status: StatusCode) -> bool {
    status.is_server_error() || matches!(status.as_u16(), 408 | 425 | 429 | 499)
}

/// What stands in place of a document where a server reports an error as a success.
pub(super) fn in_place_of_document(body: &[u8]) -> Option<String> {
    let document: Value = serde_json::from_slice(body).ok()?;
    let errors = document.get("errors").filter(|errors| !errors.is_null())?;
    in_json(errors)
}

/// What a body says about an error: by the distribution specification, in the ways of other servers, as a page or a
/// text.
pub(super) fn words(body: &[u8]) -> Option<String> {
    let text = String::from_utf8_lossy(body);
    let text = text.trim();
    let said = match serde_json::from_str::<Value>(text) {
        Ok(document) => in_json(&document)?,
        Err(_) if looks_like_html(body) => title(text).or_else(|| in_xml(text))?,
        // JSON that was cut off.
        Err(_) if text.starts_with(['{', '[']) => return None,
        Err(_) => text.to_owned(),
    };
    (!said.is_empty()).then(|| excerpt(&said))
}

fn in_json(document: &Value) -> Option<String> {
    match document {
        Value::String(text) => Some(text.trim().to_owned()).filter(|text| !text.is_empty()),
        Value::Array(list) => {
            let said: Vec<String> = list.iter().filter_map(in_json).take(SHOWN).collect();
            (!said.is_empty()).then(|| said.join("; "))
        }
        Value::Object(fields) => {
            let nested = ["errors", "error"].into_iter();
            let nested = nested.filter_map(|name| fields.get(name)).find_map(in_json);
            let mut sentences = SENTENCES.iter().filter_map(|name| fields.get(*name));
            let sentence = sentences.find_map(in_json);
            let code = fields.get("code").and_then(|code| match code {
                Value::String(_) => OciErrorCode::deserialize(code).ok().map(spell),
                Value::Number(number) => Some(number.to_string()),
                _ => None,
            });
            match (nested, sentence) {
                // OAuth's "error" is a word of code, which its description explains.
                (Some(short), Some(sentence)) if !short.contains(' ') => {
                    Some(format!("{short}: {sentence}"))
                }
                (nested, sentence) => nested.or(sentence).or(code),
            }
        }
        _ => None,
    }
}

/// The message of an object store, which speaks XML.
fn in_xml(text: &str) -> Option<String> {
    ["Message", "message", "Code"].into_iter().find_map(|tag| {
        let (_, rest) = text.split_once(&format!("<{tag}>"))?;
        let (text, _) = rest.split_once("</")?;
        Some(text.trim().to_owned()).filter(|text| !text.is_empty())
    })
}

fn spell(code: OciErrorCode) -> String {
    match code {
        OciErrorCode::Other(code) => code,
        known => format!("{known:?}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_servers_way_to_say_it_is_understood() {
        for (body, said) in [
            (
                r#"{"errors":[{"code":"DENIED","message":"no","detail":{"a":1}}]}"#,
                Some("no"),
            ),
            (
                r#"{"errors":[{"code":"DENIED","message":null,"detail":null}]}"#,
                Some("Denied"),
            ),
            (
                r#"{"errors":[{"code":"X_OWN","message":""}]}"#,
                Some("X_OWN"),
            ),
            (
                r#"{"errors":[{"code":"DENIED","message":"","detail":"why"}]}"#,
                Some("why"),
            ),
            // Artifactory has a status and no code.
            (
                r#"{"errors":[{"status":404,"message":"no such repo"}]}"#,
                Some("no such repo"),
            ),
            (
                r#"{"errors":[{"message":"a"},{"message":"b"}]}"#,
                Some("a; b"),
            ),
            (r#"{"errors":["plain"]}"#, Some("plain")),
            (r#"{"errors":{"message":"an object"}}"#, Some("an object")),
            (r#"{"errors":null,"message":"beside"}"#, Some("beside")),
            (r#"{"message":"Nexus"}"#, Some("Nexus")),
            (
                r#"{"details":"incorrect username or password"}"#,
                Some("incorrect username or password"),
            ),
            (
                r#"{"error":"invalid_grant","error_description":"token has expired"}"#,
                Some("invalid_grant: token has expired"),
            ),
            (r#"{"error":"all is said here"}"#, Some("all is said here")),
            (
                r#"{"error":{"code":403,"message":"nested"}}"#,
                Some("nested"),
            ),
            (r#""a text""#, Some("a text")),
            (
                "upstream is ill\u{1b}[2J",
                Some("upstream is ill\\u{1b}[2J"),
            ),
            (
                "<html><title>Squid: Access Denied</title></html>",
                Some("Squid: Access Denied"),
            ),
            ("<html>big page</html>", None),
            (
                "<?xml version='1.0'?><Error><Code>AccessDenied</Code><Message>Expired</Message></Error>",
                Some("Expired"),
            ),
            (r#"{"errors":[{"code":"DEN"#, None),
            ("{}", None),
            ("[]", None),
            ("null", None),
            ("", None),
        ] {
            assert_eq!(words(body.as_bytes()).as_deref(), said, "{body}");
        }
    }

    #[test]
    fn servers_and_gateways_that_fail_are_asked_again() {
        for code in 400..600 {
            let expected = code >= 500 || [408, 425, 429, 499].contains(&code);
            let status = StatusCode::from_u16(code).unwrap();
            assert_eq!(is_transient(status), expected, "{code}");
        }
    }

    #[tokio::test]
    async fn a_refusal_that_repeats_a_secret_is_not_shown() {
        let mut secrets = Secrets::default();
        secrets.add_authorization("Basic dXNlcjpodW50ZXIy");
        // In JSON, any letter may be written as a number.
        for (body, shown) in [
            ("user may not", ": user may not"),
            (r#"{"errors":[{"message":"not you"}]}"#, ": not you"),
            ("bad password hunter2", ""),
            (r#"{"errors":[{"message":"no \u0068unter2"}]}"#, ""),
            ("got: Basic dXNlcjpodW50ZXIy", ""),
        ] {
            let response = http::Response::builder().status(401);
            let response = response.extension(secrets.clone()).body(body).unwrap();
            let timeouts = Timeouts::default();
            let failure = classify(Response::from(response), "ask r.io", timeouts).await;
            let message = failure.error.to_string();
            assert_eq!(message, format!("ask r.io: HTTP 401 Unauthorized{shown}"));
        }
    }
}
