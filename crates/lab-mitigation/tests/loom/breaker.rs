//! Every interleaving of a few threads at one breaker, as far as a bounded number of preemptions
//! reaches: the lock, its mirror, the mode, permits and their drop.
//!
//! loom replaces the lock and the atomics of the circuit (`src/sync.rs`). Counts of decisions and
//! the clock stay outside: neither takes part in a race. The model is known to fail when an opening
//! is not published, when it is published after the lock is let go, when a success is taken for
//! settled because the circuit is closed, when cycles are not compared, when a probe too many is
//! let in, and when switching off or on forgets nothing.

use std::{
    num::NonZeroU32,
    sync::{
        Arc as StdArc, Mutex as StdMutex,
        atomic::{AtomicU64 as StdAtomicU64, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use lab_core::{
    seed::Seed,
    settings::{CircuitBreakerSettings, Mode},
};
use lab_mitigation::circuit_breaker::{
    CallResult, CircuitBreaker, CircuitEvent, CircuitState, Forced, Jitter, Permit,
};
use loom::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU32, Ordering},
    },
    thread,
};

use crate::model;

const WAIT: Duration = Duration::from_secs(1);

/// A breaker that opens after one failure, its clock and what its listener heard.
#[derive(Clone)]
struct Fixture {
    breaker: CircuitBreaker,
    // The standard library's: read by the breaker, moved only before threads start or between
    // points at which they are joined.
    clock_ms: StdArc<StdAtomicU64>,
    heard: StdArc<StdMutex<Vec<CircuitEvent>>>,
}

impl Fixture {
    fn new(settings: CircuitBreakerSettings) -> Self {
        let (clock_ms, heard) = (StdArc::default(), StdArc::default());
        let clock = {
            let (clock_ms, t0) = (StdArc::<StdAtomicU64>::clone(&clock_ms), some_instant());
            move || t0 + Duration::from_millis(clock_ms.load(Relaxed))
        };
        let listener = {
            let heard = StdArc::<StdMutex<Vec<CircuitEvent>>>::clone(&heard);
            move |_, event| heard.lock().unwrap().push(event)
        };
        let settings =
            CircuitBreakerSettings { mode: Mode::Enforce, wait_duration_in_open: WAIT, ..settings };
        let breaker = CircuitBreaker::with_clock(&settings, Jitter::new(Seed(0)), clock, listener);
        Self { breaker, clock_ms, heard }
    }

    fn consecutive(failure_threshold: u32) -> Self {
        Self::new(CircuitBreakerSettings {
            failure_threshold: NonZeroU32::new(failure_threshold).unwrap(),
            ..CircuitBreakerSettings::default()
        })
    }

    fn advance(&self, by: Duration) {
        self.clock_ms.fetch_add(u64::try_from(by.as_millis()).unwrap(), Relaxed);
    }

    fn fail(&self) {
        self.breaker.try_acquire().unwrap().on_failure();
    }

    /// Events are changes: none repeats the state that the one before it made.
    fn events_alternate(&self) -> Vec<CircuitState> {
        let mut states = vec![CircuitState::Closed];
        for event in self.heard.lock().unwrap().iter() {
            let state = match event {
                CircuitEvent::Opened { .. } => CircuitState::Open,
                CircuitEvent::HalfOpened => CircuitState::HalfOpen,
                CircuitEvent::Closed => CircuitState::Closed,
            };
            let before = *states.last().unwrap();
            assert_ne!(state, before, "{states:?}");
            if state == CircuitState::HalfOpen {
                assert_eq!(before, CircuitState::Open, "{states:?}");
            }
            states.push(state);
        }
        assert_eq!(*states.last().unwrap(), self.breaker.state(), "the listener heard it all");
        states
    }
}

fn some_instant() -> Instant {
    tokio::time::Instant::now().into_std()
}

/// Counts those in flight and remembers the most.
#[derive(Default)]
struct InFlight {
    n: AtomicU32,
    n_max: AtomicU32,
}

impl InFlight {
    fn hold(&self, permit: Permit<'_>, end: impl FnOnce(Permit<'_>)) {
        let n = self.n.fetch_add(1, Ordering::AcqRel) + 1;
        self.n_max.fetch_max(n, Ordering::AcqRel);
        thread::yield_now();
        // Before the permit goes back, or the next probe could come first.
        self.n.fetch_sub(1, Ordering::AcqRel);
        end(permit);
    }
}

#[test]
fn no_more_probes_than_permits_are_ever_in_flight() {
    model(|| {
        let it = Fixture::consecutive(1);
        it.fail();
        it.advance(WAIT);
        let in_flight = Arc::new(InFlight::default());
        let probe = |end: fn(Permit<'_>)| {
            let (it, in_flight) = (it.clone(), Arc::clone(&in_flight));
            move || {
                if let Ok(permit) = it.breaker.try_acquire() {
                    in_flight.hold(permit, end);
                }
            }
        };
        // A dropped permit lets the next one in; a failure opens the circuit and does not.
        let threads =
            [thread::spawn(probe(|it| drop(it))), thread::spawn(probe(|it| it.on_failure()))];
        probe(|it| drop(it))();
        for thread in threads {
            thread.join().unwrap();
        }
        assert_eq!(in_flight.n_max.load(Ordering::Acquire), 1);
        it.events_alternate();
    });
}

#[test]
fn whoever_knows_that_the_circuit_is_open_does_not_pass_before_the_wait() {
    model(|| {
        let it = Fixture::consecutive(1);
        let is_known = Arc::new(AtomicBool::new(false));
        let opener = {
            let (it, is_known) = (it.clone(), Arc::clone(&is_known));
            thread::spawn(move || {
                it.fail();
                is_known.store(true, Ordering::Release);
            })
        };
        let caller = || {
            let (it, is_known) = (it.clone(), Arc::clone(&is_known));
            move || {
                let knows = is_known.load(Ordering::Acquire);
                let passed = it.breaker.try_acquire().map(Permit::on_success).is_ok();
                assert!(!(knows && passed));
            }
        };
        let other = thread::spawn(caller());
        caller()();
        opener.join().unwrap();
        other.join().unwrap();
        assert!(it.breaker.try_acquire().is_err(), "no success of before closes it again");
        assert_eq!(it.events_alternate(), [CircuitState::Closed, CircuitState::Open]);
    });
}

#[test]
fn a_result_of_an_earlier_cycle_changes_nothing() {
    model(|| {
        let it = Fixture::consecutive(1);
        // Admitted before the circuit opens; they end while it is open, half-open or closed again.
        let late = [CallResult::Success, CallResult::Failure]
            .map(|result| (it.breaker.try_acquire_owned().unwrap(), result));
        it.fail();
        it.advance(WAIT);
        let threads = late.map(|(permit, result)| thread::spawn(move || permit.on_result(result)));
        it.breaker.try_acquire().unwrap().on_success();
        for thread in threads {
            thread.join().unwrap();
        }
        use CircuitState::{Closed, HalfOpen, Open};
        assert_eq!(it.events_alternate(), [Closed, Open, HalfOpen, Closed]);
    });
}

// In whatever order the calls end, no three failures are in a row: there is a success between the
// first thread's two. A success that believes an outdated "nothing to record" would be lost, and
// three failures would open the circuit.
#[test]
fn no_success_between_failures_is_lost() {
    model(|| {
        let it = Fixture::consecutive(3);
        let other = {
            let it = it.clone();
            thread::spawn(move || it.fail())
        };
        it.fail();
        it.breaker.try_acquire().unwrap().on_success();
        it.fail();
        other.join().unwrap();
        assert_eq!(it.events_alternate(), [CircuitState::Closed]);
    });
}

#[test]
fn no_failure_is_lost_either() {
    model(|| {
        let it = Fixture::consecutive(2);
        let other = {
            let it = it.clone();
            thread::spawn(move || it.fail())
        };
        it.fail();
        other.join().unwrap();
        assert_eq!(it.events_alternate(), [CircuitState::Closed, CircuitState::Open]);
    });
}

#[test]
fn an_operators_force_holds_from_the_moment_it_is_known() {
    model(|| {
        let it = Fixture::consecutive(1);
        let is_known = Arc::new(AtomicBool::new(false));
        let operator = {
            let (it, is_known) = (it.clone(), Arc::clone(&is_known));
            thread::spawn(move || {
                it.breaker.force(Forced::Open);
                is_known.store(true, Ordering::Release);
            })
        };
        // A failure that comes before is an opening of its own; after it, it is nothing.
        if let Ok(permit) = it.breaker.try_acquire() {
            permit.on_failure();
        }
        let knows = is_known.load(Ordering::Acquire);
        it.advance(2 * WAIT);
        let passed = it.breaker.try_acquire().map(Permit::on_success).is_ok();
        assert!(!(knows && passed), "forced, no wait ends");
        operator.join().unwrap();
        assert!(it.breaker.try_acquire().is_err());
        it.events_alternate();
    });
}

#[test]
fn switched_off_and_on_meanwhile_it_remembers_no_failure_of_before() {
    model(|| {
        let it = Fixture::consecutive(2);
        let caller = {
            let it = it.clone();
            thread::spawn(move || it.fail())
        };
        it.breaker.set_mode(Mode::Off);
        caller.join().unwrap();
        it.breaker.set_mode(Mode::Enforce);
        it.fail();
        assert_eq!(it.events_alternate(), [CircuitState::Closed]);
    });
}
