//! Certificates: the system's bundle, `--ca-cert`, and containers-certs.d(5).

#![expect(
    clippy::disallowed_methods,
    reason = "certificates are where the user or the system has put them, often behind links"
)]

use std::collections::HashSet;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, RootCertStore};

use super::self_signed::Verifier;
use super::settings::Trust;
use crate::error::{Error, ErrorKind, Result};
use crate::small_file;

/// Largest file of certificates that is read, in bytes; the bundle of a distribution has about 250 KiB.
const SIZE_LIMIT: u64 = 16 << 20;

/// A client certificate with its key.
type Identity = (Vec<CertificateDer<'static>>, PrivateKeyDer<'static>);

/// What certs.d folders say about one host.
#[derive(Debug, Default)]
pub(super) struct HostCertificates {
    authorities: Vec<PathBuf>,
    identity: Option<(PathBuf, PathBuf)>,
}

impl HostCertificates {
    /// Looks through the folders; the first that knows `host` (`HOST` or `HOST:PORT`) decides.
    pub(super) fn find(trust: &Trust, host: &str) -> Result<Self> {
        for directory in &trust.certs_dirs {
            let directory = directory.join(host);
            let entries = match fs::read_dir(&directory) {
                Ok(entries) => entries,
                Err(error)
                    if matches!(
                        error.kind(),
                        io::ErrorKind::NotFound | io::ErrorKind::NotADirectory
                    ) =>
                {
                    continue;
                }
                // These folders are only looked into by default.
                Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
                    tracing::debug!(folder = %directory.display(), "certificates may not be read, and are passed over");
                    continue;
                }
                Err(error) => {
                    return Err(Error::io(format!("read {}", directory.display()), error));
                }
            };
            let mut paths = Vec::new();
            for entry in entries {
                let entry = entry
                    .map_err(|error| Error::io(format!("read {}", directory.display()), error))?;
                paths.push(entry.path());
            }
            paths.sort();
            return Self::sort_out(paths);
        }
        Ok(Self::default())
    }

    /// Whether nothing is said about the host.
    pub(super) fn is_empty(&self) -> bool {
        self.authorities.is_empty() && self.identity.is_none()
    }

    fn sort_out(paths: Vec<PathBuf>) -> Result<Self> {
        let mut found = Self::default();
        for path in paths {
            match path.extension().and_then(|extension| extension.to_str()) {
                Some("crt") => found.authorities.push(path),
                Some("cert") if found.identity.is_none() => {
                    let key = path.with_extension("key");
                    if !key.exists() {
                        let message = format!(
                            "client certificate has no key beside it: {}",
                            path.display()
                        );
                        return Err(Error::new(ErrorKind::InvalidInput, message));
                    }
                    found.identity = Some((path, key));
                }
                _ => {}
            }
        }
        Ok(found)
    }
}

/// What is spoken within TLS.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Protocol {
    /// One connection a download: several in one HTTP/2 connection would share its one window.
    Http1,
    /// For servers that have nothing else.
    Http2,
}

/// The TLS settings for a host.
pub(super) fn configure(
    trust: &Trust,
    host: &HostCertificates,
    protocol: Protocol,
) -> Result<ClientConfig> {
    let failed = |error: &dyn std::fmt::Display| {
        Error::new(ErrorKind::Network, format!("set up TLS: {error}"))
    };
    let (roots, trusted) = read_roots(trust, host)?;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .map_err(|error| failed(&error))?;
    let builder = if roots.is_empty() {
        // Nobody is believed, and the library's builder of verifiers would not have that.
        builder.with_root_certificates(roots)
    } else {
        let verifier = Verifier::new(roots, trusted, provider).map_err(|error| failed(&error))?;
        builder
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(verifier))
    };
    let mut config = match &host.identity {
        None => builder.with_no_client_auth(),
        Some((certificate, key)) => {
            let (chain, secret) = read_identity(certificate, key)?;
            builder
                .with_client_auth_cert(chain, secret)
                .map_err(|error| invalid(certificate, &error.to_string()))?
        }
    };
    config.alpn_protocols = match protocol {
        Protocol::Http1 => vec![b"http/1.1".to_vec()],
        Protocol::Http2 => vec![b"h2".to_vec()],
    };
    Ok(config)
}

/// The authorities that are believed, for the library and as they lie on disk.
fn read_roots(
    trust: &Trust,
    host: &HostCertificates,
) -> Result<(RootCertStore, HashSet<CertificateDer<'static>>)> {
    let mut roots = RootCertStore::empty();
    let mut trusted = HashSet::new();
    if let Some(bundle) = trust.bundles.iter().find(|path| path.exists()) {
        let certificates = read_certificates(bundle)?;
        trusted.extend(certificates.iter().cloned());
        // Distributions ship certificates that the library finds odd; they must not spoil the rest.
        let (added, _) = roots.add_parsable_certificates(certificates);
        if added == 0 {
            return Err(invalid(bundle, "it holds no certificate"));
        }
    }
    for path in trust.authorities.iter().chain(&host.authorities) {
        let certificates = read_certificates(path)?;
        if certificates.is_empty() {
            return Err(invalid(path, "it holds no certificate"));
        }
        for certificate in certificates {
            trusted.insert(certificate.clone());
            roots
                .add(certificate)
                .map_err(|error| invalid(path, &error.to_string()))?;
        }
    }
    Ok((roots, trusted))
}

fn read_certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>> {
    let bytes = read_file(path)?;
    CertificateDer::pem_slice_iter(&bytes)
        .collect::<Result<_, _>>()
        .map_err(|error| invalid(path, &error.to_string()))
}

fn read_identity(certificate: &Path, key: &Path) -> Result<Identity> {
    let chain = read_certificates(certificate)?;
    let bytes = read_file(key)?;
    let secret =
        PrivateKeyDer::from_pem_slice(&bytes).map_err(|error| invalid(key, &error.to_string()))?;
    Ok((chain, secret))
}

fn read_file(path: &Path) -> Result<Vec<u8>> {
    small_file::read(path, SIZE_LIMIT)
        .map_err(|error| Error::io(format!("read {}", path.display()), error))
}

fn invalid(path: &Path, why: &str) -> Error {
    Error::new(
        ErrorKind::InvalidInput,
        format!("not a usable certificate file: {}: {why}", path.display()),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_authority_that_has_no_end_is_not_read() {
        let trust = Trust {
            authorities: vec!["/dev/zero".into()],
            ..Trust::default()
        };
        let error = configure(&trust, &HostCertificates::default(), Protocol::Http1).unwrap_err();
        assert_eq!(error.to_string(), "read /dev/zero");
        let cause = std::error::Error::source(&error).unwrap();
        assert_eq!(cause.to_string(), "not a regular file");
    }
}
