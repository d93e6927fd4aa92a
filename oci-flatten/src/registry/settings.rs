//! What a caller decides about registries.

use std::collections::BTreeSet;
use std::fmt;
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use super::rules::RegistryRules;
use crate::credentials::CredentialPlaces;

/// Everything about registries that is not about one image.
#[derive(Clone, Debug)]
pub struct RegistrySettings {
    /// Where credentials are looked for.
    pub credentials: CredentialPlaces,
    /// Whose TLS certificates are believed.
    pub trust: Trust,
    /// Proxies to go through.
    pub proxies: Proxies,
    /// Mirrors, other locations and refusals.
    pub rules: RegistryRules,
    /// Speak plain HTTP to the registry named in the reference. Registries on loopback addresses are spoken to in
    /// plain HTTP in any case when they do not answer to TLS.
    pub plain_http: bool,
    /// Never touch the network: what is not in the cache is an error.
    pub offline: bool,
    /// When the registry is asked what a tag stands for.
    pub pull: PullPolicy,
    /// Blobs that are downloaded at a time.
    pub parallel: NonZeroUsize,
    /// Bounds on silence.
    pub timeouts: Timeouts,
    /// What is tried again, and how often.
    pub retries: Retries,
    /// The `User-Agent` header.
    pub user_agent: String,
    /// Mirrors that turned out to give wrong bytes.
    pub distrusted: DistrustedMirrors,
}

impl Default for RegistrySettings {
    /// Anonymous, no proxy, the system's certificates, four blobs at a time.
    fn default() -> Self {
        Self {
            credentials: CredentialPlaces::none(),
            trust: Trust::default(),
            proxies: Proxies::default(),
            rules: RegistryRules::default(),
            plain_http: false,
            offline: false,
            pull: PullPolicy::default(),
            parallel: NonZeroUsize::new(4).expect("four is not zero"),
            timeouts: Timeouts::default(),
            retries: Retries::default(),
            user_agent: concat!("oci-flatten/", env!("CARGO_PKG_VERSION")).to_owned(),
            distrusted: DistrustedMirrors::default(),
        }
    }
}

/// Mirrors that turned out to give wrong bytes, by name. They are not asked again: an image that is opened once more with
/// the same settings comes from elsewhere. Clones share one list.
#[derive(Clone, Debug, Default)]
pub struct DistrustedMirrors(Arc<Mutex<BTreeSet<String>>>);

impl DistrustedMirrors {
    /// Adds a mirror.
    pub(super) fn insert(&self, name: String) {
        let mut names = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        names.insert(name);
    }

    /// Whether a mirror is on the list.
    pub(super) fn contains(&self, name: &str) -> bool {
        let names = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        names.contains(name)
    }
}

/// When the registry is asked what a tag stands for.
///
/// A reference with a digest can only ever mean one thing, so a cached one is used under every policy.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum PullPolicy {
    /// Each time; blobs still come from the cache.
    #[default]
    Always,
    /// When the cache does not know the tag.
    Missing,
    /// Never: what is not in the cache is an error.
    Never,
}

/// Whose TLS certificates are believed, and what is shown to servers that ask for one.
#[derive(Clone, Debug)]
pub struct Trust {
    /// PEM bundles of certificate authorities; the first that exists is read.
    pub bundles: Vec<PathBuf>,
    /// PEM files of further authorities (`--ca-cert`); each must exist.
    pub authorities: Vec<PathBuf>,
    /// Folders in the form of containers-certs.d(5): `HOST[:PORT]/{*.crt,*.cert,*.key}`.
    pub certs_dirs: Vec<PathBuf>,
}

impl Trust {
    /// Where Linux distributions keep their bundle of authorities.
    pub const SYSTEM_BUNDLES: [&str; 5] = [
        "/etc/ssl/certs/ca-certificates.crt",
        "/etc/pki/tls/certs/ca-bundle.crt",
        "/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem",
        "/etc/ssl/ca-bundle.pem",
        "/etc/ssl/cert.pem",
    ];
}

impl Default for Trust {
    /// The system's bundle alone.
    fn default() -> Self {
        Self {
            bundles: Self::SYSTEM_BUNDLES.map(PathBuf::from).into(),
            authorities: Vec::new(),
            certs_dirs: Vec::new(),
        }
    }
}

/// Proxies, as `$HTTP_PROXY`, `$HTTPS_PROXY`, `$ALL_PROXY` and `$NO_PROXY` give them.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Proxies {
    /// For `http:` URLs.
    pub http: Option<String>,
    /// For `https:` URLs.
    pub https: Option<String>,
    /// For URLs that have no other.
    pub all: Option<String>,
    /// Servers that are reached directly, separated by commas: `*`, `HOST[:PORT]` (and all below it), `.DOMAIN` (what is
    /// below it only), `ADDRESS[:PORT]`, `NETWORK/BITS`. This machine always is.
    pub no_proxy: Option<String>,
}

/// A proxy's URL may hold a password, which stays out of logs.
impl fmt::Debug for Proxies {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            http,
            https,
            all,
            no_proxy,
        } = self;
        let known = |url: &Option<String>| url.as_ref().map(|_| "…");
        f.debug_struct("Proxies")
            .field("http", &known(http))
            .field("https", &known(https))
            .field("all", &known(all))
            .field("no_proxy", no_proxy)
            .finish()
    }
}

/// Bounds on silence and slowness. There is none on a whole download: a slow line is no failure.
#[derive(Clone, Copy, Debug)]
pub struct Timeouts {
    /// For a connection to be made, TLS included.
    pub connect: Duration,
    /// For an answer to begin, and then for the next byte to arrive.
    pub inactivity: Duration,
    /// Bytes a second that a body must bring on average over each [`window`](Self::window).
    pub slowest: u64,
    /// How long a body may be slower than [`slowest`](Self::slowest).
    pub window: Duration,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(30),
            inactivity: Duration::from_secs(60),
            slowest: 512,
            window: Duration::from_secs(60),
        }
    }
}

/// What is tried again, and how often.
#[derive(Clone, Copy, Debug)]
pub struct Retries {
    /// Tries in a row without progress, the first included.
    pub attempts: u32,
    /// The wait before the second try; each further one is twice as long. A random part of up to a half is
    /// taken off, so that many clients do not come back at once; image bytes never depend on it.
    pub first_wait: Duration,
    /// The longest wait of that kind.
    pub longest_wait: Duration,
    /// The longest wait that a registry may ask for by `Retry-After`; beyond it the pull fails.
    pub longest_requested: Duration,
}

impl Default for Retries {
    fn default() -> Self {
        Self {
            attempts: 6,
            first_wait: Duration::from_millis(500),
            longest_wait: Duration::from_secs(16),
            longest_requested: Duration::from_secs(120),
        }
    }
}
