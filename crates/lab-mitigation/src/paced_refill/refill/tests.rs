//! The shared refill on a clock held still: events, modes, and listeners that misbehave.

use std::time::Duration;

use lab_core::units::PerSec;
use lab_testkit::{clock::ManualClock, recorder::Recorder};

use super::*;

const DURATION: Duration = Duration::from_secs(30);

fn settings(mode: Mode) -> PacedRefillSettings {
    PacedRefillSettings {
        mode,
        fills_per_sec: Some(PerSec::new(10.0).unwrap()),
        duration: DURATION,
        ..PacedRefillSettings::default()
    }
}

fn refill(mode: Mode) -> (PacedRefill, Recorder<(Mode, RefillEvent)>, Instant) {
    let events = Recorder::new();
    let told = events.clone();
    let listener = move |mode, event| told.push((mode, event));
    let refill = PacedRefill::new(&settings(mode), listener).unwrap();
    (refill, events, ManualClock::new().now())
}

fn n_passed(refill: &PacedRefill, now: Instant, n_calls: u32) -> usize {
    (0..n_calls).filter(|_| refill.try_acquire(now).is_ok()).count()
}

fn counts(refill: &PacedRefill) -> [u64; 3] {
    let counts = refill.snapshot().counts;
    [counts.n_permitted, counts.n_rejected, counts.n_would_reject]
}

#[test]
fn misses_pass_before_are_paced_after_the_recovery_and_pass_again_after_the_refill() {
    let (refill, events, t0) = refill(Mode::Enforce);
    assert_eq!(n_passed(&refill, t0, 20), 20);
    refill.on_recovered(t0);
    assert!(refill.snapshot().is_refilling);
    assert_eq!(events.take(), [(Mode::Enforce, RefillEvent::Began)]);
    assert_eq!(n_passed(&refill, t0, 20), 1);
    let deferred = refill.try_acquire(t0).unwrap_err();
    assert_eq!(deferred.retry_after.as_millis(), 100);
    assert_eq!(n_passed(&refill.clone(), t0 + DURATION, 20), 20, "a clone is the same refill");
    assert_eq!(events.take(), [(Mode::Enforce, RefillEvent::Ended)]);
    assert_eq!(counts(&refill), [41, 20, 0]);
}

#[test]
fn observing_lets_everybody_pass_and_decides_as_enforcing_does() {
    let (refill, events, t0) = refill(Mode::Observe);
    refill.on_recovered(t0);
    assert_eq!(n_passed(&refill, t0, 20), 20);
    assert_eq!(counts(&refill), [1, 0, 19]);
    assert_eq!(events.take(), [(Mode::Observe, RefillEvent::Began)]);
    refill.set_mode(Mode::Enforce).unwrap();
    assert_eq!(n_passed(&refill, t0, 20), 0, "the permits are as spent as they were observed");
}

#[test]
fn switched_off_a_recovery_begins_nothing_and_a_refill_ends() {
    let (off, events, t0) = refill(Mode::Off);
    off.on_recovered(t0);
    assert_eq!((n_passed(&off, t0, 20), counts(&off)), (20, [0, 0, 0]));
    assert!(events.take().is_empty());
    let (refill, events, t0) = refill(Mode::Enforce);
    refill.on_recovered(t0);
    refill.set_mode(Mode::Off).unwrap();
    let told = [RefillEvent::Began, RefillEvent::Ended].map(|event| (Mode::Enforce, event));
    assert_eq!(events.take(), told);
    refill.set_mode(Mode::Enforce).unwrap();
    assert_eq!(n_passed(&refill, t0, 20), 20, "and does not come back with the mode");
}

#[test]
fn without_a_rate_it_stays_off_and_says_which_key_is_missing() {
    let refill = PacedRefill::new(&PacedRefillSettings::default(), |_, _| {}).unwrap();
    let error = refill.set_mode(Mode::Observe).unwrap_err();
    assert_eq!(
        error.to_string(),
        "settings.paced_refill.fills_per_sec is needed unless the mode is off"
    );
    let now = ManualClock::new().now();
    refill.on_recovered(now);
    assert!(refill.try_acquire(now).is_ok());
    let enforced = PacedRefillSettings { mode: Mode::Enforce, ..PacedRefillSettings::default() };
    assert!(PacedRefill::new(&enforced, |_, _| {}).is_err());
}

#[test]
fn a_listener_that_panics_takes_no_call_with_it() {
    let refill =
        PacedRefill::new(&settings(Mode::Enforce), |_, _| std::panic::resume_unwind(Box::new(())))
            .unwrap();
    let now = ManualClock::new().now();
    refill.on_recovered(now);
    assert_eq!(n_passed(&refill, now, 20), 1);
}
