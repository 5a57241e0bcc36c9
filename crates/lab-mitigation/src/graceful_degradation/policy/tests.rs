//! The controller by hand, against nonsense, and in a loop with a service that it can relieve.

use lab_core::{seed::Seed, units::Ratio};
use proptest::prelude::*;
use rand::Rng;

use super::*;

fn dimmer() -> Dimmer {
    Dimmer::new(&GracefulDegradationSettings {
        pole: Ratio::new(0.6).unwrap(),
        recovery_step: Ratio::new(0.1).unwrap(),
        ..GracefulDegradationSettings::default()
    })
}

fn rounded(level: f64) -> f64 {
    (level * 10_000.0).round() / 10_000.0
}

/// Plays pressures and compares the level after each one.
#[track_caller]
fn check(dimmer: &mut Dimmer, pressures: &[f64], want: &[f64]) {
    let got: Vec<f64> = pressures
        .iter()
        .map(|pressure| {
            dimmer.update(Some(*pressure));
            rounded(dimmer.level())
        })
        .collect();
    assert_eq!(got, want);
}

// Worked by hand, gain 0.4. p = 2: α = 2, step 0.4 × −1 / 2 = −0.2. p = 2 at 0.8: α = 2.5, step
// −0.16. p = 1: nothing. p = 0.8 at 0.64: α = 1.25, step 0.4 × 0.2 / 1.25 = 0.064. p = 0: up by
// the recovery step, 0.1.
#[test]
fn it_falls_with_the_pressure_and_recovers_by_a_step_at_most() {
    check(&mut dimmer(), &[2.0, 2.0, 1.0, 0.8, 0.0], &[0.8, 0.64, 0.64, 0.704, 0.804]);
}

// Worked by hand: p = 100 (and all above): α = 100 / θ, step −0.396 θ; from 1: 0.604. Below a
// level of 0.05 the step is 0.4 × −99 × 0.05 / 100 = −0.0198, so it reaches 0 and does not creep.
#[test]
fn it_reaches_zero_and_leaves_it_with_the_first_period_of_relief() {
    let mut dimmer = dimmer();
    check(&mut dimmer, &[f64::INFINITY], &[0.604]);
    for _ in 0..1_000 {
        dimmer.update(Some(50.0));
    }
    assert_eq!(dimmer.level().to_string(), "0");
    check(&mut dimmer, &[0.0, 0.5], &[0.1, 0.14]);
}

#[test]
fn nothing_to_go_by_moves_nothing() {
    let mut dimmer = dimmer();
    check(&mut dimmer, &[2.0], &[0.8]);
    for nonsense in [None, Some(f64::NAN), Some(-1.0), Some(f64::NEG_INFINITY)] {
        assert_eq!(dimmer.update(nonsense), None);
        assert_eq!(dimmer.level().to_string(), "0.8");
    }
}

#[test]
fn degradation_begins_once_and_ends_once() {
    let mut dimmer = dimmer();
    let events: Vec<_> = [1.05, 2.0, 2.0, 0.9, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0]
        .map(|pressure| dimmer.update(Some(pressure)))
        .into_iter()
        .enumerate()
        .filter_map(|(period, event)| event.map(|event| (period, event)))
        .collect();
    assert_eq!(events, [(1, DegradationEvent::Began), (7, DegradationEvent::Ended)]);
}

#[test]
fn lots_are_drawn_evenly() {
    let mut dimmer = dimmer();
    assert_eq!(dimmer.decide(u64::MAX), AuxiliaryWork::Serve, "all of them at level 1");
    check(&mut dimmer, &[2.0, 2.0], &[0.8, 0.64]);
    let mut lots = Seed(7).stream("lots");
    let n_served = (0..100_000).filter(|_| dimmer.decide(lots.next_u64()) == AuxiliaryWork::Serve);
    // 0.64 with a standard deviation of 0.0015.
    let ratio = n_served.count() as f64 / 100_000.0;
    assert!((0.634..0.646).contains(&ratio), "{ratio}");
    for _ in 0..1_000 {
        dimmer.update(Some(50.0));
    }
    assert_eq!(dimmer.decide(0), AuxiliaryWork::LeaveOut, "all of them at level 0");
}

// The service: a pressure of `core` comes whatever the dimmer does, `auxiliary` in proportion to
// the level. Where the target can be met the dimmer meets it, else it leaves all of it out.
#[test]
fn in_a_loop_it_settles_where_the_pressure_is_at_its_target() {
    for (core, auxiliary, want) in [(0.7, 1.0, 0.3), (0.2, 0.5, 1.0), (1.4, 1.0, 0.0)] {
        let mut dimmer = dimmer();
        for _ in 0..300 {
            dimmer.update(Some(core + auxiliary * dimmer.level()));
        }
        assert!((dimmer.level() - want).abs() < 0.01, "{core} + {auxiliary}: {}", dimmer.level());
    }
}

proptest! {
    #[test]
    fn whatever_is_measured_the_level_is_a_ratio_and_events_tell_every_change(
        pressures in prop::collection::vec(prop::option::of(any::<f64>()), 0..200),
    ) {
        let mut dimmer = dimmer();
        let mut is_degraded = false;
        for pressure in pressures {
            match dimmer.update(pressure) {
                Some(DegradationEvent::Began) => {
                    prop_assert!(!is_degraded);
                    is_degraded = true;
                }
                Some(DegradationEvent::Ended) => {
                    prop_assert!(is_degraded);
                    is_degraded = false;
                }
                None => {}
            }
            prop_assert!((0.0..=1.0).contains(&dimmer.level()));
            prop_assert_eq!(dimmer.is_degraded(), is_degraded);
            prop_assert!(is_degraded || BEGAN_BELOW <= dimmer.level());
        }
    }
}
