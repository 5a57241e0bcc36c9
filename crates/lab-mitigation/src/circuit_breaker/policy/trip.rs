//! What opens a closed circuit, and what a half-open one makes of its probes.

use std::{
    num::NonZeroU32,
    time::{Duration, Instant},
};

use lab_core::settings::{CircuitBreakerSettings, TripRule};

use super::{
    super::OpenReason,
    window::{Call, CountWindow, Tally, TimeWindow},
};

/// Remembers the calls of a closed circuit as far as its rule needs them.
#[derive(Debug)]
#[expect(clippy::large_enum_variant, reason = "there is one for each circuit, and it never moves")]
pub(super) enum Trip {
    Consecutive(Streak),
    Window(Window, Rates),
}

/// Failures in a row.
#[derive(Debug)]
pub(super) struct Streak {
    failure_threshold: NonZeroU32,
    half_open_successes: NonZeroU32,
    n_failures: u32,
}

#[derive(Debug)]
pub(super) enum Window {
    Count(CountWindow),
    Time(TimeWindow),
}

/// The rates above which the circuit opens.
#[derive(Debug)]
pub(super) struct Rates {
    minimum_number_of_calls: NonZeroU32,
    failure_rate_threshold: f64,
    slow_call_duration_threshold: Option<Duration>,
    slow_call_rate_threshold: f64,
}

/// What the probes so far come to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ProbeVerdict {
    Undecided,
    Close,
    Open(OpenReason),
}

impl Trip {
    pub(super) fn new(settings: &CircuitBreakerSettings, now: Instant) -> Self {
        let window = match settings.trip {
            TripRule::Consecutive => {
                return Self::Consecutive(Streak {
                    failure_threshold: settings.failure_threshold,
                    half_open_successes: settings.half_open_successes,
                    n_failures: 0,
                });
            }
            TripRule::CountWindow => Window::Count(CountWindow::new(settings.window_size.get())),
            TripRule::TimeWindow => Window::Time(TimeWindow::new(now, settings.window_duration)),
        };
        let rates = Rates {
            minimum_number_of_calls: settings.minimum_number_of_calls,
            failure_rate_threshold: settings.failure_rate_threshold.get(),
            slow_call_duration_threshold: settings.slow_call_duration_threshold,
            slow_call_rate_threshold: settings.slow_call_rate_threshold.get(),
        };
        Self::Window(window, rates)
    }

    /// What a call adds that took `duration`.
    pub(super) fn call(&self, has_failed: bool, duration: Duration) -> Call {
        let threshold = match self {
            Self::Consecutive(_) => None,
            Self::Window(_, rates) => rates.slow_call_duration_threshold,
        };
        Call { has_failed, was_slow: threshold.is_some_and(|threshold| threshold < duration) }
    }

    /// Records a call that ended at `now`. `Some` when the circuit has to open.
    pub(super) fn record(&mut self, now: Instant, call: Call) -> Option<OpenReason> {
        match self {
            Self::Consecutive(streak) => streak.record(call),
            Self::Window(window, rates) => {
                let tally = match window {
                    Window::Count(window) => window.record(call),
                    Window::Time(window) => window.record(now, call),
                };
                if tally.n_calls < rates.minimum_number_of_calls.get() {
                    return None;
                }
                rates.exceeded(tally, tally.n_calls)
            }
        }
    }

    /// Whether one more success would leave everything as it is.
    pub(super) fn is_clean(&self) -> bool {
        matches!(self, Self::Consecutive(Streak { n_failures: 0, .. }))
    }

    /// Whether one more probe may start beside `n_in_flight`, after those in `done`.
    pub(super) fn admits_probe(&self, permits: NonZeroU32, n_in_flight: u32, done: Tally) -> bool {
        match self {
            Self::Consecutive(_) => n_in_flight < permits.get(),
            Self::Window(..) => n_in_flight.saturating_add(done.n_calls) < permits.get(),
        }
    }

    /// What the probes in `done` come to, of which a window wants `permits`.
    ///
    /// Failures in a row: one failure opens, some successes close. A window: the rates over all
    /// permitted probes, as in resilience4j, but it opens as soon as the missing ones cannot help.
    pub(super) fn judge_probes(&self, permits: NonZeroU32, done: Tally) -> ProbeVerdict {
        match self {
            Self::Consecutive(_) if 0 < done.n_failures => {
                ProbeVerdict::Open(OpenReason::ProbeFailed)
            }
            Self::Consecutive(streak) if streak.half_open_successes.get() <= done.n_successes() => {
                ProbeVerdict::Close
            }
            Self::Consecutive(_) => ProbeVerdict::Undecided,
            Self::Window(_, rates) => match rates.exceeded(done, permits.get()) {
                Some(reason) => ProbeVerdict::Open(reason),
                None if permits.get() <= done.n_calls => ProbeVerdict::Close,
                None => ProbeVerdict::Undecided,
            },
        }
    }

    /// Forgets every call.
    pub(super) fn clear(&mut self, now: Instant) {
        match self {
            Self::Consecutive(streak) => streak.n_failures = 0,
            Self::Window(Window::Count(window), _) => window.clear(),
            Self::Window(Window::Time(window), _) => window.clear(now),
        }
    }
}

impl Streak {
    fn record(&mut self, call: Call) -> Option<OpenReason> {
        self.n_failures = if call.has_failed { self.n_failures.saturating_add(1) } else { 0 };
        let n_failures = self.failure_threshold;
        (n_failures.get() <= self.n_failures)
            .then_some(OpenReason::ConsecutiveFailures { n_failures })
    }
}

impl Rates {
    /// The first rate at or above its threshold, taken over `n_of`: n / n_of ≥ threshold.
    ///
    /// A quotient, because it is rounded like the threshold was when it was read: 55 of 100 is
    /// 0.55, while 0.55 · 100 is more than 55.
    fn exceeded(&self, tally: Tally, n_of: u32) -> Option<OpenReason> {
        // Thresholds are above 0, and the quotient of a healthy call is not worth its division.
        let is_reached =
            |n: u32, threshold: f64| 0 < n && threshold <= f64::from(n) / f64::from(n_of);
        let Tally { n_calls, n_failures, n_slow } = tally;
        if is_reached(n_failures, self.failure_rate_threshold) {
            return Some(OpenReason::FailureRate { n_failures, n_calls });
        }
        is_reached(n_slow, self.slow_call_rate_threshold)
            .then_some(OpenReason::SlowCallRate { n_slow, n_calls })
    }
}
