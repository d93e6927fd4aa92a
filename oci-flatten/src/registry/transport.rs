//! HTTP: one request with its redirects, under our rules.
//!
//! Redirects are followed here and not by the HTTP library: `Authorization` goes to the origin it is meant for and to no
//! other, `https` never becomes `http`, and a public host cannot point to this machine.

use std::collections::BTreeMap;
use std::io;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use futures_util::StreamExt as _;
use http::header::{AUTHORIZATION, LOCATION};
use http::{HeaderMap, HeaderValue, Method, StatusCode};
use reqwest::{Client, NoProxy, Proxy, Response, Url, redirect};

use super::retry::{Failure, causes, find_tls_error, from_transport};
use super::settings::RegistrySettings;
use super::tls::{self, HostCertificates};
use crate::error::{Error, ErrorKind, Result};

/// Redirects followed for one request.
const REDIRECT_LIMIT: usize = 10;

/// Connections, by what is shown to and believed of a host.
#[derive(Debug)]
pub(super) struct Transport {
    settings: Arc<RegistrySettings>,
    /// By `HOST[:PORT]` where certs.d knows the host; all others share one under the empty name.
    clients: Mutex<BTreeMap<String, Client>>,
}

/// A request to send.
#[derive(Clone, Debug)]
pub(super) struct Request {
    pub(super) method: Method,
    pub(super) url: Url,
    /// Sent to the origin of `url` alone.
    pub(super) authorization: Option<HeaderValue>,
    pub(super) headers: HeaderMap,
    /// Sent as a form; such requests are not redirected.
    pub(super) form: Option<Vec<(&'static str, String)>>,
}

impl Request {
    pub(super) fn get(url: Url) -> Self {
        Self {
            method: Method::GET,
            url,
            authorization: None,
            headers: HeaderMap::new(),
            form: None,
        }
    }
}

impl Transport {
    pub(super) fn new(settings: Arc<RegistrySettings>) -> Self {
        Self {
            settings,
            clients: Mutex::default(),
        }
    }

    /// Sends `request` and follows redirects; gives the first response that is none.
    pub(super) async fn send(&self, request: Request) -> Result<Response, Failure> {
        let Request {
            method,
            mut url,
            mut authorization,
            headers,
            form,
        } = request;
        for hop in 0..=REDIRECT_LIMIT {
            let mut builder = self
                .client_for(&url)?
                .request(method.clone(), url.clone())
                .headers(headers.clone());
            if let Some(value) = &authorization {
                builder = builder.header(AUTHORIZATION, value.clone());
            }
            if let Some(form) = &form {
                builder = builder.form(form);
            }
            let doing = format!("ask {}", host_and_port(&url));
            let response = builder
                .send()
                .await
                .map_err(|error| from_transport(error, &doing))?;
            tracing::debug!(
                %method,
                host = host_and_port(&url),
                // That of a redirect may hold secrets.
                path = if hop == 0 { url.path() } else { "…" },
                status = response.status().as_u16(),
                "asked"
            );
            let Some(target) = redirect_target(&url, &response)?.filter(|_| form.is_none()) else {
                return Ok(response);
            };
            if target.origin() != url.origin() {
                authorization = None;
            }
            url = target;
        }
        let message = format!(
            "redirected more than {REDIRECT_LIMIT} times, last to {}",
            host_and_port(&url)
        );
        Err(Failure::fatal(Error::new(ErrorKind::Network, message)))
    }

    /// Whether the server at `url`, which is an `https` one, answers to TLS at all, be its certificate good or bad.
    pub(super) async fn speaks_tls(&self, url: &Url) -> Result<bool> {
        let request = self.client_for(url)?.get(url.clone());
        Ok(match request.send().await {
            Ok(_) => true,
            Err(error) => !is_not_tls(&error),
        })
    }

    fn client_for(&self, url: &Url) -> Result<Client> {
        let (key, certificates) = self.certificates_for(url)?;
        let mut clients = self.clients.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(client) = clients.get(&key) {
            return Ok(client.clone());
        }
        let client = self.build(&certificates)?;
        clients.insert(key, client.clone());
        Ok(client)
    }

    fn certificates_for(&self, url: &Url) -> Result<(String, HostCertificates)> {
        let host = url.host_str().unwrap_or_default();
        let with_port = url
            .port_or_known_default()
            .map(|port| format!("{host}:{port}"));
        let without_port = url.port().is_none().then(|| host.to_owned());
        for name in without_port.into_iter().chain(with_port) {
            let certificates = HostCertificates::find(&self.settings.trust, &name)?;
            if !certificates.is_empty() {
                return Ok((name, certificates));
            }
        }
        Ok((String::new(), HostCertificates::default()))
    }

    fn build(&self, certificates: &HostCertificates) -> Result<Client> {
        let RegistrySettings {
            trust,
            proxies,
            timeouts,
            user_agent,
            ..
        } = &*self.settings;
        let failed = |what: &str, error: reqwest::Error| {
            Error::new(ErrorKind::InvalidInput, format!("set up HTTP: {what}")).with_source(error)
        };
        let mut builder = Client::builder()
            .tls_backend_preconfigured(tls::configure(trust, certificates)?)
            .redirect(redirect::Policy::none())
            .connect_timeout(timeouts.connect)
            .read_timeout(timeouts.inactivity)
            .user_agent(user_agent)
            // The environment is the caller's to read.
            .no_proxy();
        let direct = || proxies.no_proxy.as_deref().and_then(NoProxy::from_string);
        let configured = [
            proxies.http.as_deref().map(Proxy::http),
            proxies.https.as_deref().map(Proxy::https),
            proxies.all.as_deref().map(Proxy::all),
        ];
        for proxy in configured.into_iter().flatten() {
            let proxy = proxy.map_err(|error| failed("proxy is not a URL", error))?;
            builder = builder.proxy(proxy.no_proxy(direct()));
        }
        builder.build().map_err(|error| failed("client", error))
    }
}

/// `HOST[:PORT]`, for messages: paths and queries of redirects may hold secrets.
pub(super) fn host_and_port(url: &Url) -> String {
    let host = url.host_str().unwrap_or_default();
    url.port()
        .map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"))
}

/// Whether `url` names this machine or its link (where clouds keep secrets of the machine).
pub(super) fn is_local(url: &Url) -> bool {
    let host = url.host_str().unwrap_or_default().to_ascii_lowercase();
    if host == "localhost" || host.ends_with(".localhost") {
        return true;
    }
    match address_of(url) {
        Some(IpAddr::V4(address)) => {
            address.is_loopback() || address.is_link_local() || address.is_unspecified()
        }
        Some(IpAddr::V6(address)) => {
            address.is_loopback() || address.is_unicast_link_local() || address.is_unspecified()
        }
        None => false,
    }
}

/// Whether `url` names this machine, its link, or a private network by an address.
pub(super) fn is_internal(url: &Url) -> bool {
    is_local(url)
        || match address_of(url) {
            Some(IpAddr::V4(address)) => address.is_private(),
            Some(IpAddr::V6(address)) => address.is_unique_local(),
            None => false,
        }
}

fn address_of(url: &Url) -> Option<IpAddr> {
    let host = url.host_str()?;
    let address: IpAddr = host
        .trim_start_matches('[')
        .trim_end_matches(']')
        .parse()
        .ok()?;
    Some(address.to_canonical())
}

/// Reads a small body.
pub(super) async fn read_body(
    response: Response,
    limit: u64,
    what: &str,
) -> Result<Vec<u8>, Failure> {
    let too_long = |found: String| {
        Failure::fatal(Error::new(
            ErrorKind::LimitExceeded,
            format!("{what} has {found} (limit {limit})"),
        ))
    };
    if let Some(length) = response.content_length().filter(|length| *length > limit) {
        return Err(too_long(format!("{length} bytes")));
    }
    let mut body = Vec::new();
    let mut chunks = response.bytes_stream();
    while let Some(chunk) = chunks.next().await {
        let chunk: Bytes = chunk.map_err(|error| from_transport(error, &format!("read {what}")))?;
        if (body.len() + chunk.len()) as u64 > limit {
            return Err(too_long("more bytes".to_owned()));
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body)
}

fn redirect_target(url: &Url, response: &Response) -> Result<Option<Url>> {
    let redirects = matches!(
        response.status(),
        StatusCode::MOVED_PERMANENTLY
            | StatusCode::FOUND
            | StatusCode::SEE_OTHER
            | StatusCode::TEMPORARY_REDIRECT
            | StatusCode::PERMANENT_REDIRECT
    );
    let Some(location) = response.headers().get(LOCATION).filter(|_| redirects) else {
        return Ok(None);
    };
    let refused = |why: &str| {
        let message = format!("redirect from {} refused: {why}", host_and_port(url));
        Err(Error::new(ErrorKind::Network, message))
    };
    let Some(target) = location.to_str().ok().and_then(|text| url.join(text).ok()) else {
        return refused("its target is not a URL");
    };
    match (url.scheme(), target.scheme()) {
        ("http" | "https", "https") | ("http", "http") => {}
        ("https", "http") => {
            return refused(&format!("from https to http ({})", host_and_port(&target)));
        }
        (_, scheme) => return refused(&format!("to scheme {scheme:?}")),
    }
    if !target.username().is_empty() || target.password().is_some() {
        return refused("its target holds a user name");
    }
    if is_local(&target) && !is_internal(url) {
        return refused(&format!(
            "from a public host to the local {}",
            host_and_port(&target)
        ));
    }
    Ok(Some(target))
}

/// Whether the handshake failed because the other side does not speak TLS.
fn is_not_tls(error: &reqwest::Error) -> bool {
    if let Some(error) = find_tls_error(error) {
        return matches!(error, rustls::Error::InvalidMessage(_));
    }
    causes(error)
        .filter_map(|cause| cause.downcast_ref::<io::Error>())
        .any(|cause| {
            matches!(
                cause.kind(),
                io::ErrorKind::UnexpectedEof | io::ErrorKind::ConnectionReset
            )
        })
}
