//! One repository at one place: manifests and blobs, by the
//! [distribution specification](https://github.com/opencontainers/distribution-spec/blob/main/spec.md#pull).

use std::sync::Arc;

use http::header::{ACCEPT, ACCEPT_ENCODING, CONTENT_RANGE, CONTENT_TYPE, RANGE};
use http::{HeaderMap, HeaderValue, Method, StatusCode};
use reqwest::{Response, Url};
use tokio::sync::OnceCell;

use super::auth::Authentication;
use super::problem;
use super::retry::{Failure, Remedy};
use super::rules::Location;
use super::settings::RegistrySettings;
use super::transport::{Request, Transport, read_body};
use crate::digest::Digest;
use crate::error::{Error, ErrorKind, Result};
use crate::image::{Descriptor, Document};
use crate::media_type::{
    DOCKER_INDEX, DOCKER_MANIFEST, MediaKind, MediaType, OCI_INDEX, OCI_MANIFEST,
};
use crate::reference::is_loopback;

/// The registry's own idea of a manifest's digest.
const CONTENT_DIGEST: &str = "docker-content-digest";
/// Challenges answered for one request: the first, and one more for a token that is too narrow.
const CHALLENGE_LIMIT: u32 = 2;

/// A repository at one place.
#[derive(Debug)]
pub(super) struct Repository {
    location: Location,
    settings: Arc<RegistrySettings>,
    transport: Arc<Transport>,
    base: OnceCell<Url>,
    authentication: Authentication,
}

/// The body of a blob, from `start` on.
pub(super) struct BlobBody {
    pub(super) response: Response,
    pub(super) start: u64,
}

impl Repository {
    pub(super) fn new(
        location: Location,
        settings: Arc<RegistrySettings>,
        transport: Arc<Transport>,
    ) -> Self {
        Self {
            location,
            settings,
            transport,
            base: OnceCell::new(),
            authentication: Authentication::default(),
        }
    }

    /// Its name with its host, for messages.
    pub(super) fn name(&self) -> String {
        format!("{}/{}", self.location.domain, self.location.repository)
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
            .request(
                Method::GET,
                &format!("manifests/{name}"),
                manifest_headers(),
                &doing,
            )
            .await?;
        let media_type = content_type(&response);
        let promised = content_digest(&response);
        let bytes = read_body(response, limit, "manifest").await?;
        let wanted = digest.or(promised.as_ref());
        let found = match wanted {
            Some(wanted) => Digest::of(wanted.algorithm(), &bytes),
            None => Digest::sha256(&bytes),
        };
        if let Some(wanted) = wanted.filter(|wanted| **wanted != found) {
            let message = format!("{doing}: it has digest {found} (expected {wanted})");
            return Err(Failure::fatal(Error::new(ErrorKind::Integrity, message)));
        }
        // A tag has one identity, whatever algorithm the registry likes for its header.
        let digest = if digest.is_some() {
            found
        } else {
            Digest::sha256(&bytes)
        };
        let descriptor = Descriptor::new(media_type, digest, bytes.len() as u64);
        Ok(Document { descriptor, bytes })
    }

    /// Asks what `tag` stands for, without its bytes; `None` when the registry does not say, or knows no such request.
    ///
    /// It is good for no more than to tell whether verified bytes that are at hand are still the right ones.
    pub(super) async fn manifest_digest(&self, tag: &str) -> Result<Option<Digest>, Failure> {
        let doing = format!("get the digest of {tag} of {}", self.name());
        let path = format!("manifests/{tag}");
        let response = self
            .request(Method::HEAD, &path, manifest_headers(), &doing)
            .await;
        match response {
            Ok(response) => Ok(content_digest(&response)),
            Err(failure) if failure.remedy == Remedy::None => Ok(None),
            Err(failure) => Err(failure),
        }
    }

    /// Fetches a manifest, index or config; size and digest are checked by whoever asked.
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
            .request(Method::GET, &format!("{folder}/{digest}"), headers, &doing)
            .await?;
        read_body(response, *size, "document").await
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
        headers.insert(ACCEPT_ENCODING, HeaderValue::from_static("identity"));
        if partial {
            let range = HeaderValue::from_str(&format!("bytes={offset}-"));
            headers.insert(RANGE, range.expect("digits are fit for a header"));
        }
        let response = self
            .request(Method::GET, &format!("blobs/{digest}"), headers, &doing)
            .await?;
        let wrong = |what: String| {
            Failure::fatal(Error::new(ErrorKind::Integrity, format!("{doing}: {what}")))
        };
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
                Ok(BlobBody {
                    response,
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
            StatusCode::OK => match response.content_length() {
                Some(length) if length != size => Err(wrong(format!(
                    "it has {length} bytes (descriptor says {size})"
                ))),
                _ => Ok(BlobBody { response, start: 0 }),
            },
            status => Err(wrong(format!("unexpected HTTP {status}"))),
        }
    }

    /// Sends one request, answering challenges; gives a response of success, or the refusal of a range.
    async fn request(
        &self,
        method: Method,
        path: &str,
        headers: HeaderMap,
        doing: &str,
    ) -> Result<Response, Failure> {
        let located = |failure: Failure| failure.context(doing);
        let base = self.base().await?;
        let url = base
            .join(path)
            .map_err(|error| Error::new(ErrorKind::InvalidInput, format!("{doing}: {error}")))?;
        let mut challenges = 0;
        loop {
            let pass = self.authentication.current().await;
            let request = Request {
                method: method.clone(),
                authorization: pass.authorization.clone(),
                headers: headers.clone(),
                ..Request::get(url.clone())
            };
            let response = self.transport.send(request).await.map_err(located)?;
            let status = response.status();
            let unsatisfied =
                status == StatusCode::RANGE_NOT_SATISFIABLE && headers.contains_key(RANGE);
            if status.is_success() || unsatisfied {
                return Ok(response);
            }
            // A host that we were redirected to has no business asking for our credentials.
            let own = response.url().origin() == url.origin();
            if status == StatusCode::UNAUTHORIZED && own && challenges < CHALLENGE_LIMIT {
                challenges += 1;
                let Self {
                    authentication,
                    location,
                    settings,
                    transport,
                    ..
                } = self;
                authentication
                    .renew(&pass, &response, location, &settings.credentials, transport)
                    .await
                    .map_err(located)?;
                continue;
            }
            let failure = problem::classify(response, doing).await;
            return Err(self.authentication.explain(failure).await);
        }
    }

    /// The URL that paths are relative to.
    async fn base(&self) -> Result<&Url, Failure> {
        let found = self.base.get_or_try_init(|| async {
            let Location {
                domain,
                repository,
                plain_http,
            } = &self.location;
            let host = if domain == "docker.io" {
                "registry-1.docker.io"
            } else {
                domain
            };
            let url = |scheme: &str| {
                Url::parse(&format!("{scheme}://{host}/v2/{repository}/")).map_err(|error| {
                    Error::new(
                        ErrorKind::InvalidInput,
                        format!("registry {host} makes no URL: {error}"),
                    )
                })
            };
            if *plain_http {
                return url("http");
            }
            let secure = url("https")?;
            // This machine's own registries are mostly plain, and nobody can listen in on them.
            if is_loopback(domain) && !self.transport.speaks_tls(&secure).await? {
                return url("http");
            }
            Ok(secure)
        });
        Ok(found.await?)
    }
}

fn manifest_headers() -> HeaderMap {
    let mut headers = HeaderMap::new();
    for media_type in [OCI_INDEX, OCI_MANIFEST, DOCKER_INDEX, DOCKER_MANIFEST] {
        headers.append(ACCEPT, HeaderValue::from_static(media_type));
    }
    headers
}

fn content_type(response: &Response) -> MediaType {
    let value = response
        .headers()
        .get(CONTENT_TYPE)
        .and_then(|value| value.to_str().ok());
    MediaType::from(value.unwrap_or_default())
}

fn content_digest(response: &Response) -> Option<Digest> {
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
