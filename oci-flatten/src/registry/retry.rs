//! Trying again: what, when, how often.

use std::collections::hash_map::RandomState;
use std::error::Error as StdError;
use std::hash::BuildHasher as _;
use std::io;
use std::time::Duration;

use http::header::{DATE, RETRY_AFTER};
use http::{HeaderMap, StatusCode};
use jiff::fmt::rfc2822;
use rustls::CertificateError;

use super::address::LookupError;
use super::settings::Retries;
use crate::error::{Error, ErrorKind};

/// A failed request, and whether the same one may succeed later.
#[derive(Debug)]
pub(super) struct Failure {
    pub(super) error: Error,
    pub(super) remedy: Remedy,
    /// What a server has answered, where it is an answer.
    pub(super) status: Option<StatusCode>,
}

/// What may help.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Remedy {
    /// Nothing.
    None,
    /// Time, by our own measure.
    Wait,
    /// Time, by the server's measure.
    WaitFor(Duration),
}

impl Failure {
    pub(super) fn fatal(error: Error) -> Self {
        Self {
            error,
            remedy: Remedy::None,
            status: None,
        }
    }

    pub(super) fn transient(error: Error) -> Self {
        Self {
            error,
            remedy: Remedy::Wait,
            status: None,
        }
    }

    pub(super) fn context(self, place: impl std::fmt::Display) -> Self {
        Self {
            error: self.error.context(place),
            ..self
        }
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self::fatal(error)
    }
}

/// Counts tries without progress.
#[derive(Debug)]
pub(super) struct Backoff {
    retries: Retries,
    attempt: u32,
}

impl Backoff {
    pub(super) fn new(retries: Retries) -> Self {
        Self {
            retries,
            attempt: 1,
        }
    }

    /// Starts counting anew, after progress.
    pub(super) fn reset(&mut self) {
        self.attempt = 1;
    }

    /// The number of the coming try and the wait before it, or the error when there is to be none.
    pub(super) fn next(&mut self, failure: Failure) -> Result<(u32, Duration, Error), Error> {
        let Failure { error, remedy, .. } = failure;
        let own = self
            .retries
            .first_wait
            .saturating_mul(1 << (self.attempt - 1).min(16));
        let own = jittered(own.min(self.retries.longest_wait));
        let wait = match remedy {
            Remedy::None => return Err(error),
            Remedy::Wait => own,
            Remedy::WaitFor(requested) if requested > self.retries.longest_requested => {
                let (asked, limit) = (
                    requested.as_secs(),
                    self.retries.longest_requested.as_secs(),
                );
                let message =
                    format!("{error}; the registry asks to wait {asked} s (limit {limit} s)");
                return Err(error.with_message(message));
            }
            Remedy::WaitFor(requested) => requested.max(own),
        };
        if self.attempt >= self.retries.attempts {
            let attempts = self.attempt;
            let message = match attempts {
                1 => error.to_string(),
                _ => format!("{error} (after {attempts} attempts)"),
            };
            return Err(error.with_message(message));
        }
        self.attempt += 1;
        Ok((self.attempt, wait, error))
    }
}

/// Between half of `wait` and all of it.
fn jittered(wait: Duration) -> Duration {
    // The only source of randomness in the standard library; nothing but this wait depends on it.
    let random = RandomState::new().hash_one(0_u8) % 1000;
    wait / 2 + wait.mul_f64(random as f64 / 2000.0)
}

/// What `Retry-After` asks for; a date counts from the response's own `Date`, so no clock is needed.
pub(super) fn requested_wait(headers: &HeaderMap) -> Option<Duration> {
    let text = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    if let Ok(seconds) = text.parse() {
        return Some(Duration::from_secs(seconds));
    }
    let moment = |text: &str| {
        Some(
            rfc2822::DateTimeParser::new()
                .parse_timestamp(text)
                .ok()?
                .as_second(),
        )
    };
    let now = moment(headers.get(DATE)?.to_str().ok()?)?;
    let seconds = moment(text)?.saturating_sub(now).max(0);
    Some(Duration::from_secs(seconds.unsigned_abs()))
}

/// The failure of a request that got no answer. `is_known` says whether the server has answered before: one that refuses
/// the first connection, or that nobody knows, is a mistake, and one that does so later is being restarted.
pub(super) fn from_request(error: reqwest::Error, doing: &str, is_known: bool) -> Failure {
    let permanent = is_permanent(&error) || (!is_known && is_nobody_there(&error));
    failure(error, doing, permanent)
}

/// The failure that a body meets on its way.
pub(super) fn from_body(error: reqwest::Error, doing: &str) -> Failure {
    failure(error, doing, false)
}

fn failure(error: reqwest::Error, doing: &str, permanent: bool) -> Failure {
    let why = if error.is_timeout() {
        ": timed out"
    } else {
        ""
    };
    // The URL may carry a signed query; hosts are named by the caller.
    let error = error.without_url();
    let error = match find_tls_error(&error) {
        Some(cause) => {
            Error::new(ErrorKind::Network, format!("{doing}{why}")).with_source(cause.clone())
        }
        None => {
            let cause = innermost(&error);
            Error::new(ErrorKind::Network, format!("{doing}{why}: {cause}"))
        }
    };
    match permanent {
        true => Failure::fatal(error),
        false => Failure::transient(error),
    }
}

/// Why a server's TLS certificate is not accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum CertificateProblem {
    /// No trusted authority has signed it.
    UnknownIssuer,
    /// Its time has passed.
    Expired,
    /// Its time has not come.
    NotYetValid,
    /// It is for other names.
    WrongName,
    /// Anything else.
    Other,
}

impl CertificateProblem {
    /// The problem that `error` is, or comes from; `None` when it is about something else.
    #[must_use]
    pub fn of(error: &(dyn StdError + 'static)) -> Option<Self> {
        let Some(rustls::Error::InvalidCertificate(why)) = find_tls_error(error) else {
            return None;
        };
        Some(match why {
            CertificateError::UnknownIssuer => Self::UnknownIssuer,
            CertificateError::Expired | CertificateError::ExpiredContext { .. } => Self::Expired,
            CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
                Self::NotYetValid
            }
            CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
                Self::WrongName
            }
            _ => Self::Other,
        })
    }
}

/// The last cause says most: "connection refused", "invalid peer certificate: UnknownIssuer".
fn innermost(error: &(dyn StdError + 'static)) -> String {
    causes(error)
        .last()
        .map(ToString::to_string)
        .unwrap_or_default()
}

/// A certificate that one side does not believe, an address that may not be used, or a request that cannot be built, stays
/// wrong.
fn is_permanent(error: &reqwest::Error) -> bool {
    let refused = |error: &rustls::Error| {
        matches!(
            error,
            rustls::Error::InvalidCertificate(_) | rustls::Error::AlertReceived(_)
        )
    };
    let forbidden = |error| matches!(error, &LookupError::Internal { .. });
    error.is_builder()
        || find_tls_error(error).is_some_and(refused)
        || find::<LookupError>(error).is_some_and(forbidden)
}

/// Whether no server was found at all.
fn is_nobody_there(error: &reqwest::Error) -> bool {
    find::<LookupError>(error).is_some()
        || causes(error)
            .filter_map(|cause| cause.downcast_ref::<io::Error>())
            .any(|cause| cause.kind() == io::ErrorKind::ConnectionRefused)
}

/// Whether the handshake failed because the other side does not speak TLS.
pub(super) fn is_not_tls(error: &reqwest::Error) -> bool {
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

/// The cause of a type, wherever it hides in the chain.
fn find<'e, T: StdError + 'static>(error: &'e (dyn StdError + 'static)) -> Option<&'e T> {
    causes(error).find_map(|cause| cause.downcast_ref())
}

/// The TLS library's error, wherever it hides in the chain.
pub(super) fn find_tls_error<'e>(error: &'e (dyn StdError + 'static)) -> Option<&'e rustls::Error> {
    find(error)
}

/// An error and all that led to it. What an `io::Error` carries is not its source but stands in its place, so that the
/// ordinary chain misses it.
fn causes<'e>(
    error: &'e (dyn StdError + 'static),
) -> impl Iterator<Item = &'e (dyn StdError + 'static)> {
    std::iter::successors(Some(error), |&error| {
        match error
            .downcast_ref::<io::Error>()
            .and_then(io::Error::get_ref)
        {
            Some(payload) => Some(payload),
            None => error.source(),
        }
    })
}
