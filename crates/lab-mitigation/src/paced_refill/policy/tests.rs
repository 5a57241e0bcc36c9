//! The pace by hand and against what may have come in.

use lab_core::units::{PerSec, Ratio};
use lab_testkit::clock::ManualClock;
use proptest::prelude::*;

use super::*;

fn pace(fills_per_sec: f64, initial_ratio: f64, duration: Duration) -> RefillPace {
    RefillPace::from_settings(&PacedRefillSettings {
        fills_per_sec: Some(PerSec::new(fills_per_sec).unwrap()),
        initial_ratio: Ratio::new(initial_ratio).unwrap(),
        duration,
        ..PacedRefillSettings::default()
    })
    .unwrap()
}

/// Plays `(at_ms, event)` pairs and compares what each came to.
#[track_caller]
fn check(mut pace: RefillPace, script: &[(u64, &str)], want: &[&str]) {
    let t0 = ManualClock::new().now();
    let got: Vec<String> = script
        .iter()
        .map(|&(at_ms, event)| {
            let now = t0 + Duration::from_millis(at_ms);
            let told = match event {
                "recovered" => pace.on_recovered(now),
                _ => pace.on_time(now),
            };
            let note = match event {
                "miss" => match pace.try_acquire(now) {
                    Ok(()) => "passes".to_owned(),
                    Err(deferred) => format!("{} ms", deferred.retry_after.as_millis()),
                },
                other => other.to_owned(),
            };
            let told = told.map(|event| format!(", {}", event.kind())).unwrap_or_default();
            format!("{at_ms} {note}{told}")
        })
        .collect();
    assert_eq!(got, want);
}

#[test]
fn before_a_recovery_every_miss_passes() {
    let second = Duration::from_secs(1);
    check(
        pace(1.0, 1.0, second),
        &[(0, "miss"), (0, "miss"), (1, "miss")],
        &["0 passes", "0 passes", "1 passes"],
    );
}

// Worked by hand: 10 per second is one per 100 ms, and the bucket holds one.
#[test]
fn after_a_recovery_one_miss_passes_per_period_until_the_time_is_over() {
    check(
        pace(10.0, 1.0, Duration::from_millis(450)),
        &[
            (1_000, "recovered"),
            (1_000, "miss"),
            (1_000, "miss"),
            (1_040, "miss"),
            (1_101, "miss"),
            (1_101, "miss"),
            (1_420, "miss"),
            (1_420, "miss"),
            (1_449, "miss"),
            (1_450, "miss"),
            (1_450, "miss"),
        ],
        &[
            "1000 recovered, refill_began",
            "1000 passes",
            "1000 100 ms",
            "1040 60 ms",
            "1101 passes",
            // The bucket was full at 1,101 ms: what did not fit is lost.
            "1101 100 ms",
            "1420 passes",
            "1420 30 ms",
            "1449 1 ms",
            "1450 passes, refill_ended",
            "1450 passes",
        ],
    );
}

// Worked by hand: at 10 per second over 10 s from a tenth, the rate is 1 per second at first and
// grows by 0.9 per second and second: x + 0.45·x² = 1 has the root 0.7481 s. At 5 s the rate is
// 5.5 per second: 5.5·x + 0.45·x² = 1 has 0.1792 s.
#[test]
fn with_a_ramp_the_first_permits_are_further_apart_than_the_later_ones() {
    check(
        pace(10.0, 0.1, Duration::from_secs(10)),
        &[(0, "recovered"), (0, "miss"), (0, "miss"), (5_000, "miss"), (5_000, "miss")],
        &["0 recovered, refill_began", "0 passes", "0 748 ms", "5000 passes", "5000 179 ms"],
    );
}

// Worked by hand: from nothing, 5·x²/10 = 1 has the root 1.414 s.
#[test]
fn a_ramp_may_begin_at_nothing() {
    check(
        pace(10.0, 0.0, Duration::from_secs(10)),
        &[(0, "recovered"), (0, "miss"), (0, "miss"), (1_415, "miss")],
        &["0 recovered, refill_began", "0 passes", "0 1414 ms", "1415 passes"],
    );
}

#[test]
fn a_second_recovery_starts_the_refill_over_and_is_told_once() {
    check(
        pace(1.0, 1.0, Duration::from_secs(10)),
        &[(0, "recovered"), (9_000, "recovered"), (9_001, "miss"), (18_999, "miss"), (19_000, "-")],
        &[
            "0 recovered, refill_began",
            "9000 recovered",
            "9001 passes",
            "18999 passes",
            "19000 -, refill_ended",
        ],
    );
}

#[test]
fn what_is_switched_off_while_it_refills_ends() {
    let (mut pace, t0) = (pace(1.0, 1.0, Duration::from_secs(10)), ManualClock::new().now());
    assert_eq!(pace.reset(), None);
    pace.on_recovered(t0);
    assert_eq!(pace.reset(), Some(RefillEvent::Ended));
    assert!(!pace.is_refilling());
}

#[test]
fn a_clock_that_goes_back_gives_no_permit_twice() {
    let (mut pace, t0) = (pace(1.0, 1.0, Duration::from_secs(10)), ManualClock::new().now());
    pace.on_recovered(t0);
    let later = t0 + Duration::from_secs(1);
    assert!(pace.try_acquire(later).is_ok());
    for now in [t0, later] {
        let deferred = pace.try_acquire(now).unwrap_err();
        assert_eq!(deferred.retry_after.as_millis(), 1_000, "as if it stood still");
    }
}

#[test]
fn settings_without_a_rate_make_no_pace() {
    assert!(RefillPace::from_settings(&PacedRefillSettings::default()).is_none());
}

proptest! {
    // The reference is the area under the permitted rate, summed in 10,000 strips.
    #[test]
    fn it_admits_no_more_than_came_in_and_a_deferred_call_passes_when_it_was_told_to_come_again(
        fills_per_sec in 1.0..500.0_f64,
        initial_ratio in 0.0..=1.0_f64,
        duration_ms in 500..20_000_u64,
        gaps_us in prop::collection::vec(0..20_000_u64, 1..300),
    ) {
        let duration = Duration::from_millis(duration_ms);
        let mut pace = pace(fills_per_sec, initial_ratio, duration);
        let t0 = ManualClock::new().now();
        pace.on_recovered(t0);
        let (mut elapsed, mut n_admitted) = (Duration::ZERO, 0_u32);
        for gap_us in gaps_us {
            elapsed += Duration::from_micros(gap_us);
            if duration <= elapsed {
                break;
            }
            match pace.try_acquire(t0 + elapsed) {
                Ok(()) => n_admitted += 1,
                Err(deferred) => {
                    let again = t0 + elapsed + deferred.retry_after;
                    prop_assert!(pace.clone().try_acquire(again).is_ok());
                    let early = again.checked_sub(Duration::from_micros(2)).unwrap();
                    if deferred.retry_after > Duration::from_micros(2) {
                        prop_assert!(pace.clone().try_acquire(early).is_err());
                    }
                }
            }
        }
        let elapsed = elapsed.min(duration);
        let strip = elapsed.as_secs_f64() / 10_000.0;
        let rate_at = |t: f64| {
            let grown = (1.0 - initial_ratio) * t / duration.as_secs_f64();
            fills_per_sec * (initial_ratio + grown)
        };
        let area: f64 = (0..10_000).map(|n| rate_at((f64::from(n) + 0.5) * strip) * strip).sum();
        prop_assert!(f64::from(n_admitted) <= 1.0 + area + 1e-6, "{} > 1 + {}", n_admitted, area);
    }
}
