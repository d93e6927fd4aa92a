//! Bodies of responses: in time, decoded, and what they are said to be.

use std::io::{self, Write as _};
use std::pin::Pin;
use std::time::{Duration, Instant};

use bytes::Bytes;
use flate2::write::{DeflateDecoder, ZlibDecoder};
use futures_util::stream::{self, Stream, StreamExt as _, TryStreamExt as _};
use http::HeaderMap;
use http::header::{CONTENT_ENCODING, CONTENT_TYPE};
use reqwest::Response;
use tokio_util::io::{ReaderStream, StreamReader};

use super::retry::{Failure, from_body};
use super::settings::Timeouts;
use super::transport::server_of;
use crate::decode;
use crate::error::{Error, ErrorKind, Result};

/// Bytes by which a compressed body may be longer than what it holds.
const ENCODING_OVERHEAD: u64 = 64 << 10;
/// Bytes of a decoded body that come at a time.
const PIECE: usize = 64 << 10;
/// Most that what a server says about an error may expand to, in bytes.
const MUCH: u64 = 1 << 20;

type Chunks = Pin<Box<dyn Stream<Item = Result<Bytes, Failure>> + Send>>;

/// A body that arrives.
pub(super) struct Body {
    chunks: Chunks,
    /// How the server has coded it, where it has.
    encoding: Option<String>,
}

impl Body {
    /// The body of `response`, as it comes. `doing` says what it is read for.
    pub(super) fn new(response: Response, doing: String, timeouts: Timeouts) -> Self {
        let encoding = content_encoding(response.headers());
        let chunks = response.bytes_stream();
        let chunks = chunks.map_err(move |error| from_body(error, &doing));
        Self {
            chunks: Box::pin(paced(Box::pin(chunks), timeouts)),
            encoding,
        }
    }

    /// The next bytes; `None` at the end.
    pub(super) async fn next(&mut self) -> Option<Result<Bytes, Failure>> {
        self.chunks.next().await
    }

    /// Undoes the coding of what expands to `expanded` bytes; far more is not read.
    pub(super) async fn decoded(self, expanded: u64) -> Result<Self, Failure> {
        // What does not compress takes more than it is.
        let expanded = expanded.saturating_mul(2).saturating_add(ENCODING_OVERHEAD);
        match &self.encoding {
            None => Ok(self),
            Some(encoding) => Ok(Self {
                chunks: decode(encoding, self.chunks, expanded).await?,
                encoding: None,
            }),
        }
    }

    /// The body with its first bytes looked at.
    pub(super) async fn peeked(mut self) -> Result<(Bytes, Self), Failure> {
        let first = self.chunks.next().await.transpose()?.unwrap_or_default();
        let chunks = stream::iter([Ok(first.clone())]).chain(self.chunks);
        self.chunks = Box::pin(chunks);
        Ok((first, self))
    }

    /// How the server has coded it, where it has.
    pub(super) fn encoding(&self) -> Option<&str> {
        self.encoding.as_deref()
    }

    /// The bytes up to `limit`, and whether that is all.
    pub(super) async fn start(&mut self, limit: u64) -> Result<(Vec<u8>, bool), Failure> {
        let mut bytes = Vec::new();
        while let Some(chunk) = self.next().await {
            let chunk = chunk?;
            let room = usize::try_from(limit).unwrap_or(usize::MAX) - bytes.len();
            if chunk.len() > room {
                bytes.extend_from_slice(&chunk[..room]);
                return Ok((bytes, false));
            }
            bytes.extend_from_slice(&chunk);
        }
        Ok((bytes, true))
    }
}

/// Reads a small document, of at most `limit` bytes. Its coding is undone unless the bytes are right as they come, which
/// `is_right` tells: some servers name the compression of what they keep, and not one of their own.
pub(super) async fn read_document(
    response: Response,
    limit: u64,
    what: &str,
    timeouts: Timeouts,
    is_right: impl Fn(&[u8]) -> bool,
) -> Result<Vec<u8>, Failure> {
    let server = server_of(&response);
    let too_long = |found: String| {
        Failure::fatal(Error::new(
            ErrorKind::LimitExceeded,
            format!("{what} has {found} (limit {limit})"),
        ))
    };
    let declared = response.content_length();
    let is_page = is_html(response.headers());
    let mut body = Body::new(response, format!("read {what}"), timeouts);
    let encoding = body.encoding.clone();
    let most = match &encoding {
        Some(_) => limit + ENCODING_OVERHEAD,
        None => limit,
    };
    if let Some(length) = declared.filter(|length| *length > most && !is_page) {
        return Err(too_long(format!("{length} bytes")));
    }
    let (mut bytes, mut whole) = body.start(most).await?;
    if encoding.is_some() && !is_right(&bytes) {
        let coded = Body {
            chunks: Box::pin(stream::iter([Ok(Bytes::from(bytes))])),
            encoding,
        };
        (bytes, whole) = coded.decoded(limit).await?.start(limit).await?;
    }
    if looks_like_html(&bytes) && !is_right(&bytes) {
        return Err(page_instead(&server, what, &bytes));
    }
    if !whole || bytes.len() as u64 > limit {
        return Err(too_long("more bytes".to_owned()));
    }
    if bytes.is_empty() {
        let message = format!("{server} gave an empty answer in place of the {what}");
        return Err(Failure::transient(Error::new(ErrorKind::Network, message)));
    }
    Ok(bytes)
}

/// Reads the start of what a server says about an error, decoded where that can be done.
pub(super) async fn read_excerpt(response: Response, limit: u64, timeouts: Timeouts) -> Vec<u8> {
    let body = Body::new(response, "read error".to_owned(), timeouts);
    let Ok(mut body) = body.decoded(MUCH).await else {
        return Vec::new();
    };
    body.start(limit)
        .await
        .map_or_else(|_| Vec::new(), |(bytes, _)| bytes)
}

/// Whether the headers speak of a page for people.
pub(super) fn is_html(headers: &HeaderMap) -> bool {
    let text = headers
        .get(CONTENT_TYPE)
        .and_then(|value| value.to_str().ok());
    let text = text.unwrap_or_default().trim_start().to_ascii_lowercase();
    text.starts_with("text/html") || text.starts_with("application/xhtml")
}

/// Whether bytes are markup. No document of a registry and no layer begins like that.
pub(super) fn looks_like_html(bytes: &[u8]) -> bool {
    let text = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    let text = text.trim_ascii_start();
    text.first() == Some(&b'<')
        && text
            .get(1)
            .is_some_and(|byte| byte.is_ascii_alphabetic() || b"!?".contains(byte))
}

/// The failure when a page comes in place of `what`: that of a login, of a wireless network, of a proxy.
pub(super) fn page_instead(server: &str, what: &str, page: &[u8]) -> Failure {
    let title = title(&String::from_utf8_lossy(page));
    let title = title.map(|title| format!(" ({title})")).unwrap_or_default();
    let message = format!("{server} answered with an HTML page{title} in place of the {what}");
    Failure::fatal(Error::new(ErrorKind::Network, message))
}

/// The title of a page, on one line.
pub(super) fn title(page: &str) -> Option<String> {
    // Lower case of the same length, so that places are the same in both.
    let lower = page.to_ascii_lowercase();
    ["title", "h1"].into_iter().find_map(|tag| {
        let start = lower.find(&format!("<{tag}"))?;
        let start = start + lower[start..].find('>')? + 1;
        let end = start + lower[start..].find("</")?;
        let text: Vec<&str> = page[start..end].split_whitespace().collect();
        let text = crate::error::excerpt(&text.join(" "));
        (!text.is_empty()).then_some(text)
    })
}

/// The coding of a body; `None` where there is none.
fn content_encoding(headers: &HeaderMap) -> Option<String> {
    let codings: Vec<String> = headers
        .get_all(CONTENT_ENCODING)
        .iter()
        .flat_map(|value| {
            let text = String::from_utf8_lossy(value.as_bytes()).to_ascii_lowercase();
            text.split(',')
                .map(|name| name.trim().to_owned())
                .collect::<Vec<_>>()
        })
        .filter(|name| !name.is_empty() && name != "identity")
        .collect();
    (!codings.is_empty()).then(|| codings.join(", "))
}

/// Undoes one coding.
async fn decode(encoding: &str, mut chunks: Chunks, expanded: u64) -> Result<Chunks, Failure> {
    let name = crate::error::excerpt(encoding);
    let broken = move |error: io::Error| {
        let message = format!("undo Content-Encoding {name}");
        let error = decode::stream_error(error).context(message);
        match error.kind() {
            ErrorKind::LimitExceeded => Failure::fatal(error),
            _ => Failure::transient(Error::new(ErrorKind::Network, error.message())),
        }
    };
    match encoding {
        "gzip" | "x-gzip" | "zstd" => {
            let chunks = chunks.map_err(|failure| io::Error::from(failure.error));
            let decoded = decode::decode(StreamReader::new(chunks), expanded).await;
            let stream = decoded.map_err(&broken)?.stream;
            let chunks = ReaderStream::with_capacity(stream, PIECE);
            Ok(Box::pin(chunks.map_err(broken)))
        }
        "deflate" => {
            let first = chunks.next().await.transpose()?.unwrap_or_default();
            // RFC 9110 means zlib by it, and many servers send what the name says.
            let is_zlib = match &*first {
                [first, second, ..] => {
                    first & 0x0f == 8 && u16::from_be_bytes([*first, *second]) % 31 == 0
                }
                _ => false,
            };
            let mut inflater = Inflater::new(is_zlib);
            let end = stream::iter([Ok(Bytes::new())]);
            let chunks = stream::iter([Ok(first)]).chain(chunks).chain(end);
            Ok(Box::pin(
                chunks.map(move |chunk| inflater.push(&chunk?).map_err(&broken)),
            ))
        }
        _ => {
            let message = format!(
                "body comes with Content-Encoding {}, which was not asked for and is not known",
                crate::error::excerpt(encoding)
            );
            Err(Failure::fatal(Error::new(ErrorKind::Network, message)))
        }
    }
}

/// A decoder of what HTTP calls "deflate": each push gives what it expands to, and an empty one ends it.
enum Inflater {
    Zlib(ZlibDecoder<Vec<u8>>),
    Raw(DeflateDecoder<Vec<u8>>),
}

impl Inflater {
    fn new(is_zlib: bool) -> Self {
        match is_zlib {
            true => Self::Zlib(ZlibDecoder::new(Vec::new())),
            false => Self::Raw(DeflateDecoder::new(Vec::new())),
        }
    }

    fn push(&mut self, bytes: &[u8]) -> io::Result<Bytes> {
        let expanded = match self {
            Self::Zlib(decoder) => {
                match bytes {
                    [] => decoder.try_finish()?,
                    _ => decoder.write_all(bytes)?,
                }
                decoder.get_mut()
            }
            Self::Raw(decoder) => {
                match bytes {
                    [] => decoder.try_finish()?,
                    _ => decoder.write_all(bytes)?,
                }
                decoder.get_mut()
            }
        };
        Ok(Bytes::from(std::mem::take(expanded)))
    }
}

/// Ends a body that comes, but too slowly. Only the time that is spent waiting for the server counts.
fn paced(chunks: Chunks, timeouts: Timeouts) -> impl Stream<Item = Result<Bytes, Failure>> + Send {
    let pace = Pace {
        timeouts,
        waited: Duration::ZERO,
        received: 0,
    };
    stream::try_unfold((chunks, pace), async |(mut chunks, mut pace)| {
        let start = Instant::now();
        let Some(chunk) = chunks.next().await.transpose()? else {
            return Ok(None);
        };
        pace.check(start.elapsed(), chunk.len() as u64)?;
        Ok(Some((chunk, (chunks, pace))))
    })
}

/// How much has come in the present window.
struct Pace {
    timeouts: Timeouts,
    waited: Duration,
    received: u64,
}

impl Pace {
    fn check(&mut self, waited: Duration, received: u64) -> Result<(), Failure> {
        self.waited += waited;
        self.received += received;
        if self.waited < self.timeouts.window {
            return Ok(());
        }
        let floor = self.timeouts.slowest as f64 * self.waited.as_secs_f64();
        if (self.received as f64) < floor {
            let message = format!(
                "too slow: {} bytes in {:.0} s (at least {} bytes a second are expected)",
                self.received,
                self.waited.as_secs_f64(),
                self.timeouts.slowest
            );
            return Err(Failure::transient(Error::new(ErrorKind::Network, message)));
        }
        (self.waited, self.received) = (Duration::ZERO, 0);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_are_told_from_documents() {
        for (bytes, html) in [
            ("<html>", true),
            ("\u{feff} \n<!DOCTYPE html>", true),
            ("<?xml version=\"1.0\"?>", true),
            ("<", false),
            ("< 5", false),
            ("{\"a\":\"<html>\"}", false),
            ("", false),
        ] {
            assert_eq!(looks_like_html(bytes.as_bytes()), html, "{bytes}");
        }
        let page = "<HTML><head><Title lang=en>\n  Sign\tin </title><h1>Other</h1>";
        assert_eq!(title(page).as_deref(), Some("Sign in"));
        assert_eq!(title("<h1>502</h1>").as_deref(), Some("502"));
        for none in [
            "",
            "<title>",
            "<title></title>",
            "<title",
            "<html>text</html>",
        ] {
            assert_eq!(title(none), None, "{none}");
        }
    }

    #[test]
    fn the_floor_is_an_average() {
        let timeouts = Timeouts {
            slowest: 100,
            window: Duration::from_secs(10),
            ..Timeouts::default()
        };
        let pace = || Pace {
            timeouts,
            waited: Duration::ZERO,
            received: 0,
        };
        // A byte a second.
        let mut slow = pace();
        let seconds = (1..).find(|_| slow.check(Duration::from_secs(1), 1).is_err());
        assert_eq!(seconds, Some(10));
        // A burst in each window, and silence for the rest.
        let mut bursts = pace();
        for second in 0..1000 {
            let received = if second % 10 == 0 { 1000 } else { 0 };
            assert!(bursts.check(Duration::from_secs(1), received).is_ok());
        }
    }
}
