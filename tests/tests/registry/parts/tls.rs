//! Certificates of our own making.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use banger_tests::succeed;
use tempfile::TempDir;

/// An authority, a server certificate for 127.0.0.1, and a client certificate.
pub(crate) struct Certificates {
    folder: TempDir,
    pub(crate) wants_client: bool,
}

impl Certificates {
    pub(crate) fn new() -> Self {
        Self::for_server("IP:127.0.0.1,DNS:localhost", 2)
    }

    /// The server's certificate is for `names`, and valid for so many days; for less than none, it has expired.
    pub(crate) fn for_server(names: &str, days: i32) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let made = Self {
            folder,
            wants_client: false,
        };
        let authority = made.path("ca");
        openssl(&format!(
            "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN=test-ca -keyout {0}.key -out {0}.crt",
            authority.display()
        ));
        for (name, extension, days) in [
            ("server", format!("subjectAltName={names}"), days),
            ("client", "extendedKeyUsage=clientAuth".to_owned(), 2),
        ] {
            let path = made.path(name);
            let path = path.display();
            fs::write(made.path("ext"), extension).unwrap();
            openssl(&format!(
                "req -new -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj /CN={name} -keyout {path}.key -out {path}.csr"
            ));
            openssl(&format!(
                "x509 -req -in {path}.csr -CA {0}.crt -CAkey {0}.key -CAcreateserial -days {days} -extfile {1} -out {path}.crt",
                authority.display(),
                made.path("ext").display()
            ));
        }
        made
    }

    /// One certificate that is server and authority, as the registry's own manual makes it.
    pub(crate) fn self_signed() -> Self {
        let made = Self {
            folder: tempfile::tempdir().unwrap(),
            wants_client: false,
        };
        openssl(&format!(
            "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN=registry -addext subjectAltName=IP:127.0.0.1 -keyout {0}.key -out {0}.crt",
            made.path("server").display()
        ));
        fs::copy(made.path("server.crt"), made.authority()).unwrap();
        made
    }

    /// The registry asks for a client certificate.
    pub(crate) fn mutual() -> Self {
        Self {
            wants_client: true,
            ..Self::new()
        }
    }

    pub(crate) fn authority(&self) -> PathBuf {
        self.path("ca.crt")
    }

    pub(crate) fn server(&self) -> (PathBuf, PathBuf) {
        (self.path("server.crt"), self.path("server.key"))
    }

    pub(crate) fn client(&self) -> (PathBuf, PathBuf) {
        (self.path("client.crt"), self.path("client.key"))
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }
}

pub(crate) fn openssl(arguments: &str) {
    succeed(Command::new("openssl").args(arguments.split(' ')));
}
