//! Answers to challenges: credentials are traded for a token, which is kept until the registry refuses it.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use http::{HeaderMap, HeaderValue, Method, StatusCode};
use reqwest::{Response, Url};
use serde_json::Value;

use super::body::read_document;
use super::challenge::{Challenge, TokenServer};
use super::problem;
use super::request::{Payload, Request};
use super::retry::Failure;
use super::rules::Location;
use super::settings::RegistrySettings;
use super::transport::{Transport, host_and_port, origin_of};
use crate::credentials::{self, Credential, Tried};
use crate::error::{Error, ErrorKind};

/// Most of a token server's answer that is read, in bytes.
const TOKEN_LIMIT: u64 = 1 << 20;
/// Our name at token servers.
const CLIENT_ID: &str = "banger";

/// What is shown to one repository of one registry, and to those that it redirects to.
#[derive(Debug, Default)]
pub(super) struct Authentication {
    state: tokio::sync::Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    current: Pass,
    /// Looked up when it is asked for: most pulls are anonymous.
    credential: Option<Option<Credential>>,
    tried: Vec<Tried>,
}

/// What to send, and which answer to challenges it is.
#[derive(Clone, Debug, Default)]
pub(super) struct Pass {
    /// For the registry.
    pub(super) authorization: Option<HeaderValue>,
    /// Anonymous tokens for others, by origin.
    pub(super) guests: BTreeMap<String, HeaderValue>,
    /// Counts answers to challenges.
    generation: u64,
}

/// Whom a challenge is answered for.
#[derive(Clone, Copy)]
pub(super) struct Asking<'a> {
    pub(super) location: &'a Location,
    pub(super) settings: &'a RegistrySettings,
    pub(super) transport: &'a Transport,
    /// The registry's own URL.
    pub(super) registry: &'a Url,
    /// What is done with the repository: `pull` or `pull,push`.
    pub(super) actions: &'a str,
}

impl Authentication {
    /// What to send.
    pub(super) async fn current(&self) -> Pass {
        self.state.lock().await.current.clone()
    }

    /// Answers the challenge that `refused` met, unless another request has done so meanwhile.
    pub(super) async fn renew(
        &self,
        refused: &Pass,
        response: &Response,
        asking: Asking<'_>,
    ) -> Result<(), Failure> {
        let mut state = self.state.lock().await;
        if state.current.generation != refused.generation {
            return Ok(());
        }
        let (asker, headers) = (response.url(), response.headers());
        let nearest = asking.transport.scope_of(asking.registry);
        let challenge = Challenge::of(headers, asker, nearest)?;
        if asker.origin() == asking.registry.origin() {
            state.answer(challenge, asking).await?;
        } else {
            state.answer_guest(challenge, asker, asking).await?;
        }
        state.current.generation += 1;
        Ok(())
    }

    /// Whether there is a credential for the registry. A file that cannot be read holds none here; it is an error where a
    /// registry asks for one.
    pub(super) async fn has_credential(&self, asking: Asking<'_>) -> bool {
        let mut state = self.state.lock().await;
        matches!(state.credential(asking).await, Ok(Some(_)))
    }

    /// Says which files were tried, when the failure is about credentials, and that none were tried, where a registry may
    /// hide what it has.
    pub(super) async fn explain(&self, failure: Failure) -> Failure {
        let state = self.state.lock().await;
        match failure.error.kind() {
            ErrorKind::Unauthorized => state.explain(failure),
            ErrorKind::NotFound if !matches!(state.credential, Some(Some(_))) => Failure {
                error: {
                    let message = format!("{}; no credentials were tried", failure.error);
                    failure.error.with_message(message)
                },
                ..failure
            },
            _ => failure,
        }
    }
}

impl State {
    /// Answers the registry itself.
    async fn answer(
        &mut self,
        challenge: Option<Challenge>,
        asking: Asking<'_>,
    ) -> Result<(), Failure> {
        let Some(challenge) = challenge else {
            let message = "registry wants authentication of no sort that is known";
            return Err(Failure::fatal(Error::new(ErrorKind::Unauthorized, message)));
        };
        let credential = self.credential(asking).await?;
        let authorization = match (challenge, credential) {
            (_, Some(Credential::RegistryToken(token))) => header(&format!("Bearer {token}"))?,
            (Challenge::Basic, Some(Credential::Basic { username, password })) => {
                basic(&username, &password)?
            }
            (Challenge::Basic, _) => {
                let message = format!(
                    "registry wants a user name and a password; {}",
                    self.looked_in()
                );
                return Err(Failure::fatal(Error::new(ErrorKind::Unauthorized, message)));
            }
            (Challenge::Bearer(server), credential) => {
                let token = Order::of(server, asking).token(credential, asking).await;
                bearer(&token.map_err(|failure| self.explain(failure))?)?
            }
        };
        self.current.authorization = Some(authorization);
        Ok(())
    }

    /// Answers a host that a registry has redirected to: it may have an anonymous token, and nothing of the registry's.
    async fn answer_guest(
        &mut self,
        challenge: Option<Challenge>,
        asker: &Url,
        asking: Asking<'_>,
    ) -> Result<(), Failure> {
        let server = host_and_port(asker);
        let Some(Challenge::Bearer(token_server)) = challenge else {
            let message = format!(
                "{server}, where {} redirects to, wants a password, and that of the registry is not sent there",
                asking.location.domain
            );
            let error = Error::new(ErrorKind::Unauthorized, message).with_server(server);
            return Err(Failure::fatal(error));
        };
        let token = Order::of(token_server, asking).token(None, asking).await;
        let token = token.map_err(|failure| Failure {
            error: failure.error.with_server(server),
            ..failure
        })?;
        self.current
            .guests
            .insert(origin_of(asker), bearer(&token)?);
        Ok(())
    }

    async fn credential(&mut self, asking: Asking<'_>) -> Result<Option<Credential>, Error> {
        if let Some(known) = &self.credential {
            return Ok(known.clone());
        }
        let Location {
            domain, repository, ..
        } = asking.location;
        let lookup = credentials::find(&asking.settings.credentials, domain, repository).await?;
        self.tried = lookup.tried;
        self.credential = Some(lookup.credential.clone());
        Ok(lookup.credential)
    }

    /// Says which files were tried, when the failure is about credentials.
    fn explain(&self, failure: Failure) -> Failure {
        if failure.error.kind() != ErrorKind::Unauthorized {
            return failure;
        }
        let message = format!("{}; {}", failure.error, self.looked_in());
        Failure {
            error: failure.error.with_message(message),
            ..failure
        }
    }

    fn looked_in(&self) -> String {
        if self.tried.is_empty() {
            return "no file was looked into for credentials".to_owned();
        }
        let files: Vec<String> = self.tried.iter().map(Tried::to_string).collect();
        format!("credentials were looked for in {}", files.join(", "))
    }
}

/// A token that is asked for.
struct Order {
    realm: Url,
    service: Option<String>,
    /// Separated by spaces.
    scope: String,
}

impl Order {
    /// What a challenge asks for; its scopes, and what is to be done in any case.
    fn of(server: TokenServer, asking: Asking<'_>) -> Self {
        let TokenServer {
            realm,
            service,
            scope,
        } = server;
        let mut scope = scope.unwrap_or_default();
        let own = format!(
            "repository:{}:{}",
            asking.location.repository, asking.actions
        );
        if !scope.split_whitespace().any(|given| covers(given, &own)) {
            scope = format!("{scope} {own}").trim().to_owned();
        }
        Self {
            realm,
            service,
            scope,
        }
    }

    async fn token(
        &self,
        credential: Option<Credential>,
        asking: Asking<'_>,
    ) -> Result<String, Failure> {
        let timeouts = asking.settings.timeouts;
        let server = host_and_port(&self.realm);
        let place = format!("get a token from {server}");
        let request = Request {
            registry: Some(asking.registry.clone()),
            ..self.request(credential)?
        };
        let response = asking.transport.send(request).await;
        let response = response.map_err(|failure| failure.context(&place))?;
        if response.status() != StatusCode::OK {
            let mut failure = problem::classify(response, &place, timeouts).await;
            // Who refuses is the registry that has sent us there.
            if failure.error.kind() == ErrorKind::Unauthorized {
                failure.error = failure.error.without_server();
            }
            return Err(failure);
        }
        let body = read_document(response, TOKEN_LIMIT, "token", timeouts, |bytes| {
            bytes.trim_ascii_start().starts_with(b"{")
        });
        let body = body.await.map_err(|failure| failure.context(&place))?;
        let answer: Value = serde_json::from_slice(&body).unwrap_or_default();
        ["token", "access_token"]
            .into_iter()
            .filter_map(|name| answer.get(name)?.as_str())
            .find(|token| !token.is_empty())
            .map(str::to_owned)
            .ok_or_else(|| {
                let message = format!("{place}: it gave none");
                Failure::fatal(Error::new(ErrorKind::Unauthorized, message))
            })
    }

    fn request(&self, credential: Option<Credential>) -> Result<Request, Error> {
        let service = self.service.clone().unwrap_or_default();
        if let Some(Credential::IdentityToken(refresh_token)) = credential {
            let form = vec![
                ("grant_type", "refresh_token".to_owned()),
                ("service", service),
                ("client_id", CLIENT_ID.to_owned()),
                ("scope", self.scope.clone()),
                ("refresh_token", refresh_token),
            ];
            return Ok(Request {
                method: Method::POST,
                payload: Payload::Form(form),
                ..Request::get(self.realm.clone())
            });
        }
        let mut url = self.realm.clone();
        {
            let mut query = url.query_pairs_mut();
            if !service.is_empty() {
                query.append_pair("service", &service);
            }
            // Several scopes come separated by spaces and go as several parameters.
            for scope in self.scope.split_whitespace() {
                query.append_pair("scope", scope);
            }
            if let Some(Credential::Basic { username, .. }) = &credential {
                query.append_pair("account", username);
                query.append_pair("client_id", CLIENT_ID);
            }
        }
        let authorization = match &credential {
            Some(Credential::Basic { username, password }) => Some(basic(username, password)?),
            _ => None,
        };
        Ok(Request {
            authorization,
            headers: HeaderMap::new(),
            ..Request::get(url)
        })
    }
}

/// Whether a scope allows all that `wanted` asks for.
fn covers(given: &str, wanted: &str) -> bool {
    let parts = |scope: &str| {
        let (name, actions) = scope.rsplit_once(':')?;
        let actions: Vec<String> = actions.split(',').map(str::to_owned).collect();
        Some((name.to_owned(), actions))
    };
    match (parts(given), parts(wanted)) {
        (Some((name, given)), Some((same, wanted))) => {
            name == same
                && wanted
                    .iter()
                    .all(|action| given.iter().any(|given| given == "*" || given == action))
        }
        _ => false,
    }
}

fn bearer(token: &str) -> Result<HeaderValue, Error> {
    header(&format!("Bearer {token}"))
}

fn basic(username: &str, password: &str) -> Result<HeaderValue, Error> {
    header(&format!(
        "Basic {}",
        BASE64.encode(format!("{username}:{password}"))
    ))
}

fn header(text: &str) -> Result<HeaderValue, Error> {
    let mut value = HeaderValue::from_str(text).map_err(|_| {
        Error::new(
            ErrorKind::Unauthorized,
            "token holds characters that no header may",
        )
    })?;
    value.set_sensitive(true);
    Ok(value)
}

#[cfg(test)]
mod tests {
    use super::covers;

    #[test]
    fn a_scope_that_is_wider_is_enough() {
        for (given, enough) in [
            ("repository:a/b:pull", true),
            ("repository:a/b:push,pull", true),
            ("repository:a/b:*", true),
            ("repository:a/b:push", false),
            ("repository:a/c:pull", false),
            ("repository:a/b", false),
            ("registry:catalog:*", false),
            ("", false),
        ] {
            assert_eq!(covers(given, "repository:a/b:pull"), enough, "{given}");
        }
    }
}
