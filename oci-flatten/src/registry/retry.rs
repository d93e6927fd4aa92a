//! Trying again: what, when, how often.

use std::collections::hash_map::RandomState;
use std::error::Error as StdError;
use std::hash::BuildHasher as _;
use std::io;
use std::time::Duration;

use http::HeaderMap;
use http::header::{DATE, RETRY_AFTER};
use jiff::fmt::rfc2822;

use super::settings::Retries;
use crate::error::{Error, ErrorKind};

/// A failed request, and whether the same one may succeed later.
#[derive(Debug)]
pub(super) struct Failure {
    pub(super) error: Error,
    pub(super) remedy: Remedy,
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
        }
    }

    pub(super) fn transient(error: Error) -> Self {
        Self {
            error,
            remedy: Remedy::Wait,
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
        let Failure { error, remedy } = failure;
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
                return Err(Error::new(error.kind(), message));
            }
            Remedy::WaitFor(requested) => requested.max(own),
        };
        if self.attempt >= self.retries.attempts {
            let attempts = self.attempt;
            let message = match attempts {
                1 => error.to_string(),
                _ => format!("{error} (after {attempts} attempts)"),
            };
            let kind = error.kind();
            let cause = error.into_source();
            let error = Error::new(kind, message);
            return Err(match cause {
                Some(cause) => error.with_source(cause),
                None => error,
            });
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

/// The failure that a connection or a body meets.
pub(super) fn from_transport(error: reqwest::Error, doing: &str) -> Failure {
    let remedy = if is_permanent(&error) {
        Remedy::None
    } else {
        Remedy::Wait
    };
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
    Failure { error, remedy }
}

/// Whether `error` is, or comes from, a server whose TLS certificate is not believed.
#[must_use]
pub fn is_untrusted_certificate(error: &(dyn StdError + 'static)) -> bool {
    matches!(
        find_tls_error(error),
        Some(rustls::Error::InvalidCertificate(_))
    )
}

/// The last cause says most: "connection refused", "invalid peer certificate: UnknownIssuer".
fn innermost(error: &(dyn StdError + 'static)) -> String {
    causes(error)
        .last()
        .map(ToString::to_string)
        .unwrap_or_default()
}

/// A certificate that one side does not believe, or a request that cannot be built, stays wrong.
fn is_permanent(error: &reqwest::Error) -> bool {
    let refused = |error: &rustls::Error| {
        matches!(
            error,
            rustls::Error::InvalidCertificate(_) | rustls::Error::AlertReceived(_)
        )
    };
    error.is_builder() || find_tls_error(error).is_some_and(refused)
}

/// The TLS library's error, wherever it hides in the chain.
pub(super) fn find_tls_error<'e>(error: &'e (dyn StdError + 'static)) -> Option<&'e rustls::Error> {
    causes(error).find_map(|cause| cause.downcast_ref())
}

/// An error and all that led to it. What an `io::Error` carries is not its source but stands in its place, so that the
/// ordinary chain misses it.
pub(super) fn causes<'e>(
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
