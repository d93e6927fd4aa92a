//! Real servers of TLS before a registry.

use std::fs;
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::Duration;

use tempfile::TempDir;

use super::tls::Certificates;

/// A running gateway; it ends with its value.
pub(crate) struct Gateway {
    process: Child,
    folder: TempDir,
    port: u16,
}

impl Gateway {
    /// nginx, which speaks the protocols of TLS that are given, HTTP/1.1 and HTTP/2, and asks for a client certificate
    /// where `certificates` say so.
    pub(crate) fn nginx(certificates: &Certificates, protocols: &str, registry: u16) -> Self {
        let (certificate, key) = certificates.server();
        let (certificate, key) = (certificate.display(), key.display());
        let client = match certificates.wants_client {
            true => format!(
                "ssl_client_certificate {}; ssl_verify_client on;",
                certificates.authority().display()
            ),
            false => String::new(),
        };
        Self::start(|folder, port| {
            let at = |name: &str| folder.join(name).display().to_string();
            let temporary: String = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
                .map(|name| format!("{name}_temp_path {};\n", at(name)))
                .concat();
            let config = format!(
                "daemon off; master_process off; pid {}; error_log stderr;\n\
                 events {{}}\n\
                 http {{\n\
                 log_format test '$server_protocol $ssl_protocol $ssl_client_verify';\n\
                 access_log {} test;\n{temporary}\
                 server {{\n\
                 listen 127.0.0.1:{port} ssl http2;\n\
                 ssl_certificate {certificate}; ssl_certificate_key {key}; ssl_protocols {protocols}; {client}\n\
                 location / {{ proxy_pass http://127.0.0.1:{registry}; proxy_set_header Host $http_host; }}\n\
                 }}\n}}\n",
                at("pid"),
                at("log"),
            );
            fs::write(folder.join("nginx.conf"), config).unwrap();
            let mut command = Command::new("nginx");
            command.arg("-p").arg(folder).arg("-e").arg("stderr");
            command.arg("-c").arg(folder.join("nginx.conf"));
            command
        })
    }

    /// nghttpx, which speaks nothing but HTTP/2.
    pub(crate) fn http2_only(certificates: &Certificates, registry: u16) -> Self {
        let (certificate, key) = certificates.server();
        Self::start(|folder, port| {
            let mut command = Command::new("nghttpx");
            command
                .arg("--conf=/dev/null")
                .arg("--single-process")
                .arg("--npn-list=h2")
                .arg("--host-rewrite")
                .arg(format!("--accesslog-file={}", folder.join("log").display()))
                .arg("--accesslog-format=$protocol_version $alpn")
                .arg(format!("--frontend=127.0.0.1,{port}"))
                .arg(format!("--backend=127.0.0.1,{registry}"))
                .arg(&key)
                .arg(&certificate);
            command
        })
    }

    /// Takes a free port. Somebody else may do so in the same moment: then another one is tried.
    fn start(command: impl Fn(&Path, u16) -> Command) -> Self {
        for _ in 0..10 {
            let folder = tempfile::tempdir().unwrap();
            let free = TcpListener::bind("127.0.0.1:0").unwrap();
            let port = free.local_addr().unwrap().port();
            drop(free);
            let mut process = command(folder.path(), port)
                .stdout(Stdio::null())
                .stderr(fs::File::create(folder.path().join("stderr")).unwrap())
                .spawn()
                .unwrap();
            for _ in 0..200 {
                if process.try_wait().unwrap().is_some() {
                    break;
                }
                if TcpStream::connect(("127.0.0.1", port)).is_ok() {
                    return Self {
                        process,
                        folder,
                        port,
                    };
                }
                sleep(Duration::from_millis(50));
            }
            let said = fs::read_to_string(folder.path().join("stderr")).unwrap();
            assert!(
                said.contains("in use"),
                "the gateway does not start:\n{said}"
            );
        }
        panic!("no port is free");
    }

    pub(crate) fn domain(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// A line for each request.
    pub(crate) fn log(&self) -> String {
        fs::read_to_string(self.folder.path().join("log")).unwrap()
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
