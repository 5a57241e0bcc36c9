//! The calls that the rates are taken over: the last n, or those of the last while.
//!
//! Both keep their calls in a ring that is allocated once. Recording costs the same however many
//! calls the window holds.

use std::time::{Duration, Instant};

/// What one call adds to a window.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Call {
    pub(super) has_failed: bool,
    pub(super) was_slow: bool,
}

/// Calls counted together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Tally {
    pub(super) n_calls: u32,
    pub(super) n_failures: u32,
    pub(super) n_slow: u32,
}

impl Tally {
    pub(super) fn n_successes(self) -> u32 {
        self.n_calls.saturating_sub(self.n_failures)
    }

    pub(super) fn add(&mut self, call: Call) {
        self.n_calls = self.n_calls.saturating_add(1);
        self.n_failures = self.n_failures.saturating_add(u32::from(call.has_failed));
        self.n_slow = self.n_slow.saturating_add(u32::from(call.was_slow));
    }

    fn subtract(&mut self, other: Self) {
        self.n_calls = self.n_calls.saturating_sub(other.n_calls);
        self.n_failures = self.n_failures.saturating_sub(other.n_failures);
        self.n_slow = self.n_slow.saturating_sub(other.n_slow);
    }
}

impl From<Call> for Tally {
    fn from(call: Call) -> Self {
        let mut tally = Self::default();
        tally.add(call);
        tally
    }
}

/// The last calls, as many as its size.
#[derive(Debug)]
pub(super) struct CountWindow {
    /// A ring: the oldest call stands where the next one goes.
    calls: Box<[Call]>,
    next: usize,
    tally: Tally,
}

impl CountWindow {
    /// Starts empty. `size` is at least 1; of 0 it makes 1.
    pub(super) fn new(size: u32) -> Self {
        let empty = Call { has_failed: false, was_slow: false };
        // A u32 fits a usize on every platform this is built for.
        let calls = vec![empty; size.max(1) as usize].into_boxed_slice();
        Self { calls, next: 0, tally: Tally::default() }
    }

    /// Adds a call and returns what the window now holds.
    pub(super) fn record(&mut self, call: Call) -> Tally {
        let Some(place) = self.calls.get_mut(self.next) else { return self.tally };
        let oldest = std::mem::replace(place, call);
        self.next += 1;
        if self.next == self.calls.len() {
            self.next = 0;
        }
        // Nothing leaves a window that is not full yet.
        if self.tally.n_calls as usize == self.calls.len() {
            self.tally.subtract(oldest.into());
        }
        self.tally.add(call);
        self.tally
    }

    /// Forgets every call.
    pub(super) fn clear(&mut self) {
        (self.next, self.tally) = (0, Tally::default());
    }
}

/// Parts that a time window is made of. More make the edge finer and the memory larger.
const N_BUCKETS: usize = 10;

/// The calls of the last while, in buckets of a tenth of it each. The oldest bucket leaves as a
/// whole, so the window reaches back between nine and ten buckets.
#[derive(Debug)]
pub(super) struct TimeWindow {
    bucket_duration: Duration,
    /// A ring: `head` is the bucket of now.
    buckets: [Tally; N_BUCKETS],
    head: usize,
    head_started_at: Instant,
    tally: Tally,
}

impl TimeWindow {
    /// Starts empty at `now`. `duration` is at least 10 ns; of less it makes 10 ns.
    pub(super) fn new(now: Instant, duration: Duration) -> Self {
        let n_buckets = u32::try_from(N_BUCKETS).unwrap_or(u32::MAX);
        Self {
            bucket_duration: (duration / n_buckets).max(Duration::from_nanos(1)),
            buckets: [Tally::default(); N_BUCKETS],
            head: 0,
            head_started_at: now,
            tally: Tally::default(),
        }
    }

    /// Adds a call that ended at `now` and returns what the window now holds. A time before the
    /// latest one counts as the latest: threads read the clock before they wait for each other.
    pub(super) fn record(&mut self, now: Instant, call: Call) -> Tally {
        self.advance(now);
        if let Some(bucket) = self.buckets.get_mut(self.head) {
            bucket.add(call);
            self.tally.add(call);
        }
        self.tally
    }

    /// Forgets every call.
    pub(super) fn clear(&mut self, now: Instant) {
        self.buckets = [Tally::default(); N_BUCKETS];
        (self.head, self.head_started_at) = (0, now);
        self.tally = Tally::default();
    }

    fn advance(&mut self, now: Instant) {
        let elapsed = now.saturating_duration_since(self.head_started_at);
        if elapsed < self.bucket_duration {
            return;
        }
        let n_passed = elapsed.as_nanos() / self.bucket_duration.as_nanos();
        let n_passed = usize::try_from(n_passed).unwrap_or(usize::MAX);
        if N_BUCKETS <= n_passed {
            return self.clear(now);
        }
        for _ in 0..n_passed {
            self.head = if self.head + 1 == N_BUCKETS { 0 } else { self.head + 1 };
            self.head_started_at += self.bucket_duration;
            if let Some(bucket) = self.buckets.get_mut(self.head) {
                self.tally.subtract(std::mem::take(bucket));
            }
        }
    }
}

#[cfg(test)]
mod tests;
