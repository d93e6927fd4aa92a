//! One client: its lines in, our lines out, and every call a task.

use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::StreamExt;
use oci_flatten::flatten::CancellationToken;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use serde_json::Value;
use tokio::io::AsyncWriteExt;
use tokio::net::UnixStream;
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio_util::codec::{AnyDelimiterCodec, AnyDelimiterCodecError, FramedRead};
use tokio_util::task::TaskTracker;
use uuid::Uuid;

use super::methods::Job;
use super::progress::Notifier;
use super::protocol::{Call, LINE_LIMIT, Refusal, answer, parse};
use super::server::Shared;
use crate::error::{Error, ErrorKind};
use crate::operation::{Pace, Watch};

/// Calls in flight of those that are answered soon; further ones are not read until one is answered.
const QUICK_LIMIT: usize = 8;

/// Calls in flight of those that may take long; further ones are refused, so that a client can always
/// cancel what it has begun.
const LONG_LIMIT: usize = 64;

/// Pulls at once; further ones wait, so that a client whose pulls hang does not stop those of others.
const FETCH_LIMIT: usize = 4;

/// Lines that wait to be written.
const LINES: usize = 8;

/// How long a client may leave a line unread, or unfinished.
const PATIENCE: Duration = Duration::from_secs(30);

/// How long it may leave the last lines unread.
const LAST_PATIENCE: Duration = Duration::from_secs(2);

/// How often a client that sends no more is looked at for being gone altogether.
const LOOK: Duration = Duration::from_millis(100);

/// Serves a client until it is gone or `cancellation` is cancelled; what still runs then is cancelled.
pub(super) async fn serve(
    stream: UnixStream,
    shared: Arc<Shared>,
    cancellation: CancellationToken,
) {
    let (read, write) = stream.into_split();
    let (lines, waiting) = mpsc::channel(LINES);
    let writer = tokio::spawn(write_lines(write, waiting, cancellation.clone()));
    let connection = Connection {
        shared,
        lines,
        calls: TaskTracker::new(),
        at_once: Arc::new(Semaphore::new(QUICK_LIMIT)),
        quick: Arc::new(Semaphore::new(QUICK_LIMIT)),
        long: Arc::new(Semaphore::new(LONG_LIMIT)),
        fetching: Arc::new(Semaphore::new(FETCH_LIMIT)),
        cancellation,
    };
    let mut input = FramedRead::new(read, delimited());
    let reading = connection.read(&mut input);
    tokio::select! {
        () = reading => {}
        () = connection.cancellation.cancelled() => {}
    }
    connection.calls.close();
    tokio::select! {
        () = connection.calls.wait() => {}
        () = hang_up(input.get_ref()) => connection.cancellation.cancel(),
    }
    connection.calls.wait().await;
    // With the last sender the writer ends, when it has written what waits.
    drop(connection);
    let _ = writer.await;
}

fn delimited() -> AnyDelimiterCodec {
    AnyDelimiterCodec::new_with_max_length(b"\n".to_vec(), b"\n".to_vec(), LINE_LIMIT)
}

/// Returns when the peer has closed its end altogether: one that has only said all it has to say still
/// waits for answers.
async fn hang_up(stream: &OwnedReadHalf) {
    loop {
        let mut watched = [PollFd::new(stream.as_ref(), PollFlags::empty())];
        let at_once = Timespec::default();
        let gone = match poll(&mut watched, Some(&at_once)) {
            Ok(_) => watched[0]
                .revents()
                .intersects(PollFlags::HUP | PollFlags::ERR),
            Err(_) => false,
        };
        if gone {
            return;
        }
        tokio::time::sleep(LOOK).await;
    }
}

/// Writes lines until there are no more; a client that does not read, or is gone, ends the connection.
async fn write_lines(
    mut write: OwnedWriteHalf,
    mut waiting: mpsc::Receiver<String>,
    cancellation: CancellationToken,
) {
    let ending = async {
        cancellation.cancelled().await;
        tokio::time::sleep(LAST_PATIENCE).await;
    };
    let writing = async {
        while let Some(line) = waiting.recv().await {
            let written = tokio::time::timeout(PATIENCE, write.write_all(line.as_bytes())).await;
            if !matches!(written, Ok(Ok(()))) {
                break;
            }
        }
    };
    tokio::select! {
        () = writing => {}
        () = ending => {}
    }
    cancellation.cancel();
}

struct Connection {
    shared: Arc<Shared>,
    lines: mpsc::Sender<String>,
    calls: TaskTracker,
    at_once: Arc<Semaphore>,
    quick: Arc<Semaphore>,
    long: Arc<Semaphore>,
    fetching: Arc<Semaphore>,
    cancellation: CancellationToken,
}

impl Connection {
    async fn read(&self, input: &mut FramedRead<OwnedReadHalf, AnyDelimiterCodec>) {
        loop {
            let next = tokio::time::timeout(PATIENCE, input.next()).await;
            let line = match next {
                Ok(Some(line)) => line,
                Ok(None) => return,
                // A client may say nothing for as long as it likes, but not half of something.
                Err(_) if input.read_buffer().is_empty() => continue,
                Err(_) => return self.cancellation.cancel(),
            };
            match line {
                Ok(line) if line.iter().all(u8::is_ascii_whitespace) => {}
                Ok(line) => self.take(&line).await,
                Err(AnyDelimiterCodecError::MaxChunkLengthExceeded) => {
                    let message = format!("a line is longer than {LINE_LIMIT} bytes (limit)");
                    self.refuse(&Value::Null, Refusal::InvalidRequest(message))
                        .await;
                    // What follows would be the rest of it.
                    return self.cancellation.cancel();
                }
                Err(AnyDelimiterCodecError::Io(_)) => return,
            }
        }
    }

    /// Begins the call of a line, or refuses it.
    async fn take(&self, line: &[u8]) {
        let (call, place, pace, job) = match self.prepare(line).await {
            Ok(prepared) => prepared,
            Err((Some(id), refusal)) => return self.refuse(&id, refusal).await,
            Err((None, _)) => return,
        };
        let running = Running {
            op_id: Uuid::now_v7(),
            shared: self.shared.clone(),
            lines: self.lines.clone(),
            fetching: self.fetching.clone(),
            cancellation: self.cancellation.child_token(),
        };
        self.calls.spawn(async move {
            running.run(call, pace, job).await;
            drop(place);
        });
    }

    /// Reads a call and finds a place for it. A refusal comes with the id to answer, if any.
    async fn prepare(
        &self,
        line: &[u8],
    ) -> Result<(Call, OwnedSemaphorePermit, Option<Pace>, Job), (Option<Value>, Refusal)> {
        let mut call = parse(line)?;
        let params = std::mem::take(&mut call.params);
        let prepared = self.shared.methods.prepare(&call.method, params);
        let (method, job) = match prepared {
            Ok((method, job)) => (method, job),
            Err(refusal) => return Err((call.id, refusal)),
        };
        let place = match method.pace {
            None => self.at_once.clone().acquire_owned().await.ok(),
            Some(Pace::Quick) => self.quick.clone().acquire_owned().await.ok(),
            Some(Pace::Long | Pace::Fetch) => self.long.clone().try_acquire_owned().ok(),
        };
        match place {
            Some(place) => Ok((call, place, method.pace, job)),
            None => {
                let message =
                    format!("{LONG_LIMIT} operations of this connection run, which is the limit");
                Err((call.id, Refusal::Busy(message)))
            }
        }
    }

    async fn refuse(&self, id: &Value, refusal: Refusal) {
        let op_id = Uuid::now_v7();
        let (kind, message) = (refusal.kind().code(), refusal.message());
        self.shared
            .log(op_id, &format!("refused {kind}: {message}"));
        // The client may be gone.
        let _ = self.lines.send(answer(id, op_id, Err(refusal))).await;
    }
}

/// A call on its way.
struct Running {
    op_id: Uuid,
    shared: Arc<Shared>,
    lines: mpsc::Sender<String>,
    fetching: Arc<Semaphore>,
    cancellation: CancellationToken,
}

impl Running {
    async fn run(self, call: Call, pace: Option<Pace>, job: Job) {
        let begun = Instant::now();
        self.shared
            .log(self.op_id, &format!("begins {}", call.method));
        let id = call.id.clone().unwrap_or(Value::Null);
        let notifier = (call.progress && call.id.is_some())
            .then(|| Notifier::start(id.clone(), self.op_id, self.lines.clone()));
        let cancellation = self.cancellation.clone();
        let watch = match &notifier {
            Some(notifier) => Watch::new(notifier.observer(), cancellation),
            None => Watch::silent(cancellation),
        };
        let outcome = self.execute(&call.method, pace, job, watch).await;
        let how = match &outcome {
            Ok(_) => "ends well".to_owned(),
            Err(refusal) => format!("ends {}: {}", refusal.kind().code(), refusal.message()),
        };
        let seconds = begun.elapsed().as_secs_f64();
        self.shared
            .log(self.op_id, &format!("{how} after {seconds:.3} s"));
        if let Some(notifier) = notifier {
            notifier.finish().await;
        }
        if call.id.is_some() {
            // The client may be gone.
            let _ = self.lines.send(answer(&id, self.op_id, outcome)).await;
        }
    }

    async fn execute(
        &self,
        method: &str,
        pace: Option<Pace>,
        job: Job,
        watch: Watch,
    ) -> Result<Value, Refusal> {
        match pace {
            None => job(&self.shared, &watch).map_err(Refusal::Failed),
            Some(pace) => self.take_turns(method, pace, job, watch).await,
        }
    }

    /// Runs an operation when it is its turn.
    async fn take_turns(
        &self,
        method: &str,
        pace: Pace,
        job: Job,
        watch: Watch,
    ) -> Result<Value, Refusal> {
        let waiting = match pace {
            Pace::Quick => None,
            Pace::Long | Pace::Fetch => Some(self.shared.waiting.try_acquire()),
        };
        if let Some(Err(_)) = waiting {
            let message = "too many operations run or wait in the daemon";
            return Err(Refusal::Busy(message.into()));
        }
        let cancellation = self.cancellation.clone();
        let operations = &self.shared.operations;
        let listed = operations.begin(self.op_id, method, cancellation);
        let turn = async {
            match pace {
                Pace::Fetch => {
                    let own = self.fetching.acquire().await;
                    (own.ok(), self.shared.fetching.acquire().await)
                }
                Pace::Long => (None, self.shared.long.acquire().await),
                Pace::Quick => (None, self.shared.quick.acquire().await),
            }
        };
        let _turn = tokio::select! {
            biased;
            () = self.cancellation.cancelled() => return Err(interrupted()),
            turn = turn => turn,
        };
        listed.runs();
        self.block(job, watch).await
    }

    /// Runs a job on a thread that may block.
    async fn block(&self, job: Job, watch: Watch) -> Result<Value, Refusal> {
        let shared = self.shared.clone();
        match tokio::task::spawn_blocking(move || job(&shared, &watch)).await {
            Ok(outcome) => outcome.map_err(Refusal::Failed),
            Err(panic) => {
                self.shared.log(self.op_id, &format!("panicked: {panic}"));
                Err(Refusal::Internal(
                    "the daemon failed; its log has more".into(),
                ))
            }
        }
    }
}

fn interrupted() -> Refusal {
    Refusal::Failed(Error::new(
        ErrorKind::Interrupted,
        "interrupted before it had begun",
    ))
}
