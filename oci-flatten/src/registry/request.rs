//! A request, as it is sent and sent on.

use std::collections::BTreeMap;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, StatusCode};
use reqwest::Url;

use super::upload::FilePart;
use crate::credentials::Secrets;

/// A request to send.
#[derive(Clone, Debug)]
pub(super) struct Request {
    pub(super) method: Method,
    pub(super) url: Url,
    /// The registry that it is sent for, when it goes to another server.
    pub(super) registry: Option<Url>,
    /// Sent to the origin of `url`, until a redirect has left it.
    pub(super) authorization: Option<HeaderValue>,
    /// What other origins have asked for on the way, by origin.
    pub(super) guests: BTreeMap<String, HeaderValue>,
    pub(super) headers: HeaderMap,
    pub(super) payload: Payload,
}

/// The body of a request.
#[derive(Clone, Debug)]
pub(super) enum Payload {
    None,
    /// It may hold a secret, so such requests are not redirected.
    Form(Vec<(&'static str, String)>),
    Bytes(Bytes),
    File(FilePart),
}

impl Request {
    pub(super) fn get(url: Url) -> Self {
        Self {
            method: Method::GET,
            url,
            registry: None,
            authorization: None,
            guests: BTreeMap::new(),
            headers: HeaderMap::new(),
            payload: Payload::None,
        }
    }

    /// What it shows to a server, `authorization` included, and a server may repeat.
    pub(super) fn secrets(&self, authorization: Option<&HeaderValue>) -> Secrets {
        let mut secrets = Secrets::default();
        let texts = authorization.into_iter().map(HeaderValue::to_str);
        texts
            .flatten()
            .for_each(|text| secrets.add_authorization(text));
        if let Payload::Form(fields) = &self.payload {
            let tokens = fields.iter().filter(|(name, _)| name.contains("token"));
            tokens.for_each(|(_, token)| secrets.add(token));
        }
        secrets
    }

    /// Whether its body is so long that no answer can be expected soon.
    pub(super) fn uploads(&self) -> bool {
        matches!(self.payload, Payload::File(_))
    }

    /// Whether it is sent on by a response of `status`. What is sent with a body, or changes something, goes on only where the
    /// server says that it stays the same request.
    pub(super) fn follows(&self, status: StatusCode) -> bool {
        let reads = self.method == Method::GET || self.method == Method::HEAD;
        let same = matches!(
            status,
            StatusCode::TEMPORARY_REDIRECT | StatusCode::PERMANENT_REDIRECT
        );
        let moved = matches!(
            status,
            StatusCode::MOVED_PERMANENTLY | StatusCode::FOUND | StatusCode::SEE_OTHER
        );
        match self.payload {
            Payload::Form(_) => false,
            _ => same || (moved && reads),
        }
    }
}
