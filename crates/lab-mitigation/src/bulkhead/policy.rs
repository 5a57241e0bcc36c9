//! First come, first served, with a bounded wait: pure.

use std::{
    collections::VecDeque,
    num::NonZeroU32,
    time::{Duration, Instant},
};

use crate::admission::{AdmissionPolicy, Enqueued, Occupancy, Verdict, WaiterId};

/// Places for `max_concurrent_calls`, and a queue whose waiters are served in the order they came
/// and wait `max_wait_duration` at most.
#[derive(Debug)]
pub struct FifoAdmission {
    max_concurrent_calls: u32,
    max_wait_duration: Duration,
    in_flight: u32,
    next_id: u64,
    /// In the order of their deadlines, because everybody may wait equally long.
    waiters: VecDeque<Enqueued>,
    verdicts: VecDeque<(WaiterId, Verdict)>,
}

impl FifoAdmission {
    /// Starts empty.
    pub fn new(max_concurrent_calls: NonZeroU32, max_wait_duration: Duration) -> Self {
        Self {
            max_concurrent_calls: max_concurrent_calls.get(),
            max_wait_duration,
            in_flight: 0,
            next_id: 0,
            waiters: VecDeque::new(),
            verdicts: VecDeque::new(),
        }
    }

    /// Changes the number of places. Calls in flight beyond a lower number go on; nobody is
    /// admitted until they have ended. To be followed by [`AdmissionPolicy::settle`].
    pub fn resize(&mut self, max_concurrent_calls: NonZeroU32) {
        self.max_concurrent_calls = max_concurrent_calls.get();
    }
}

impl AdmissionPolicy for FifoAdmission {
    type Class = ();

    fn try_admit(&mut self) -> bool {
        let is_free = self.in_flight < self.max_concurrent_calls && self.waiters.is_empty();
        self.in_flight += u32::from(is_free);
        is_free
    }

    fn enqueue(&mut self, now: Instant, _class: ()) -> Option<Enqueued> {
        if self.max_wait_duration.is_zero() {
            return None;
        }
        let id = WaiterId(self.next_id);
        self.next_id += 1;
        // Clocks read by two threads may arrive here out of order; the deadlines may not.
        let until = now.checked_add(self.max_wait_duration).unwrap_or(now);
        let until = self.waiters.back().map_or(until, |last| last.until.max(until));
        let enqueued = Enqueued { id, until };
        self.waiters.push_back(enqueued);
        Some(enqueued)
    }

    fn leave(&mut self, id: WaiterId) {
        self.waiters.retain(|it| it.id != id);
    }

    fn release(&mut self) {
        self.in_flight = self.in_flight.saturating_sub(1);
    }

    fn settle(&mut self, now: Instant) {
        while let Some(late) = self.waiters.pop_front_if(|it| it.until <= now) {
            self.verdicts.push_back((late.id, Verdict::Refused));
        }
        while self.in_flight < self.max_concurrent_calls {
            let Some(next) = self.waiters.pop_front() else { break };
            self.in_flight += 1;
            self.verdicts.push_back((next.id, Verdict::Admitted));
        }
    }

    fn pop_verdict(&mut self) -> Option<(WaiterId, Verdict)> {
        self.verdicts.pop_front()
    }

    fn occupancy(&self) -> Occupancy {
        Occupancy {
            in_flight: self.in_flight,
            max_concurrent_calls: self.max_concurrent_calls,
            queue_depth: u32::try_from(self.waiters.len()).unwrap_or(u32::MAX),
        }
    }
}

#[cfg(test)]
mod tests;
