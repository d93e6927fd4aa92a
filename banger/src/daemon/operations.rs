//! What runs now.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use oci_flatten::flatten::CancellationToken;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::error::{Error, ErrorKind};
use crate::store::now;

/// All operations of a daemon that have begun and not ended.
#[derive(Debug, Default)]
pub(super) struct Operations {
    running: Mutex<BTreeMap<Uuid, Entry>>,
}

#[derive(Debug)]
struct Entry {
    described: RunningOperation,
    cancellation: CancellationToken,
}

/// An operation that has begun and not ended.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct RunningOperation {
    /// Its id.
    pub op_id: String,
    /// The method that was called.
    pub method: String,
    /// When it began: RFC 3339 in UTC.
    pub started: String,
    /// How far it is.
    pub state: State,
}

/// How far an operation is.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum State {
    /// It waits for others to end.
    Waiting,
    /// It runs.
    Running,
    /// It is told to end.
    Cancelled,
}

impl fmt::Display for State {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Waiting => "waiting",
            Self::Running => "running",
            Self::Cancelled => "cancelled",
        })
    }
}

/// Takes the operation off the list when it is dropped.
#[derive(Debug)]
pub(super) struct Guard {
    op_id: Uuid,
    operations: Arc<Operations>,
}

impl Operations {
    fn lock(&self) -> MutexGuard<'_, BTreeMap<Uuid, Entry>> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Puts an operation on the list.
    pub(super) fn begin(
        self: &Arc<Self>,
        op_id: Uuid,
        method: &str,
        cancellation: CancellationToken,
    ) -> Guard {
        let described = RunningOperation {
            op_id: op_id.to_string(),
            method: method.to_owned(),
            started: now(),
            state: State::Waiting,
        };
        let entry = Entry {
            described,
            cancellation,
        };
        self.lock().insert(op_id, entry);
        Guard {
            op_id,
            operations: self.clone(),
        }
    }

    /// The list, oldest first.
    pub(super) fn list(&self) -> Vec<RunningOperation> {
        let running = self.lock();
        let described = running.values().map(|entry| {
            let mut described = entry.described.clone();
            if entry.cancellation.is_cancelled() {
                described.state = State::Cancelled;
            }
            described
        });
        described.collect()
    }

    /// Tells an operation to end.
    pub(super) fn cancel(&self, op_id: &str) -> Result<(), Error> {
        let running = self.lock();
        let entry = Uuid::try_parse(op_id).ok().and_then(|id| running.get(&id));
        match entry {
            Some(entry) => {
                entry.cancellation.cancel();
                Ok(())
            }
            None => Err(Error::new(
                ErrorKind::NotFound,
                format!("no operation {op_id:?} is running"),
            )
            .with_hint("`banger op list` shows what is")),
        }
    }
}

impl Guard {
    /// The operation no longer waits.
    pub(super) fn runs(&self) {
        if let Some(entry) = self.operations.lock().get_mut(&self.op_id) {
            entry.described.state = State::Running;
        }
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        self.operations.lock().remove(&self.op_id);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_operation_is_listed_until_it_ends_and_can_be_cancelled() {
        let operations = Arc::new(Operations::default());
        let (op_id, token) = (Uuid::from_u128(7), CancellationToken::new());
        let guard = operations.begin(op_id, "image.pull", token.clone());
        assert_eq!(operations.list()[0].state, State::Waiting);
        guard.runs();
        assert_eq!(operations.list()[0].state, State::Running);
        operations.cancel(&op_id.to_string()).unwrap();
        assert!(token.is_cancelled());
        assert_eq!(operations.list()[0].state, State::Cancelled);
        drop(guard);
        assert!(operations.list().is_empty());
        for gone in [op_id.to_string(), "x".into()] {
            let error = operations.cancel(&gone).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::NotFound);
        }
    }
}
