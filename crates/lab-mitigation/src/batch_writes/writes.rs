//! The handle that requests add to and a background task flushes.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use lab_core::settings::{BatchWritesSettings, Mode};
use serde::Serialize;
use tokio::sync::Notify;

use super::{BufferFull, FlushPolicy, FlushReason, buffer::Buffer};
use crate::{
    clock::{BoxedClock, Clock, SystemClock},
    switch::{DecisionCounts, Decisions, Effect, Switch},
};

/// Counters added up in memory, shared by the requests that add and the task that writes. Cloning
/// is cheap and gives the same buffer.
///
/// ```
/// # use lab_core::settings::{BatchWritesSettings, Mode};
/// # use lab_mitigation::batch_writes::{Added, BatchWrites};
/// # let settings = BatchWritesSettings { mode: Mode::Enforce, ..Default::default() };
/// let views = BatchWrites::new(&settings);
/// assert_eq!(views.add("lamp", 1), Ok(Added::Buffered));
/// assert_eq!(views.add("lamp", 2), Ok(Added::Buffered));
///
/// // In the task that writes, after `views.due().await`:
/// if let Some(taken) = views.take() {
///     assert_eq!(taken.counts().get("lamp"), Some(&3));
///     taken.commit(); // or `restore`, when the write failed
/// }
/// assert_eq!(views.buffered(), 0);
/// ```
#[derive(Debug)]
pub struct BatchWrites<K> {
    shared: Arc<Shared<K>>,
}

#[derive(Debug)]
struct Shared<K> {
    switch: Switch,
    decisions: Decisions,
    state: Mutex<State<K>>,
    clock: BoxedClock,
    /// Wakes the task that writes when what is due may have changed.
    changed: Notify,
}

#[derive(Debug)]
struct State<K> {
    buffer: Buffer<K>,
    policy: FlushPolicy,
    n_written: u64,
    n_flushes: u64,
    n_restores: u64,
}

/// What became of an increment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Added {
    /// It is in the buffer, and will be written.
    Buffered,
    /// The mode is not enforce: the caller writes it.
    Bypassed,
}

/// What a buffer tells about itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct BatchWritesSnapshot {
    /// Off, observe or enforce.
    pub mode: Mode,
    /// Adds that found room, and adds that did not.
    #[serde(flatten)]
    pub counts: DecisionCounts,
    /// Increments acknowledged and not known to be written: what a crash would lose now.
    pub n_buffered: u64,
    /// Keys held, those being written included; a key that is both counts twice.
    pub n_keys: u64,
    /// Increments written.
    pub n_written: u64,
    /// Writes that were committed.
    pub n_flushes: u64,
    /// Writes that were restored.
    pub n_restores: u64,
}

impl<K: Ord> BatchWrites<K> {
    /// Starts empty, on the machine's clock.
    pub fn new(settings: &BatchWritesSettings) -> Self {
        Self::with_clock(settings, SystemClock)
    }

    /// As [`BatchWrites::new`], on another clock. [`BatchWrites::due`] sleeps on tokio's, so the
    /// two must go alike.
    pub fn with_clock(settings: &BatchWritesSettings, clock: impl Clock) -> Self {
        let state = State {
            buffer: Buffer::new(settings),
            policy: FlushPolicy::new(settings),
            n_written: 0,
            n_flushes: 0,
            n_restores: 0,
        };
        Self {
            shared: Arc::new(Shared {
                switch: Switch::new(settings.mode),
                decisions: Decisions::default(),
                state: Mutex::new(state),
                clock: BoxedClock::new(clock),
                changed: Notify::new(),
            }),
        }
    }

    /// Adds `by` to the sum of `key`.
    ///
    /// **Errors**: there is no room, and the mode is enforce. Nothing was added.
    pub fn add(&self, key: K, by: u64) -> Result<Added, BufferFull> {
        let mode = self.mode();
        if mode == Mode::Off {
            return Ok(Added::Bypassed);
        }
        let now = self.shared.clock.now();
        let mut state = self.shared.lock();
        let room = match mode {
            Mode::Enforce => state.buffer.check_room(&key, by),
            Mode::Observe | Mode::Off => state.buffer.check_empty_room(by),
        };
        match self.shared.decisions.apply(mode, room) {
            Effect::Permitted(()) if mode == Mode::Enforce => {}
            Effect::Permitted(()) | Effect::WouldReject => return Ok(Added::Bypassed),
            Effect::Rejected(refusal) => return Err(refusal),
        }
        let was_idle = state.buffer.n_buffered() == 0;
        let was_due = state.due(now).is_some();
        state.buffer.add(key, by);
        state.policy.on_added(now);
        let is_news = was_idle || (!was_due && state.due(now).is_some());
        drop(state);
        if is_news {
            self.shared.changed.notify_one();
        }
        Ok(Added::Buffered)
    }

    /// Increments acknowledged and not known to be written, those being written included: exactly
    /// what is lost when the process dies now.
    pub fn buffered(&self) -> u64 {
        self.shared.lock().held()
    }

    /// Why a flush is due at `now`, if it is.
    pub fn due_at(&self, now: Instant) -> Option<FlushReason> {
        self.shared.lock().due(now)
    }

    /// Waits until a flush is due. For one task at a time; under every mode, because what was
    /// buffered before a switch must still be written.
    ///
    /// **Cancellation**: dropping this changes nothing.
    pub async fn due(&self) -> FlushReason {
        loop {
            let now = self.shared.clock.now();
            let (due, wait) = {
                let state = self.shared.lock();
                (state.due(now), state.time_until_due(now))
            };
            if let Some(reason) = due {
                return reason;
            }
            let changed = self.shared.changed.notified();
            match wait {
                None => changed.await,
                Some(wait) => {
                    tokio::select! {
                        () = changed => {}
                        () = tokio::time::sleep(wait) => {}
                    }
                }
            }
        }
    }

    /// Takes everything that is buffered, to be written; `None` when nothing is.
    ///
    /// Does not ask whether it is due, so that a service can flush when it stops.
    pub fn take(&self) -> Option<Taken<K>> {
        let mut state = self.shared.lock();
        let counts = state.buffer.take();
        if counts.is_empty() {
            return None;
        }
        state.policy.on_taken();
        drop(state);
        Some(Taken { shared: Arc::clone(&self.shared), counts })
    }

    /// Off, observe or enforce.
    pub fn mode(&self) -> Mode {
        self.shared.switch.mode()
    }

    /// Changes the mode from the next call on. What is buffered stays, to be flushed.
    pub fn set_mode(&self, mode: Mode) {
        self.shared.switch.set_mode(mode);
    }

    /// Mode, counts and what is buffered, for the internal port and metrics.
    pub fn snapshot(&self) -> BatchWritesSnapshot {
        let state = self.shared.lock();
        BatchWritesSnapshot {
            mode: self.mode(),
            counts: self.shared.decisions.counts(),
            n_buffered: state.held(),
            n_keys: state.buffer.n_keys() as u64,
            n_written: state.n_written,
            n_flushes: state.n_flushes,
            n_restores: state.n_restores,
        }
    }
}

impl<K> Clone for BatchWrites<K> {
    fn clone(&self) -> Self {
        Self { shared: Arc::clone(&self.shared) }
    }
}

impl<K> Shared<K> {
    /// Sums and totals change together, and the only code between them is a key's own `Ord`: one
    /// that panics can leave a total wrong by one add, and no request without an answer.
    fn lock(&self) -> MutexGuard<'_, State<K>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<K: Ord> State<K> {
    fn held(&self) -> u64 {
        self.buffer.n_buffered().saturating_add(self.buffer.n_taken())
    }

    fn due(&self, now: Instant) -> Option<FlushReason> {
        self.policy.due(now, self.buffer.n_buffered())
    }

    fn time_until_due(&self, now: Instant) -> Option<Duration> {
        self.policy.time_until_due(now, self.buffer.n_buffered())
    }
}

/// Increments on their way to where they are kept. No other taker sees them.
///
/// **Cancellation**: dropping it puts them back, as [`Taken::restore`] does.
#[must_use = "dropped at once, the increments go back to the buffer"]
#[derive(Debug)]
pub struct Taken<K: Ord> {
    shared: Arc<Shared<K>>,
    /// Empty once committed or restored.
    counts: BTreeMap<K, u64>,
}

impl<K: Ord> Taken<K> {
    /// The sum of every key, in the order of the keys. Never empty.
    pub fn counts(&self) -> &BTreeMap<K, u64> {
        &self.counts
    }

    /// They are written.
    pub fn commit(mut self) {
        let counts = std::mem::take(&mut self.counts);
        let mut state = self.shared.lock();
        let before = state.buffer.n_taken();
        state.buffer.on_written(&counts);
        let n_written = before.saturating_sub(state.buffer.n_taken());
        state.n_written = state.n_written.saturating_add(n_written);
        state.n_flushes = state.n_flushes.saturating_add(1);
    }

    /// They are not written: they go back to the buffer, and wait for an interval.
    pub fn restore(self) {
        drop(self);
    }
}

impl<K: Ord> Drop for Taken<K> {
    fn drop(&mut self) {
        let counts = std::mem::take(&mut self.counts);
        if counts.is_empty() {
            return;
        }
        let now = self.shared.clock.now();
        let mut state = self.shared.lock();
        state.buffer.restore(counts);
        state.policy.on_restored(now);
        state.n_restores = state.n_restores.saturating_add(1);
        drop(state);
        self.shared.changed.notify_one();
    }
}

#[cfg(test)]
mod tests;
