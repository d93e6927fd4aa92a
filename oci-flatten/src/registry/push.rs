//! Pushing: blobs and manifests into one repository of a registry.

use std::fs::File;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE};
use http::{HeaderMap, HeaderValue, Method, StatusCode};
use tokio::time::{sleep, timeout};

use super::endpoint::{Call, Endpoint, Target};
use super::repository::content_digest;
use super::request::Payload;
use super::retry::{Backoff, Failure};
use super::settings::RegistrySettings;
use super::transport::Transport;
use super::upload::{FilePart, Session};
use crate::digest::Digest;
use crate::error::{Error, ErrorKind, Result};
use crate::media_type::MediaType;
use crate::progress::{Event, Observer};
use crate::reference::Reference;

/// Bytes that one request carries where a registry, or a proxy before it, takes no more.
const LIMITED: u64 = 32 << 20;
/// Progress that makes an upload worth going on with, in bytes; less does not reset the count of tries.
const WORTHWHILE: u64 = 1 << 20;
/// How long a question may take that only spares an upload.
const SHORTCUT_PATIENCE: Duration = Duration::from_secs(10);

/// A repository to push to, which is that of the registry itself: nothing is pushed to mirrors.
pub struct Pusher {
    endpoint: Endpoint,
    settings: Arc<RegistrySettings>,
    transport: Arc<Transport>,
    observer: Arc<dyn Observer>,
}

/// A blob on this machine.
#[derive(Clone, Debug)]
pub struct LocalBlob {
    /// The file that holds its bytes from the beginning on.
    pub file: Arc<File>,
    /// The digest of its bytes.
    pub digest: Digest,
    /// The count of its bytes.
    pub size: u64,
}

/// How a blob has come into a repository.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pushed {
    /// It was there already.
    Existed,
    /// The registry had it in another repository.
    Mounted,
    /// Its bytes were sent.
    Uploaded,
}

impl Pusher {
    /// A pusher into the repository of `reference`. Nothing is asked yet.
    ///
    /// # Errors
    ///
    /// Those of [`RegistryRules::locate`](super::RegistryRules::locate); [`ErrorKind::InvalidInput`] for proxies that are
    /// none.
    pub fn new(
        reference: &Reference,
        settings: Arc<RegistrySettings>,
        observer: Arc<dyn Observer>,
    ) -> Result<Self> {
        let transport = Arc::new(Transport::new(Arc::clone(&settings))?);
        let mut locations = settings.rules.locate(reference)?;
        let mut location = locations.pop().ok_or_else(|| {
            Error::new(ErrorKind::InvalidInput, format!("no place for {reference}"))
        })?;
        location.plain_http |= settings.plain_http;
        let endpoint = Endpoint::new(
            location,
            Arc::clone(&settings),
            Arc::clone(&transport),
            "pull,push",
        );
        Ok(Self {
            endpoint,
            settings,
            transport,
            observer,
        })
    }

    /// What the registry wants its users to know, since this was asked last.
    #[must_use]
    pub fn take_warnings(&self) -> Vec<String> {
        self.transport.warnings.take()
    }

    /// Pushes a blob, unless it is there. The registry is asked to take it from its repository `mount_from` first, where
    /// one is given. A broken upload is gone on with where it stopped.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Unauthorized`] when the registry does not allow it, [`ErrorKind::Network`] when it does not answer, or
    /// takes the bytes for others than `blob` says.
    pub async fn blob(&self, blob: &LocalBlob, mount_from: Option<&str>) -> Result<Pushed> {
        if self.has_blob(blob).await {
            return Ok(Pushed::Existed);
        }
        let mut upload = Upload {
            session: None,
            mount_from,
            piece: u64::MAX,
        };
        let mut backoff = Backoff::new(self.settings.retries);
        let mut mark = 0;
        loop {
            let failure = match self.attempt(blob, &mut upload).await {
                Ok(pushed) => return Ok(pushed),
                Err(failure) => failure,
            };
            let offset = upload.session.as_ref().map_or(0, |session| session.offset);
            if offset >= mark + WORTHWHILE {
                mark = offset;
                backoff.reset();
            }
            let failure = upload.adjusted(failure);
            let (attempt, wait, error) = backoff.next(failure)?;
            self.observer.observe(Event::Retrying {
                digest: Some(blob.digest.clone()),
                attempt,
                wait,
                reason: error.to_string(),
            });
            sleep(wait).await;
            // The answer to the last request may be all that was lost.
            if self.has_blob(blob).await {
                return Ok(Pushed::Uploaded);
            }
        }
    }

    /// Pushes a manifest or an index under `name`, a tag or its digest, after all that it refers to.
    ///
    /// # Errors
    ///
    /// As [`blob`](Self::blob).
    pub async fn manifest(
        &self,
        name: &str,
        media_type: &MediaType,
        bytes: impl Into<Bytes>,
    ) -> Result<Digest> {
        let bytes = bytes.into();
        let digest = Digest::sha256(&bytes);
        let doing = format!("put manifest {name} of {}", self.endpoint.name());
        let invalid = |_| {
            let message = format!("{doing}: media type is not fit for a header: {media_type}");
            Error::new(ErrorKind::InvalidInput, message)
        };
        let media_type = HeaderValue::from_str(media_type.as_str()).map_err(invalid)?;
        let path = format!("manifests/{name}");
        let mut backoff = Backoff::new(self.settings.retries);
        loop {
            let call = Call {
                method: Method::PUT,
                target: Target::Path(&path),
                headers: HeaderMap::from_iter([(CONTENT_TYPE, media_type.clone())]),
                payload: Payload::Bytes(bytes.clone()),
                doing: &doing,
            };
            let failure = match self.endpoint.request(call).await {
                Ok(response) => match content_digest(&response) {
                    Some(found) if found.algorithm() == digest.algorithm() && found != digest => {
                        let message = format!("{doing}: the registry has {found} (sent {digest})");
                        return Err(Error::new(ErrorKind::Integrity, message));
                    }
                    _ => return Ok(digest),
                },
                Err(failure) => failure,
            };
            let (attempt, wait, error) = backoff.next(failure)?;
            self.observer.observe(Event::Retrying {
                digest: None,
                attempt,
                wait,
                reason: error.to_string(),
            });
            sleep(wait).await;
        }
    }

    /// Whether the repository has a blob. It only spares an upload, so that a registry that does not say has none.
    async fn has_blob(&self, blob: &LocalBlob) -> bool {
        let path = format!("blobs/{}", blob.digest);
        let doing = format!("look for {} in {}", blob.digest, self.endpoint.name());
        let call = self.call(Method::HEAD, Target::Path(&path), &doing);
        let response = timeout(SHORTCUT_PATIENCE, self.endpoint.request(call)).await;
        matches!(response, Ok(Ok(response)) if {
            let length = response.headers().get(CONTENT_LENGTH);
            let length = length.and_then(|length| length.to_str().ok()?.parse().ok());
            length.is_none_or(|length: u64| length == blob.size)
        })
    }

    /// Goes on with an upload, or begins one, to its end.
    async fn attempt(&self, blob: &LocalBlob, upload: &mut Upload<'_>) -> Result<Pushed, Failure> {
        let doing = format!("push blob {} to {}", blob.digest, self.endpoint.name());
        if let Some(broken) = upload.session.take() {
            // A session that is lost is begun anew.
            let target = Target::Url(broken.location.clone());
            let call = self.call(Method::GET, target, &doing);
            if let Ok(response) = self.endpoint.request(call).await {
                let found = Session::of(&response, &broken.location, 0)?;
                upload.session = Some(found).filter(|found| found.offset <= blob.size);
            }
        }
        if upload.session.is_none() {
            match self.begin(blob, upload.mount_from.take(), &doing).await? {
                Some(session) => upload.session = Some(session),
                None => return Ok(Pushed::Mounted),
            }
        }
        while let Some(session) = upload.session.clone() {
            self.observer.observe(Event::Uploading {
                digest: blob.digest.clone(),
                sent: session.offset,
                size: blob.size,
            });
            if session.offset == blob.size {
                break;
            }
            let next = self
                .send_piece(blob, &session, upload.piece, &doing)
                .await?;
            upload.session = Some(next);
        }
        let Some(session) = &upload.session else {
            return Ok(Pushed::Uploaded);
        };
        let closing = Target::Url(session.closing(blob.digest.as_str()));
        let call = Call {
            headers: HeaderMap::from_iter([(CONTENT_LENGTH, HeaderValue::from(0))]),
            ..self.call(Method::PUT, closing, &doing)
        };
        self.endpoint.request(call).await?;
        self.observer.observe(Event::Uploaded {
            digest: blob.digest.clone(),
        });
        Ok(Pushed::Uploaded)
    }

    /// Begins an upload; `None` when the registry has taken the blob from another repository.
    async fn begin(
        &self,
        blob: &LocalBlob,
        mount_from: Option<&str>,
        doing: &str,
    ) -> Result<Option<Session>, Failure> {
        let digest = &blob.digest;
        let mut paths = vec!["blobs/uploads/".to_owned()];
        if let Some(from) = mount_from {
            paths.insert(0, format!("blobs/uploads/?mount={digest}&from={from}"));
        }
        let last = paths.len() - 1;
        for (index, path) in paths.iter().enumerate() {
            let call = Call {
                headers: HeaderMap::from_iter([(CONTENT_LENGTH, HeaderValue::from(0))]),
                ..self.call(Method::POST, Target::Path(path), doing)
            };
            let response = match self.endpoint.request(call).await {
                // Mounting is a shortcut, too.
                Err(_) if index < last => continue,
                outcome => outcome?,
            };
            if response.status() == StatusCode::CREATED {
                return Ok(None);
            }
            let asked = response.url().clone();
            return Session::of(&response, &asked, 0).map(Some);
        }
        Ok(None)
    }

    /// Sends the next bytes of a blob; gives the session as it is then.
    async fn send_piece(
        &self,
        blob: &LocalBlob,
        session: &Session,
        piece: u64,
        doing: &str,
    ) -> Result<Session, Failure> {
        let start = session.offset;
        let end = start.saturating_add(piece).min(blob.size);
        let mut headers = HeaderMap::new();
        let octets = HeaderValue::from_static("application/octet-stream");
        headers.insert(CONTENT_TYPE, octets);
        // The whole in one request is what every registry takes; the rest of it needs a place.
        if start > 0 || end < blob.size {
            let range = HeaderValue::from_str(&format!("{start}-{}", end - 1));
            headers.insert(CONTENT_RANGE, range.expect("digits are fit for a header"));
        }
        let call = Call {
            headers,
            payload: Payload::File(FilePart::new(Arc::clone(&blob.file), start, end)),
            ..self.call(Method::PATCH, Target::Url(session.location.clone()), doing)
        };
        let response = self.endpoint.request(call).await?;
        let next = Session::of(&response, &session.location, end)?;
        if next.offset <= start || next.offset > end {
            let offset = next.offset;
            let message =
                format!("{doing}: the registry has {offset} bytes (sent {start} to {end})");
            return Err(Failure::transient(Error::new(ErrorKind::Network, message)));
        }
        Ok(next)
    }

    fn call<'a>(&self, method: Method, target: Target<'a>, doing: &'a str) -> Call<'a> {
        Call {
            method,
            target,
            headers: HeaderMap::new(),
            payload: Payload::None,
            doing,
        }
    }
}

/// An upload, over all its tries.
struct Upload<'a> {
    session: Option<Session>,
    /// Asked for once.
    mount_from: Option<&'a str>,
    /// Most bytes of one request.
    piece: u64,
}

impl Upload<'_> {
    /// A failure, with what another try does about it.
    fn adjusted(&mut self, failure: Failure) -> Failure {
        match failure.status {
            Some(StatusCode::PAYLOAD_TOO_LARGE) if self.piece > LIMITED => {
                self.piece = LIMITED;
                Failure::transient(failure.error)
            }
            // The session is gone, or is elsewhere than was thought.
            Some(StatusCode::NOT_FOUND | StatusCode::RANGE_NOT_SATISFIABLE)
                if self.session.is_some() =>
            {
                Failure::transient(failure.error)
            }
            _ => failure,
        }
    }
}
