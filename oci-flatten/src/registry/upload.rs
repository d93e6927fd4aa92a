//! Upload sessions, by the
//! [distribution specification](https://github.com/opencontainers/distribution-spec/blob/main/spec.md#push).

use std::fs::File;
use std::future::Future;
use std::io;
use std::os::unix::fs::FileExt as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use futures_util::stream;
use http::HeaderMap;
use http::header::{LOCATION, RANGE};
use reqwest::{Response, Url};
use tokio::task::spawn_blocking;
use tokio::time::{Instant, sleep_until};

use super::retry::Failure;
use crate::error::{Error, ErrorKind, Result};

/// Bytes that are read from a file at a time.
const PIECE: u64 = 256 << 10;

/// Part of a file, as the body of a request. Clones share the count of what was sent.
#[derive(Clone, Debug)]
pub(super) struct FilePart {
    file: Arc<File>,
    start: u64,
    end: u64,
    sent: Arc<AtomicU64>,
}

impl FilePart {
    /// The bytes of `file` from `start` to `end`.
    pub(super) fn new(file: Arc<File>, start: u64, end: u64) -> Self {
        Self {
            file,
            start,
            end,
            sent: Arc::default(),
        }
    }

    /// How many bytes it has.
    pub(super) fn length(&self) -> u64 {
        self.end - self.start
    }

    /// The body, from the first byte on.
    pub(super) fn body(&self) -> reqwest::Body {
        let part = self.clone();
        let start = part.start;
        reqwest::Body::wrap_stream(stream::try_unfold(
            (part, start),
            async |(part, position)| {
                let count = (part.end - position).min(PIECE);
                if count == 0 {
                    return Ok::<_, io::Error>(None);
                }
                let file = Arc::clone(&part.file);
                let read = move || {
                    let mut buffer = vec![0; usize::try_from(count).unwrap_or_default()];
                    file.read_exact_at(&mut buffer, position)
                        .map(|()| Bytes::from(buffer))
                };
                let bytes = spawn_blocking(read).await.map_err(io::Error::other)??;
                part.sent.fetch_add(count, Ordering::Relaxed);
                Ok(Some((bytes, (part, position + count))))
            },
        ))
    }

    /// Waits for an answer as long as bytes go out, and then for `inactivity`.
    pub(super) async fn watched<T>(
        &self,
        answer: impl Future<Output = T>,
        inactivity: Duration,
    ) -> Option<T> {
        let mut answer = std::pin::pin!(answer);
        let mut sent = self.sent.load(Ordering::Relaxed);
        loop {
            let deadline = Instant::now() + inactivity;
            tokio::select! {
                outcome = &mut answer => return Some(outcome),
                () = sleep_until(deadline) => {
                    let now = self.sent.load(Ordering::Relaxed);
                    if now == sent {
                        return None;
                    }
                    sent = now;
                }
            }
        }
    }
}

/// An upload that is under way.
#[derive(Clone, Debug)]
pub(super) struct Session {
    /// Where the next request goes.
    pub(super) location: Url,
    /// Bytes that the registry has.
    pub(super) offset: u64,
}

impl Session {
    /// The session as `response` to a request for `asked` has it; `offset` where it says nothing of how far it is.
    pub(super) fn of(response: &Response, asked: &Url, offset: u64) -> Result<Self, Failure> {
        let location = match response.headers().get(LOCATION) {
            Some(location) => std::str::from_utf8(location.as_bytes())
                .ok()
                .and_then(|text| response.url().join(text).ok()),
            None => Some(asked.clone()),
        };
        let location = location.ok_or_else(|| {
            let message = "place of the upload is not a URL";
            Failure::fatal(Error::new(ErrorKind::Network, message))
        })?;
        Ok(Self {
            location,
            offset: received(response.headers()).unwrap_or(offset),
        })
    }

    /// Where the upload is finished as the blob `digest`.
    pub(super) fn closing(&self, digest: &str) -> Url {
        let mut url = self.location.clone();
        url.query_pairs_mut().append_pair("digest", digest);
        url
    }
}

/// How many bytes have arrived, by `Range: 0-LAST`. For none at all, registries say `0-0`.
fn received(headers: &HeaderMap) -> Option<u64> {
    let range = headers.get(RANGE)?.to_str().ok()?.trim();
    let range = range.strip_prefix("bytes=").unwrap_or(range);
    let (first, last) = range.split_once('-')?;
    let last: u64 = last.parse().ok()?;
    (first == "0").then(|| if last == 0 { 0 } else { last.saturating_add(1) })
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    #[test]
    fn how_far_an_upload_is_stands_in_a_range() {
        for (range, expected) in [
            ("0-99", Some(100)),
            ("bytes=0-99", Some(100)),
            ("0-0", Some(0)),
            ("1-99", None),
            ("0-", None),
            ("", None),
            ("0-18446744073709551615", Some(u64::MAX)),
            ("0-18446744073709551616", None),
        ] {
            let headers = HeaderMap::from_iter([(RANGE, HeaderValue::from_static(range))]);
            assert_eq!(received(&headers), expected, "{range}");
        }
        assert_eq!(received(&HeaderMap::new()), None);
    }
}
