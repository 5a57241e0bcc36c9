//! The layers as a service stacks them around a cache read: who sees what when the cache is gone.
//!
//! tokio's clock is paused and nothing here touches a socket.

use std::{num::NonZeroU32, time::Duration};

use lab_core::{
    seed::Seed,
    settings::{CircuitBreakerSettings, Mode, RateLimitSettings},
    units::PerSec,
};
use lab_mitigation::{
    call_timeout::{CallTimeout, CallTimeoutError, CallTimeoutLayer, bounded},
    circuit_breaker::{
        CallNotPermitted, CallResult, CircuitBreaker, CircuitBreakerError, CircuitBreakerLayer,
        CircuitState, Jitter,
    },
    clock::SystemClock,
    rate_limit::{RateLimit, RateLimitError, RateLimitLayer},
};
use lab_testkit::service::{ControlledService, ServiceProbe, controlled};
use tower::{Layer, Service, ServiceExt};

const CALL_TIMEOUT: Duration = Duration::from_millis(50);
const GIVE_UP_AFTER: Duration = Duration::from_secs(1);
const WAIT_IN_OPEN: Duration = Duration::from_secs(2);
const THRESHOLD: u32 = 5;

type Redis = ControlledService<&'static str, &'static str, &'static str>;
type RedisProbe = ServiceProbe<&'static str, &'static str, &'static str>;

fn silent_redis() -> (Redis, RedisProbe) {
    controlled()
}

fn settings(slow_call_bound: Duration) -> CircuitBreakerSettings {
    CircuitBreakerSettings {
        mode: Mode::Enforce,
        failure_threshold: NonZeroU32::new(THRESHOLD).expect("5 is not 0"),
        wait_duration_in_open: WAIT_IN_OPEN,
        slow_call_bound,
        ..CircuitBreakerSettings::default()
    }
}

fn breaker(slow_call_bound: Duration) -> CircuitBreaker {
    on_tokios_clock(&settings(slow_call_bound))
}

/// A breaker whose time stands still with tokio's.
fn on_tokios_clock(settings: &CircuitBreakerSettings) -> CircuitBreaker {
    CircuitBreaker::with_clock(settings, Jitter::new(Seed(0)), SystemClock, |_, _| {})
}

fn classify<R, E>(result: &Result<R, E>) -> CallResult {
    match result {
        Ok(_) => CallResult::Success,
        Err(_) => CallResult::Failure,
    }
}

/// Waits for a reply that must come: without this a bound that does not hold would hang the test.
async fn reply_in_time<F: Future>(reply: F) -> F::Output {
    bounded(Some(2 * GIVE_UP_AFTER), reply).await.expect("nothing here waits longer than users do")
}

#[tokio::test(start_paused = true)]
async fn a_timeout_inside_the_breaker_trips_it_long_before_any_client_leaves() {
    let (redis, probe) = silent_redis();
    let breaker = breaker(CALL_TIMEOUT);
    let mut cache = CircuitBreakerLayer::new(breaker.clone(), classify)
        .layer(CallTimeoutLayer::new(Some(CALL_TIMEOUT)).layer(redis));
    let start = tokio::time::Instant::now();
    for _ in 0..THRESHOLD {
        let reply = cache.ready().await.unwrap().call("GET page");
        assert_eq!(
            reply_in_time(reply).await,
            Err(CircuitBreakerError::Inner(CallTimeoutError::TimedOut(CallTimeout {
                waited: CALL_TIMEOUT
            })))
        );
    }
    assert_eq!(breaker.state(), CircuitState::Open);
    assert!(start.elapsed() < GIVE_UP_AFTER);
    let refused = cache.ready().await.unwrap().call("GET page").await;
    assert_eq!(refused, Err(CircuitBreakerError::NotPermitted(CallNotPermitted)));
    assert_eq!(probe.counts().n_calls, u64::from(THRESHOLD), "the last call was not made");
}

/// Calls through a breaker with no timeout inside, from users who leave after `GIVE_UP_AFTER`.
async fn users_who_leave(breaker: &CircuitBreaker, n_users: u32) -> u64 {
    let (redis, probe) = silent_redis();
    let mut cache = CircuitBreakerLayer::new(breaker.clone(), classify).layer(redis);
    for _ in 0..n_users {
        let reply = cache.ready().await.expect("it is always ready").call("GET page");
        // The user's connection closes, and the server drops the handler's future.
        let _ = bounded(Some(GIVE_UP_AFTER), reply).await;
    }
    probe.counts().n_dropped
}

#[tokio::test(start_paused = true)]
async fn without_a_timeout_inside_it_trips_because_callers_that_waited_and_left_count() {
    let breaker = breaker(CALL_TIMEOUT);
    assert_eq!(users_who_leave(&breaker, THRESHOLD).await, u64::from(THRESHOLD));
    assert_eq!(breaker.state(), CircuitState::Open);
}

// The negative control: a bound longer than users wait is as good as no rule.
#[tokio::test(start_paused = true)]
async fn without_a_timeout_and_without_that_rule_it_never_trips() {
    let breaker = breaker(2 * GIVE_UP_AFTER);
    assert_eq!(users_who_leave(&breaker, 20 * THRESHOLD).await, u64::from(20 * THRESHOLD));
    assert_eq!(breaker.state(), CircuitState::Closed);
}

#[tokio::test(start_paused = true)]
async fn while_half_open_one_call_waits_for_the_timeout_and_the_others_do_not() {
    let (redis, probe) = silent_redis();
    let breaker = breaker(CALL_TIMEOUT);
    let mut cache = CircuitBreakerLayer::new(breaker.clone(), classify)
        .layer(CallTimeoutLayer::new(Some(CALL_TIMEOUT)).layer(redis));
    for _ in 0..THRESHOLD {
        reply_in_time(cache.ready().await.unwrap().call("GET page")).await.unwrap_err();
    }
    tokio::time::advance(WAIT_IN_OPEN).await;
    let n_before = probe.counts().n_calls;
    let replies: Vec<_> =
        (0..20).map(|_| cache.clone().oneshot("GET page")).map(tokio::spawn).collect();
    let mut n_refused = 0;
    for reply in replies {
        let error = reply_in_time(reply).await.unwrap().unwrap_err();
        n_refused += u32::from(error == CircuitBreakerError::NotPermitted(CallNotPermitted));
    }
    assert_eq!((n_refused, probe.counts().n_calls - n_before), (19, 1));
    assert_eq!(breaker.state(), CircuitState::Open, "the probe timed out");
}

#[tokio::test(start_paused = true)]
async fn a_probe_behind_the_layer_has_the_shorter_bound_and_failing_it_opens_again() {
    const PROBE_TIMEOUT: Duration = Duration::from_millis(20);
    let (redis, probe) = silent_redis();
    let settings = CircuitBreakerSettings {
        failure_threshold: NonZeroU32::MIN,
        probe_timeout: Some(PROBE_TIMEOUT),
        ..settings(CALL_TIMEOUT)
    };
    let breaker = on_tokios_clock(&settings);
    let mut cache = CircuitBreakerLayer::new(breaker.clone(), classify)
        .layer(CallTimeoutLayer::new(Some(CALL_TIMEOUT)).layer(redis));
    let mut call = async || {
        let start = tokio::time::Instant::now();
        let error = reply_in_time(cache.ready().await.unwrap().call("GET page")).await.unwrap_err();
        (error, start.elapsed())
    };
    let timed_out = |waited| CallTimeout { waited };
    let (error, waited) = call().await;
    let usual = CallTimeoutError::TimedOut(timed_out(CALL_TIMEOUT));
    assert_eq!(error, CircuitBreakerError::Inner(usual), "the first call is no probe");
    assert!(CALL_TIMEOUT <= waited);
    tokio::time::advance(WAIT_IN_OPEN).await;
    let (error, waited) = call().await;
    assert_eq!(error, CircuitBreakerError::ProbeTimedOut(timed_out(PROBE_TIMEOUT)));
    assert!(waited < CALL_TIMEOUT, "{waited:?}");
    assert_eq!((breaker.state(), probe.counts().n_dropped), (CircuitState::Open, 2));
}

// A refusal of our own limiter says nothing about the dependency behind it.
#[tokio::test(start_paused = true)]
async fn a_rate_limit_inside_a_breaker_does_not_trip_it_when_refusals_are_ignored() {
    let (database, probe) = silent_redis();
    let limit = RateLimit::new(&RateLimitSettings {
        mode: Mode::Enforce,
        permits_per_sec: Some(PerSec::new(1.0).unwrap()),
        ..RateLimitSettings::default()
    })
    .unwrap();
    let breaker = breaker(CALL_TIMEOUT);
    let classify = |result: &Result<&str, RateLimitError<&str>>| match result {
        Ok(_) => CallResult::Success,
        Err(RateLimitError::RateLimited(_)) => CallResult::Ignored,
        Err(RateLimitError::Inner(_)) => CallResult::Failure,
    };
    let mut guarded = CircuitBreakerLayer::new(breaker.clone(), classify)
        .layer(RateLimitLayer::new(limit.clone()).layer(database));
    let reply = guarded.ready().await.unwrap().call("SELECT page");
    probe.respond(Ok("page"));
    reply.await.unwrap();
    for _ in 0..4 * THRESHOLD {
        let error = guarded.ready().await.unwrap().call("SELECT page").await.unwrap_err();
        assert!(matches!(error, CircuitBreakerError::Inner(RateLimitError::RateLimited(_))));
    }
    assert_eq!(breaker.state(), CircuitState::Closed);
    assert_eq!((probe.counts().n_calls, limit.snapshot().counts.n_rejected), (1, 20));
}
