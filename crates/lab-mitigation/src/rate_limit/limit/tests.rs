//! The shared rate limit on a clock held still: budget, refusals, modes.

use std::{num::NonZeroU32, time::Duration};

use lab_core::units::PerSec;
use lab_testkit::clock::ManualClock;
use proptest::prelude::*;

use super::*;

fn settings(mode: Mode, permits_per_sec: f64, burst: u32) -> RateLimitSettings {
    RateLimitSettings {
        mode,
        permits_per_sec: Some(PerSec::new(permits_per_sec).unwrap()),
        burst: NonZeroU32::new(burst),
        ..RateLimitSettings::default()
    }
}

fn limit(mode: Mode, permits_per_sec: f64, burst: u32) -> (RateLimit, ManualClock) {
    let clock = ManualClock::new();
    let settings = settings(mode, permits_per_sec, burst);
    (RateLimit::with_clock(&settings, clock.reader()).unwrap(), clock)
}

fn n_admitted(limit: &RateLimit, n_calls: u32) -> usize {
    (0..n_calls).filter(|_| limit.check().is_ok()).count()
}

// Worked by hand: 3 at once from the full bucket, then one per 10 ms; after a long quiet time 3
// again, not more.
#[test]
fn a_full_bucket_then_one_permit_per_period() {
    let (limit, clock) = limit(Mode::Enforce, 100.0, 3);
    assert_eq!(n_admitted(&limit, 10), 3);
    clock.advance(Duration::from_millis(9));
    assert_eq!(limit.check(), Err(RateLimited { retry_after: Duration::from_millis(1) }));
    clock.advance(Duration::from_millis(1));
    assert_eq!(n_admitted(&limit, 10), 1);
    clock.advance(Duration::from_secs(60));
    assert_eq!(n_admitted(&limit, 10), 3);
}

#[test]
fn a_clone_draws_from_the_same_bucket() {
    let (limit, _clock) = limit(Mode::Enforce, 100.0, 3);
    assert_eq!(n_admitted(&limit.clone(), 2), 2);
    assert_eq!(n_admitted(&limit, 10), 1);
}

#[test]
fn observing_admits_everything_and_counts_what_enforcing_would_have_refused() {
    let (limit, _clock) = limit(Mode::Observe, 100.0, 3);
    assert_eq!(n_admitted(&limit, 10), 10);
    let counts = limit.snapshot().counts;
    assert_eq!((counts.n_permitted, counts.n_rejected, counts.n_would_reject), (3, 0, 7));
    limit.set_mode(Mode::Enforce).unwrap();
    assert_eq!(n_admitted(&limit, 10), 0, "the bucket is as empty as it was observed to be");
}

#[test]
fn switched_off_it_admits_everything_and_counts_nothing() {
    let (limit, _clock) = limit(Mode::Off, 100.0, 1);
    assert_eq!(n_admitted(&limit, 10), 10);
    assert_eq!(limit.snapshot().counts, DecisionCounts::default());
}

#[test]
fn without_a_rate_it_stays_off_and_says_which_key_is_missing() {
    let limit = RateLimit::new(&RateLimitSettings::default()).unwrap();
    let error = limit.set_mode(Mode::Enforce).unwrap_err();
    assert_eq!(
        error.to_string(),
        "settings.rate_limit.permits_per_sec is needed unless the mode is off"
    );
    assert_eq!(limit.mode(), Mode::Off);
    assert!(limit.check().is_ok());
    let enforced = RateLimitSettings { mode: Mode::Enforce, ..RateLimitSettings::default() };
    assert_eq!(RateLimit::new(&enforced).unwrap_err(), RateLimitSettingsError::NoRate);
}

proptest! {
    // The reference is the bucket itself, in nanoseconds: a level that time fills up to the brim,
    // and that each permit lowers by one period. governor keeps one point in time instead (GCRA).
    #[test]
    fn it_admits_what_a_bucket_that_never_goes_below_zero_would(
        period_ns in 1_000_000..20_000_000_u64,
        burst in 1..50_u32,
        gaps_us in prop::collection::vec(0..30_000_u64, 1..300),
    ) {
        let clock = ManualClock::new();
        let rate = 1e9 / period_ns as f64;
        let settings = settings(Mode::Enforce, rate, burst);
        let period = Budget::from_settings(&settings).unwrap().unwrap().period.as_nanos();
        let limit = RateLimit::with_clock(&settings, clock.reader()).unwrap();
        let brim = i128::try_from(period).unwrap() * i128::from(burst);
        let period = i128::try_from(period).unwrap();
        let mut level = brim;
        for gap_us in gaps_us {
            clock.advance(Duration::from_micros(gap_us));
            level = brim.min(level + i128::from(gap_us) * 1_000);
            let has_permit = period <= level;
            level -= if has_permit { period } else { 0 };
            prop_assert!(0 <= level);
            match limit.check() {
                Ok(()) => prop_assert!(has_permit),
                Err(refusal) => {
                    prop_assert!(!has_permit);
                    let missing = u128::try_from(period - level).unwrap();
                    prop_assert_eq!(refusal.retry_after.as_nanos(), missing);
                }
            }
        }
    }
}
