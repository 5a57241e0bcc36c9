//! A retry around a breaker: every attempt is a call of its own to the breaker, and an open
//! circuit is not retried.
//!
//! tokio's clock is paused and nothing here touches a socket.

#![expect(
    clippy::unwrap_used,
    reason = "helpers of tests; clippy knows only the #[test] functions"
)]

use std::{num::NonZeroU32, time::Duration};

use lab_core::{
    seed::Seed,
    settings::{CircuitBreakerSettings, Mode, RetryBudgetKind, RetrySettings},
};
use lab_mitigation::{
    circuit_breaker::{
        CallNotPermitted, CallResult, CircuitBreaker, CircuitBreakerError, CircuitBreakerLayer,
        CircuitState, Jitter,
    },
    retry::{Retry, Retryable},
};
use lab_testkit::service::{ServiceProbe, controlled};
use tower::{Layer, Service, ServiceExt};

const THRESHOLD: u32 = 5;
const ATTEMPTS_MAX: u32 = 3;

type Error = CircuitBreakerError<&'static str>;

fn breaker() -> CircuitBreaker {
    let settings = CircuitBreakerSettings {
        mode: Mode::Enforce,
        failure_threshold: NonZeroU32::new(THRESHOLD).unwrap(),
        ..CircuitBreakerSettings::default()
    };
    CircuitBreaker::new(&settings, Jitter::new(Seed(1)), |_, _| {})
}

fn retry() -> Retry {
    let settings = RetrySettings {
        mode: Mode::Enforce,
        attempts_max: NonZeroU32::new(ATTEMPTS_MAX).unwrap(),
        budget: RetryBudgetKind::None,
        ..RetrySettings::default()
    };
    Retry::new(&settings, || u64::MAX)
}

/// As the storefront says it: what the dependency failed may pass, what we refused will not.
fn classify(error: &Error) -> Retryable {
    match error {
        CircuitBreakerError::NotPermitted(_) => Retryable::No,
        CircuitBreakerError::ProbeTimedOut(_) | CircuitBreakerError::Inner(_) => Retryable::Yes,
    }
}

/// One request to a Redis that resets every connection.
async fn request(
    retry: &Retry,
    breaker: &CircuitBreaker,
    classify: impl Fn(&Error) -> Retryable,
) -> (Result<&'static str, Error>, u64) {
    let (redis, probe): (_, ServiceProbe<&str, &str, &str>) = controlled();
    let count = |result: &Result<&str, &str>| match result {
        Ok(_) => CallResult::Success,
        Err(_) => CallResult::Failure,
    };
    let cache = CircuitBreakerLayer::new(breaker.clone(), count).layer(redis);
    let call = |_attempt| {
        let (mut cache, probe) = (cache.clone(), &probe);
        async move {
            let reply = cache.ready().await?.call("GET page");
            probe.respond(Err("reset"));
            reply.await
        }
    };
    let result = retry.run(None, classify, call).await;
    (result, probe.counts().n_calls)
}

#[tokio::test(start_paused = true)]
async fn every_attempt_counts_as_a_call_and_an_open_circuit_is_not_retried() {
    let (retry, breaker) = (retry(), breaker());
    assert_eq!(
        request(&retry, &breaker, classify).await,
        (Err(CircuitBreakerError::Inner("reset")), 3)
    );
    // Two more failures open the circuit, and the third attempt is refused.
    let refused = Err(CircuitBreakerError::NotPermitted(CallNotPermitted));
    assert_eq!(request(&retry, &breaker, classify).await, (refused, 2));
    assert_eq!(breaker.state(), CircuitState::Open);
    let start = tokio::time::Instant::now();
    for _ in 0..10 {
        assert_eq!(request(&retry, &breaker, classify).await, (refused, 0));
    }
    assert_eq!(start.elapsed(), Duration::ZERO, "nobody waits to be refused again");
    let snapshot = retry.snapshot();
    // Worked by hand: 3 and 3 attempts, then 10 of one each.
    assert_eq!((snapshot.n_attempts, snapshot.n_not_retryable), (16, 11));
}

// The negative control: a caller that retries everything.
#[tokio::test(start_paused = true)]
async fn an_open_circuit_that_is_retried_only_costs_time() {
    let (retry, breaker) = (retry(), breaker());
    let everything = |_error: &Error| Retryable::Yes;
    for _ in 0..2 {
        request(&retry, &breaker, everything).await.0.unwrap_err();
    }
    let start = tokio::time::Instant::now();
    let refused = Err(CircuitBreakerError::NotPermitted(CallNotPermitted));
    assert_eq!(request(&retry, &breaker, everything).await, (refused, 0));
    assert!(Duration::from_millis(20) < start.elapsed());
}
