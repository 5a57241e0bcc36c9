//! The gradient of round trip times: usual over present.

use std::{
    num::NonZeroU32,
    time::{Duration, Instant},
};

use lab_core::settings::AdaptiveConcurrencySettings;

use super::{Limit, Sample, SampleResult, policy::Estimate};

/// A short window has at least this many samples; until then it goes on.
/// **Source**: concurrency-limits, `WindowedLimit`.
const SAMPLES_MIN: u32 = 10;

/// The usual round trip time is a plain mean over the first windows, then an exponential one.
/// **Source**: concurrency-limits, `Gradient2Limit`.
const N_WARMUP_WINDOWS: u32 = 10;

/// One window takes away half of the limit at most, before smoothing.
/// **Source**: concurrency-limits, `Gradient2Limit`.
const GRADIENT_MIN: f64 = 0.5;

/// When the usual time is this many times the present one, a long overload has passed and the
/// usual time is forgotten faster, by [`FORGETTING`] per window.
/// **Source**: concurrency-limits, `Gradient2Limit`.
const RECOVERED: f64 = 2.0;
const FORGETTING: f64 = 0.95;

/// The share of its weight with which a slower window counts while the limit is full: its round
/// trips contain the queue that the limit itself lets in, and are no news about the dependency.
/// Not none, so that a dependency that has become slower for good is believed in the end. Chosen.
const RISE_WHEN_FULL: f64 = 0.1;

/// Shrinks when the present round trip time is well above the usual one.
///
/// Samples are gathered in short windows. At the end of each, with L the limit, *short* the mean
/// round trip time in the window, and *long* its exponential average over `long_window` windows
/// (weight 2 / (n + 1), a tenth of that upwards while the limit is full):
///
/// - gradient = `rtt_tolerance` × long / short, at least 0.5 and at most 1
/// - L ← (1 − s) × L + s × (L × gradient + `queue_allowance`), s being `smoothing_ratio`
///
/// unless fewer than L/2 calls were in flight all the time. At rest L = `queue_allowance` /
/// (1 − gradient). A lost call is worth a window of gradient 0.5 without the allowance, once per
/// round trip; its time is not averaged in, because what fails fast is not fast.
///
/// **Source**: concurrency-limits, `Gradient2Limit` inside a `WindowedLimit`, which takes every
/// window at its full weight: there an overload that lasts becomes the usual, and the limit climbs.
#[derive(Debug)]
pub struct Gradient {
    estimate: Estimate,
    tolerance: f64,
    queue_allowance: f64,
    smoothing: f64,
    short_window: Duration,
    window: Window,
    long: LongAverage,
}

#[derive(Debug, Clone, Copy, Default)]
struct Window {
    opened_at: Option<Instant>,
    rtt_sum_s: f64,
    n_samples: u32,
    in_flight_max: u32,
}

#[derive(Debug, Clone, Copy)]
struct LongAverage {
    weight: f64,
    n_windows: u32,
    /// Seconds.
    value: f64,
}

impl Gradient {
    /// Starts at `initial_limit`, knowing nothing about round trip times.
    pub fn new(settings: &AdaptiveConcurrencySettings) -> Self {
        Self {
            estimate: Estimate::new(settings),
            tolerance: settings.rtt_tolerance.max(1.0),
            queue_allowance: f64::from(settings.queue_allowance.get()),
            smoothing: settings.smoothing_ratio.get(),
            short_window: settings.short_window,
            window: Window::default(),
            long: LongAverage {
                weight: 2.0 / (f64::from(settings.long_window.get()) + 1.0),
                n_windows: 0,
                value: 0.0,
            },
        }
    }

    fn on_window(&mut self, window: Window) {
        let short = window.rtt_sum_s / f64::from(window.n_samples);
        let is_full = self.estimate.whole().get() <= window.in_flight_max;
        let long = self.long.add(short, is_full);
        if RECOVERED * short < long {
            self.long.value *= FORGETTING;
        }
        if self.estimate.is_idle(window.in_flight_max) {
            return;
        }
        let gradient = if 0.0 < short {
            (self.tolerance * long / short).clamp(GRADIENT_MIN, 1.0)
        } else {
            1.0
        };
        let limit = self.estimate.get();
        let estimate = limit * gradient + self.queue_allowance;
        self.estimate.set((1.0 - self.smoothing) * limit + self.smoothing * estimate);
    }
}

impl Limit for Gradient {
    fn limit(&self) -> NonZeroU32 {
        self.estimate.whole()
    }

    fn on_sample(&mut self, sample: &Sample) {
        match sample.result {
            SampleResult::Ignored => {}
            SampleResult::Dropped => {
                let ratio = 1.0 - self.smoothing * (1.0 - GRADIENT_MIN);
                self.estimate.back_off(sample, ratio);
            }
            SampleResult::Success => {
                self.window.add(sample);
                if self.window.is_over(sample.ended_at(), self.short_window) {
                    let window = std::mem::take(&mut self.window);
                    self.on_window(window);
                }
            }
        }
    }
}

impl Window {
    fn add(&mut self, sample: &Sample) {
        self.opened_at.get_or_insert(sample.ended_at());
        self.rtt_sum_s += sample.rtt.as_secs_f64();
        self.n_samples = self.n_samples.saturating_add(1);
        self.in_flight_max = self.in_flight_max.max(sample.in_flight);
    }

    fn is_over(&self, now: Instant, length: Duration) -> bool {
        let has_lasted =
            self.opened_at.is_some_and(|at| length <= now.saturating_duration_since(at));
        has_lasted && SAMPLES_MIN <= self.n_samples
    }
}

impl LongAverage {
    fn add(&mut self, short: f64, is_full: bool) -> f64 {
        if self.n_windows < N_WARMUP_WINDOWS {
            self.n_windows += 1;
            self.value += (short - self.value) / f64::from(self.n_windows);
        } else {
            let is_queue = is_full && self.value < short;
            let weight = if is_queue { RISE_WHEN_FULL * self.weight } else { self.weight };
            self.value += (short - self.value) * weight;
        }
        self.value
    }
}

#[cfg(test)]
mod tests {
    use lab_testkit::clock::ManualClock;

    use super::*;

    /// Plays windows `(rtt_ms, in_flight)`, ten samples over 100 ms each.
    struct Player {
        limit: Gradient,
        t0: Instant,
        at_ms: u64,
    }

    impl Player {
        fn new() -> Self {
            let settings = AdaptiveConcurrencySettings {
                initial_limit: NonZeroU32::new(40).unwrap(),
                long_window: NonZeroU32::new(19).unwrap(),
                ..AdaptiveConcurrencySettings::default()
            };
            Self { limit: Gradient::new(&settings), t0: ManualClock::new().now(), at_ms: 1_000 }
        }

        fn sample(&mut self, ended_ms: u64, rtt_ms: u64, in_flight: u32, result: SampleResult) {
            let rtt = Duration::from_millis(rtt_ms);
            let started_at = self.t0 + Duration::from_millis(ended_ms) - rtt;
            self.limit.on_sample(&Sample { started_at, rtt, in_flight, result });
        }

        fn window(&mut self, rtt_ms: u64, in_flight: u32) -> f64 {
            for i in 0..10 {
                let ended_ms = self.at_ms + 100 * i / 9;
                self.sample(ended_ms, rtt_ms, in_flight, SampleResult::Success);
            }
            self.at_ms += 100;
            rounded(self.limit.estimate.get())
        }
    }

    fn rounded(value: f64) -> f64 {
        (value * 1_000.0).round() / 1_000.0
    }

    // Worked by hand. Alone, a time is its own average: gradient 1, so 0.8 × 40 + 0.2 × 44 = 40.8.
    // Then 30 ms after 10 ms: the mean is 20 ms, gradient 1.5 × 20 / 30 = 1: 0.8 × 40.8 + 0.2 ×
    // 44.8 = 41.6. Then 60 ms: mean 33.333, gradient 0.83333: 0.8 × 41.6 + 0.2 × (34.66667 + 4) =
    // 41.01333.
    #[test]
    fn it_grows_within_the_tolerance_and_shrinks_beyond_it() {
        let mut it = Player::new();
        let limits = [10, 30, 60].map(|rtt_ms| it.window(rtt_ms, 40).to_string());
        assert_eq!(limits, ["40.8", "41.6", "41.013"]);
    }

    // Worked by hand: after ten windows of 10 ms the weight is 2 / 20: 0.9 × 10 + 0.1 × 110 = 20,
    // gradient 1.5 × 20 / 110 = 0.27, held at 0.5. From 40 + 10 × 0.8 = 48: 0.8 × 48 + 0.2 × (24 +
    // 4) = 44.
    #[test]
    fn one_terrible_window_takes_a_half_at_most_and_moves_the_usual_time_by_its_weight() {
        let mut it = Player::new();
        for _ in 0..10 {
            it.window(10, 40);
        }
        assert_eq!(it.window(110, 40).to_string(), "44");
        assert_eq!(rounded(it.limit.long.value * 1_000.0).to_string(), "20");
    }

    // Worked by hand, the same with all 48 in flight: 10 + 0.1 × 0.1 × 100 = 11.
    #[test]
    fn a_full_limit_hardly_raises_the_usual_time() {
        let mut it = Player::new();
        for _ in 0..10 {
            it.window(10, 40);
        }
        it.window(110, 48);
        assert_eq!(rounded(it.limit.long.value * 1_000.0).to_string(), "11");
    }

    // Worked by hand: ten windows of 100 ms, then one of 10 ms: 0.9 × 100 + 0.1 × 10 = 91, more
    // than twice 10, so 91 × 0.95 = 86.45.
    #[test]
    fn a_long_overload_is_forgotten_faster_than_it_was_learnt() {
        let mut it = Player::new();
        for _ in 0..10 {
            it.window(100, 40);
        }
        it.window(10, 40);
        assert_eq!(rounded(it.limit.long.value * 1_000.0).to_string(), "86.45");
    }

    #[test]
    fn a_limit_that_nobody_uses_learns_the_usual_time_and_does_not_grow() {
        let mut it = Player::new();
        assert_eq!((it.window(10, 19), it.window(10, 20)), (40.0, 40.8));
        assert_eq!(it.limit.long.n_windows, 2);
    }

    #[test]
    fn nine_samples_make_no_window() {
        let mut it = Player::new();
        for i in 0..9 {
            it.sample(1_000 + 100 * i, 10, 40, SampleResult::Success);
        }
        assert_eq!(it.limit.long.n_windows, 0);
        it.sample(1_900, 10, 40, SampleResult::Success);
        assert_eq!(it.limit.long.n_windows, 1);
    }

    // Worked by hand: 1 − 0.2 × 0.5 = 0.9 of 40 is 36; the second call began before that.
    #[test]
    fn lost_calls_shrink_it_once_per_round_trip_and_are_no_fast_answers() {
        let mut it = Player::new();
        it.sample(1_000, 1, 40, SampleResult::Dropped);
        it.sample(1_001, 2, 40, SampleResult::Dropped);
        assert_eq!(it.limit.limit().get(), 36);
        assert_eq!(it.limit.window.n_samples, 0);
    }

    #[test]
    fn calls_that_took_no_time_are_no_nonsense() {
        let mut it = Player::new();
        assert_eq!(it.window(0, 40).to_string(), "40.8");
    }
}
