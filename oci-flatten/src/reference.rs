//! Image references: `[HOST[:PORT]/]PATH[:TAG][@DIGEST]`.
//!
//! The grammar and the defaults are those of the
//! [distribution reference library](https://pkg.go.dev/github.com/distribution/reference), which Docker,
//! containerd and Podman share: a bare name is `docker.io/library/NAME`, a first component is a host when it
//! is `localhost`, holds a `.` or a `:`, or has a capital letter, and no tag and no digest means `latest`.

use std::fmt;
use std::str::FromStr;

use thiserror::Error;

use crate::digest::Digest;

/// The host that a bare name belongs to.
const DEFAULT_DOMAIN: &str = "docker.io";
/// The old name of [`DEFAULT_DOMAIN`]; still what credential stores use.
const LEGACY_DEFAULT_DOMAIN: &str = "index.docker.io";
/// Where the default domain's registry API is served.
const DEFAULT_DOMAIN_REGISTRY: &str = "registry-1.docker.io";
/// Prefix of one-component names on the default domain.
const OFFICIAL_PREFIX: &str = "library/";
/// The tag meant when neither tag nor digest is given.
const DEFAULT_TAG: &str = "latest";
/// Longest repository path, in bytes.
const PATH_LIMIT: usize = 255;
/// Longest tag, in bytes.
const TAG_LIMIT: usize = 128;

/// A validated, normalised image reference.
///
/// ```
/// use oci_flatten::reference::Reference;
///
/// let reference: Reference = "debian:bookworm".parse()?;
/// assert_eq!(reference.to_string(), "docker.io/library/debian:bookworm");
/// # Ok::<(), oci_flatten::reference::ReferenceError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Reference {
    domain: String,
    path: String,
    tag: Option<String>,
    digest: Option<Digest>,
}

impl Reference {
    /// Parses what a user typed.
    ///
    /// # Errors
    ///
    /// [`ReferenceError`] names the rule of the grammar that the text breaks.
    pub fn parse(text: &str) -> Result<Self, ReferenceError> {
        if text.is_empty() {
            return Err(ReferenceError::Empty);
        }
        if is_identifier(text) {
            return Err(ReferenceError::BareIdentifier);
        }
        if let Some((scheme, _)) = text.split_once("://") {
            return Err(ReferenceError::Scheme(scheme.to_owned()));
        }
        let host = text.split_once('/').map(|(host, _)| host);
        if host.is_some_and(|host| host.contains('@')) {
            return Err(ReferenceError::Credentials);
        }
        let (domain, remainder) = split_domain(text);
        let (name_and_tag, digest) = match remainder.split_once('@') {
            Some((front, digest)) => (front, Some(parse_digest(digest)?)),
            None => (remainder.as_str(), None),
        };
        let (path, tag) = match name_and_tag.split_once(':') {
            Some((path, tag)) => (path, Some(check_tag(tag)?)),
            None => (name_and_tag, None),
        };
        check_domain(&domain)?;
        check_path(path)?;
        let tag = match (tag, &digest) {
            (None, None) => Some(DEFAULT_TAG.to_owned()),
            (tag, _) => tag,
        };
        Ok(Self {
            path: path.to_owned(),
            domain,
            tag,
            digest,
        })
    }

    /// The registry's name as a user writes it, with its port: `docker.io`, `[::1]:5000`.
    #[must_use]
    pub fn domain(&self) -> &str {
        &self.domain
    }

    /// The host and port that serve this domain's registry API.
    #[must_use]
    pub fn registry(&self) -> &str {
        if self.domain == DEFAULT_DOMAIN {
            DEFAULT_DOMAIN_REGISTRY
        } else {
            &self.domain
        }
    }

    /// The repository's path within its registry: `library/debian`.
    #[must_use]
    pub fn repository(&self) -> &str {
        &self.path
    }

    /// The tag; `latest` when neither tag nor digest was given, absent when only a digest was.
    #[must_use]
    pub fn tag(&self) -> Option<&str> {
        self.tag.as_deref()
    }

    /// The digest, when one was given. It decides what is fetched, whatever the tag says.
    #[must_use]
    pub fn digest(&self) -> Option<&Digest> {
        self.digest.as_ref()
    }

    /// The repository with its domain, without tag and digest: `docker.io/library/debian`.
    #[must_use]
    pub fn name(&self) -> String {
        format!("{}/{}", self.domain, self.path)
    }

    /// The shortest text that parses to this reference: `debian:bookworm`.
    #[must_use]
    pub fn familiar(&self) -> String {
        let short = self
            .path
            .strip_prefix(OFFICIAL_PREFIX)
            .unwrap_or(&self.path);
        let candidates = [short.to_owned(), self.path.clone()];
        let name = candidates
            .into_iter()
            .find(|name| split_domain(name) == (self.domain.clone(), self.path.clone()))
            .unwrap_or_else(|| self.name());
        self.with_suffixes(name)
    }

    fn with_suffixes(&self, mut name: String) -> String {
        if let Some(tag) = &self.tag {
            name.push(':');
            name.push_str(tag);
        }
        if let Some(digest) = &self.digest {
            name.push('@');
            name.push_str(&digest.to_string());
        }
        name
    }
}

impl fmt::Display for Reference {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.with_suffixes(self.name()))
    }
}

impl FromStr for Reference {
    type Err = ReferenceError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::parse(text)
    }
}

/// Why a text is not an image reference.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum ReferenceError {
    /// Nothing was given.
    #[error("reference is empty")]
    Empty,
    /// 64 hexadecimal digits are an image id to Docker, never a name.
    #[error("reference is 64 hexadecimal digits, which name an image id and not a repository")]
    BareIdentifier,
    /// It is a URL.
    #[error("reference is a URL: leave {0}:// out")]
    Scheme(String),
    /// There is a user name, and perhaps a password, before the host. They are not repeated.
    #[error("reference holds a user name or password, which belong in a file of credentials")]
    Credentials,
    /// The host breaks the grammar.
    #[error("registry host is not valid: {0:?}")]
    Domain(String),
    /// The port is not a number.
    #[error("registry port is not a number from 1 to 65535: {0:?}")]
    Port(String),
    /// The repository path has a capital letter.
    #[error("repository name must be lowercase: {0:?}")]
    Uppercase(String),
    /// The repository path breaks the grammar.
    #[error("repository name is not valid: {0:?}")]
    Path(String),
    /// The repository path is too long.
    #[error("repository name is {length} bytes (limit {PATH_LIMIT})")]
    PathTooLong {
        /// Its length in bytes.
        length: usize,
    },
    /// The tag breaks the grammar.
    #[error("tag is not valid: {0:?}")]
    Tag(String),
    /// The tag is too long.
    #[error("tag is {length} bytes (limit {TAG_LIMIT})")]
    TagTooLong {
        /// Its length in bytes.
        length: usize,
    },
    /// The digest is malformed or of an algorithm that is not supported.
    #[error("{0}")]
    Digest(String),
}

/// Whether the host of `domain` (`HOST` or `HOST:PORT`) can only be this machine.
///
/// Such registries are spoken to in plain HTTP unless they are configured otherwise, as Docker does.
#[must_use]
pub fn is_loopback(domain: &str) -> bool {
    let host = host_of(domain);
    if let Some(address) = host
        .strip_prefix('[')
        .and_then(|rest| rest.strip_suffix(']'))
    {
        return address
            .parse()
            .is_ok_and(|address: std::net::Ipv6Addr| address.is_loopback());
    }
    host.eq_ignore_ascii_case("localhost")
        || host
            .parse()
            .is_ok_and(|address: std::net::Ipv4Addr| address.is_loopback())
}

/// `HOST:PORT` without its port; an IPv6 address keeps its brackets.
pub(crate) fn host_of(domain: &str) -> &str {
    match domain.rsplit_once(':') {
        Some((host, port)) if !port.contains(']') => host,
        _ => domain,
    }
}

fn is_identifier(text: &str) -> bool {
    text.len() == 64
        && text
            .bytes()
            .all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

fn split_domain(text: &str) -> (String, String) {
    let (domain, remainder) = match text.split_once('/') {
        Some((LEGACY_DEFAULT_DOMAIN | DEFAULT_DOMAIN, rest)) => (DEFAULT_DOMAIN, rest),
        Some((first, rest))
            if first == "localhost"
                || first.contains(['.', ':'])
                || first.bytes().any(|byte| byte.is_ascii_uppercase()) =>
        {
            (first, rest)
        }
        _ => (DEFAULT_DOMAIN, text),
    };
    let official = domain == DEFAULT_DOMAIN && !remainder.contains('/');
    let prefix = if official { OFFICIAL_PREFIX } else { "" };
    (domain.to_owned(), format!("{prefix}{remainder}"))
}

fn check_domain(domain: &str) -> Result<(), ReferenceError> {
    let host = host_of(domain);
    if let Some(port) = domain[host.len()..].strip_prefix(':') {
        let digits = port.bytes().all(|byte| byte.is_ascii_digit());
        if !digits || !port.parse::<u16>().is_ok_and(|port| port > 0) {
            return Err(ReferenceError::Port(port.to_owned()));
        }
    }
    let valid = match host
        .strip_prefix('[')
        .and_then(|rest| rest.strip_suffix(']'))
    {
        Some(address) => address.parse::<std::net::Ipv6Addr>().is_ok(),
        None => host.split('.').all(is_domain_component),
    };
    if valid {
        Ok(())
    } else {
        Err(ReferenceError::Domain(domain.to_owned()))
    }
}

fn is_domain_component(component: &str) -> bool {
    !component.is_empty()
        && component
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
        && !component.starts_with('-')
        && !component.ends_with('-')
}

fn check_path(path: &str) -> Result<(), ReferenceError> {
    if path.bytes().any(|byte| byte.is_ascii_uppercase()) {
        return Err(ReferenceError::Uppercase(path.to_owned()));
    }
    if path.len() > PATH_LIMIT {
        return Err(ReferenceError::PathTooLong { length: path.len() });
    }
    if path.split('/').all(is_path_component) {
        Ok(())
    } else {
        Err(ReferenceError::Path(path.to_owned()))
    }
}

/// Runs of `[a-z0-9]`, joined by one `.`, one or two `_`, or any number of `-`.
fn is_path_component(component: &str) -> bool {
    let is_word = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let bytes = component.as_bytes();
    if !bytes.first().copied().is_some_and(is_word) || !bytes.last().copied().is_some_and(is_word) {
        return false;
    }
    bytes
        .split(|byte| is_word(*byte))
        .filter(|separator| !separator.is_empty())
        .all(|separator| {
            matches!(separator, b"." | b"_" | b"__") || separator.iter().all(|byte| *byte == b'-')
        })
}

fn check_tag(tag: &str) -> Result<String, ReferenceError> {
    if tag.len() > TAG_LIMIT {
        return Err(ReferenceError::TagTooLong { length: tag.len() });
    }
    let is_word = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    let valid = tag.bytes().next().is_some_and(is_word)
        && tag
            .bytes()
            .all(|byte| is_word(byte) || matches!(byte, b'.' | b'-'));
    if valid {
        Ok(tag.to_owned())
    } else {
        Err(ReferenceError::Tag(tag.to_owned()))
    }
}

fn parse_digest(text: &str) -> Result<Digest, ReferenceError> {
    text.parse()
        .map_err(|error: crate::error::Error| ReferenceError::Digest(error.to_string()))
}
