//! Requests to one repository at one place, with challenges answered.

use std::sync::Arc;

use http::header::{RANGE, WWW_AUTHENTICATE};
use http::{HeaderMap, Method, StatusCode};
use reqwest::{Response, Url};
use tokio::sync::OnceCell;

use super::auth::{Asking, Authentication, Pass};
use super::problem;
use super::request::{Payload, Request};
use super::retry::Failure;
use super::rules::Location;
use super::settings::{RegistrySettings, Timeouts};
use super::transport::{Transport, server_of};
use crate::error::{Error, ErrorKind};
use crate::reference::is_loopback;

/// Challenges answered for one request: the first, and one more for a token that is too narrow.
const CHALLENGE_LIMIT: u32 = 2;

/// A place that requests go to.
#[derive(Debug)]
pub(super) struct Endpoint {
    location: Location,
    settings: Arc<RegistrySettings>,
    transport: Arc<Transport>,
    base: OnceCell<Url>,
    authentication: Authentication,
    /// What is done there: `pull` or `pull,push`.
    actions: &'static str,
}

/// A request to an endpoint.
pub(super) struct Call<'a> {
    pub(super) method: Method,
    pub(super) target: Target<'a>,
    pub(super) headers: HeaderMap,
    pub(super) payload: Payload,
    /// What it is for, in messages.
    pub(super) doing: &'a str,
}

/// Where a request goes.
pub(super) enum Target<'a> {
    /// Below the repository.
    Path(&'a str),
    /// Where the registry has said.
    Url(Url),
}

impl Endpoint {
    pub(super) fn new(
        location: Location,
        settings: Arc<RegistrySettings>,
        transport: Arc<Transport>,
        actions: &'static str,
    ) -> Self {
        Self {
            location,
            settings,
            transport,
            base: OnceCell::new(),
            authentication: Authentication::default(),
            actions,
        }
    }

    /// The repository's name with its host, for messages.
    pub(super) fn name(&self) -> String {
        format!("{}/{}", self.location.domain, self.location.repository)
    }

    /// Bounds on silence and slowness.
    pub(super) fn timeouts(&self) -> Timeouts {
        self.settings.timeouts
    }

    /// Sends one request, answering challenges; gives a response of success, or the refusal of a range.
    pub(super) async fn request(&self, call: Call<'_>) -> Result<Response, Failure> {
        let doing = call.doing;
        let located = |failure: Failure| self.located(failure, doing);
        let base = self.base().await?;
        let url = match &call.target {
            Target::Path(path) => base.join(path).map_err(|error| error.to_string()),
            Target::Url(url) => {
                let allowed = self.transport.check_target(base, base, url);
                allowed.map(|()| url.clone())
            }
        };
        let url = url.map_err(|why| {
            let message = format!("{doing}: request refused: {why}");
            Error::new(ErrorKind::Network, message)
        })?;
        let at_home = url.origin() == base.origin();
        let asking = self.asking(base);
        let (mut challenges, mut pinged) = (0, false);
        loop {
            let pass = self.authentication.current().await;
            let request = Request {
                method: call.method.clone(),
                url: url.clone(),
                registry: Some(base.clone()),
                authorization: pass.authorization.clone().filter(|_| at_home),
                guests: pass.guests.clone(),
                headers: call.headers.clone(),
                payload: call.payload.clone(),
            };
            let response = self.transport.send(request).await.map_err(located)?;
            let status = response.status();
            let unsatisfied =
                status == StatusCode::RANGE_NOT_SATISFIABLE && call.headers.contains_key(RANGE);
            if status.is_success() || unsatisfied {
                return Ok(response);
            }
            let challenged = response.headers().contains_key(WWW_AUTHENTICATE);
            let own = response.url().origin() == base.origin();
            if status == StatusCode::UNAUTHORIZED && challenged && challenges < CHALLENGE_LIMIT {
                challenges += 1;
                self.authentication
                    .renew(&pass, &response, asking)
                    .await
                    .map_err(located)?;
                continue;
            }
            let hides = matches!(status.as_u16(), 401 | 403 | 404) && own;
            if hides && pass.authorization.is_none() && !pinged {
                pinged = true;
                if self.authenticate(&pass, asking).await.map_err(located)? {
                    continue;
                }
            }
            let timeouts = self.settings.timeouts;
            if own {
                let failure = problem::classify(response, doing, timeouts).await;
                let failure = self.authentication.explain(failure).await;
                return Err(Failure {
                    error: failure
                        .error
                        .without_server()
                        .with_server(&*self.location.domain),
                    ..failure
                });
            }
            let doing = format!("{doing}, redirected to {}", server_of(&response));
            return Err(problem::classify(response, &doing, timeouts).await);
        }
    }

    fn located(&self, failure: Failure, doing: &str) -> Failure {
        let failure = failure.context(doing);
        Failure {
            error: failure.error.with_server(&*self.location.domain),
            ..failure
        }
    }

    /// Asks the registry itself for a challenge, and answers it. Some say that nothing is there, as long as they do not know
    /// who asks. Without credentials there is no point in it.
    async fn authenticate(&self, pass: &Pass, asking: Asking<'_>) -> Result<bool, Failure> {
        if !self.authentication.has_credential(asking).await {
            return Ok(false);
        }
        let Ok(url) = asking.registry.join("/v2/") else {
            return Ok(false);
        };
        let Ok(response) = self.transport.send(Request::get(url)).await else {
            return Ok(false);
        };
        let challenged = response.status() == StatusCode::UNAUTHORIZED
            && response.url().origin() == asking.registry.origin()
            && response.headers().contains_key(WWW_AUTHENTICATE);
        if challenged {
            self.authentication.renew(pass, &response, asking).await?;
        }
        Ok(challenged)
    }

    fn asking<'a>(&'a self, registry: &'a Url) -> Asking<'a> {
        Asking {
            location: &self.location,
            settings: &self.settings,
            transport: &self.transport,
            registry,
            actions: self.actions,
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
            if is_loopback(domain) {
                let plain = url("http")?;
                if !self.transport.speaks_tls(&secure, &plain).await? {
                    return Ok(plain);
                }
            }
            Ok(secure)
        });
        Ok(found.await?)
    }
}
