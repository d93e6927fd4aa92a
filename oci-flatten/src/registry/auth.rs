//! Answers to challenges: credentials are traded for a token, which is kept until the registry refuses it.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use http::{HeaderMap, HeaderValue, Method, StatusCode};
use reqwest::{Response, Url};
use serde::Deserialize;

use super::challenge::Challenge;
use super::problem;
use super::retry::Failure;
use super::rules::Location;
use super::transport::{Request, Transport, host_and_port, read_body};
use crate::credentials::{self, Credential, CredentialPlaces, Tried};
use crate::error::{Error, ErrorKind};

/// Most of a token server's answer that is read, in bytes.
const TOKEN_LIMIT: u64 = 1 << 20;
/// Our name at token servers.
const CLIENT_ID: &str = "banger";

/// What is shown to one repository of one registry.
#[derive(Debug, Default)]
pub(super) struct Authentication {
    state: tokio::sync::Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    current: Pass,
    /// Looked up at the first challenge: most pulls are anonymous.
    credential: Option<Option<Credential>>,
    tried: Vec<Tried>,
}

/// The `Authorization` to send, and which one it is.
#[derive(Clone, Debug, Default)]
pub(super) struct Pass {
    pub(super) authorization: Option<HeaderValue>,
    /// Counts answers to challenges.
    generation: u64,
}

#[derive(Deserialize)]
struct TokenAnswer {
    #[serde(default)]
    token: String,
    #[serde(default)]
    access_token: String,
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
        location: &Location,
        places: &CredentialPlaces,
        transport: &Transport,
    ) -> Result<(), Failure> {
        let mut state = self.state.lock().await;
        if state.current.generation != refused.generation {
            return Ok(());
        }
        let Some(challenge) = Challenge::of(response.headers(), response.url())? else {
            let message = "registry wants authentication of no sort that is known";
            return Err(Failure::fatal(Error::new(ErrorKind::Unauthorized, message)));
        };
        let credential = state.credential(location, places).await?;
        let authorization = match (challenge, credential) {
            (_, Some(Credential::RegistryToken(token))) => header(&format!("Bearer {token}"))?,
            (Challenge::Basic, Some(Credential::Basic { username, password })) => {
                basic(&username, &password)?
            }
            (Challenge::Basic, _) => {
                let message = format!(
                    "registry wants a user name and a password; {}",
                    state.looked_in()
                );
                return Err(Failure::fatal(Error::new(ErrorKind::Unauthorized, message)));
            }
            (
                Challenge::Bearer {
                    realm,
                    service,
                    scope,
                },
                credential,
            ) => {
                let scope =
                    scope.unwrap_or_else(|| format!("repository:{}:pull", location.repository));
                let order = Order {
                    realm,
                    service,
                    scope,
                };
                let token = order.token(credential, transport).await;
                header(&format!(
                    "Bearer {}",
                    token.map_err(|failure| state.explain(failure))?
                ))?
            }
        };
        let generation = state.current.generation + 1;
        state.current = Pass {
            authorization: Some(authorization),
            generation,
        };
        Ok(())
    }

    /// The error for a request that is refused with a pass that was made for it.
    pub(super) async fn explain(&self, failure: Failure) -> Failure {
        self.state.lock().await.explain(failure)
    }
}

impl State {
    async fn credential(
        &mut self,
        location: &Location,
        places: &CredentialPlaces,
    ) -> Result<Option<Credential>, Error> {
        if let Some(known) = &self.credential {
            return Ok(known.clone());
        }
        let lookup = credentials::find(places, &location.domain, &location.repository).await?;
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
            error: Error::new(ErrorKind::Unauthorized, message),
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
    scope: String,
}

impl Order {
    async fn token(
        &self,
        credential: Option<Credential>,
        transport: &Transport,
    ) -> Result<String, Failure> {
        let server = host_and_port(&self.realm);
        let place = format!("get a token from {server}");
        let response = transport
            .send(self.request(credential)?)
            .await
            .map_err(|failure| failure.context(&place))?;
        let status = response.status();
        if status != StatusCode::OK {
            return Err(problem::classify(response, &place).await);
        }
        let body = read_body(response, TOKEN_LIMIT, "token").await?;
        let useless = || {
            Failure::fatal(Error::new(
                ErrorKind::Unauthorized,
                format!("{place}: it gave none"),
            ))
        };
        let answer: TokenAnswer = serde_json::from_slice(&body).map_err(|_| useless())?;
        [answer.token, answer.access_token]
            .into_iter()
            .find(|token| !token.is_empty())
            .ok_or_else(useless)
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
                form: Some(form),
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
