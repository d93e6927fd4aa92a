//! One repository at one place: manifests and blobs, by the
//! [distribution specification](https://github.com/opencontainers/distribution-spec/blob/main/spec.md#pull).

use std::time::Duration;

use http::header::{ACCEPT, CONTENT_RANGE, CONTENT_TYPE, RANGE};
use http::{HeaderMap, HeaderValue, Method, StatusCode};
use reqwest::Response;
use tokio::time::timeout;

use super::body::{Body, is_html, looks_like_html, page_instead, read_document};
use super::endpoint::{Call, Endpoint, Target};
use super::problem;
use super::request::Payload;
use super::retry::Failure;
use super::transport::server_of;
use crate::digest::Digest;
use crate::error::{Error, ErrorKind};
use crate::image::{self, Descriptor, Document};
use crate::media_type::{
    DOCKER_INDEX, DOCKER_MANIFEST, MediaKind, MediaType, OCI_INDEX, OCI_MANIFEST,
};

/// The registry's own idea of a manifest's digest.
const CONTENT_DIGEST: &str = "docker-content-digest";
/// How long a question may take that only spares another one.
const SHORTCUT_PATIENCE: Duration = Duration::from_secs(10);

/// A repository at one place.
#[derive(Debug)]
pub(super) struct Repository {
    endpoint: Endpoint,
}

/// The body of a blob, from `start` on.
pub(super) struct BlobBody {
    pub(super) body: Body,
    pub(super) start: u64,
}

impl Repository {
    pub(super) fn new(endpoint: Endpoint) -> Self {
        Self { endpoint }
    }

    /// Its name with its host, for messages.
    pub(super) fn name(&self) -> String {
        self.endpoint.name()
    }

    /// Fetches the manifest or index that `tag` stands for, or the one of `digest`; verified.
    pub(super) async fn manifest(
        &self,
        tag: &str,
        digest: Option<&Digest>,
        limit: u64,
    ) -> Result<Document, Failure> {
        let name = digest.map_or(tag, Digest::as_str);
        let doing = format!("get manifest {name} of {}", self.name());
        let response = self
            .endpoint
            .request(get(
                &format!("manifests/{name}"),
                manifest_headers(),
                &doing,
            ))
            .await?;
        let media_type = content_type(&response);
        let promised = content_digest(&response);
        let wanted = digest.or(promised.as_ref());
        let timeouts = self.endpoint.timeouts();
        let bytes = read_document(response, limit, "manifest", timeouts, |bytes| {
            wanted.map_or_else(
                || bytes.trim_ascii_start().starts_with(b"{"),
                |wanted| Digest::of(wanted.algorithm(), bytes) == *wanted,
            )
        });
        let bytes = bytes.await.map_err(|failure| failure.context(&doing))?;
        let found = match wanted {
            Some(wanted) => Digest::of(wanted.algorithm(), &bytes),
            None => Digest::sha256(&bytes),
        };
        if let Some(wanted) = wanted.filter(|wanted| **wanted != found) {
            let message = format!("{doing}: it has digest {found} (expected {wanted})");
            return Err(Failure::fatal(Error::new(ErrorKind::Integrity, message)));
        }
        if let Some(said) = problem::in_place_of_document(&bytes) {
            let message = format!("{doing}: {said}");
            return Err(Failure::fatal(Error::new(ErrorKind::Network, message)));
        }
        image::check_manifest(&bytes, &media_type).map_err(|error| error.context(&doing))?;
        // A tag has one identity, whatever algorithm the registry likes for its header.
        let digest = if digest.is_some() {
            found
        } else {
            Digest::sha256(&bytes)
        };
        let descriptor = Descriptor::new(media_type, digest, bytes.len() as u64);
        Ok(Document { descriptor, bytes })
    }

    /// Asks what `tag` stands for, without its bytes; `None` when the registry does not say, for whatever reason.
    ///
    /// It is good for no more than to tell whether verified bytes that are at hand are still the right ones: what is
    /// wrong with the registry, the request for the bytes will tell.
    pub(super) async fn manifest_digest(&self, tag: &str) -> Option<Digest> {
        let doing = format!("get the digest of {tag} of {}", self.name());
        let path = format!("manifests/{tag}");
        let call = Call {
            method: Method::HEAD,
            ..get(&path, manifest_headers(), &doing)
        };
        let response = self.endpoint.request(call);
        match timeout(SHORTCUT_PATIENCE, response).await {
            Ok(Ok(response)) => content_digest(&response),
            Ok(Err(failure)) => {
                tracing::debug!(error = %failure.error, "no digest");
                None
            }
            Err(_) => None,
        }
    }

    /// Fetches a manifest, index or config; verified.
    pub(super) async fn document(&self, descriptor: &Descriptor) -> Result<Vec<u8>, Failure> {
        let Descriptor {
            media_type,
            digest,
            size,
            ..
        } = descriptor;
        let nested = matches!(media_type.kind(), MediaKind::Index | MediaKind::Manifest);
        let (folder, headers) = if nested {
            ("manifests", manifest_headers())
        } else {
            ("blobs", HeaderMap::new())
        };
        let doing = format!("get {digest} of {}", self.name());
        let response = self
            .endpoint
            .request(get(&format!("{folder}/{digest}"), headers, &doing))
            .await?;
        let of = |bytes: &[u8]| Digest::of(digest.algorithm(), bytes);
        let timeouts = self.endpoint.timeouts();
        let bytes = read_document(response, *size, "document", timeouts, |bytes| {
            of(bytes) == *digest
        });
        let bytes = bytes.await.map_err(|failure| failure.context(&doing))?;
        let found = of(&bytes);
        if found != *digest {
            let length = bytes.len();
            let message = format!(
                "{doing}: it has digest {found} and {length} bytes (its descriptor says {size})"
            );
            return Err(Failure::fatal(Error::new(ErrorKind::Integrity, message)));
        }
        Ok(bytes)
    }

    /// Opens a blob; when `ranges` are trusted, from `offset` on.
    pub(super) async fn blob(
        &self,
        digest: &Digest,
        size: u64,
        offset: u64,
        ranges: bool,
    ) -> Result<BlobBody, Failure> {
        let doing = format!("get blob {digest} of {}", self.name());
        let partial = ranges && offset > 0;
        let mut headers = HeaderMap::new();
        if partial {
            let range = HeaderValue::from_str(&format!("bytes={offset}-"));
            headers.insert(RANGE, range.expect("digits are fit for a header"));
        }
        let response = self
            .endpoint
            .request(get(&format!("blobs/{digest}"), headers, &doing))
            .await?;
        let wrong = |what: String| {
            Failure::fatal(Error::new(ErrorKind::Integrity, format!("{doing}: {what}")))
        };
        let read = format!("read blob {digest} of {}", self.name());
        match response.status() {
            StatusCode::PARTIAL_CONTENT if partial => {
                let range = response
                    .headers()
                    .get(CONTENT_RANGE)
                    .and_then(|value| value.to_str().ok());
                if range.is_none_or(|range| !is_rest(range, offset, size)) {
                    let range = range.unwrap_or("none");
                    let message = format!(
                        "{doing}: content range is {range:?} (asked from {offset} of {size})"
                    );
                    return Err(Failure::transient(Error::new(
                        ErrorKind::Integrity,
                        message,
                    )));
                }
                let body = Body::new(response, read, self.endpoint.timeouts());
                Ok(BlobBody {
                    body,
                    start: offset,
                })
            }
            StatusCode::RANGE_NOT_SATISFIABLE => {
                let message =
                    format!("{doing}: the registry has nothing from {offset} on (size {size})");
                Err(Failure::transient(Error::new(
                    ErrorKind::Integrity,
                    message,
                )))
            }
            StatusCode::OK => self.whole_blob(response, size, &doing, read).await,
            status => Err(wrong(format!("unexpected HTTP {status}"))),
        }
    }

    /// The body of a blob that comes from its start on. One of the wrong length is a page, or is coded, or is wrong.
    async fn whole_blob(
        &self,
        response: Response,
        size: u64,
        doing: &str,
        read: String,
    ) -> Result<BlobBody, Failure> {
        let server = server_of(&response);
        let (length, is_page) = (response.content_length(), is_html(response.headers()));
        let mut body = Body::new(response, read, self.endpoint.timeouts());
        if length != Some(size) && is_page {
            let (first, peeked) = body.peeked().await?;
            if looks_like_html(&first) {
                return Err(page_instead(&server, "blob", &first).context(doing));
            }
            body = peeked;
        }
        if length == Some(size) || body.encoding().is_none() {
            return match length.filter(|length| *length != size) {
                None => Ok(BlobBody { body, start: 0 }),
                Some(length) => {
                    let message =
                        format!("{doing}: it has {length} bytes (descriptor says {size})");
                    Err(Failure::fatal(Error::new(ErrorKind::Integrity, message)))
                }
            };
        }
        let body = body.decoded(size).await;
        let body = body.map_err(|failure| failure.context(doing))?;
        Ok(BlobBody { body, start: 0 })
    }
}

/// A request for something below the repository.
fn get<'a>(path: &'a str, headers: HeaderMap, doing: &'a str) -> Call<'a> {
    Call {
        method: Method::GET,
        target: Target::Path(path),
        headers,
        payload: Payload::None,
        doing,
    }
}

/// The types on one line: there are registries that see the first line only.
fn manifest_headers() -> HeaderMap {
    let types = [OCI_INDEX, OCI_MANIFEST, DOCKER_INDEX, DOCKER_MANIFEST].join(", ");
    let types = HeaderValue::from_str(&types).expect("media types are fit for a header");
    HeaderMap::from_iter([(ACCEPT, types)])
}

fn content_type(response: &Response) -> MediaType {
    let value = response
        .headers()
        .get(CONTENT_TYPE)
        .and_then(|value| value.to_str().ok());
    MediaType::from(value.unwrap_or_default())
}

pub(super) fn content_digest(response: &Response) -> Option<Digest> {
    response
        .headers()
        .get(CONTENT_DIGEST)?
        .to_str()
        .ok()?
        .parse()
        .ok()
}

/// Whether `Content-Range` is exactly the rest: `bytes OFFSET-LAST/SIZE`, where `SIZE` may be `*`.
fn is_rest(range: &str, offset: u64, size: u64) -> bool {
    let parse = || {
        let (span, total) = range.trim().strip_prefix("bytes ")?.split_once('/')?;
        let (first, last) = span.split_once('-')?;
        let number = |text: &str| -> Option<u64> {
            text.bytes()
                .all(|byte| byte.is_ascii_digit())
                .then(|| text.parse().ok())?
        };
        let total = if total == "*" { size } else { number(total)? };
        Some((number(first)?, number(last)?, total))
    };
    parse().is_some_and(|(first, last, total)| {
        first == offset && total == size && last.checked_add(1) == Some(size)
    })
}

#[cfg(test)]
mod tests {
    use super::is_rest;

    #[test]
    fn only_the_exact_rest_is_taken() {
        for (range, right) in [
            ("bytes 10-99/100", true),
            ("bytes 10-99/*", true),
            ("bytes 10-98/100", false),
            ("bytes 9-99/100", false),
            ("bytes 11-99/100", false),
            ("bytes 10-99/101", false),
            ("bytes 10-100/100", false),
            ("bytes */100", false),
            ("bytes 10-18446744073709551615/100", false),
            ("bytes 10-18446744073709551616/100", false),
            ("bytes +10-99/100", false),
            ("items 10-99/100", false),
            ("bytes=10-99/100", false),
            ("", false),
        ] {
            assert_eq!(is_rest(range, 10, 100), right, "{range}");
        }
    }
}
