//! The handle that requests enqueue to and one consumer drains.

use std::{
    path::{Path, PathBuf},
    sync::{Arc, atomic::Ordering::Relaxed, mpsc},
    thread,
};

use lab_core::settings::{AsyncQueueSettings, Mode};
use serde::Serialize;
use tokio::sync::oneshot;

use super::{
    Batch, QueueError, Recovered, Room, Sequence,
    backlog::Backlog,
    disk::{Disk, SystemDisk},
    log::Log,
    writer::{Message, run},
};
use crate::switch::{DecisionCounts, Decisions, Effect, Switch};

/// A persisted queue in one folder. Cloning is cheap and gives the same queue.
///
/// When the last clone is dropped the writer finishes what it was asked, and ends on its own;
/// [`AsyncQueue::close`] waits for that.
///
/// ```
/// # use lab_core::settings::{AsyncQueueSettings, Mode};
/// # use lab_mitigation::async_queue::{AsyncQueue, Enqueued};
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let folder = tempfile::tempdir()?;
/// # let settings = AsyncQueueSettings { mode: Mode::Enforce, ..Default::default() };
/// let (orders, _recovered) = AsyncQueue::open(folder.path(), &settings)?;
///
/// // In a request. Answer 202 only after this.
/// let order = br#"{"key": "7f3a", "product": 1}"#;
/// assert!(matches!(orders.enqueue(&order[..]).await?, Enqueued::Durable(_)));
///
/// // In the one consumer.
/// orders.ready().await;
/// let batch = orders.peek(100);
/// for item in batch.items() {
///     // Apply item.payload, idempotently.
/// }
/// orders.advance(batch).await?;
/// # orders.close().await;
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone)]
pub struct AsyncQueue {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    folder: PathBuf,
    switch: Switch,
    decisions: Decisions,
    backlog: Arc<Backlog>,
    /// Bounded by the room of the backlog, and by one consumer's advances.
    inbox: mpsc::Sender<Message>,
}

/// What became of an item.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Enqueued {
    /// It survives a kill and a loss of power from here on, and will be applied.
    Durable(Sequence),
    /// The mode is not enforce: the caller writes it.
    Bypassed,
}

/// What a queue tells about itself. Counts are since it was opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct AsyncQueueSnapshot {
    /// Off, observe or enforce.
    pub mode: Mode,
    /// Items that found room, and items that did not.
    #[serde(flatten)]
    pub counts: DecisionCounts,
    /// Durable items that are not applied.
    pub n_items: u64,
    /// Items with room, those that are not durable yet included.
    pub n_reserved: u64,
    /// Bytes of the items with room.
    pub size_bytes: u64,
    /// Items that became durable.
    pub n_enqueued: u64,
    /// Items that were applied.
    pub n_applied: u64,
    /// Records written and synced; each holds what had gathered.
    pub n_commits: u64,
    /// Records that were not: nothing in them was acknowledged.
    pub n_failed_commits: u64,
    /// Files.
    pub n_segments: u64,
}

impl AsyncQueue {
    /// Opens the queue in `folder`, whose parent must exist, and says what it found there. One
    /// queue at a time may have a folder open.
    ///
    /// **Blocks** while it reads the files: call it before the service takes requests.
    ///
    /// **Errors**: a file or folder that cannot be used, named; one that does not hold what was
    /// written to it ([`QueueError::Corrupt`]); somebody else has it open. Nothing acknowledged
    /// was deleted then.
    pub fn open(
        folder: &Path,
        settings: &AsyncQueueSettings,
    ) -> Result<(Self, Recovered), QueueError> {
        Self::open_on(folder, settings, Box::new(SystemDisk))
    }

    pub(super) fn open_on(
        folder: &Path,
        settings: &AsyncQueueSettings,
        disk: Box<dyn Disk>,
    ) -> Result<(Self, Recovered), QueueError> {
        let (log, items, recovered) = Log::open(folder, settings.segment_bytes, disk)?;
        let backlog = Arc::new(Backlog::new(Room::new(settings), items));
        backlog.counts.n_segments.store(log.n_segments(), Relaxed);
        let (inbox, messages) = mpsc::channel();
        let writers = Arc::clone(&backlog);
        thread::Builder::new()
            .name("async-queue".into())
            .spawn(move || run(&messages, log, &writers))
            .map_err(|error| QueueError::io("start a writer for", folder, error))?;
        let shared = Shared {
            folder: folder.to_owned(),
            switch: Switch::new(settings.mode),
            decisions: Decisions::default(),
            backlog,
            inbox,
        };
        Ok((Self { shared: Arc::new(shared) }, recovered))
    }

    /// Makes `payload` durable. When this returns [`Enqueued::Durable`] it can be acknowledged.
    ///
    /// **Errors**: no room, too large, or the disk refused; there is no acknowledgement then. After
    /// [`QueueError::Io`] and [`QueueError::Closed`] the item may be applied nevertheless.
    /// **Cancellation**: an item that is not being written yet gives its room back and is
    /// forgotten; one that is may be applied.
    pub async fn enqueue(&self, payload: impl Into<Arc<[u8]>>) -> Result<Enqueued, QueueError> {
        let mode = self.mode();
        if mode == Mode::Off {
            return Ok(Enqueued::Bypassed);
        }
        let room = self.shared.backlog.try_reserve(payload.into());
        let reservation = match self.shared.decisions.apply(mode, room) {
            Effect::Permitted(reservation) if mode == Mode::Enforce => reservation,
            Effect::Permitted(_) | Effect::WouldReject => return Ok(Enqueued::Bypassed),
            Effect::Rejected(refusal) => return Err(refusal),
        };
        self.ask(|reply| Message::Enqueue(reservation, reply)).await.map(Enqueued::Durable)
    }

    /// Waits until there is something to apply. For one task at a time; under every mode, because
    /// what is in the queue must still be applied.
    ///
    /// **Cancellation**: dropping this changes nothing.
    pub async fn ready(&self) {
        self.shared.backlog.ready().await;
    }

    /// At most `n_max` of the oldest items; the same ones again until they are advanced over. For
    /// one consumer: two would see the same items.
    pub fn peek(&self, n_max: usize) -> Batch {
        self.shared.backlog.peek(n_max)
    }

    /// Says that every item of `batch` was applied: they are not seen again, not even after a
    /// restart. [`Batch::first`] makes a batch of those that could be applied.
    ///
    /// **Errors**: that could not be made durable. The same items come again; so they do in any
    /// case when the process dies before this returns.
    /// **Cancellation**: the items may come again, or not.
    pub async fn advance(&self, batch: Batch) -> Result<(), QueueError> {
        match batch.end() {
            None => Ok(()),
            Some(end) => self.ask(|reply| Message::Advance(end, reply)).await,
        }
    }

    /// Finishes what was asked before, ends the writer and lets the folder go. Items stay in it for
    /// whoever opens it next. Every call on every clone is [`QueueError::Closed`] from here on.
    ///
    /// **Cancellation**: the queue closes anyway; nobody waits for it.
    pub async fn close(&self) {
        let (reply, closed) = oneshot::channel();
        if self.shared.inbox.send(Message::Close(reply)).is_ok() {
            // An error says that it is closed already.
            let _ = closed.await;
        }
    }

    /// Off, observe or enforce.
    pub fn mode(&self) -> Mode {
        self.shared.switch.mode()
    }

    /// Changes the mode from the next call on. What is in the queue stays, to be applied.
    pub fn set_mode(&self, mode: Mode) {
        self.shared.switch.set_mode(mode);
    }

    /// Mode, counts and sizes, for the internal port and metrics.
    pub fn snapshot(&self) -> AsyncQueueSnapshot {
        let (n_items, n_reserved, size_bytes) = self.shared.backlog.sizes();
        let counts = &self.shared.backlog.counts;
        AsyncQueueSnapshot {
            mode: self.mode(),
            counts: self.shared.decisions.counts(),
            n_items,
            n_reserved,
            size_bytes,
            n_enqueued: counts.n_enqueued.load(Relaxed),
            n_applied: counts.n_applied.load(Relaxed),
            n_commits: counts.n_commits.load(Relaxed),
            n_failed_commits: counts.n_failed_commits.load(Relaxed),
            n_segments: counts.n_segments.load(Relaxed),
        }
    }

    /// Asks the writer and waits for its answer. A writer that is gone answers nobody.
    async fn ask<T>(
        &self,
        message: impl FnOnce(oneshot::Sender<Result<T, QueueError>>) -> Message,
    ) -> Result<T, QueueError> {
        let closed = || QueueError::Closed { path: self.shared.folder.clone() };
        let (reply, answer) = oneshot::channel();
        self.shared.inbox.send(message(reply)).map_err(|_gone| closed())?;
        answer.await.map_err(|_gone| closed())?
    }
}

#[cfg(test)]
mod tests;
