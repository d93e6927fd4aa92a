//! Failures as the user meets them: what failed, why, what to do, and the documented exit code.

use std::error::Error as StdError;
use std::fmt;
use std::io;

use oci_flatten::process_limits;

/// The class of a failure: decides the exit code of the command and the `code` of its JSON form.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Hash)]
pub enum ErrorKind {
    /// Anything that no other kind names.
    Failure,
    /// Arguments that do not fit together.
    Usage,
    /// An image, tag, platform or file that is not there.
    NotFound,
    /// A name or file that exists already, or is in use.
    Exists,
    /// Authentication or permission refused by the registry.
    Unauthorized,
    /// The network failed.
    Network,
    /// A digest, size or `diff_id` that differs, a malformed layer or image, or a limit exceeded.
    Integrity,
    /// The result does not fit: the disk is full or the size asked for is too small.
    NoSpace,
    /// The daemon cannot be reached.
    DaemonUnreachable,
    /// The user interrupted the work; everything half-made is gone.
    Interrupted,
}

impl ErrorKind {
    /// Every kind.
    pub const ALL: [Self; 10] = [
        Self::Failure,
        Self::Usage,
        Self::NotFound,
        Self::Exists,
        Self::Unauthorized,
        Self::Network,
        Self::Integrity,
        Self::NoSpace,
        Self::DaemonUnreachable,
        Self::Interrupted,
    ];

    /// The kind whose [`code`](Self::code) this is.
    #[must_use]
    pub fn from_code(code: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.code() == code)
    }

    /// The exit code of the program.
    #[must_use]
    pub fn exit_code(self) -> u8 {
        match self {
            Self::Failure => 1,
            Self::Usage => 2,
            Self::NotFound => 3,
            Self::Exists => 4,
            Self::Unauthorized => 5,
            Self::Network => 6,
            Self::Integrity => 7,
            Self::NoSpace => 8,
            Self::DaemonUnreachable => 9,
            Self::Interrupted => 130,
        }
    }

    /// What the exit code means, for people.
    #[must_use]
    pub fn meaning(self) -> &'static str {
        match self {
            Self::Failure => "any other failure",
            Self::Usage => "usage: arguments or configuration that are wrong",
            Self::NotFound => "not found: an image, a kernel, a tag, a platform or a file",
            Self::Exists => "exists already, or is in use",
            Self::Unauthorized => "refused by the registry: authentication or permission",
            Self::Network => "the network failed",
            Self::Integrity => "integrity: a digest, a malformed image, or a limit exceeded",
            Self::NoSpace => "does not fit: the disk is full, or the size asked for is too small",
            Self::DaemonUnreachable => "the daemon cannot be reached",
            Self::Interrupted => "interrupted; nothing half-made is left",
        }
    }

    /// The stable word that stands for the kind in JSON.
    #[must_use]
    pub fn code(self) -> &'static str {
        match self {
            Self::Failure => "failure",
            Self::Usage => "usage",
            Self::NotFound => "not-found",
            Self::Exists => "exists",
            Self::Unauthorized => "unauthorized",
            Self::Network => "network",
            Self::Integrity => "integrity",
            Self::NoSpace => "no-space",
            Self::DaemonUnreachable => "daemon-unreachable",
            Self::Interrupted => "interrupted",
        }
    }
}

/// A failure: one line that says what failed, its causes below it, and where possible a hint.
#[derive(Debug)]
pub struct Error {
    kind: ErrorKind,
    message: String,
    hint: Option<String>,
    source: Option<Box<dyn StdError + Send + Sync>>,
}

impl Error {
    /// A failure of `kind`; `message` is a lowercase fragment that names the thing, the number and
    /// the limit.
    #[must_use]
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self {
            kind,
            message: message.into(),
            hint: None,
            source: None,
        }
    }

    /// A failed system call: `message` says what was tried and on which path. A full disk, a missing
    /// file and an existing one get their own kinds; the rest is a [`ErrorKind::Failure`].
    #[must_use]
    pub fn io(message: impl Into<String>, source: io::Error) -> Self {
        let kind = match source.kind() {
            io::ErrorKind::NotFound => ErrorKind::NotFound,
            io::ErrorKind::AlreadyExists => ErrorKind::Exists,
            io::ErrorKind::StorageFull
            | io::ErrorKind::QuotaExceeded
            | io::ErrorKind::FileTooLarge => ErrorKind::NoSpace,
            _ => ErrorKind::Failure,
        };
        Self::new(kind, message).with_source(process_limits::explain(source))
    }

    /// Adds what else is to be known, behind the message.
    #[must_use]
    pub fn with_context(mut self, context: impl AsRef<str>) -> Self {
        self.message = format!("{}; {}", self.message, context.as_ref());
        self
    }

    /// Adds what the user can do about it.
    #[must_use]
    pub fn with_hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// Adds the failure below this one.
    #[must_use]
    pub fn with_source(mut self, source: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        self.source = Some(source.into());
        self
    }

    /// The class of the failure.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        self.kind
    }

    /// What the user can do about it.
    #[must_use]
    pub fn hint(&self) -> Option<&str> {
        self.hint.as_deref()
    }

    /// The failures below this one, nearest first, each as its own line. One that only repeats the
    /// line above it is left out.
    #[must_use]
    pub fn causes(&self) -> Vec<String> {
        let mut lines = Vec::new();
        let mut above = self.message.clone();
        let mut next = self.source();
        while let Some(cause) = next {
            let line = cause.to_string();
            if !above.ends_with(&line) {
                lines.push(line.clone());
            }
            above = line;
            next = cause.source();
        }
        lines
    }
}

impl fmt::Display for Error {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.message)
    }
}

impl StdError for Error {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.source
            .as_ref()
            .map(|source| source.as_ref() as &(dyn StdError + 'static))
    }
}

impl From<oci_flatten::error::Error> for Error {
    fn from(error: oci_flatten::error::Error) -> Self {
        use oci_flatten::error::ErrorKind as Below;
        let kind = match error.kind() {
            Below::NotFound => ErrorKind::NotFound,
            Below::Unauthorized => ErrorKind::Unauthorized,
            Below::Network => ErrorKind::Network,
            Below::Integrity | Below::Malformed | Below::LimitExceeded | Below::Unsupported => {
                ErrorKind::Integrity
            }
            Below::NoSpace => ErrorKind::NoSpace,
            Below::InvalidInput => ErrorKind::Usage,
            Below::Cancelled => ErrorKind::Interrupted,
            _ => ErrorKind::Failure,
        };
        let is_damaged_index = StdError::source(&error)
            .is_some_and(|source| source.is::<oci_flatten::cache::DamagedIndex>());
        if is_damaged_index {
            return Self::new(kind, error.message())
                .with_hint("`banger cache verify` repairs the cache");
        }
        let converted = Self::new(kind, error.message());
        let converted = match error.into_source() {
            Some(source) => match source.downcast::<io::Error>() {
                Ok(source) => converted.with_source(process_limits::explain(*source)),
                Err(source) => converted.with_source(source),
            },
            None => converted,
        };
        match kind {
            // What the library writes is its cache; the size of the filesystem is none of its business.
            ErrorKind::NoSpace => converted.with_hint(
                "free some space, or remove layers that are no longer wanted with `banger cache prune`",
            ),
            _ => converted,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_have_the_documented_exit_codes() {
        let table = [
            (ErrorKind::Failure, 1),
            (ErrorKind::Usage, 2),
            (ErrorKind::NotFound, 3),
            (ErrorKind::Exists, 4),
            (ErrorKind::Unauthorized, 5),
            (ErrorKind::Network, 6),
            (ErrorKind::Integrity, 7),
            (ErrorKind::NoSpace, 8),
            (ErrorKind::DaemonUnreachable, 9),
            (ErrorKind::Interrupted, 130),
        ];
        for (kind, code) in table {
            assert_eq!(kind.exit_code(), code, "{}", kind.code());
        }
    }

    #[test]
    fn a_full_disk_is_no_space() {
        let error = Error::io(
            "write rootfs.ext4",
            io::Error::from(io::ErrorKind::StorageFull),
        );
        assert_eq!(error.kind(), ErrorKind::NoSpace);
    }

    #[test]
    fn a_cause_that_repeats_its_parent_is_left_out() {
        let inner = Error::new(ErrorKind::Failure, "disk on fire");
        let middle = Error::new(ErrorKind::Failure, "write: disk on fire").with_source(inner);
        let outer = Error::new(ErrorKind::Failure, "flatten").with_source(middle);
        assert_eq!(outer.causes(), ["write: disk on fire"]);
    }
}
