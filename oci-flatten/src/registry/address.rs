//! Which addresses a server may point to.
//!
//! A registry may be anywhere, this machine and private networks included: the user has named it. Where it sends the
//! client, by a redirect or by the token server of a challenge, is its own choice, and may be no nearer than it is
//! itself. Names are judged by what they resolve to, at the moment when a connection is made.

use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, ToSocketAddrs as _};
use std::sync::{Arc, Mutex, PoisonError};

use reqwest::Url;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};

/// How far an address reaches; what comes later is nearer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Scope {
    /// The whole network.
    #[default]
    Global,
    /// A private network.
    Private,
    /// This machine or its link, where clouds keep secrets of the machine.
    Local,
}

impl Scope {
    /// The scope of an address.
    pub(super) fn of(address: IpAddr) -> Self {
        match address {
            IpAddr::V4(address) => Self::of_v4(address),
            IpAddr::V6(address) => match embedded(address) {
                Some(address) => Self::of_v4(address),
                None => Self::of_v6(address),
            },
        }
    }

    /// The scope of the address that a URL holds, or of a name that can only be this machine; `None` for other names.
    pub(super) fn of_literal(url: &Url) -> Option<Self> {
        let host = url.host_str()?.to_ascii_lowercase();
        let name = host.trim_end_matches('.');
        if name == "localhost" || name.ends_with(".localhost") {
            return Some(Self::Local);
        }
        let address = host.trim_start_matches('[').trim_end_matches(']');
        address.parse().ok().map(Self::of)
    }

    fn of_v4(address: Ipv4Addr) -> Self {
        let [first, second, ..] = address.octets();
        // RFC 6598: addresses that carriers share, and overlay networks use.
        let is_shared = first == 100 && second & 0xc0 == 64;
        if first == 0
            || address.is_loopback()
            || address.is_link_local()
            || address.is_broadcast()
            || address.is_multicast()
        {
            Self::Local
        } else if address.is_private() || is_shared {
            Self::Private
        } else {
            Self::Global
        }
    }

    fn of_v6(address: Ipv6Addr) -> Self {
        // RFC 3879: site-local addresses, as good as private ones.
        let is_site_local = address.segments()[0] & 0xffc0 == 0xfec0;
        if address.is_loopback()
            || address.is_unspecified()
            || address.is_unicast_link_local()
            || address.is_multicast()
        {
            Self::Local
        } else if address.is_unique_local() || is_site_local {
            Self::Private
        } else {
            Self::Global
        }
    }
}

/// The IPv4 address that an IPv6 one stands for: mapped, of NAT64 (RFC 6052), or of 6to4 (RFC 3056).
fn embedded(address: Ipv6Addr) -> Option<Ipv4Addr> {
    let [a, b, c, d, e, f, g, h] = address.segments();
    let joined = |high: u16, low: u16| Ipv4Addr::from((u32::from(high) << 16) | u32::from(low));
    match [a, b, c, d, e, f] {
        [0x64, 0xff9b, 0, 0, 0, 0] => Some(joined(g, h)),
        [0x2002, ..] => Some(joined(b, c)),
        _ => address.to_ipv4_mapped(),
    }
}

/// Resolves names, and leaves out the addresses that are nearer than the name may be.
#[derive(Debug, Default)]
pub(super) struct Resolver {
    names: Arc<Mutex<BTreeMap<String, Known>>>,
}

/// What is known of a name.
#[derive(Clone, Copy, Debug)]
struct Known {
    allowed: Scope,
    /// The nearest address that it had when it was resolved last.
    found: Option<Scope>,
}

impl Resolver {
    /// Lets `host` have addresses as near as `scope`. A name that nothing was said about may have any.
    pub(super) fn allow(&self, host: &str, scope: Scope) {
        let mut names = self.names.lock().unwrap_or_else(PoisonError::into_inner);
        let known = names.entry(host.to_ascii_lowercase()).or_insert(Known {
            allowed: scope,
            found: None,
        });
        known.allowed = known.allowed.max(scope);
    }

    /// How near the server of a URL is, as far as it is known: a name that only a proxy has resolved is taken to be far.
    pub(super) fn scope_of(&self, url: &Url) -> Scope {
        Scope::of_literal(url).unwrap_or_else(|| {
            let names = self.names.lock().unwrap_or_else(PoisonError::into_inner);
            let host = url.host_str().unwrap_or_default().to_ascii_lowercase();
            let known = names.get(&host).and_then(|known| known.found);
            known.unwrap_or_default()
        })
    }
}

impl Resolve for Resolver {
    fn resolve(&self, name: Name) -> Resolving {
        let names = Arc::clone(&self.names);
        let host = name.as_str().to_ascii_lowercase();
        let look_up = move || {
            let found = (host.as_str(), 0).to_socket_addrs();
            let found: Vec<SocketAddr> = match found {
                Ok(found) => found.collect(),
                Err(error) => return Err(LookupError::Unknown(error)),
            };
            let mut names = names.lock().unwrap_or_else(PoisonError::into_inner);
            let Some(known) = names.get_mut(&host) else {
                return Ok(found);
            };
            known.found = found.iter().map(|address| Scope::of(address.ip())).max();
            let allowed = known.allowed;
            let (fit, near): (Vec<_>, Vec<_>) = found
                .into_iter()
                .partition(|address| Scope::of(address.ip()) <= allowed);
            match near.first() {
                Some(address) if fit.is_empty() => Err(LookupError::Internal {
                    host,
                    address: address.ip(),
                }),
                _ => Ok(fit),
            }
        };
        Box::pin(async move {
            let found = tokio::task::spawn_blocking(look_up).await??;
            Ok(Box::new(found.into_iter()) as Addrs)
        })
    }
}

/// Why a name gives no address.
#[derive(Debug)]
pub(super) enum LookupError {
    /// Nobody knows it, or nobody answers.
    Unknown(io::Error),
    /// All its addresses are nearer than it may be.
    Internal { host: String, address: IpAddr },
}

impl fmt::Display for LookupError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unknown(error) => error.fmt(f),
            Self::Internal { host, address } => {
                write!(f, "refused, since {host} is the internal address {address}")
            }
        }
    }
}

impl std::error::Error for LookupError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_way_to_write_a_near_address_is_seen() {
        for (url, scope) in [
            ("http://1.1.1.1", Some(Scope::Global)),
            ("http://[2606:4700::1111]", Some(Scope::Global)),
            ("http://10.1.2.3", Some(Scope::Private)),
            ("http://172.31.0.1", Some(Scope::Private)),
            ("http://172.32.0.1", Some(Scope::Global)),
            ("http://192.168.0.1", Some(Scope::Private)),
            ("http://100.64.0.1", Some(Scope::Private)),
            ("http://100.128.0.1", Some(Scope::Global)),
            ("http://[fd00::1]", Some(Scope::Private)),
            ("http://[fec0::1]", Some(Scope::Private)),
            ("http://[::ffff:10.0.0.1]", Some(Scope::Private)),
            ("http://127.0.0.1", Some(Scope::Local)),
            ("http://127.1", Some(Scope::Local)),
            ("http://2130706433", Some(Scope::Local)),
            ("http://0x7f.1", Some(Scope::Local)),
            ("http://0", Some(Scope::Local)),
            ("http://169.254.169.254", Some(Scope::Local)),
            ("http://[::1]", Some(Scope::Local)),
            ("http://[::]", Some(Scope::Local)),
            ("http://[fe80::1]", Some(Scope::Local)),
            ("http://[::ffff:127.0.0.1]", Some(Scope::Local)),
            ("http://[64:ff9b::7f00:1]", Some(Scope::Local)),
            ("http://[2002:7f00:1::]", Some(Scope::Local)),
            ("http://LocalHost", Some(Scope::Local)),
            ("http://localhost.", Some(Scope::Local)),
            ("http://a.localhost:5000", Some(Scope::Local)),
            ("http://localhost.example", None),
            ("http://example.com", None),
        ] {
            assert_eq!(Scope::of_literal(&Url::parse(url).unwrap()), scope, "{url}");
        }
    }

    #[tokio::test]
    async fn a_name_is_judged_by_what_it_resolves_to() {
        let resolver = Resolver::default();
        let resolve = async || {
            let name: Name = "localhost".parse().unwrap();
            match resolver.resolve(name).await {
                Ok(addresses) => Ok(addresses.count()),
                Err(error) => Err(error.to_string()),
            }
        };
        assert!(resolve().await.unwrap() > 0, "nothing was said about it");
        for scope in [Scope::Global, Scope::Private] {
            resolver.allow("LOCALHOST", scope);
            let refused = resolve().await.unwrap_err();
            assert!(
                refused.contains("localhost is the internal address"),
                "{refused}"
            );
        }
        resolver.allow("localhost", Scope::Local);
        assert!(resolve().await.unwrap() > 0);
        let url = Url::parse("http://localhost").unwrap();
        assert_eq!(resolver.scope_of(&url), Scope::Local);
    }
}
