//! Credential helper programs, by the protocol of
//! [docker-credential-helpers](https://github.com/docker/docker-credential-helpers): `docker-credential-NAME
//! get`, the server on standard input, one JSON object on standard output.

use std::env;
use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use serde::Deserialize;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::process::{Child, Command};
use tokio::time::timeout;

use super::{Credential, CredentialPlaces, Secrets};
use crate::error::{Error, ErrorKind, Result};
use crate::json::null_is_default;

/// Most that is read of a helper's answer, in bytes.
const ANSWER_LIMIT: u64 = 1 << 20;
/// Most of a helper's complaint that is shown, in characters.
const COMPLAINT_SHOWN: usize = 200;
/// The user name by which a helper says that the secret is an identity token.
const TOKEN_USERNAME: &str = "<token>";
/// Docker Hub's key in every helper, since before it had a name of its own.
const DOCKER_HUB_KEY: &str = "https://index.docker.io/v1/";

/// An installed helper program.
#[derive(Debug)]
pub(super) struct Helper {
    program: PathBuf,
    timeout: Duration,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Answer {
    #[serde(default, deserialize_with = "null_is_default")]
    username: String,
    #[serde(default, deserialize_with = "null_is_default")]
    secret: String,
}

impl Helper {
    /// Finds `docker-credential-NAME` in the search path; the name comes from a file and is checked.
    #[expect(clippy::disallowed_methods, reason = "the search path is the user's")]
    pub(super) fn find(name: &str, places: &CredentialPlaces) -> Result<Self> {
        let is_valid =
            |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'+' | b'-');
        if name.is_empty() || !name.bytes().all(is_valid) {
            return Err(Error::new(
                ErrorKind::InvalidInput,
                format!("credential helper's name is not valid: {name:?}"),
            ));
        }
        let file_name = format!("docker-credential-{name}");
        let directories = places.search_path.iter().flat_map(env::split_paths);
        let program = directories
            .filter(|directory| directory.is_absolute())
            .map(|directory| directory.join(&file_name))
            .find(|path| {
                path.metadata()
                    .is_ok_and(|facts| facts.is_file() && facts.permissions().mode() & 0o111 != 0)
            })
            .ok_or_else(|| {
                Error::new(
                    ErrorKind::Unauthorized,
                    format!("{file_name} is not in the search path"),
                )
            })?;
        Ok(Self {
            program,
            timeout: places.helper_timeout,
        })
    }

    /// Asks for the credential of `domain`; `None` when the helper has none.
    pub(super) async fn ask(&self, domain: &str) -> Result<Option<Credential>> {
        let server = if domain == "docker.io" {
            DOCKER_HUB_KEY
        } else {
            domain
        };
        let mut child = self
            .start()
            .map_err(|error| self.failure(&error.to_string()))?;
        let conversation = converse(&mut child, server);
        let (status, output, complaint) = match timeout(self.timeout, conversation).await {
            Ok(done) => done.map_err(|error| self.failure(&error.to_string()))?,
            Err(_) => {
                let seconds = self.timeout.as_secs();
                return Err(self.failure(&format!("no answer within {seconds} s")));
            }
        };
        self.interpret(status, &output, &complaint)
    }

    fn start(&self) -> io::Result<Child> {
        Command::new(&self.program)
            .arg("get")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
    }

    fn interpret(
        &self,
        status: ExitStatus,
        output: &[u8],
        complaint: &[u8],
    ) -> Result<Option<Credential>> {
        if !status.success() {
            let [answer, complaint] = [output, complaint].map(String::from_utf8_lossy);
            if is_not_found(&answer) || is_not_found(&complaint) {
                return Ok(None);
            }
            return Err(self.failure(&format!("{status}{}", shown(&answer, &complaint))));
        }
        let answer: Answer = serde_json::from_slice(output).map_err(|_| {
            self.failure("its answer is not a JSON object with Username and Secret")
        })?;
        Ok(match answer {
            Answer { secret, .. } if secret.is_empty() => None,
            Answer { username, secret } if username == TOKEN_USERNAME => {
                Some(Credential::IdentityToken(secret))
            }
            Answer { username, secret } => Some(Credential::Basic {
                username,
                password: secret,
            }),
        })
    }

    fn failure(&self, why: &str) -> Error {
        let program = self.program.display();
        Error::new(
            ErrorKind::Unauthorized,
            format!("credential helper {program}: {why}"),
        )
    }
}

async fn converse(child: &mut Child, server: &str) -> io::Result<(ExitStatus, Vec<u8>, Vec<u8>)> {
    let piped = || io::Error::other("standard streams are not piped");
    let mut stdin = child.stdin.take().ok_or_else(piped)?;
    let stdout = child.stdout.take().ok_or_else(piped)?;
    let stderr = child.stderr.take().ok_or_else(piped)?;
    let say = async move {
        match stdin.write_all(server.as_bytes()).await {
            // A helper that needs no question may have closed its input already.
            Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(error),
            _ => Ok(()),
        }
    };
    let (mut output, mut complaint) = (Vec::new(), Vec::new());
    let (mut stdout, mut stderr) = (stdout.take(ANSWER_LIMIT), stderr.take(ANSWER_LIMIT));
    let hear = async {
        tokio::try_join!(
            stdout.read_to_end(&mut output),
            stderr.read_to_end(&mut complaint)
        )
    };
    tokio::try_join!(say, hear)?;
    drop((stdout, stderr));
    Ok((child.wait().await?, output, complaint))
}

/// What is shown of a failed helper's words. The protocol has helpers complain on standard output, but that is also
/// where secrets are: nothing of it is shown, and a complaint that repeats any of it is not either.
fn shown(answer: &str, complaint: &str) -> String {
    let mut secrets = Secrets::default();
    answer.split_whitespace().for_each(|word| secrets.add(word));
    let strings = answer.split('"');
    strings.for_each(|string| secrets.add(string));
    let complaint = complaint.trim();
    if complaint.is_empty() || secrets.are_in(complaint) {
        return "; what it says is not shown, for it may be a secret".to_owned();
    }
    let shown = complaint.chars().take(COMPLAINT_SHOWN);
    format!(
        ": {}",
        shown.flat_map(char::escape_debug).collect::<String>()
    )
}

fn is_not_found(said: &str) -> bool {
    [
        "credentials not found in native keychain",
        "credentials not found",
    ]
    .iter()
    .any(|text| said.contains(text))
}
