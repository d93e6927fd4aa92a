//! The other end of the socket.

use std::fmt;
use std::path::Path;

use futures_util::StreamExt;
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::io::AsyncWriteExt;
use tokio::net::UnixStream;
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};
use tokio_util::codec::{AnyDelimiterCodec, FramedRead};

use super::methods::{OpCancel, Question};
use super::protocol::{OP_ID, PROGRESS, call};
use crate::error::{Error, ErrorKind};
use crate::operation::{Operation, Watch};
use crate::progress::ProgressEvent;

/// Bytes of a line from the daemon, whose replies are as long as what it holds.
const LINE_LIMIT: usize = 256 << 20;

/// A connection to a daemon.
#[derive(Debug)]
pub struct Client {
    input: FramedRead<OwnedReadHalf, AnyDelimiterCodec>,
    output: OwnedWriteHalf,
    calls: u64,
}

/// A line from the daemon: an answer or a notification.
#[derive(Debug, Deserialize)]
struct Message {
    id: Option<u64>,
    result: Option<Value>,
    error: Option<Failure>,
    params: Option<Value>,
}

#[derive(Debug, Deserialize)]
struct Progress {
    id: u64,
    op_id: String,
    events: Vec<Value>,
}

#[derive(Debug, Deserialize)]
struct Failure {
    message: String,
    data: Option<FailureData>,
}

#[derive(Debug, Deserialize)]
struct FailureData {
    kind: String,
    #[serde(default)]
    causes: Vec<String>,
    hint: Option<String>,
}

impl Client {
    /// Connects to the daemon that listens on `socket`.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::DaemonUnreachable`].
    pub async fn connect(socket: &Path) -> Result<Self, Error> {
        let stream = UnixStream::connect(socket).await.map_err(|error| {
            unreachable(format!("no daemon answers on {}", socket.display()))
                .with_source(error)
                .with_hint("start one with `banger daemon`")
        })?;
        let (read, output) = stream.into_split();
        let lines =
            AnyDelimiterCodec::new_with_max_length(b"\n".to_vec(), b"\n".to_vec(), LINE_LIMIT);
        Ok(Self {
            input: FramedRead::new(read, lines),
            output,
            calls: 0,
        })
    }

    /// Has the daemon run an operation. Progress is told to `watch`, whose cancellation ends the
    /// operation there; dropping the client does so too.
    ///
    /// # Errors
    ///
    /// What the operation runs into, as if it had run here; [`ErrorKind::DaemonUnreachable`] when the
    /// connection breaks.
    pub async fn call<O: Operation>(
        &mut self,
        operation: &O,
        watch: &Watch,
    ) -> Result<O::Reply, Error> {
        let mut params = serde_json::to_value(operation).map_err(failed)?;
        params[PROGRESS] = json!(true);
        let id = self.send(O::METHOD, &params).await?;
        let mut op_id = None;
        let mut cancelled = false;
        let result = loop {
            let message = tokio::select! {
                message = self.receive() => message?,
                () = watch.cancellation.cancelled(), if !cancelled && op_id.is_some() => {
                    cancelled = true;
                    self.send(OpCancel::METHOD, &json!({ OP_ID: op_id })).await?;
                    continue;
                }
            };
            let progress = message.params.and_then(|params| {
                // A newer daemon may notify of other things.
                serde_json::from_value::<Progress>(params).ok()
            });
            if let Some(progress) = progress.filter(|progress| progress.id == id) {
                op_id = Some(progress.op_id);
                for event in progress.events {
                    // A newer daemon may tell of things that this version has no word for.
                    if let Ok(event) = serde_json::from_value::<ProgressEvent>(event) {
                        watch.progress.observe(event);
                    }
                }
            } else if message.id == Some(id) || message.id.is_none() {
                // One without an id is about a line of ours, or about the connection.
                match (message.result, message.error) {
                    (Some(result), _) => break result,
                    (None, Some(failure)) => return Err(failure.into()),
                    (None, None) => {}
                }
            }
        };
        serde_json::from_value(result).map_err(failed)
    }

    /// Asks the daemon about itself.
    ///
    /// # Errors
    ///
    /// What the daemon says; [`ErrorKind::DaemonUnreachable`] when the connection breaks.
    pub async fn ask<Q: Question>(&mut self, question: &Q) -> Result<Q::Reply, Error> {
        let params = serde_json::to_value(question).map_err(failed)?;
        let id = self.send(Q::METHOD, &params).await?;
        loop {
            let message = self.receive().await?;
            if message.id != Some(id) && message.id.is_some() {
                continue;
            }
            match (message.result, message.error) {
                (Some(result), _) => return serde_json::from_value(result).map_err(failed),
                (None, Some(failure)) => return Err(failure.into()),
                (None, None) => {}
            }
        }
    }

    async fn send(&mut self, method: &str, params: &Value) -> Result<u64, Error> {
        self.calls += 1;
        let line = call(self.calls, method, params);
        let sent = self.output.write_all(line.as_bytes()).await;
        match sent {
            // The daemon may have said why it has closed.
            Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => Ok(self.calls),
            Err(error) => Err(broken().with_source(error)),
            Ok(()) => Ok(self.calls),
        }
    }

    async fn receive(&mut self) -> Result<Message, Error> {
        let line = self.input.next().await.ok_or_else(broken)?;
        let line = line.map_err(|error| broken().with_source(error.to_string()))?;
        serde_json::from_slice(&line).map_err(|error| {
            let message = "the daemon's answer is none that this version knows";
            Error::new(ErrorKind::Failure, message).with_source(error)
        })
    }
}

fn failed(error: serde_json::Error) -> Error {
    Error::new(ErrorKind::Failure, "speak with the daemon").with_source(error)
}

fn unreachable(message: String) -> Error {
    Error::new(ErrorKind::DaemonUnreachable, message)
}

fn broken() -> Error {
    unreachable("the daemon has closed the connection".into())
}

impl From<Failure> for Error {
    fn from(failure: Failure) -> Self {
        let Some(data) = failure.data else {
            return Self::new(ErrorKind::Failure, failure.message);
        };
        let kind = ErrorKind::from_code(&data.kind).unwrap_or(ErrorKind::Failure);
        let mut error = Self::new(kind, failure.message);
        if let Some(hint) = data.hint {
            error = error.with_hint(hint);
        }
        let chain = data
            .causes
            .into_iter()
            .rev()
            .fold(None, |below, line| Some(Box::new(Cause { line, below })));
        match chain {
            Some(cause) => error.with_source(cause as Box<dyn std::error::Error + Send + Sync>),
            None => error,
        }
    }
}

/// A failure below another, as the daemon tells it.
#[derive(Debug)]
struct Cause {
    line: String,
    below: Option<Box<Cause>>,
}

impl fmt::Display for Cause {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.line)
    }
}

impl std::error::Error for Cause {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.below
            .as_deref()
            .map(|below| below as &(dyn std::error::Error + 'static))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn failures_come_back_as_they_were() {
        let failure: Failure = serde_json::from_value(json!({
            "code": 7,
            "message": "layer 1 of 2 is malformed",
            "data": {
                "kind": "integrity",
                "exit_code": 7,
                "causes": ["bad header", "checksum"],
                "hint": "pull it again",
                "op_id": "x",
            },
        }))
        .unwrap();
        let error = Error::from(failure);
        assert_eq!(error.kind(), ErrorKind::Integrity);
        assert_eq!(error.causes(), ["bad header", "checksum"]);
        assert_eq!(error.hint(), Some("pull it again"));
    }
}
