//! Which proxy a server is reached through, by the rules of Go's
//! [httpproxy](https://pkg.go.dev/golang.org/x/net/http/httpproxy), which podman, skopeo and docker share.

use std::net::IpAddr;

use ipnet::IpNet;
use reqwest::Url;

use super::address::Scope;
use super::settings::Proxies;
use crate::error::{Error, ErrorKind, Result};

/// Schemes of proxies that can be spoken to.
const SCHEMES: [&str; 6] = ["http", "https", "socks4", "socks4a", "socks5", "socks5h"];

/// The proxies, and the servers that are reached without one.
#[derive(Clone, Debug)]
pub(super) struct ProxyRules {
    http: Option<Url>,
    https: Option<Url>,
    direct: Vec<Direct>,
}

/// An entry of `NO_PROXY`.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Direct {
    /// `*`: every server.
    All,
    /// `192.0.2.0/24`
    Network(IpNet),
    /// `192.0.2.1[:PORT]`
    Address(IpAddr, Option<u16>),
    /// `example.com[:PORT]`: the name and all below it; `.example.com` and `*.example.com`: those below it only.
    Name {
        name: String,
        below_only: bool,
        port: Option<u16>,
    },
}

impl ProxyRules {
    /// Reads the settings.
    pub(super) fn new(proxies: &Proxies) -> Result<Self> {
        let parse = |text: &Option<String>| text.as_deref().map(parse_proxy).transpose();
        let all = parse(&proxies.all)?;
        let entries = proxies.no_proxy.as_deref().unwrap_or_default();
        let entries = entries.split([',', ' ', '\t', '\n']);
        Ok(Self {
            http: parse(&proxies.http)?.or_else(|| all.clone()),
            https: parse(&proxies.https)?.or(all),
            direct: entries.filter_map(Direct::parse).collect(),
        })
    }

    /// The proxy for `url`. There is none on the way to this machine.
    pub(super) fn proxy_for(&self, url: &Url) -> Option<&Url> {
        let proxy = match url.scheme() {
            "https" => self.https.as_ref(),
            _ => self.http.as_ref(),
        }?;
        let is_loopback = Scope::of_literal(url) == Some(Scope::Local);
        let direct = is_loopback || self.direct.iter().any(|entry| entry.covers(url));
        (!direct).then_some(proxy)
    }
}

/// A proxy as it is shown: its user name and password are left out.
pub(super) fn shown(proxy: &Url) -> String {
    let host = proxy.host_str().unwrap_or_default();
    let port = proxy.port().map(|port| format!(":{port}"));
    format!("{}://{host}{}", proxy.scheme(), port.unwrap_or_default())
}

/// `[SCHEME://][USER:PASSWORD@]HOST[:PORT]`, where no scheme means HTTP.
fn parse_proxy(text: &str) -> Result<Url> {
    let text = text.trim();
    let url = match text.contains("://") {
        true => Url::parse(text),
        false => Url::parse(&format!("http://{text}")),
    };
    // The text may hold a password.
    let invalid = |why: &str| Error::new(ErrorKind::InvalidInput, format!("proxy {why}"));
    let url = url.map_err(|error| invalid(&format!("is not a URL: {error}")))?;
    if !SCHEMES.contains(&url.scheme()) || url.host_str().is_none_or(str::is_empty) {
        let known = SCHEMES.join(", ");
        let scheme = url.scheme().escape_debug();
        return Err(invalid(&format!(
            "has the scheme \"{scheme}\" ({known} are known)"
        )));
    }
    Ok(url)
}

impl Direct {
    fn parse(entry: &str) -> Option<Self> {
        let entry = entry.trim().to_ascii_lowercase();
        if entry.is_empty() {
            return None;
        }
        if entry == "*" {
            return Some(Self::All);
        }
        if let Ok(network) = entry.parse() {
            return Some(Self::Network(network));
        }
        let (host, port) = match entry.rsplit_once(':') {
            Some((host, port)) if !host.contains(':') || host.ends_with(']') => {
                (host, Some(port.parse().ok()?))
            }
            _ => (&*entry, None),
        };
        let bare = host.trim_start_matches('[').trim_end_matches(']');
        if let Ok(address) = bare.parse::<IpAddr>() {
            return Some(Self::Address(address.to_canonical(), port));
        }
        let below = host.trim_start_matches('*').strip_prefix('.');
        let name = below.unwrap_or(host).trim_end_matches('.');
        (!name.is_empty()).then(|| Self::Name {
            name: name.to_owned(),
            below_only: below.is_some(),
            port,
        })
    }

    fn covers(&self, url: &Url) -> bool {
        let Some(host) = url.host_str() else {
            return false;
        };
        let bare = host.trim_start_matches('[').trim_end_matches(']');
        let address = bare
            .parse::<IpAddr>()
            .ok()
            .map(|found| found.to_canonical());
        let at_port = |port: &Option<u16>| port.is_none() || *port == url.port_or_known_default();
        match self {
            Self::All => true,
            Self::Network(network) => address.is_some_and(|address| network.contains(&address)),
            Self::Address(wanted, port) => address == Some(*wanted) && at_port(port),
            Self::Name {
                name,
                below_only,
                port,
            } => {
                let host = host.trim_end_matches('.').to_ascii_lowercase();
                let below = host
                    .strip_suffix(name.as_str())
                    .is_some_and(|front| front.ends_with('.'));
                (below || (!below_only && host == *name)) && at_port(port)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rules(no_proxy: &str) -> ProxyRules {
        ProxyRules::new(&Proxies {
            https: Some("secure.example:3128".to_owned()),
            all: Some("http://user:secret@proxy.example:3128".to_owned()),
            no_proxy: Some(no_proxy.to_owned()),
            ..Proxies::default()
        })
        .unwrap()
    }

    fn proxy(no_proxy: &str, url: &str) -> Option<String> {
        let url = Url::parse(url).unwrap();
        rules(no_proxy).proxy_for(&url).map(shown)
    }

    #[test]
    fn each_scheme_has_its_proxy() {
        let secure = Some("http://secure.example:3128".to_owned());
        assert_eq!(proxy("", "https://r.example"), secure);
        let plain = Some("http://proxy.example:3128".to_owned());
        assert_eq!(proxy("", "http://r.example"), plain, "without the password");
        for wrong in ["ftp://proxy", "http://", "http://[", "proxy:port"] {
            let error = ProxyRules::new(&Proxies {
                http: Some(wrong.to_owned()),
                ..Proxies::default()
            });
            assert_eq!(
                error.unwrap_err().kind(),
                ErrorKind::InvalidInput,
                "{wrong}"
            );
        }
    }

    #[test]
    fn no_proxy_says_who_is_reached_directly() {
        for (no_proxy, host, direct) in [
            ("", "r.example", false),
            ("*", "r.example", true),
            ("other.example, *", "r.example", true),
            ("r.example", "r.example", true),
            ("R.Example", "r.EXAMPLE", true),
            ("r.example.", "r.example", true),
            ("r.example", "r.example.", true),
            ("example", "r.example", true),
            ("r.example", "x.r.example", true),
            ("r.example", "xr.example", false),
            ("r.example", "r.example:5000", true),
            ("r.example:5000", "r.example:5000", true),
            ("r.example:5000", "x.r.example:5000", true),
            ("r.example:5000", "r.example:5001", false),
            ("r.example:443", "r.example", true),
            ("r.example:port", "r.example", false),
            (".example", "r.example", true),
            (".r.example", "r.example", false),
            ("*.example", "r.example", true),
            ("*.r.example", "r.example", false),
            ("a.example b.example", "b.example", true),
            (",, r.example ,", "r.example", true),
            ("192.0.2.0/24", "192.0.2.7:5000", true),
            ("192.0.2.9/24", "192.0.2.7", true),
            ("192.0.2.0/24", "192.0.3.7", false),
            ("192.0.2.7", "192.0.2.7:5000", true),
            ("192.0.2.7:5000", "192.0.2.7:5000", true),
            ("192.0.2.7:5000", "192.0.2.7", false),
            ("2001:db8::/32", "[2001:db8::1]", true),
            ("2001:db8::1", "[2001:db8::1]:5000", true),
            ("[2001:db8::1]", "[2001:db8::1]:5000", true),
            ("[2001:db8::1]:5000", "[2001:db8::1]:5000", true),
            ("[2001:db8::1]:5000", "[2001:db8::1]:5001", false),
            ("192.0.2.0/33", "192.0.2.7", false),
            // This machine is never asked of somebody else.
            ("", "localhost:5000", true),
            ("", "a.localhost", true),
            ("", "127.0.0.2:5000", true),
            ("", "[::1]:5000", true),
            ("", "[::ffff:127.0.0.1]:5000", true),
        ] {
            let found = proxy(no_proxy, &format!("https://{host}/v2/")).is_none();
            assert_eq!(found, direct, "{no_proxy:?} {host}");
        }
    }
}
