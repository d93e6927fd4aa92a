//! The error of the upper floor: a kind to branch on, a sentence to read, and the cause.

use std::error::Error as StdError;
use std::fmt;
use std::io;

/// A result whose error is [`Error`].
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What sort of failure it is: all that a caller needs for an exit code or a retry.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ErrorKind {
    /// The image, tag, platform, file or layout is not there.
    NotFound,
    /// The registry refused the credentials, or wants some.
    Unauthorized,
    /// The network or the registry failed, after all retries.
    Network,
    /// Bytes differ from what their digest or size promised.
    Integrity,
    /// Bytes do not form what they should: a tar, a compressed stream, a document.
    Malformed,
    /// A limit of [`Limits`](crate::limits::Limits) was passed.
    LimitExceeded,
    /// Well-formed, but of a sort that is not flattened: encrypted, schema 1, an artifact.
    Unsupported,
    /// The disk is full.
    NoSpace,
    /// The operating system failed a read or a write.
    Io,
    /// The caller's own input does not parse: a source name, a platform, a digest.
    InvalidInput,
    /// The caller's token was cancelled.
    Cancelled,
    /// The caller's [`ContentSink`](crate::apply::ContentSink) failed; its error is the cause.
    Sink,
}

/// A failure of the upper floor.
///
/// Displays as a lowercase fragment that fits "failed to …" and names the path, the number and the
/// limit; causes are reached through [`source`](StdError::source).
pub struct Error {
    // Boxed, so that a `Result` stays two words wide.
    inner: Box<Inner>,
}

struct Inner {
    kind: ErrorKind,
    message: String,
    server: Option<Box<str>>,
    source: Option<Box<dyn StdError + Send + Sync>>,
}

impl Error {
    /// An error without a cause.
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        let message = message.into();
        Self {
            inner: Box::new(Inner {
                kind,
                message,
                server: None,
                source: None,
            }),
        }
    }

    /// An operating-system error met while doing what `message` says.
    ///
    /// An `Error` that travelled through an [`io::Error`] (every blob is an `AsyncRead`) comes out
    /// with its own kind and message, `message` put before it. A missing file is
    /// [`ErrorKind::NotFound`], a full disk or quota [`ErrorKind::NoSpace`], the rest
    /// [`ErrorKind::Io`].
    pub fn io(message: impl Into<String>, error: io::Error) -> Self {
        let message = message.into();
        match error.downcast::<Self>() {
            Ok(inner) => inner.context(message),
            Err(error) => {
                let kind = match error.kind() {
                    io::ErrorKind::NotFound => ErrorKind::NotFound,
                    io::ErrorKind::StorageFull
                    | io::ErrorKind::QuotaExceeded
                    | io::ErrorKind::FileTooLarge => ErrorKind::NoSpace,
                    _ => ErrorKind::Io,
                };
                Self::new(kind, message).with_source(error)
            }
        }
    }

    /// The cancellation error.
    #[must_use]
    pub fn cancelled() -> Self {
        Self::new(ErrorKind::Cancelled, "cancelled")
    }

    /// The same error with a cause.
    #[must_use]
    pub fn with_source(mut self, source: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        self.inner.source = Some(source.into());
        self
    }

    /// The same error with `place` and a colon before its message: where it was met.
    #[must_use]
    pub fn context(mut self, place: impl fmt::Display) -> Self {
        self.inner.message = format!("{place}: {}", self.inner.message);
        self
    }

    /// The same error with the server (`HOST[:PORT]`) that gave it. One that is there already stays: it was nearer.
    #[must_use]
    pub fn with_server(mut self, server: impl Into<Box<str>>) -> Self {
        self.inner.server.get_or_insert(server.into());
        self
    }

    /// The server (`HOST[:PORT]`) that refused or failed, where one did: a registry, a mirror, a host that one of them has
    /// redirected to.
    #[must_use]
    pub fn server(&self) -> Option<&str> {
        self.inner.server.as_deref()
    }

    /// The same error without a server.
    #[cfg(feature = "registry")]
    #[must_use]
    pub(crate) fn without_server(mut self) -> Self {
        self.inner.server = None;
        self
    }

    /// The same error in other words.
    #[cfg(feature = "registry")]
    #[must_use]
    pub(crate) fn with_message(mut self, message: String) -> Self {
        self.inner.message = message;
        self
    }

    /// What sort of failure it is.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        self.inner.kind
    }

    /// The sentence, without its causes.
    #[must_use]
    pub fn message(&self) -> &str {
        &self.inner.message
    }

    /// The cause as its own type, such as the error of the caller's sink.
    #[must_use]
    pub fn into_source(self) -> Option<Box<dyn StdError + Send + Sync>> {
        self.inner.source
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.inner.message)
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Error")
            .field("kind", &self.inner.kind)
            .field("message", &self.inner.message)
            .field("server", &self.inner.server)
            .field("source", &self.inner.source)
            .finish()
    }
}

impl StdError for Error {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.inner
            .source
            .as_deref()
            .map(|source| source as &(dyn StdError + 'static))
    }
}

/// For streams: the error comes back out of [`Error::io`] with kind and message kept.
impl From<Error> for io::Error {
    fn from(error: Error) -> Self {
        let kind = match error.kind() {
            ErrorKind::NotFound => io::ErrorKind::NotFound,
            ErrorKind::NoSpace => io::ErrorKind::StorageFull,
            ErrorKind::Integrity | ErrorKind::Malformed => io::ErrorKind::InvalidData,
            ErrorKind::InvalidInput => io::ErrorKind::InvalidInput,
            _ => io::ErrorKind::Other,
        };
        Self::new(kind, error)
    }
}

/// Enough of a string from outside to recognise it by, escaped so that a terminal takes no order from it.
pub(crate) fn excerpt(text: &str) -> String {
    const SHOWN: usize = 140;
    let mut shown: String = text
        .chars()
        .take(SHOWN)
        .flat_map(char::escape_debug)
        .collect();
    if text.chars().nth(SHOWN).is_some() {
        shown.push('…');
    }
    shown
}

/// The excerpts of several strings, and not of too many.
pub(crate) fn excerpts<T: AsRef<str>>(texts: impl IntoIterator<Item = T>) -> String {
    const LISTED: usize = 40;
    let mut texts = texts.into_iter();
    let mut list: Vec<_> = texts
        .by_ref()
        .take(LISTED)
        .map(|text| excerpt(text.as_ref()))
        .collect();
    if texts.next().is_some() {
        list.push("…".into());
    }
    list.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn survives_a_trip_through_io() {
        let error = Error::new(ErrorKind::Network, "connection reset after 12 bytes");
        let back = Error::io("layer 1 of 2", io::Error::from(error));
        assert_eq!(back.kind(), ErrorKind::Network);
        assert_eq!(
            back.to_string(),
            "layer 1 of 2: connection reset after 12 bytes"
        );
    }

    #[test]
    fn classifies_operating_system_errors() {
        for (io_kind, kind) in [
            (io::ErrorKind::NotFound, ErrorKind::NotFound),
            (io::ErrorKind::StorageFull, ErrorKind::NoSpace),
            (io::ErrorKind::QuotaExceeded, ErrorKind::NoSpace),
            (io::ErrorKind::PermissionDenied, ErrorKind::Io),
        ] {
            let error = Error::io("open x", io::Error::from(io_kind));
            assert_eq!(error.kind(), kind);
            assert!(error.source().is_some());
        }
    }

    #[test]
    fn shows_strings_from_outside_escaped_and_short() {
        assert_eq!(excerpt("v1\u{1b}[2J\n"), "v1\\u{1b}[2J\\n");
        assert_eq!(excerpt(&"x".repeat(1000)).chars().count(), 141);
        assert_eq!(excerpts(["a", "b"]), "a, b");
        assert_eq!(excerpts(vec!["a"; 41]).matches('a').count(), 40);
        assert!(excerpts(vec!["a"; 41]).ends_with(", …"));
    }
}
