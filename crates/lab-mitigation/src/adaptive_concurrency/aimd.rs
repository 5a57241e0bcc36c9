//! Additive increase, multiplicative decrease.

use std::{num::NonZeroU32, time::Duration};

use lab_core::settings::AdaptiveConcurrencySettings;

use super::{Limit, Sample, SampleResult, policy::Estimate};

/// Grows by one call per round trip while calls succeed in time, and keeps `backoff_ratio` of
/// itself when one is lost or takes longer than `slow_call_bound`.
///
/// With L calls in flight a round trip brings L samples, so each adds 1/L:
///
/// - success, and 2 × in flight ≥ L: L ← L + 1/L
/// - lost or slow, and begun after the last back-off: L ← L × `backoff_ratio`
///
/// **Source**: Chiu and Jain, 1989; concurrency-limits, `AIMDLimit`.
#[derive(Debug)]
pub struct Aimd {
    estimate: Estimate,
    backoff_ratio: f64,
    slow_call_bound: Duration,
}

impl Aimd {
    /// Starts at `initial_limit`.
    pub fn new(settings: &AdaptiveConcurrencySettings) -> Self {
        Self {
            estimate: Estimate::new(settings),
            backoff_ratio: settings.backoff_ratio.get(),
            slow_call_bound: settings.slow_call_bound,
        }
    }
}

impl Limit for Aimd {
    fn limit(&self) -> NonZeroU32 {
        self.estimate.whole()
    }

    fn on_sample(&mut self, sample: &Sample) {
        let is_slow = self.slow_call_bound < sample.rtt;
        match sample.result {
            SampleResult::Ignored => {}
            SampleResult::Dropped => self.estimate.back_off(sample, self.backoff_ratio),
            SampleResult::Success if is_slow => self.estimate.back_off(sample, self.backoff_ratio),
            SampleResult::Success if self.estimate.is_idle(sample.in_flight) => {}
            SampleResult::Success => {
                let limit = self.estimate.get();
                self.estimate.set(limit + limit.recip());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use lab_testkit::clock::ManualClock;

    use super::*;

    /// Plays `(start_ms, rtt_ms, in_flight, result)` and compares the limit after each, in
    /// hundredths.
    #[track_caller]
    fn check(script: &[(u64, u64, u32, SampleResult)], want: &[f64]) {
        let settings = AdaptiveConcurrencySettings {
            initial_limit: NonZeroU32::new(10).unwrap(),
            min_limit: NonZeroU32::new(8).unwrap(),
            max_limit: NonZeroU32::new(11).unwrap(),
            slow_call_bound: Duration::from_millis(100),
            ..AdaptiveConcurrencySettings::default()
        };
        let (mut limit, t0) = (Aimd::new(&settings), ManualClock::new().now());
        let got: Vec<f64> = script
            .iter()
            .map(|&(start_ms, rtt_ms, in_flight, result)| {
                limit.on_sample(&sample(t0, start_ms, rtt_ms, in_flight, result));
                (limit.estimate.get() * 100.0).round() / 100.0
            })
            .collect();
        assert_eq!(got, want);
    }

    fn sample(
        t0: Instant,
        start_ms: u64,
        rtt_ms: u64,
        in_flight: u32,
        result: SampleResult,
    ) -> Sample {
        let (start, rtt) = (Duration::from_millis(start_ms), Duration::from_millis(rtt_ms));
        Sample { started_at: t0 + start, rtt, in_flight, result }
    }

    use SampleResult::{Dropped, Ignored, Success};

    // Worked by hand: 10 + 1/10 = 10.1; 10.1 + 1/10.1 = 10.199; 10.199 + 1/10.199 = 10.297.
    #[test]
    fn a_success_adds_one_over_the_limit_while_half_of_it_is_used() {
        check(&[(0, 5, 5, Success), (1, 5, 6, Success), (2, 5, 10, Success)], &[10.1, 10.2, 10.3]);
        check(&[(0, 5, 4, Success), (1, 5, 5, Ignored)], &[10.0, 10.0]);
    }

    // Worked by hand: 10 × 0.9 = 9 at 20 ms. The call begun at 19 ms is of the same congestion,
    // the one begun at 20 ms is not: 8.1, and then the floor of 8.
    #[test]
    fn a_lost_call_leaves_nine_tenths_once_per_round_trip() {
        check(
            &[
                (10, 10, 10, Dropped),
                (19, 10, 10, Dropped),
                (20, 10, 9, Dropped),
                (30, 9, 8, Dropped),
            ],
            &[9.0, 9.0, 8.1, 8.0],
        );
    }

    #[test]
    fn a_call_slower_than_the_bound_counts_as_lost() {
        check(&[(0, 100, 10, Success), (100, 101, 10, Success)], &[10.1, 9.09]);
    }

    #[test]
    fn it_stays_below_its_ceiling() {
        let script = [(0, 5, 20, Success); 30];
        let settings = AdaptiveConcurrencySettings {
            max_limit: NonZeroU32::new(21).unwrap(),
            ..AdaptiveConcurrencySettings::default()
        };
        let (mut limit, t0) = (Aimd::new(&settings), ManualClock::new().now());
        for (start, rtt, in_flight, result) in script {
            limit.on_sample(&sample(t0, start, rtt, in_flight, result));
        }
        assert_eq!(limit.limit().get(), 21);
    }
}
