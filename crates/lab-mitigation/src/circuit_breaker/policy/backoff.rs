//! How long the circuit stays open.

use std::time::Duration;

use lab_core::{
    seed::{Seed, mix, share},
    settings::{CircuitBreakerSettings, OpenBackoffSettings},
};

/// A source of random shares for the waits of one circuit: the same seed gives the same waits.
///
/// Circuits that guard the same dependency need different seeds, or their probes come together,
/// which is what jitter is there to prevent.
///
/// **Source**: `SplitMix64`; Steele, Lea, Flood, OOPSLA 2014.
#[derive(Debug, Clone)]
pub struct Jitter(u64);

impl Jitter {
    /// Starts the sequence of `seed`.
    pub fn new(seed: Seed) -> Self {
        Self(seed.0)
    }

    /// The next share, from 0 to below 1.
    fn share(&mut self) -> f64 {
        // 2⁶⁴ divided by the golden ratio, made odd.
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        share(mix(self.0))
    }
}

/// Says how long each opening lasts.
#[derive(Debug)]
pub(super) struct OpenWaits {
    base: Duration,
    backoff: Option<OpenBackoffSettings>,
    jitter: Jitter,
    /// The bound of the next wait.
    bound: Duration,
}

impl OpenWaits {
    pub(super) fn new(settings: &CircuitBreakerSettings, jitter: Jitter) -> Self {
        let base = settings.wait_duration_in_open;
        Self { base, backoff: settings.backoff, jitter, bound: base }
    }

    /// The wait as set, without backoff and jitter.
    pub(super) fn base(&self) -> Duration {
        self.base
    }

    /// How long the circuit that opens now stays open.
    ///
    /// With backoff: evenly between 0 and min(max, base · multiplierⁿ), where n is the number of
    /// openings since [`OpenWaits::start_again`].
    ///
    /// **Source**: "full jitter" of Brooker, "Exponential Backoff and Jitter", AWS blog, 2015.
    pub(super) fn next(&mut self) -> Duration {
        let Some(backoff) = self.backoff else { return self.base };
        let bound = self.bound;
        let longer = bound.as_secs_f64() * backoff.multiplier;
        self.bound = Duration::try_from_secs_f64(longer).unwrap_or(backoff.max).min(backoff.max);
        bound.mul_f64(self.jitter.share())
    }

    /// The circuit closed: the next wait is bounded by the base again.
    pub(super) fn start_again(&mut self) {
        self.bound = self.base;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn waits(seed: u64) -> OpenWaits {
        let settings = CircuitBreakerSettings {
            wait_duration_in_open: Duration::from_secs(1),
            backoff: Some(OpenBackoffSettings { multiplier: 2.0, max: Duration::from_secs(5) }),
            ..CircuitBreakerSettings::default()
        };
        OpenWaits::new(&settings, Jitter::new(Seed(seed)))
    }

    fn drawn(waits: &mut OpenWaits, n: usize) -> Vec<Duration> {
        (0..n).map(|_| waits.next()).collect()
    }

    #[test]
    fn without_backoff_every_wait_is_the_base() {
        let mut waits = OpenWaits::new(&CircuitBreakerSettings::default(), Jitter::new(Seed(1)));
        assert_eq!(drawn(&mut waits, 3), [Duration::from_secs(60); 3]);
    }

    // Worked by hand: bounds of 1, 2, 4 s and then the cap of 5 s; full jitter is even between 0
    // and the bound, so its mean is half of it. Over 4,000 draws the mean is off by 0.5 % of the
    // bound (standard error, 1/√12/√4000), and five of those are allowed.
    #[test]
    fn the_bound_grows_to_the_cap_and_the_waits_fill_it_evenly() {
        let mut waits = waits(7);
        for bound_s in [1.0, 2.0, 4.0, 5.0, 5.0] {
            assert!((waits.bound.as_secs_f64() - bound_s).abs() < 1e-9);
            waits.next();
        }
        let drawn: Vec<f64> = drawn(&mut waits, 4_000).iter().map(Duration::as_secs_f64).collect();
        let mean = drawn.iter().sum::<f64>() / 4_000.0;
        assert!((mean - 2.5).abs() < 5.0 * 0.005 * 5.0, "mean {mean}");
        assert!(drawn.iter().all(|wait| (0.0..5.0).contains(wait)));
        assert!(drawn.iter().any(|wait| *wait < 0.5) && drawn.iter().any(|wait| 4.5 < *wait));
    }

    #[test]
    fn the_same_seed_waits_the_same_and_another_seed_does_not() {
        assert_eq!(drawn(&mut waits(7), 8), drawn(&mut waits(7), 8));
        assert_ne!(drawn(&mut waits(7), 8), drawn(&mut waits(8), 8));
    }

    #[test]
    fn after_a_close_the_bound_is_the_base_again() {
        let mut waits = waits(7);
        drawn(&mut waits, 5);
        waits.start_again();
        assert!(waits.next() < Duration::from_secs(1));
    }

    // An hour is more than a Duration can hold after so many doublings.
    #[test]
    fn however_often_it_opens_the_wait_stays_within_the_cap() {
        let mut waits = waits(7);
        assert!(drawn(&mut waits, 10_000).iter().all(|wait| *wait <= Duration::from_secs(5)));
    }
}
