//! The shared breaker: modes, dropped permits, threads, what the listener hears.

use std::{num::NonZeroU32, sync::Barrier, time::Duration};

use lab_testkit::{clock::ManualClock, recorder::Recorder};

use super::*;
use crate::circuit_breaker::OpenReason;

const WAIT: Duration = Duration::from_secs(1);
const OPENED: CircuitEvent =
    CircuitEvent::Opened { reason: OpenReason::ConsecutiveFailures { n_failures: TWO } };
const TWO: NonZeroU32 = NonZeroU32::new(2).unwrap();

struct Fixture {
    breaker: CircuitBreaker,
    clock: ManualClock,
    heard: Recorder<(Mode, CircuitEvent)>,
}

impl Fixture {
    fn new(mode: Mode) -> Self {
        let settings = CircuitBreakerSettings {
            mode,
            failure_threshold: TWO,
            wait_duration_in_open: WAIT,
            ..CircuitBreakerSettings::default()
        };
        let (clock, heard) = (ManualClock::new(), Recorder::new());
        let listener = {
            let heard = heard.clone();
            move |mode, event| heard.push((mode, event))
        };
        let breaker = CircuitBreaker::with_clock(&settings, clock.reader(), listener);
        Self { breaker, clock, heard }
    }

    fn acquire(&self) -> Result<Permit, CallNotPermitted> {
        self.breaker.try_acquire(self.clock.now())
    }

    fn fail(&self, n_calls: u32) {
        for _ in 0..n_calls {
            self.acquire().unwrap().on_failure(self.clock.now());
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
    it.acquire().unwrap().on_success(it.clock.now());
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
    it.acquire().unwrap().on_success(it.clock.now());
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
    first.on_failure(it.clock.now());
    second.on_failure(it.clock.now());
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
        let now = it.clock.advance(WAIT);
        let barrier = Barrier::new(N_THREADS);
        let permits: Vec<_> = std::thread::scope(|scope| {
            let ask = || {
                barrier.wait();
                it.breaker.try_acquire(now).ok()
            };
            let threads: Vec<_> = (0..N_THREADS).map(|_| scope.spawn(ask)).collect();
            threads.into_iter().map(|it| it.join().unwrap()).collect()
        });
        assert_eq!(permits.iter().flatten().count(), 1);
        assert_eq!(it.counts(), (3, N_THREADS as u64 - 1, 0));
    }
}

#[test]
fn the_snapshot_reads_well_as_json() {
    let it = Fixture::new(Mode::Enforce);
    it.fail(2);
    assert_eq!(
        serde_json::to_string(&it.breaker.snapshot()).unwrap(),
        r#"{"mode":"enforce","state":"open","n_permitted":2,"n_rejected":0,"n_would_reject":0}"#
    );
}
