//! Server certificates that are their own authority.
//!
//! `openssl req -x509` marks what it makes as an authority's certificate, and many a private registry serves just
//! that: [Docker's documentation](https://distribution.github.io/distribution/about/insecure/#use-self-signed-certificates)
//! has it so. Go's TLS library takes such a certificate when it is among the trusted ones; the one here, by RFC 5280, takes no
//! authority's certificate for a server's. This verifier adds that one case, and leaves all others to the library.

use std::collections::HashSet;
use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{VerifierBuilderError, WebPkiServerVerifier, verify_server_name};
use rustls::crypto::CryptoProvider;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{CertificateError, DigitallySignedStruct, Error, RootCertStore, SignatureScheme};

/// The library's verifier, and what it does not take.
#[derive(Debug)]
pub(super) struct Verifier {
    library: Arc<WebPkiServerVerifier>,
    trusted: HashSet<CertificateDer<'static>>,
}

impl Verifier {
    /// Believes `roots`, of which `trusted` are the certificates.
    pub(super) fn new(
        roots: RootCertStore,
        trusted: HashSet<CertificateDer<'static>>,
        provider: Arc<CryptoProvider>,
    ) -> Result<Self, VerifierBuilderError> {
        let library =
            WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider).build()?;
        Ok(Self { library, trusted })
    }
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let verdict = self.library.verify_server_cert(
            end_entity,
            intermediates,
            server_name,
            ocsp_response,
            now,
        );
        match verdict {
            // By then the library has found the validity period good; the chain is this certificate alone, and that the server
            // has its key is checked with the handshake's signature. The name is left.
            Err(error) if is_authority(&error) => {
                if !self.trusted.contains(end_entity) {
                    return Err(CertificateError::UnknownIssuer.into());
                }
                verify_server_name(&ParsedCertificate::try_from(end_entity)?, server_name)?;
                Ok(ServerCertVerified::assertion())
            }
            verdict => verdict,
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.library.verify_tls12_signature(message, cert, dss)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.library.verify_tls13_signature(message, cert, dss)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.library.supported_verify_schemes()
    }
}

/// Whether the certificate was refused for being an authority's, and for nothing else before that.
fn is_authority(error: &Error) -> bool {
    let Error::InvalidCertificate(CertificateError::Other(other)) = error else {
        return false;
    };
    matches!(
        other.0.downcast_ref(),
        Some(webpki::Error::CaUsedAsEndEntity)
    )
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use rustls::pki_types::pem::PemObject as _;

    use super::*;

    /// `openssl req -x509 -newkey ec -addext subjectAltName=DNS:registry.example`, from November 2026 for 100 years.
    const CERTIFICATE: &[u8] = b"\
-----BEGIN CERTIFICATE-----
MIIBmjCCAUCgAwIBAgIUJ1F7ba4QhFAw3vH7En4AH+ZgRIkwCgYIKoZIzj0EAwIw
EzERMA8GA1UEAwwIcmVnaXN0cnkwIBcNMjYxMTI1MTQ0MzM0WhgPMjEyNjExMDEx
NDQzMzRaMBMxETAPBgNVBAMMCHJlZ2lzdHJ5MFkwEwYHKoZIzj0CAQYIKoZIzj0D
AQcDQgAE2GCJc9Mtp8CcKm6ZqWf8E0vsJ+nu+nHXTpwwIuQYj5UpRJXeyeK/Afa9
KgAKIKFVlO09OSyz3EqtylY8vuyzBqNwMG4wHQYDVR0OBBYEFOF1d63MWPJNMNYb
kSrPVNZjSmzFMB8GA1UdIwQYMBaAFOF1d63MWPJNMNYbkSrPVNZjSmzFMA8GA1Ud
EwEB/wQFMAMBAf8wGwYDVR0RBBQwEoIQcmVnaXN0cnkuZXhhbXBsZTAKBggqhkjO
PQQDAgNIADBFAiBwerr6UlFWmrOG+WUTzmrM7kcAlQ6QK/aTgmuxqtX65wIhAN5T
oEvspp6ENUs6pEpp8CfGisW9hSE4y4DWuaUQJOKO
-----END CERTIFICATE-----
";
    /// Made in the same way, with another key.
    const ANOTHER: &[u8] = b"\
-----BEGIN CERTIFICATE-----
MIIBmTCCAUCgAwIBAgIUPdlU2UswIShobiQEu5sihnXMz0wwCgYIKoZIzj0EAwIw
EzERMA8GA1UEAwwIcmVnaXN0cnkwIBcNMjYxMTI1MTQ0MzM0WhgPMjEyNjExMDEx
NDQzMzRaMBMxETAPBgNVBAMMCHJlZ2lzdHJ5MFkwEwYHKoZIzj0CAQYIKoZIzj0D
AQcDQgAEK+a9WQMV5IlyhYPD201XdOfuA5Fa2hbQ9Md/5NHN4F+8RiM6+cr3JQr7
0frKsipjJ8WlTVyRFNlzDBgUnHnAgKNwMG4wHQYDVR0OBBYEFCto88+kzEPldjk5
U1u/SSo6Qv3IMB8GA1UdIwQYMBaAFCto88+kzEPldjk5U1u/SSo6Qv3IMA8GA1Ud
EwEB/wQFMAMBAf8wGwYDVR0RBBQwEoIQcmVnaXN0cnkuZXhhbXBsZTAKBggqhkjO
PQQDAgNHADBEAiBIK+tipus6Ga/h8KYx0QVGqKHyCnyL9GVOpL9z1xnf8QIgJtsE
Ihc47DQFk9V6Kf2Zhxt9aksay1/daaJciVeqSGc=
-----END CERTIFICATE-----
";

    fn verify(trusted: &[u8], shown: &[u8], name: &str, year: u64) -> Result<(), Error> {
        let [trusted, shown] =
            [trusted, shown].map(|pem| CertificateDer::from_pem_slice(pem).unwrap());
        let mut roots = RootCertStore::empty();
        roots.add(trusted.clone()).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let verifier = Verifier::new(roots, HashSet::from([trusted]), provider).unwrap();
        let now = UnixTime::since_unix_epoch(Duration::from_secs((year - 1970) * 31_556_952));
        let name = ServerName::try_from(name).unwrap();
        verifier
            .verify_server_cert(&shown, &[], &name, &[], now)
            .map(drop)
    }

    #[test]
    fn a_trusted_certificate_may_be_the_servers_own() {
        verify(CERTIFICATE, CERTIFICATE, "registry.example", 2050).unwrap();
    }

    #[test]
    fn name_time_and_bytes_must_be_right() {
        let refused = |trusted, shown, name, year| {
            let error = verify(trusted, shown, name, year).unwrap_err();
            match error {
                Error::InvalidCertificate(why) => why,
                other => panic!("{other}"),
            }
        };
        let why = refused(CERTIFICATE, ANOTHER, "registry.example", 2050);
        assert_eq!(why, CertificateError::UnknownIssuer);
        let why = refused(CERTIFICATE, CERTIFICATE, "other.example", 2050);
        assert!(
            matches!(why, CertificateError::NotValidForNameContext { .. }),
            "{why:?}"
        );
        for (year, early) in [(2020, true), (2130, false)] {
            let why = refused(CERTIFICATE, CERTIFICATE, "registry.example", year);
            let right = match early {
                true => matches!(why, CertificateError::NotValidYetContext { .. }),
                false => matches!(why, CertificateError::ExpiredContext { .. }),
            };
            assert!(right, "{year}: {why:?}");
        }
    }
}
