//! HTTP: one request with its redirects, under our rules.
//!
//! Redirects are followed here and not by the HTTP library: `Authorization` goes to the origin it is meant for and to no
//! other, `https` never becomes `http`, and a server cannot point nearer than it is itself.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use http::header::{ACCEPT_ENCODING, AUTHORIZATION, CONTENT_LENGTH, LOCATION};
use http::{HeaderValue, StatusCode};
use reqwest::{Client, Proxy, RequestBuilder, Response, Url, redirect};
use rustls::AlertDescription;
use tokio::time::timeout;

use super::address::{Resolver, Scope};
use super::proxy::{ProxyRules, shown};
use super::request::{Payload, Request};
use super::retry::{Failure, find_tls_error, from_request, is_not_tls};
use super::settings::RegistrySettings;
use super::tls::{self, HostCertificates, Protocol};
use super::warnings::Warnings;
use crate::error::{Error, ErrorKind, Result};

/// Redirects followed for one request.
const REDIRECT_LIMIT: usize = 10;
/// How long a server of this machine may take to answer to TLS before plain HTTP is tried.
const TLS_PATIENCE: Duration = Duration::from_millis(500);
/// How long it may then take to answer in plain HTTP.
const PLAIN_PATIENCE: Duration = Duration::from_secs(5);
/// Bytes that a server may send ahead on one HTTP/2 connection: one download is all that it carries at a time, mostly.
const WINDOW: u32 = 8 << 20;

/// Connections, by what is shown to and believed of a host.
#[derive(Debug)]
pub(super) struct Transport {
    settings: Arc<RegistrySettings>,
    proxies: Arc<ProxyRules>,
    resolver: Arc<Resolver>,
    clients: Mutex<BTreeMap<ClientKey, Client>>,
    /// What is known of servers, by host and port.
    known: Mutex<Known>,
    pub(super) warnings: Warnings,
}

/// `HOST[:PORT]` where certs.d knows the host, and empty for all others; the protocol; whether it is for uploads.
type ClientKey = (String, Protocol, bool);

#[derive(Debug, Default)]
struct Known {
    /// They have answered.
    present: BTreeSet<String>,
    /// They speak nothing but HTTP/2.
    http2_only: BTreeSet<String>,
}

/// The proxy that a response came through.
#[derive(Clone, Debug)]
pub(super) struct Via(pub(super) Url);

impl Transport {
    pub(super) fn new(settings: Arc<RegistrySettings>) -> Result<Self> {
        Ok(Self {
            proxies: Arc::new(ProxyRules::new(&settings.proxies)?),
            settings,
            resolver: Arc::default(),
            clients: Mutex::default(),
            known: Mutex::default(),
            warnings: Warnings::default(),
        })
    }

    /// Sends `request` and follows redirects; gives the first response that is none.
    pub(super) async fn send(&self, request: Request) -> Result<Response, Failure> {
        let mut url = request.url.clone();
        let registry = request.registry.clone().unwrap_or_else(|| url.clone());
        let mut left = false;
        for _ in 0..=REDIRECT_LIMIT {
            let own = request.authorization.as_ref().filter(|_| !left);
            let guest = || request.guests.get(&origin_of(&url));
            let response = self
                .send_once(&request, &url, &registry, own.or_else(guest))
                .await?;
            tracing::debug!(
                method = %request.method,
                host = host_and_port(&url),
                // That of a redirect may hold secrets.
                path = if url == request.url { url.path() } else { "…" },
                status = response.status().as_u16(),
                "asked"
            );
            let target = match request.follows(response.status()) {
                true => self.redirect_target(&url, &registry, &response)?,
                false => None,
            };
            let Some(target) = target else {
                return Ok(response);
            };
            left |= target.origin() != url.origin();
            url = target;
        }
        let message = format!(
            "redirected more than {REDIRECT_LIMIT} times, last to {}",
            host_and_port(&url)
        );
        Err(Failure::fatal(Error::new(ErrorKind::Network, message)))
    }

    /// One request to one server, which may turn out to speak HTTP/2 only.
    async fn send_once(
        &self,
        request: &Request,
        url: &Url,
        registry: &Url,
        authorization: Option<&HeaderValue>,
    ) -> Result<Response, Failure> {
        let host = url.host_str().unwrap_or_default();
        let scope = match registry.host_str() == Some(host) {
            true => Scope::Local,
            false => self.resolver.scope_of(registry),
        };
        self.resolver.allow(host, scope);
        let server = host_and_port(url);
        let via = self.proxies.proxy_for(url).cloned();
        let through = via
            .as_ref()
            .map(|proxy| format!(" through the proxy {}", shown(proxy)));
        let doing = format!("ask {server}{}", through.unwrap_or_default());
        let (is_known, is_http2) = {
            let known = self.known();
            let has = |set: &BTreeSet<String>| set.contains(&server);
            (has(&known.present), has(&known.http2_only))
        };
        let failed = |error| {
            let failure = from_request(error, &doing, is_known);
            Failure {
                error: failure.error.with_server(&*server),
                ..failure
            }
        };
        let mut protocol = match is_http2 {
            true => Protocol::Http2,
            false => Protocol::Http1,
        };
        let mut in_http1 = None;
        let mut response = loop {
            let builder = self
                .client_for(url, protocol, request.uploads())?
                .request(request.method.clone(), url.clone())
                .header(ACCEPT_ENCODING, HeaderValue::from_static("identity"))
                .headers(request.headers.clone());
            let outcome = self.transmit(builder, request, authorization).await;
            match outcome {
                Some(Ok(response)) => break response,
                Some(Err(error))
                    if protocol == Protocol::Http1 && wants_http2(&error, is_known) =>
                {
                    in_http1 = Some(error);
                    protocol = Protocol::Http2;
                }
                Some(Err(error)) => return Err(failed(in_http1.unwrap_or(error))),
                None => {
                    let error = Error::new(ErrorKind::Network, format!("{doing}: timed out"));
                    return Err(Failure::transient(error.with_server(&*server)));
                }
            }
        };
        if protocol == Protocol::Http2 {
            self.known().http2_only.insert(server.clone());
        }
        self.known().present.insert(server.clone());
        self.warnings.note(&server, response.headers());
        if let Some(via) = via {
            response.extensions_mut().insert(Via(via));
        }
        let secrets = request.secrets(authorization);
        response.extensions_mut().insert(secrets);
        Ok(response)
    }

    /// Sends what has been built, with the body of `request`; `None` when an upload gets no further.
    async fn transmit(
        &self,
        mut builder: RequestBuilder,
        request: &Request,
        authorization: Option<&HeaderValue>,
    ) -> Option<reqwest::Result<Response>> {
        if let Some(value) = authorization {
            builder = builder.header(AUTHORIZATION, value.clone());
        }
        match &request.payload {
            Payload::None => Some(builder.send().await),
            Payload::Form(form) => Some(builder.form(form).send().await),
            Payload::Bytes(bytes) => Some(builder.body(bytes.clone()).send().await),
            Payload::File(part) => {
                let builder = builder.header(CONTENT_LENGTH, part.length());
                let sending = builder.body(part.body()).send();
                let inactivity = self.settings.timeouts.inactivity;
                part.watched(sending, inactivity).await
            }
        }
    }

    /// Whether the server at `secure`, which is an `https` URL of this machine, answers to TLS at all, be its certificate
    /// good or bad. One that keeps silent is asked at `plain`, which is the same in `http`.
    pub(super) async fn speaks_tls(&self, secure: &Url, plain: &Url) -> Result<bool> {
        let request = self
            .client_for(secure, Protocol::Http1, false)?
            .get(secure.clone());
        if let Ok(outcome) = timeout(TLS_PATIENCE, request.send()).await {
            return Ok(outcome.map_or_else(|error| !is_not_tls(&error), |_| true));
        }
        let request = self
            .client_for(plain, Protocol::Http1, false)?
            .get(plain.clone());
        Ok(match timeout(PLAIN_PATIENCE, request.send()).await {
            // That is how servers of TLS answer to plain HTTP.
            Ok(Ok(response)) => response.status() == StatusCode::BAD_REQUEST,
            _ => true,
        })
    }

    /// How near servers may be that `registry` points to.
    pub(super) fn scope_of(&self, registry: &Url) -> Scope {
        self.resolver.scope_of(registry)
    }

    fn known(&self) -> std::sync::MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn client_for(&self, url: &Url, protocol: Protocol, uploads: bool) -> Result<Client> {
        let (name, certificates) = self.certificates_for(url)?;
        let key = (name, protocol, uploads);
        let mut clients = self.clients.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(client) = clients.get(&key) {
            return Ok(client.clone());
        }
        let client = self.build(&certificates, protocol, uploads)?;
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

    fn build(
        &self,
        certificates: &HostCertificates,
        protocol: Protocol,
        uploads: bool,
    ) -> Result<Client> {
        let RegistrySettings {
            trust,
            timeouts,
            user_agent,
            ..
        } = &*self.settings;
        let proxies = Arc::clone(&self.proxies);
        let mut builder = Client::builder();
        if !uploads {
            // The time begins with the request. An upload has a watch of its own.
            builder = builder.read_timeout(timeouts.inactivity);
        }
        builder
            .tls_backend_preconfigured(tls::configure(trust, certificates, protocol)?)
            .redirect(redirect::Policy::none())
            .connect_timeout(timeouts.connect)
            .user_agent(user_agent)
            .http2_initial_stream_window_size(WINDOW)
            .http2_initial_connection_window_size(WINDOW)
            .dns_resolver(Arc::clone(&self.resolver))
            // The environment is the caller's to read.
            .no_proxy()
            .proxy(Proxy::custom(move |url| proxies.proxy_for(url).cloned()))
            .build()
            .map_err(|error| {
                Error::new(ErrorKind::InvalidInput, "set up HTTP client").with_source(error)
            })
    }

    /// Where `response` of `url` sends on a request that is made for `registry`.
    fn redirect_target(
        &self,
        url: &Url,
        registry: &Url,
        response: &Response,
    ) -> Result<Option<Url>> {
        let Some(location) = response.headers().get(LOCATION) else {
            return Ok(None);
        };
        let location = std::str::from_utf8(location.as_bytes());
        let Some(target) = location.ok().and_then(|text| url.join(text).ok()) else {
            let message = format!(
                "redirect from {} refused: its target is not a URL",
                host_and_port(url)
            );
            return Err(Error::new(ErrorKind::Network, message));
        };
        self.check_target(url, registry, &target).map_err(|why| {
            let message = format!("redirect from {} refused: {why}", host_and_port(url));
            Error::new(ErrorKind::Network, message)
        })?;
        Ok(Some(target))
    }

    /// Whether `url` may send a request that is made for `registry` on to `target`; why not.
    pub(super) fn check_target(
        &self,
        url: &Url,
        registry: &Url,
        target: &Url,
    ) -> Result<(), String> {
        match (url.scheme(), target.scheme()) {
            ("http" | "https", "https") | ("http", "http") => {}
            ("https", "http") => {
                return Err(format!("from https to http ({})", host_and_port(target)));
            }
            (_, scheme) => return Err(format!("to scheme {scheme:?}")),
        }
        if !target.username().is_empty() || target.password().is_some() {
            return Err("its target holds a user name".to_owned());
        }
        let same_host = target.host_str() == registry.host_str();
        let scope = Scope::of_literal(target).filter(|_| !same_host);
        if scope.is_some_and(|scope| scope > self.scope_of(registry)) {
            return Err(format!("to the internal address {}", host_and_port(target)));
        }
        Ok(())
    }
}

/// `HOST[:PORT]`, for messages: paths and queries of redirects may hold secrets.
pub(super) fn host_and_port(url: &Url) -> String {
    let host = url.host_str().unwrap_or_default();
    url.port()
        .map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"))
}

/// The server that a response came from, as [`host_and_port`] writes it.
pub(super) fn server_of(response: &Response) -> String {
    host_and_port(response.url())
}

/// The origin of a URL, as a key.
pub(super) fn origin_of(url: &Url) -> String {
    url.origin().ascii_serialization()
}

/// Whether the server may speak nothing but HTTP/2: it says so in the handshake, or hangs up on the first request.
fn wants_http2(error: &reqwest::Error, is_known: bool) -> bool {
    let says_so = matches!(
        find_tls_error(error),
        Some(rustls::Error::AlertReceived(
            AlertDescription::NoApplicationProtocol
        ))
    );
    let is_secure = error.url().is_some_and(|url| url.scheme() == "https");
    let hangs_up = error.is_request() && !error.is_connect() && !error.is_timeout();
    says_so || (!is_known && is_secure && hangs_up)
}
