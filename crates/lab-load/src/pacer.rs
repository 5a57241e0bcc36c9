//! The pacing thread: hands out every arrival at its intended time.
//!
//! A thread of its own and `clock_nanosleep` on an absolute time, because tokio's timer has a grain
//! of 1 ms, which would be all that one measures of a service that answers in less.

use std::{sync::Arc, thread};

use lab_core::{
    clock::{MonotonicNs, nanos},
    load_plan::{Arrivals, LoadPlan},
};
use nix::{
    errno::Errno,
    sys::{prctl, time::TimeSpec},
    time::{ClockId, ClockNanosleepFlags, clock_nanosleep},
};

use crate::{crew::Crew, error::LoadError};

/// The thread that carries out a schedule.
pub(crate) struct Pacer {
    crew: Arc<Crew>,
    start: MonotonicNs,
    give_up_after_ns: u64,
}

impl Pacer {
    /// Starts the thread. It ends when every arrival was handed out, given up or discarded, and
    /// returns how many of the schedule were not discarded.
    ///
    /// **Errors**: no thread can be started.
    pub(crate) fn start(
        crew: Arc<Crew>,
        plan: &LoadPlan,
        start: MonotonicNs,
    ) -> Result<thread::JoinHandle<u64>, LoadError> {
        let pacer = Self { crew, start, give_up_after_ns: nanos(plan.give_up_after) };
        let arrivals = plan.arrivals;
        let end = start.plus(plan.duration);
        thread::Builder::new()
            .name("pacer".into())
            .spawn(move || {
                // Without this the kernel may wake the thread 50 µs late to spare a wake-up. A
                // kernel that refuses only makes the send lag longer, and that is recorded.
                let _ = prctl::set_timerslack(1);
                match arrivals {
                    Arrivals::Poisson { .. } => pacer.pace(),
                    Arrivals::Saturate { .. } => pacer.saturate(end),
                }
            })
            .map_err(|source| LoadError::Spawn { what: "the pacer", source })
    }

    /// Open-loop: each arrival at its time, whatever became of those before it.
    fn pace(&self) -> u64 {
        let crew = &self.crew;
        for arrival in &crew.schedule.arrivals {
            self.give_up_overdue(Some(arrival.intended_at_ns));
            sleep_until(self.at(arrival.intended_at_ns));
            crew.dispatch.offer(*arrival);
        }
        self.give_up_overdue(None);
        crew.dispatch.close();
        crew.schedule.arrivals.len() as u64
    }

    /// Closed-loop: everything is due at once and users take one arrival after the other. What is
    /// left at the end was never due.
    fn saturate(&self, end: MonotonicNs) -> u64 {
        let crew = &self.crew;
        sleep_until(self.start);
        for arrival in &crew.schedule.arrivals {
            crew.dispatch.offer(*arrival);
        }
        sleep_until(end);
        crew.schedule.arrivals.len() as u64 - crew.dispatch.close()
    }

    /// Records arrivals as `Unsent` when no user took them before the client would have given up,
    /// each at that time, up to `until_ns` (or until none waits).
    fn give_up_overdue(&self, until_ns: Option<u64>) {
        while let Some(intended_at_ns) = self.crew.dispatch.oldest_intended_at_ns() {
            let gives_up_at_ns = intended_at_ns + self.give_up_after_ns;
            if until_ns.is_some_and(|until_ns| until_ns < gives_up_at_ns) {
                return;
            }
            sleep_until(self.at(gives_up_at_ns));
            if let Some(arrival) = self.crew.dispatch.take_back(intended_at_ns) {
                self.crew.record_unsent(&arrival, self.crew.now_ns());
            }
        }
    }

    fn at(&self, offset_ns: u64) -> MonotonicNs {
        MonotonicNs(self.start.0 + offset_ns)
    }
}

/// Sleeps until `instant` of `CLOCK_MONOTONIC`; returns at once when it has passed.
fn sleep_until(instant: MonotonicNs) {
    let time = TimeSpec::from_duration(std::time::Duration::from_nanos(instant.0));
    let absolute = ClockNanosleepFlags::TIMER_ABSTIME;
    loop {
        match clock_nanosleep(ClockId::CLOCK_MONOTONIC, absolute, &time) {
            Ok(_) => return,
            Err(Errno::EINTR) => {}
            Err(error) => panic!("a sleep on CLOCK_MONOTONIC failed: {error}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sleep_never_ends_early_and_a_past_instant_returns() {
        let due = MonotonicNs::now().plus(std::time::Duration::from_millis(2));
        sleep_until(due);
        assert!(due <= MonotonicNs::now());
        sleep_until(MonotonicNs(0));
    }
}
