//! Debian's `docker-registry`, one process a test.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::process::{Child, Command, Stdio};
use std::thread;

use banger_tests::succeed;
use tempfile::TempDir;

use super::tls::Certificates;

/// A running registry; it ends with its value.
pub(crate) struct Registry {
    process: Child,
    folder: TempDir,
    pub(crate) port: u16,
    login: Option<&'static str>,
    secure: bool,
}

/// What a registry is to have.
#[derive(Default)]
pub(crate) struct Features<'a> {
    /// `USER:PASSWORD`, asked for by Basic authentication.
    pub(crate) login: Option<&'static str>,
    pub(crate) certificates: Option<&'a Certificates>,
    /// A base URL that blobs are redirected to.
    pub(crate) redirect: Option<String>,
    /// The `token` section of its configuration.
    pub(crate) token: Option<String>,
}

impl Registry {
    pub(crate) fn plain() -> Self {
        Self::start(&Features::default())
    }

    pub(crate) fn start(features: &Features<'_>) -> Self {
        Self::serve(tempfile::tempdir().unwrap(), features)
    }

    /// Serves what another registry has, with other features.
    pub(crate) fn again(mut self, features: &Features<'_>) -> Self {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
        let folder = std::mem::replace(&mut self.folder, tempfile::tempdir().unwrap());
        Self::serve(folder, features)
    }

    fn serve(folder: TempDir, features: &Features<'_>) -> Self {
        let path = folder.path();
        let mut config = format!(
            "version: 0.1\nlog: {{level: info}}\nstorage: {{filesystem: {{rootdirectory: {}}}}}\n",
            path.join("data").display()
        );
        config += "http:\n  addr: 127.0.0.1:0\n  secret: test\n";
        if let Some(certificates) = features.certificates {
            let (certificate, key) = certificates.server();
            let (certificate, key) = (certificate.display(), key.display());
            config += &format!("  tls: {{certificate: {certificate}, key: {key}");
            if certificates.wants_client {
                config += &format!(", clientcas: [{}]", certificates.authority().display());
            }
            config += "}\n";
        }
        if let Some(login) = features.login {
            let (user, password) = login.split_once(':').unwrap();
            let line = succeed(Command::new("htpasswd").args(["-nbB", "-C", "4", user, password]));
            fs::write(path.join("htpasswd"), line.trim()).unwrap();
            config += &format!(
                "auth: {{htpasswd: {{realm: test, path: {}}}}}\n",
                path.join("htpasswd").display()
            );
        }
        if let Some(token) = &features.token {
            config += &format!("auth: {{token: {token}}}\n");
        }
        if let Some(url) = &features.redirect {
            config += &format!(
                "middleware: {{storage: [{{name: redirect, options: {{baseurl: \"{url}\"}}}}]}}\n"
            );
        }
        fs::write(path.join("config.yml"), config).unwrap();
        let mut process = Command::new("docker-registry")
            .arg("serve")
            .arg(path.join("config.yml"))
            .env("OTEL_TRACES_EXPORTER", "none")
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(process.stderr.take().unwrap()).lines();
        let mut said = String::new();
        let port = loop {
            let line = lines
                .next()
                .unwrap_or_else(|| panic!("registry does not start:\n{said}"))
                .unwrap();
            said.push_str(&line);
            said.push('\n');
            if let Some((_, rest)) = line.split_once("listening on 127.0.0.1:") {
                break rest
                    .split(|c: char| !c.is_ascii_digit())
                    .next()
                    .unwrap()
                    .parse()
                    .unwrap();
            }
        };
        // The pipe must not fill up.
        thread::spawn(move || lines.for_each(drop));
        let secure = features.certificates.is_some();
        Self {
            process,
            folder,
            port,
            login: features.login,
            secure,
        }
    }

    pub(crate) fn domain(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// Has skopeo reach it.
    pub(crate) fn trust(&self, command: &mut Command, side: &str) {
        command.arg(format!("--{side}-tls-verify=false"));
        if let Some(login) = self.login {
            command.arg(format!("--{side}-creds={login}"));
        }
        assert!(!self.secure || side == "dest");
    }
}

impl Drop for Registry {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
