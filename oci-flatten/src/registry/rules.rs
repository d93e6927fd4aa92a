//! Mirrors and other locations, in the words of
//! [containers-registries.conf(5)](https://github.com/containers/image/blob/main/docs/containers-registries.conf.5.md).

use serde::Deserialize;

use crate::error::{Error, ErrorKind, Result};
use crate::reference::{Reference, host_of};

/// The `[[registry]]` tables of a configuration; other keys are ignored.
///
/// `insecure` means plain HTTP here. A TLS certificate that is not to be believed is never accepted: name its
/// authority instead.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct RegistryRules {
    /// The tables.
    pub registry: Vec<RegistryRule>,
}

/// One `[[registry]]` table. The one with the longest matching prefix decides.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default, rename_all = "kebab-case")]
pub struct RegistryRule {
    /// `host[:port][/path][:tag|@digest]` or `*.host`; without it, [`location`](Self::location).
    pub prefix: String,
    /// What takes the prefix's place; without it, nothing is replaced.
    pub location: String,
    /// Whether it is spoken to in plain HTTP.
    pub insecure: bool,
    /// Whether pulling from it is forbidden.
    pub blocked: bool,
    /// Where to look first, in order.
    pub mirror: Vec<Mirror>,
    /// Whether mirrors are for references with a digest only.
    pub mirror_by_digest_only: bool,
}

/// One `[[registry.mirror]]` table.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default, rename_all = "kebab-case")]
pub struct Mirror {
    /// What takes the prefix's place.
    pub location: String,
    /// Whether it is spoken to in plain HTTP.
    pub insecure: bool,
    /// Which references it is for.
    pub pull_from_mirror: PullFromMirror,
}

/// Which references a mirror is for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum PullFromMirror {
    /// All.
    #[default]
    #[serde(alias = "")]
    All,
    /// Those with a digest.
    DigestOnly,
    /// Those without one.
    TagOnly,
}

/// Where a repository is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Location {
    /// The registry's name with its port, as credentials are kept under it.
    pub domain: String,
    /// The repository's path.
    pub repository: String,
    /// Whether it is spoken to in plain HTTP.
    pub plain_http: bool,
}

impl RegistryRules {
    /// Reads `registries.conf`, or any other TOML that holds such tables.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::InvalidInput`] when it is not TOML or a table holds something else than it should.
    pub fn parse(text: &str) -> Result<Self> {
        toml::from_str(text).map_err(|error| {
            Error::new(
                ErrorKind::InvalidInput,
                format!("registry configuration: {}", error.message()),
            )
        })
    }

    /// Where to ask for `reference`, in order: its mirrors, then the registry itself.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Unauthorized`] when a rule forbids it, [`ErrorKind::InvalidInput`] when a location makes no name.
    pub fn locate(&self, reference: &Reference) -> Result<Vec<Location>> {
        let own = Location {
            domain: reference.domain().to_owned(),
            repository: reference.repository().to_owned(),
            plain_http: false,
        };
        let text = reference.to_string();
        let matching = self
            .registry
            .iter()
            .filter_map(|rule| Some((rule.matches(&text)?, rule)));
        let Some((length, rule)) = matching.max_by_key(|(length, _)| *length) else {
            return Ok(vec![own]);
        };
        if rule.blocked {
            let prefix = rule.prefix();
            let message = format!("pulling from {prefix} is blocked by configuration: {text}");
            return Err(Error::new(ErrorKind::Unauthorized, message));
        }
        let name = reference.name();
        let rest = name.get(length..).unwrap_or_default();
        let pinned = reference.digest().is_some();
        let mut locations = Vec::new();
        for mirror in rule
            .mirror
            .iter()
            .filter(|mirror| rule.serves(mirror, pinned))
        {
            locations.push(Location::parse(&mirror.location, rest, mirror.insecure)?);
        }
        let replaced = !rule.location.is_empty() && !rule.prefix.starts_with("*.");
        locations.push(if replaced {
            Location::parse(&rule.location, rest, rule.insecure)?
        } else {
            Location {
                plain_http: rule.insecure,
                ..own
            }
        });
        Ok(locations)
    }
}

impl RegistryRule {
    fn prefix(&self) -> &str {
        if self.prefix.is_empty() {
            &self.location
        } else {
            &self.prefix
        }
    }

    /// The length of what the prefix covers of `reference`, when it covers anything.
    fn matches(&self, reference: &str) -> Option<usize> {
        let prefix = self.prefix();
        if let Some(suffix) = prefix.strip_prefix('*') {
            let domain = reference.split('/').next().unwrap_or(reference);
            let host = host_of(domain);
            return (suffix.starts_with('.')
                && host.ends_with(suffix)
                && host.len() > suffix.len())
            .then_some(domain.len());
        }
        let rest = reference
            .strip_prefix(prefix)
            .filter(|_| !prefix.is_empty())?;
        // A port must not be taken for a tag: a prefix without a slash ends where the host does.
        let boundary = if prefix.contains('/') {
            rest.starts_with(['/', ':', '@'])
        } else {
            rest.starts_with('/')
        };
        (rest.is_empty() || boundary).then_some(prefix.len())
    }

    fn serves(&self, mirror: &Mirror, pinned: bool) -> bool {
        match mirror.pull_from_mirror {
            PullFromMirror::DigestOnly => pinned,
            PullFromMirror::TagOnly => !pinned,
            PullFromMirror::All => pinned || !self.mirror_by_digest_only,
        }
    }
}

impl Location {
    /// `base` with `rest` behind it, checked by the grammar of names.
    fn parse(base: &str, rest: &str, plain_http: bool) -> Result<Self> {
        let text = format!("{}{rest}", base.trim_end_matches('/'));
        let invalid = |why: String| {
            // What stands before an @ may be a password.
            let shown = text
                .rsplit_once('@')
                .map_or(text.as_str(), |(_, host)| host);
            let message = format!("registry location makes no name: {shown}: {why}");
            Error::new(ErrorKind::InvalidInput, message)
        };
        // Without a host the grammar would fill in Docker Hub.
        let (domain, _) = text
            .split_once('/')
            .ok_or_else(|| invalid("no host".to_owned()))?;
        let reference = Reference::parse(&text).map_err(|error| invalid(error.to_string()))?;
        if !text.starts_with(reference.domain()) && domain != "index.docker.io" {
            return Err(invalid("no host".to_owned()));
        }
        Ok(Self {
            domain: reference.domain().to_owned(),
            repository: reference.repository().to_owned(),
            plain_http,
        })
    }
}
