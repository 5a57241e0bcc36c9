//! Core before auxiliary, and in each class controlled delay with adaptive LIFO: pure.

use std::{
    collections::VecDeque,
    num::NonZeroU32,
    time::{Duration, Instant},
};

use lab_core::{route::RouteClass, settings::PrioritySheddingSettings};

use crate::admission::{AdmissionPolicy, Enqueued, Occupancy, Verdict, WaiterId};

/// Who gets a place, and who has waited long enough. The rules are in [`super`].
#[derive(Debug)]
pub struct PriorityAdmission {
    max_concurrent_calls: u32,
    delay: ControlledDelay,
    in_flight: u32,
    next_id: u64,
    core: Lane,
    auxiliary: Lane,
    verdicts: VecDeque<(WaiterId, Verdict)>,
}

#[derive(Debug, Clone, Copy)]
struct ControlledDelay {
    target: Duration,
    interval: Duration,
}

/// The queue of one class, in the order of arrival.
#[derive(Debug, Default)]
struct Lane {
    waiters: VecDeque<Enqueued>,
    /// When it was empty last. Means something only while it is not empty.
    empty_at: Option<Instant>,
}

impl PriorityAdmission {
    /// Starts empty.
    pub fn new(settings: &PrioritySheddingSettings) -> Self {
        Self {
            max_concurrent_calls: settings.max_concurrent_calls.get(),
            delay: ControlledDelay { target: settings.target, interval: settings.interval },
            in_flight: 0,
            next_id: 0,
            core: Lane::default(),
            auxiliary: Lane::default(),
            verdicts: VecDeque::new(),
        }
    }

    /// Changes the number of places. Calls in flight beyond a lower number go on; nobody is
    /// admitted until they have ended. To be followed by [`AdmissionPolicy::settle`].
    pub fn resize(&mut self, max_concurrent_calls: NonZeroU32) {
        self.max_concurrent_calls = max_concurrent_calls.get();
    }

    /// Callers of `class` that wait.
    pub fn queue_depth(&self, class: RouteClass) -> u32 {
        let lane = match class {
            RouteClass::Core => &self.core,
            RouteClass::Auxiliary => &self.auxiliary,
        };
        u32::try_from(lane.waiters.len()).unwrap_or(u32::MAX)
    }

    fn shed_late(&mut self, now: Instant) {
        let is_late = |it: &Enqueued| it.until <= now;
        let has_late_core = self.core.waiters.iter().any(is_late);
        // None of the auxiliary waiters would have been let in before the core one.
        let makes_way = |it: &Enqueued| has_late_core || is_late(it);
        self.auxiliary.shed(&mut self.verdicts, makes_way);
        self.core.shed(&mut self.verdicts, is_late);
    }
}

impl AdmissionPolicy for PriorityAdmission {
    type Class = RouteClass;

    fn try_admit(&mut self) -> bool {
        let is_free = self.in_flight < self.max_concurrent_calls
            && self.core.waiters.is_empty()
            && self.auxiliary.waiters.is_empty();
        self.in_flight += u32::from(is_free);
        is_free
    }

    fn enqueue(&mut self, now: Instant, class: RouteClass) -> Option<Enqueued> {
        let id = WaiterId(self.next_id);
        self.next_id += 1;
        let lane = match class {
            RouteClass::Core => &mut self.core,
            RouteClass::Auxiliary => &mut self.auxiliary,
        };
        Some(lane.push(now, id, self.delay))
    }

    fn leave(&mut self, id: WaiterId) {
        self.core.waiters.retain(|it| it.id != id);
        self.auxiliary.waiters.retain(|it| it.id != id);
    }

    fn release(&mut self) {
        self.in_flight = self.in_flight.saturating_sub(1);
    }

    fn settle(&mut self, now: Instant) {
        self.shed_late(now);
        while self.in_flight < self.max_concurrent_calls {
            let next = self.core.pop(now, self.delay);
            let Some(next) = next.or_else(|| self.auxiliary.pop(now, self.delay)) else { break };
            self.in_flight += 1;
            self.verdicts.push_back((next.id, Verdict::Admitted));
        }
    }

    fn pop_verdict(&mut self) -> Option<(WaiterId, Verdict)> {
        self.verdicts.pop_front()
    }

    fn occupancy(&self) -> Occupancy {
        let depth = |class| self.queue_depth(class);
        Occupancy {
            in_flight: self.in_flight,
            max_concurrent_calls: self.max_concurrent_calls,
            queue_depth: depth(RouteClass::Core).saturating_add(depth(RouteClass::Auxiliary)),
        }
    }
}

impl Lane {
    /// Whether the queue has not been empty for an `interval`. An empty one is not standing.
    fn is_standing(&self, now: Instant, delay: ControlledDelay) -> bool {
        let has_lasted = |at: Instant| delay.interval <= now.saturating_duration_since(at);
        !self.waiters.is_empty() && self.empty_at.is_some_and(has_lasted)
    }

    fn push(&mut self, now: Instant, id: WaiterId, delay: ControlledDelay) -> Enqueued {
        if self.waiters.is_empty() {
            self.empty_at = Some(now);
        }
        let patience = if self.is_standing(now, delay) { delay.target } else { delay.interval };
        let enqueued = Enqueued { id, until: now.checked_add(patience).unwrap_or(now) };
        self.waiters.push_back(enqueued);
        enqueued
    }

    /// The newest of a standing queue, else the oldest.
    fn pop(&mut self, now: Instant, delay: ControlledDelay) -> Option<Enqueued> {
        if self.is_standing(now, delay) {
            self.waiters.pop_back()
        } else {
            self.waiters.pop_front()
        }
    }

    fn shed(
        &mut self,
        verdicts: &mut VecDeque<(WaiterId, Verdict)>,
        is_shed: impl Fn(&Enqueued) -> bool,
    ) {
        self.waiters.retain(|it| {
            let is_shed = is_shed(it);
            if is_shed {
                verdicts.push_back((it.id, Verdict::Refused));
            }
            !is_shed
        });
    }
}

#[cfg(test)]
mod tests;
