//! The thread that writes: gathers what callers ask, commits it in one record, then answers.
//!
//! There is no waiting for a batch to fill: while one record is synced the next one gathers, so
//! batches grow exactly as much as the disk is slow.

use std::sync::{
    Arc,
    atomic::Ordering::Relaxed,
    mpsc::{Receiver, TryRecvError},
};

use tokio::sync::oneshot;

use super::{
    QueueError, Sequence,
    backlog::{Backlog, Reservation},
    log::Log,
    record::ITEM_OVERHEAD_BYTES,
};

/// Bytes after which a batch is written. **Source**: chosen; far above what one sync of a usual
/// disk lets gather, and far below the 4 GiB of a record.
const BATCH_BYTES_MAX: usize = 1024 * 1024;

pub(super) type Reply<T> = oneshot::Sender<Result<T, QueueError>>;

/// What the writer is asked.
#[derive(Debug)]
pub(super) enum Message {
    /// To make an item durable.
    Enqueue(Reservation, Reply<Sequence>),
    /// To make it durable that every item below a number was applied.
    Advance(u64, Reply<()>),
    /// To finish what came before, and end.
    Close(oneshot::Sender<()>),
}

/// Runs until it is asked to close, or until nobody can ask any more.
pub(super) fn run(inbox: &Receiver<Message>, mut log: Log, backlog: &Backlog) {
    loop {
        let mut round = Round::gather(inbox);
        let closed = round.closed.take();
        let is_last = closed.is_some() || round.is_orphaned;
        round.commit(&mut log, backlog);
        if is_last {
            // Before the answer: whoever hears it may open the folder again.
            drop(log);
            if let Some(closed) = closed {
                let _ = closed.send(());
            }
            return;
        }
    }
}

/// What is committed together.
#[derive(Default)]
struct Round {
    enqueues: Vec<(Reservation, Reply<Sequence>)>,
    advances: Vec<Reply<()>>,
    /// Every item below this was applied.
    applied: u64,
    closed: Option<oneshot::Sender<()>>,
    /// Every handle of the queue was dropped.
    is_orphaned: bool,
}

impl Round {
    /// Waits for one message and takes those that are there already.
    fn gather(inbox: &Receiver<Message>) -> Self {
        let mut round = Self::default();
        let Ok(first) = inbox.recv() else {
            return Self { is_orphaned: true, ..round };
        };
        let mut size_bytes = round.add(first);
        while size_bytes < BATCH_BYTES_MAX && round.closed.is_none() {
            match inbox.try_recv() {
                Ok(message) => size_bytes = size_bytes.saturating_add(round.add(message)),
                Err(TryRecvError::Empty | TryRecvError::Disconnected) => break,
            }
        }
        round
    }

    /// Returns the bytes that the message adds to the record.
    fn add(&mut self, message: Message) -> usize {
        match message {
            Message::Enqueue(reservation, reply) => {
                let n_bytes = reservation.payload().len().saturating_add(ITEM_OVERHEAD_BYTES);
                self.enqueues.push((reservation, reply));
                n_bytes
            }
            Message::Advance(applied, reply) => {
                self.applied = self.applied.max(applied);
                self.advances.push(reply);
                0
            }
            Message::Close(reply) => {
                self.closed = Some(reply);
                0
            }
        }
    }

    fn commit(mut self, log: &mut Log, backlog: &Backlog) {
        // A caller who left before anything was written has not enqueued. Its room is free again.
        self.enqueues.retain(|(_, reply)| !reply.is_closed());
        if self.enqueues.is_empty() && self.advances.is_empty() {
            return;
        }
        let counts = &backlog.counts;
        // What was never enqueued here cannot have been applied.
        let applied = self.applied.min(log.next());
        if !self.advances.is_empty() {
            // Before the record, which may need the room. One that cannot be deleted now is
            // deleted after a later advance; what the record says does not depend on it.
            let _ = log.delete_applied(applied);
        }
        let (reservations, replies): (Vec<_>, Vec<_>) = self.enqueues.into_iter().unzip();
        let payloads: Vec<_> = reservations.iter().map(|it| Arc::clone(it.payload())).collect();
        let written = log.append(&payloads, applied);
        counts.n_segments.store(log.n_segments(), Relaxed);
        // A caller who left while it was written has no use for the answer.
        match written {
            Ok(first) => {
                counts.n_commits.fetch_add(1, Relaxed);
                backlog.on_durable(first, reservations, applied);
                for (sequence, reply) in (first..).map(Sequence).zip(replies) {
                    let _ = reply.send(Ok(sequence));
                }
                for reply in self.advances {
                    let _ = reply.send(Ok(()));
                }
            }
            Err(error) => {
                counts.n_failed_commits.fetch_add(1, Relaxed);
                // First the room, so that whoever hears of the failure may try again.
                drop(reservations);
                for reply in replies {
                    let _ = reply.send(Err(error.clone()));
                }
                for reply in self.advances {
                    let _ = reply.send(Err(error.clone()));
                }
            }
        }
    }
}
