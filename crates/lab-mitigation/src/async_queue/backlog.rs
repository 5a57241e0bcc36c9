//! What waits, in memory: a copy of what the files hold, and the room that is left.

use std::{
    collections::VecDeque,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
};

use serde::Serialize;
use tokio::sync::Notify;

use super::{QueueError, Room};

/// The number of an item: the order in which items became durable. Goes on when a queue is opened
/// again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(transparent)]
pub struct Sequence(pub u64);

/// A durable item.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QueueItem {
    /// Its number.
    pub sequence: Sequence,
    /// What was enqueued.
    pub payload: Arc<[u8]>,
}

/// The oldest items that wait, for the consumer to apply.
///
/// **Cancellation**: dropping it changes nothing; the next peek sees the same items.
#[derive(Debug, PartialEq, Eq)]
pub struct Batch {
    items: Vec<QueueItem>,
}

impl Batch {
    /// The items, oldest first.
    pub fn items(&self) -> &[QueueItem] {
        &self.items
    }

    /// Whether nothing waits.
    pub fn is_empty(&self) -> bool {
        self.items.is_empty()
    }

    /// Keeps the first `n_applied` items only, when the others could not be applied.
    #[must_use]
    pub fn first(mut self, n_applied: usize) -> Self {
        self.items.truncate(n_applied);
        self
    }

    /// Every item below this is applied when the batch is; `None` for an empty batch.
    pub(super) fn end(&self) -> Option<u64> {
        self.items.last().map(|it| it.sequence.0.saturating_add(1))
    }
}

/// The items that wait and their room, shared by callers, consumer and writer.
#[derive(Debug)]
pub(super) struct Backlog {
    state: Mutex<State>,
    /// Wakes the consumer when there is something to apply.
    arrived: Notify,
    pub(super) counts: Counts,
}

/// Counts since the queue was opened.
#[derive(Debug, Default)]
pub(super) struct Counts {
    pub(super) n_enqueued: AtomicU64,
    pub(super) n_applied: AtomicU64,
    pub(super) n_commits: AtomicU64,
    pub(super) n_failed_commits: AtomicU64,
    pub(super) n_segments: AtomicU64,
}

#[derive(Debug)]
struct State {
    room: Room,
    items: VecDeque<QueueItem>,
}

impl Backlog {
    pub(super) fn new(mut room: Room, items: VecDeque<QueueItem>) -> Self {
        for item in &items {
            room.occupy(item.payload.len() as u64);
        }
        Self {
            state: Mutex::new(State { room, items }),
            arrived: Notify::new(),
            counts: Counts::default(),
        }
    }

    /// Takes room for `payload`.
    pub(super) fn try_reserve(
        self: &Arc<Self>,
        payload: Arc<[u8]>,
    ) -> Result<Reservation, QueueError> {
        self.lock().room.try_reserve(payload.len() as u64)?;
        Ok(Reservation { backlog: Arc::clone(self), payload, is_kept: false })
    }

    /// Items became durable, the first of them with the number `first`; those below `applied` are
    /// applied.
    pub(super) fn on_durable(&self, first: u64, reservations: Vec<Reservation>, applied: u64) {
        let n_enqueued = reservations.len() as u64;
        let mut n_applied = 0;
        let mut state = self.lock();
        for (sequence, reservation) in (first..).map(Sequence).zip(reservations) {
            state.items.push_back(QueueItem { sequence, payload: reservation.keep() });
        }
        while let Some(item) = state.items.pop_front_if(|it| it.sequence.0 < applied) {
            state.room.release(item.payload.len() as u64);
            n_applied += 1;
        }
        drop(state);
        self.counts.n_enqueued.fetch_add(n_enqueued, Relaxed);
        self.counts.n_applied.fetch_add(n_applied, Relaxed);
        if 0 < n_enqueued {
            self.arrived.notify_one();
        }
    }

    /// At most `n_max` of the oldest items.
    pub(super) fn peek(&self, n_max: usize) -> Batch {
        Batch { items: self.lock().items.iter().take(n_max).cloned().collect() }
    }

    /// Waits until there is an item.
    pub(super) async fn ready(&self) {
        loop {
            // Before the look, so that what arrives after it is not missed.
            let arrived = self.arrived.notified();
            if !self.lock().items.is_empty() {
                return;
            }
            arrived.await;
        }
    }

    /// Durable items, items with room, and the bytes of the latter.
    pub(super) fn sizes(&self) -> (u64, u64, u64) {
        let state = self.lock();
        (state.items.len() as u64, state.room.n_items(), state.room.size_bytes())
    }

    /// Items and room change in steps that cannot panic.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// An item that has room and is not durable yet. Dropping it gives the room back.
#[derive(Debug)]
pub(super) struct Reservation {
    backlog: Arc<Backlog>,
    payload: Arc<[u8]>,
    is_kept: bool,
}

impl Reservation {
    pub(super) fn payload(&self) -> &Arc<[u8]> {
        &self.payload
    }

    /// The item is durable: its room is free when it is applied. Needs no lock.
    fn keep(mut self) -> Arc<[u8]> {
        self.is_kept = true;
        Arc::clone(&self.payload)
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        if !self.is_kept {
            self.backlog.lock().room.release(self.payload.len() as u64);
        }
    }
}
