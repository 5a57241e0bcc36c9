//! No path through a breaker allocates, admitted or refused, whatever trips it; nor does a
//! handle that admits, unless a caller has to wait.
//!
//! The global allocator counts for the thread that asks, so that tests beside this one, and the
//! harness, do not disturb it.

#![expect(unsafe_code, reason = "a global allocator is unsafe to implement; it only counts")]
#![expect(
    clippy::unwrap_used,
    reason = "helpers of tests; clippy knows only the #[test] functions"
)]

use std::{
    alloc::{GlobalAlloc, Layout, System},
    cell::Cell,
    num::NonZeroU32,
    pin::pin,
    task::{Context, Poll, Waker},
    time::Duration,
};

use lab_core::{
    route::RouteClass,
    seed::Seed,
    settings::{
        AdaptiveConcurrencySettings, CircuitBreakerSettings, CompartmentSettings, Mode,
        OpenBackoffSettings, PrioritySheddingSettings, TripRule,
    },
};
use lab_mitigation::{
    adaptive_concurrency::{AdaptiveConcurrency, SampleResult},
    bulkhead::Bulkhead,
    circuit_breaker::{
        CallResult, CircuitBreaker, CircuitBreakerLayer, CircuitState, Forced, Jitter,
    },
    clock::{Clock as _, SystemClock},
    priority_shedding::PriorityShedding,
};
use lab_testkit::clock::ManualClock;
use tower::{Layer, Service, service_fn};

thread_local! {
    static N_ALLOCATIONS: Cell<u64> = const { Cell::new(0) };
}

struct Counting;

// SAFETY: every call is handed to the system's allocator unchanged.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // A thread that is ending has no counter any more, and is none that a test measures.
        let _ = N_ALLOCATIONS.try_with(|it| it.set(it.get() + 1));
        // SAFETY: the caller keeps the contract of `alloc`.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        // SAFETY: the caller keeps the contract of `dealloc`.
        unsafe { System.dealloc(block, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

const WAIT: Duration = Duration::from_secs(1);

fn n_allocations(run: impl FnOnce()) -> u64 {
    let before = N_ALLOCATIONS.get();
    run();
    N_ALLOCATIONS.get() - before
}

fn settings(trip: TripRule) -> CircuitBreakerSettings {
    let slow_call_duration_threshold =
        (trip != TripRule::Consecutive).then_some(Duration::from_millis(100));
    CircuitBreakerSettings {
        mode: Mode::Enforce,
        trip,
        slow_call_duration_threshold,
        wait_duration_in_open: WAIT,
        half_open_permits: NonZeroU32::new(2).unwrap(),
        backoff: Some(OpenBackoffSettings { multiplier: 2.0, max: 4 * WAIT }),
        ..CircuitBreakerSettings::default()
    }
}

/// Drives a breaker through every state and back.
fn drive(breaker: &CircuitBreaker, clock: &ManualClock) {
    for n in 0..300 {
        clock.advance(Duration::from_millis(n));
        breaker.try_acquire().unwrap().on_success();
    }
    drop(breaker.try_acquire().unwrap());
    breaker.try_acquire().unwrap().on_result(CallResult::Ignored);
    while let Ok(permit) = breaker.try_acquire() {
        permit.on_failure();
    }
    assert_eq!(breaker.state(), CircuitState::Open);
    for _ in 0..100 {
        breaker.try_acquire().unwrap_err();
    }
    clock.advance(4 * WAIT);
    drop(breaker.try_acquire_owned().unwrap());
    let probes = [breaker.try_acquire(), breaker.try_acquire()];
    breaker.try_acquire().unwrap_err();
    for probe in probes {
        probe.unwrap().on_success();
    }
    assert_eq!(breaker.state(), CircuitState::Closed);
    breaker.force(Forced::Open);
    breaker.try_acquire().unwrap_err();
    breaker.force(Forced::Closed);
    breaker.try_acquire().unwrap().on_failure();
    breaker.release();
}

// The negative control: the counter counts.
#[test]
fn a_box_is_one_allocation() {
    assert_eq!(n_allocations(|| drop(std::hint::black_box(Box::new(7)))), 1);
}

#[test]
fn no_path_through_a_breaker_allocates_whatever_trips_it() {
    for trip in [TripRule::Consecutive, TripRule::CountWindow, TripRule::TimeWindow] {
        let clock = ManualClock::new();
        let breaker = CircuitBreaker::with_clock(
            &settings(trip),
            Jitter::new(Seed(1)),
            clock.reader(),
            |_, _| {},
        );
        // Two rounds: a path that allocates once, at first use, would show as well.
        for round in 1..=2 {
            assert_eq!(n_allocations(|| drive(&breaker, &clock)), 0, "{trip:?}, round {round}");
        }
    }
}

#[test]
fn observed_and_switched_off_it_does_not_allocate_either() {
    let clock = ManualClock::new();
    let settings = settings(TripRule::Consecutive);
    let breaker =
        CircuitBreaker::with_clock(&settings, Jitter::new(Seed(1)), clock.reader(), |_, _| {});
    for mode in [Mode::Observe, Mode::Off] {
        breaker.set_mode(mode);
        let run = || {
            for _ in 0..20 {
                breaker.try_acquire().unwrap().on_failure();
            }
        };
        assert_eq!(n_allocations(run), 0, "{mode:?}");
    }
}

#[test]
fn a_layer_adds_no_allocation_to_a_call_admitted_or_refused() {
    let clock = ManualClock::new();
    let breaker = CircuitBreaker::with_clock(
        &settings(TripRule::Consecutive),
        Jitter::new(Seed(1)),
        clock.reader(),
        |_, _| {},
    );
    let classify = |result: &Result<u32, u32>| match result {
        Ok(_) => CallResult::Success,
        Err(_) => CallResult::Failure,
    };
    let inner = service_fn(|reply: Result<u32, u32>| std::future::ready(reply));
    let mut service = CircuitBreakerLayer::new(breaker.clone(), classify).layer(inner);
    let mut context = Context::from_waker(Waker::noop());
    let mut call = |reply| {
        let mut reply = std::pin::pin!(service.call(reply));
        assert!(reply.as_mut().poll(&mut context).is_ready());
    };
    let n = n_allocations(|| {
        (0..10).for_each(|n| call(Ok(n)));
        (0..10).for_each(|n| call(Err(n)));
    });
    assert_eq!((n, breaker.state()), (0, CircuitState::Open));
}

/// The answer of a future that has it at once.
fn at_once<T>(future: impl Future<Output = T>) -> T {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(answer) => answer,
        Poll::Pending => panic!("nobody is to wait"),
    }
}

#[test]
fn a_place_is_taken_given_back_and_refused_without_an_allocation() {
    let one = NonZeroU32::MIN;
    let places =
        CompartmentSettings { max_concurrent_calls: one, max_wait_duration: Duration::ZERO };
    let bulkhead = Bulkhead::new(Mode::Enforce, &places);
    let limiter = AdaptiveConcurrency::new(&AdaptiveConcurrencySettings {
        mode: Mode::Enforce,
        initial_limit: one,
        min_limit: one,
        max_limit: one,
        max_wait_duration: Duration::ZERO,
        ..AdaptiveConcurrencySettings::default()
    });
    let shedding = PriorityShedding::new(&PrioritySheddingSettings {
        mode: Mode::Enforce,
        ..PrioritySheddingSettings::default()
    });
    let run = || {
        for _ in 0..50 {
            let place = at_once(bulkhead.acquire()).unwrap();
            at_once(bulkhead.acquire()).unwrap_err();
            drop(place);
            let permit = at_once(limiter.acquire()).unwrap();
            at_once(limiter.acquire()).unwrap_err();
            permit.on_result(SystemClock.now(), SampleResult::Success);
            drop(at_once(shedding.acquire(RouteClass::Core)).unwrap());
        }
    };
    assert_eq!(n_allocations(run), 0);
}
