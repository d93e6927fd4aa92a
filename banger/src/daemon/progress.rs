//! Events on their way to a client: put together to a few notifications a second.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use oci_flatten::flatten::CancellationToken;
use serde_json::{Value, json};
use tokio::sync::{Notify, mpsc};
use tokio::task::JoinHandle;
use tokio::time::Instant;
use uuid::Uuid;

use super::protocol::{OP_ID, PROGRESS_METHOD, notification};
use crate::progress::{Observer, ProgressEvent};

/// The time between two notifications of one call.
const INTERVAL: Duration = Duration::from_millis(100);

/// Events that wait for the next notification. Of those that only say how far something is, the last of
/// each subject waits, so an image has a few for each layer, however slowly the client reads.
#[derive(Debug, Default)]
struct Batch {
    waiting: Mutex<Vec<ProgressEvent>>,
    more: Notify,
}

impl Batch {
    fn take(&self) -> Vec<ProgressEvent> {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        std::mem::take(&mut *waiting)
    }
}

impl Observer for Batch {
    fn observe(&self, event: ProgressEvent) {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        let older = event.subject().and_then(|subject| {
            let mut older = waiting.iter_mut().rev();
            older.find(|older| older.subject() == Some(subject))
        });
        match older {
            Some(older) => *older = event,
            None => waiting.push(event),
        }
        self.more.notify_one();
    }
}

/// Sends the progress of one call.
pub(super) struct Notifier {
    batch: Arc<Batch>,
    ended: CancellationToken,
    task: JoinHandle<()>,
}

impl Notifier {
    /// Begins with a notification that has no events yet, and tells the operation's id.
    pub(super) fn start(id: Value, op_id: Uuid, lines: mpsc::Sender<String>) -> Self {
        let (batch, ended) = (Arc::new(Batch::default()), CancellationToken::new());
        let sending = send(id, op_id, lines, batch.clone(), ended.clone());
        Self {
            batch,
            ended,
            task: tokio::spawn(sending),
        }
    }

    /// Who is to be told of events.
    pub(super) fn observer(&self) -> Arc<dyn Observer> {
        self.batch.clone()
    }

    /// Sends what still waits.
    pub(super) async fn finish(self) {
        self.ended.cancel();
        // It does not panic, and where the client is gone there is nothing to send.
        let _ = self.task.await;
    }
}

async fn send(
    id: Value,
    op_id: Uuid,
    lines: mpsc::Sender<String>,
    batch: Arc<Batch>,
    ended: CancellationToken,
) {
    let line = |events: Vec<ProgressEvent>| {
        let params = json!({ "id": id, OP_ID: op_id.to_string(), "events": events });
        notification(PROGRESS_METHOD, &params)
    };
    let mut open = lines.send(line(Vec::new())).await.is_ok();
    let mut last = Instant::now();
    while open {
        let over = tokio::select! {
            () = batch.more.notified() => false,
            () = ended.cancelled() => true,
        };
        if !over
            || !batch
                .waiting
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .is_empty()
        {
            tokio::time::sleep_until(last + INTERVAL).await;
        }
        let events = batch.take();
        if !events.is_empty() {
            open = lines.send(line(events)).await.is_ok();
            last = Instant::now();
        }
        open &= !over;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn events(line: &str) -> Vec<ProgressEvent> {
        let document: Value = serde_json::from_str(line).unwrap();
        assert_eq!(document["method"], "progress");
        serde_json::from_value(document["params"]["events"].clone()).unwrap()
    }

    #[tokio::test(start_paused = true)]
    async fn a_thousand_events_are_a_few_notifications_and_no_step_is_lost() {
        let (lines, mut sent) = mpsc::channel(1);
        let notifier = Notifier::start(json!(1), Uuid::nil(), lines);
        let observer = notifier.observer();
        let begun = Instant::now();
        for read in 0..1000 {
            observer.observe(ProgressEvent::LayerProgress {
                layer: 0,
                read,
                expanded: read,
                entries: read,
            });
            if read % 250 == 0 {
                observer.observe(ProgressEvent::LayerStarted { layer: 1 });
            }
        }
        let ending = tokio::spawn(notifier.finish());
        let mut count = 0;
        let mut seen = Vec::new();
        while let Some(line) = sent.recv().await {
            count += 1;
            seen.extend(events(&line));
        }
        ending.await.unwrap();
        assert_eq!(count, 2);
        assert!(begun.elapsed() >= INTERVAL);
        let steps = seen.iter().filter(|event| event.subject().is_none());
        assert_eq!(steps.count(), 4);
        let last = ProgressEvent::LayerProgress {
            layer: 0,
            read: 999,
            expanded: 999,
            entries: 999,
        };
        assert!(seen.contains(&last));
    }
}
