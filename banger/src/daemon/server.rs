//! The accept loop: takes connections, and ends them all.

use std::sync::Arc;
use std::time::Duration;

use oci_flatten::flatten::CancellationToken;
use serde_json::Value;
use tokio::io::AsyncWriteExt;
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinHandle;
use tokio_util::task::TaskTracker;
use uuid::Uuid;

use super::connection;
use super::methods::Methods;
use super::operations::Operations;
use super::protocol::{Refusal, answer, excerpt};
use super::socket::Socket;
use crate::error::Error;
use crate::operation::{Context, Watch};
use crate::progress::{Observer, ProgressEvent};
use crate::store::now;

/// Connections at once.
const CONNECTION_LIMIT: usize = 1000;

/// Pulls at once; further ones wait.
const FETCH_LIMIT: usize = 16;

/// Other operations at once that may take long; further ones wait. They do not wait for pulls, which may
/// wait for others in turn.
const LONG_LIMIT: usize = 8;

/// Operations at once that are done soon.
const QUICK_LIMIT: usize = 64;

/// Operations that run or wait, of those that may take long; further ones are refused.
const WAITING_LIMIT: usize = 256;

/// Characters of a line of the log.
const LOG_SHOWN: usize = 500;

/// How long the rest may take once the daemon is told to stop.
const DEADLINE: Duration = Duration::from_secs(10);

/// Takes the lines of the daemon's log; it must not wait.
pub type Log = Arc<dyn Fn(&str) + Send + Sync>;

/// What all connections share.
pub(super) struct Shared {
    pub(super) context: Context,
    pub(super) methods: Methods,
    pub(super) operations: Arc<Operations>,
    pub(super) fetching: Semaphore,
    pub(super) long: Semaphore,
    pub(super) quick: Semaphore,
    pub(super) waiting: Semaphore,
    pub(super) log: Log,
    pub(super) started: String,
    open: Arc<Semaphore>,
}

impl Shared {
    /// Open connections.
    pub(super) fn connections(&self) -> usize {
        CONNECTION_LIMIT - self.open.available_permits()
    }

    /// Writes a line of the log.
    pub(super) fn log(&self, op_id: Uuid, text: &str) {
        (self.log)(&format!("op_id={op_id} {}", excerpt(text, LOG_SHOWN)));
    }
}

/// Serves `socket` until `stop` is cancelled. Then what runs is cancelled too, is answered, and has ten
/// seconds to end. Must be called within a tokio runtime of the multi-threaded kind.
///
/// Only peers of the daemon's own user, and root, are served.
///
/// # Errors
///
/// The socket cannot be served.
pub async fn serve(
    socket: Socket,
    context: Context,
    log: Log,
    stop: CancellationToken,
) -> Result<(), Error> {
    let failed = |error| Error::io("serve the socket", error);
    let listener = UnixListener::from_std(socket.listener().map_err(failed)?).map_err(failed)?;
    let daemon = Uuid::now_v7();
    let shared = Arc::new(Shared {
        context,
        methods: Methods::all(),
        operations: Arc::default(),
        fetching: Semaphore::new(FETCH_LIMIT),
        long: Semaphore::new(LONG_LIMIT),
        quick: Semaphore::new(QUICK_LIMIT),
        waiting: Semaphore::new(WAITING_LIMIT),
        log,
        started: now(),
        open: Arc::new(Semaphore::new(CONNECTION_LIMIT)),
    });
    let sweeping = sweep(shared.clone(), daemon, stop.child_token());
    shared.log(daemon, &format!("listens on {socket}"));
    let connections = TaskTracker::new();
    loop {
        let accepted = tokio::select! {
            () = stop.cancelled() => break,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((stream, _)) => admit(stream, &shared, &connections, &stop, daemon),
            // Out of descriptors, or the peer is gone again: others may still be served.
            Err(error) => {
                shared.log(daemon, &format!("accept: {error}"));
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
    }
    // Nobody is to wait for a daemon that has stopped listening.
    drop(listener);
    drop(socket);
    connections.close();
    let ending = async {
        connections.wait().await;
        // It does not panic.
        let _ = sweeping.await;
    };
    let ended = tokio::time::timeout(DEADLINE, ending).await;
    let how = ended.map_or("stopped at its deadline", |()| "stopped");
    shared.log(daemon, how);
    Ok(())
}

/// Removes what killed runs have left in the store, which may take long, or have to wait for others.
fn sweep(shared: Arc<Shared>, daemon: Uuid, stop: CancellationToken) -> JoinHandle<()> {
    tokio::task::spawn_blocking(move || {
        let progress = Arc::new(Logged(shared.clone(), daemon));
        let store = shared.context.store(&Watch::new(progress, stop));
        if let Err(error) = store.sweep_existing() {
            shared.log(daemon, &format!("sweep the store: {error}"));
        }
    })
}

/// Writes into the log that the daemon waits.
struct Logged(Arc<Shared>, Uuid);

impl Observer for Logged {
    fn observe(&self, event: ProgressEvent) {
        if let ProgressEvent::Waiting { what } = event {
            let Self(shared, daemon) = self;
            shared.log(
                *daemon,
                &format!("waits for another run, which has locked {what}"),
            );
        }
    }
}

fn admit(
    stream: UnixStream,
    shared: &Arc<Shared>,
    connections: &TaskTracker,
    stop: &CancellationToken,
    daemon: Uuid,
) {
    match check(&stream, shared) {
        Ok(permit) => {
            let serving = connection::serve(stream, shared.clone(), stop.child_token());
            connections.spawn(async move {
                serving.await;
                drop(permit);
            });
        }
        Err(why) => {
            shared.log(daemon, &format!("refused a connection: {why}"));
            connections.spawn(refuse(stream, why));
        }
    }
}

/// Whether the peer may be served.
fn check(stream: &UnixStream, shared: &Shared) -> Result<OwnedSemaphorePermit, String> {
    let own = rustix::process::geteuid().as_raw();
    match stream.peer_cred() {
        Ok(peer) if peer.uid() == own || peer.uid() == 0 => {}
        Ok(peer) => {
            return Err(format!(
                "user {} is not user {own}, whom this serves",
                peer.uid()
            ));
        }
        Err(error) => return Err(format!("the peer is unknown: {error}")),
    }
    let permit = shared.open.clone().try_acquire_owned();
    permit.map_err(|_| format!("{CONNECTION_LIMIT} connections are open, which is the limit"))
}

async fn refuse(mut stream: UnixStream, why: String) {
    let line = answer(&Value::Null, Uuid::now_v7(), Err(Refusal::Busy(why)));
    let telling = async {
        stream.write_all(line.as_bytes()).await?;
        stream.shutdown().await?;
        // What the peer has said is to be read, or it would be told of a reset before it reads why.
        tokio::io::copy(&mut stream, &mut tokio::io::sink()).await
    };
    // The peer may be gone, and need not read.
    let _ = tokio::time::timeout(Duration::from_secs(1), telling).await;
}
