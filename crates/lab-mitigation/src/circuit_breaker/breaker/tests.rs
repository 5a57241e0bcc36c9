//! The shared breaker: modes, dropped permits, threads, what the listener hears.

use std::{num::NonZeroU32, sync::Barrier, time::Duration};

use lab_core::{seed::Seed, settings::TripRule};
use lab_testkit::{clock::ManualClock, recorder::Recorder};

use super::*;
use crate::circuit_breaker::CallResult;

const WAIT: Duration = Duration::from_secs(1);
const OPENED: CircuitEvent =
    CircuitEvent::Opened { reason: OpenReason::ConsecutiveFailures { n_failures: TWO } };
const TWO: NonZeroU32 = NonZeroU32::new(2).unwrap();

fn jitter() -> Jitter {
    Jitter::new(Seed(0))
}

fn settings(mode: Mode) -> CircuitBreakerSettings {
    CircuitBreakerSettings {
        mode,
        failure_threshold: TWO,
        wait_duration_in_open: WAIT,
        ..CircuitBreakerSettings::default()
    }
}

struct Fixture {
    breaker: CircuitBreaker,
    clock: ManualClock,
    heard: Recorder<(Mode, CircuitEvent)>,
}

impl Fixture {
    fn new(mode: Mode) -> Self {
        Self::with(settings(mode))
    }

    fn with(settings: CircuitBreakerSettings) -> Self {
        let (clock, heard) = (ManualClock::new(), Recorder::new());
        let listener = {
            let heard = heard.clone();
            move |mode, event| heard.push((mode, event))
        };
        let breaker = CircuitBreaker::with_clock(&settings, jitter(), clock.reader(), listener);
        Self { breaker, clock, heard }
    }

    fn acquire(&self) -> Result<Permit<'_>, CallNotPermitted> {
        self.breaker.try_acquire()
    }

    fn fail(&self, n_calls: u32) {
        for _ in 0..n_calls {
            self.acquire().unwrap().on_failure();
        }
    }

    fn counts(&self) -> (u64, u64, u64) {
        let counts = self.breaker.snapshot().counts;
        (counts.n_permitted, counts.n_rejected, counts.n_would_reject)
    }
}

#[test]
fn enforcing_it_refuses_calls_and_tells_every_change() {
    let it = Fixture::new(Mode::Enforce);
    it.fail(2);
    assert_eq!(it.acquire().unwrap_err(), CallNotPermitted);
    assert_eq!(it.breaker.clone().state(), CircuitState::Open, "a clone is the same circuit");
    it.clock.advance(WAIT);
    it.acquire().unwrap().on_success();
    assert_eq!(
        it.heard.take(),
        [OPENED, CircuitEvent::HalfOpened, CircuitEvent::Closed].map(|it| (Mode::Enforce, it))
    );
    assert_eq!(it.counts(), (3, 1, 0));
}

#[test]
fn observing_it_tells_and_counts_the_same_and_refuses_nothing() {
    let it = Fixture::new(Mode::Observe);
    it.fail(2);
    assert_eq!(it.breaker.state(), CircuitState::Open);
    // Enforced, this call would not exist: its success must not close the circuit.
    it.acquire().unwrap().on_success();
    assert_eq!(it.breaker.state(), CircuitState::Open);
    assert_eq!(it.heard.take(), [(Mode::Observe, OPENED)]);
    assert_eq!(it.counts(), (2, 0, 1));
}

#[test]
fn switched_off_it_passes_everything_and_counts_nothing() {
    let it = Fixture::new(Mode::Off);
    it.fail(10);
    assert_eq!(it.breaker.state(), CircuitState::Closed);
    assert_eq!((it.counts(), it.heard.take().len()), ((0, 0, 0), 0));
}

#[test]
fn switching_off_forgets_and_switching_between_observe_and_enforce_keeps() {
    let it = Fixture::new(Mode::Observe);
    it.fail(2);
    it.breaker.set_mode(Mode::Enforce);
    assert!(it.acquire().is_err(), "what was observed is enforced at once");
    it.breaker.set_mode(Mode::Off);
    assert!(it.acquire().is_ok());
    assert_eq!(it.heard.take(), [(Mode::Observe, OPENED), (Mode::Enforce, CircuitEvent::Closed)]);
    it.breaker.set_mode(Mode::Enforce);
    it.fail(1);
    assert_eq!(it.breaker.state(), CircuitState::Closed, "the old failures are forgotten");
}

#[test]
fn a_result_from_before_the_breaker_was_switched_off_does_not_count_after() {
    let it = Fixture::new(Mode::Enforce);
    let (first, second) = (it.acquire().unwrap(), it.acquire().unwrap());
    it.breaker.set_mode(Mode::Off);
    it.breaker.set_mode(Mode::Enforce);
    first.on_failure();
    second.on_failure();
    assert_eq!(it.breaker.state(), CircuitState::Closed);
}

#[test]
fn a_dropped_permit_is_a_failure_only_after_the_bound() {
    let it = Fixture::new(Mode::Enforce);
    for (waited_ms, want) in [(49, CircuitState::Closed), (50, CircuitState::Open)] {
        let permits = [it.acquire().unwrap(), it.acquire().unwrap()];
        it.clock.advance(Duration::from_millis(waited_ms));
        drop(permits);
        assert_eq!(it.breaker.state(), want, "left after {waited_ms} ms");
    }
}

#[test]
fn a_dropped_probe_gives_its_permit_back() {
    let it = Fixture::new(Mode::Enforce);
    it.fail(2);
    it.clock.advance(WAIT);
    let probe = it.acquire().unwrap();
    assert!(it.acquire().is_err(), "one probe is one permit");
    drop(probe);
    assert!(it.acquire().is_ok());
}

#[test]
fn of_many_threads_at_once_one_becomes_the_probe() {
    const N_THREADS: usize = 8;
    for _ in 0..50 {
        let it = Fixture::new(Mode::Enforce);
        it.fail(2);
        it.clock.advance(WAIT);
        let barrier = Barrier::new(N_THREADS);
        let permits: Vec<_> = std::thread::scope(|scope| {
            let ask = || {
                barrier.wait();
                it.breaker.try_acquire().ok()
            };
            let threads: Vec<_> = (0..N_THREADS).map(|_| scope.spawn(ask)).collect();
            threads.into_iter().map(|it| it.join().unwrap()).collect()
        });
        assert_eq!(permits.iter().flatten().count(), 1);
        assert_eq!(it.counts(), (3, N_THREADS as u64 - 1, 0));
    }
}

#[test]
fn an_owned_permit_outlives_the_handle_it_came_from() {
    let it = Fixture::new(Mode::Enforce);
    let permits = [it.breaker.clone(), it.breaker.clone()].map(|it| it.try_acquire_owned());
    permits.into_iter().for_each(|permit| permit.unwrap().on_result(CallResult::Failure));
    assert_eq!(it.breaker.state(), CircuitState::Open);
    it.clock.advance(WAIT);
    let probe = it.breaker.try_acquire_owned().unwrap();
    assert!(it.acquire().is_err());
    drop(probe);
    assert!(it.acquire().is_ok(), "dropped, it gives the probe's permit back");
}

#[test]
fn a_probe_is_told_the_shorter_bound_and_other_calls_the_usual_one() {
    let ms = Duration::from_millis;
    let it = Fixture::with(CircuitBreakerSettings {
        probe_timeout: Some(ms(20)),
        ..settings(Mode::Enforce)
    });
    assert_eq!(it.acquire().unwrap().call_timeout(Some(ms(50))), Some(ms(50)));
    assert_eq!(it.acquire().unwrap().call_timeout(None), None);
    it.fail(2);
    it.clock.advance(WAIT);
    let probe = it.acquire().unwrap();
    assert_eq!(probe.call_timeout(Some(ms(50))), Some(ms(20)));
    assert_eq!(probe.call_timeout(Some(ms(10))), Some(ms(10)), "never longer than usual");
    assert_eq!(probe.call_timeout(None), Some(ms(20)));
}

#[test]
fn without_a_bound_of_its_own_a_probe_has_the_usual_one() {
    let it = Fixture::new(Mode::Enforce);
    it.fail(2);
    it.clock.advance(WAIT);
    let usual = Some(Duration::from_millis(50));
    assert_eq!(it.acquire().unwrap().call_timeout(usual), usual);
}

#[test]
fn forced_open_it_refuses_under_enforce_only_and_says_so() {
    let it = Fixture::new(Mode::Observe);
    it.breaker.force(Forced::Open);
    assert!(it.acquire().is_ok());
    it.breaker.set_mode(Mode::Enforce);
    it.clock.advance(10 * WAIT);
    assert!(it.acquire().is_err());
    let snapshot = it.breaker.snapshot();
    assert_eq!(
        (snapshot.forced, snapshot.reason, snapshot.next_probe_in_ms),
        (Some(Forced::Open), Some(OpenReason::Forced), None)
    );
    assert_eq!(it.counts(), (0, 1, 1));
    it.breaker.release();
    it.acquire().unwrap().on_success();
    assert_eq!(it.breaker.state(), CircuitState::Closed, "released, the next call is a probe");
}

#[test]
fn forced_closed_it_passes_everything_and_no_failure_counts() {
    let it = Fixture::new(Mode::Enforce);
    it.fail(2);
    it.breaker.force(Forced::Closed);
    it.fail(10);
    assert_eq!(it.breaker.state(), CircuitState::Closed);
    it.breaker.release();
    it.fail(1);
    assert_eq!(it.breaker.state(), CircuitState::Closed);
    it.fail(1);
    assert_eq!(it.breaker.state(), CircuitState::Open, "and then it counts from nothing");
}

#[test]
fn switching_off_lets_go_of_what_was_forced() {
    let it = Fixture::new(Mode::Enforce);
    it.breaker.force(Forced::Open);
    it.breaker.set_mode(Mode::Off);
    assert!(it.acquire().is_ok());
    it.breaker.set_mode(Mode::Enforce);
    assert!(it.acquire().is_ok());
}

#[test]
fn a_listener_that_panics_takes_no_call_with_it() {
    let clock = ManualClock::new();
    let breaker =
        CircuitBreaker::with_clock(&settings(Mode::Enforce), jitter(), clock.reader(), |_, _| {
            panic!("a listener with a fault")
        });
    for _ in 0..2 {
        breaker.try_acquire().unwrap().on_failure();
    }
    assert!(breaker.try_acquire().is_err(), "the circuit has opened all the same");
    clock.advance(WAIT);
    breaker.try_acquire().unwrap().on_success();
    assert_eq!(breaker.state(), CircuitState::Closed);
}

// A time window records every call, so this also says that no count is lost between threads: of
// 4 · 500 calls exactly one in two fails, which is the threshold, and not one call less than the
// minimum is in the window.
#[test]
fn many_threads_fill_one_window_without_losing_a_call() {
    const N_THREADS: u32 = 4;
    const N_EACH: u32 = 500;
    let it = Fixture::with(CircuitBreakerSettings {
        trip: TripRule::TimeWindow,
        minimum_number_of_calls: NonZeroU32::new(N_THREADS * N_EACH).unwrap(),
        ..settings(Mode::Enforce)
    });
    std::thread::scope(|scope| {
        for _ in 0..N_THREADS {
            scope.spawn(|| {
                for n in 0..N_EACH {
                    let failed = n % 2 == 0;
                    let result = if failed { CallResult::Failure } else { CallResult::Success };
                    it.acquire().unwrap().on_result(result);
                }
            });
        }
    });
    let (n_failures, n_calls) = (N_THREADS * N_EACH / 2, N_THREADS * N_EACH);
    let reason = OpenReason::FailureRate { n_failures, n_calls };
    assert_eq!(it.heard.take(), [(Mode::Enforce, CircuitEvent::Opened { reason })]);
}

// The grain of the kernel's coarse clock is 1 to 10 ms; ten of them fit a second.
#[test]
fn the_clock_has_to_tell_the_shortest_of_the_durations_that_are_compared() {
    let ms = Duration::from_millis;
    let shortest = |it| shortest_duration(&CircuitBreakerSettings { ..it });
    assert_eq!(shortest(settings(Mode::Off)), ms(50));
    let windowed = CircuitBreakerSettings {
        trip: TripRule::TimeWindow,
        window_duration: ms(200),
        ..settings(Mode::Off)
    };
    assert_eq!(shortest(windowed.clone()), ms(20));
    let slow = CircuitBreakerSettings { slow_call_duration_threshold: Some(ms(3)), ..windowed };
    assert_eq!(shortest(slow), ms(3));
}

#[test]
fn the_snapshot_reads_well_as_json() {
    let it = Fixture::new(Mode::Enforce);
    it.fail(2);
    it.clock.advance(WAIT / 4);
    let closed = Fixture::new(Mode::Enforce).breaker.snapshot();
    assert_eq!(
        serde_json::to_value(it.breaker.snapshot()).unwrap(),
        serde_json::json!({
            "mode": "enforce",
            "state": "open",
            "forced": null,
            "reason": { "kind": "consecutive_failures", "n_failures": 2 },
            "in_state_ms": 250,
            "next_probe_in_ms": 750,
            "n_probes_in_flight": 0,
            "n_permitted": 2,
            "n_rejected": 0,
            "n_would_reject": 0,
        })
    );
    assert_eq!((closed.reason, closed.next_probe_in_ms), (None, None));
}
