//! What every layer owes a tower service, whatever it does besides: see the matrix in
//! `docs/mitigations.md`.

#![expect(
    clippy::unwrap_used,
    reason = "helpers of tests; clippy knows only the #[test] functions"
)]

use std::{
    fmt::Debug,
    num::NonZeroU32,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    task::{Context, Poll, Wake, Waker},
    time::Duration,
};

use lab_core::{
    seed::Seed,
    settings::{
        AdaptiveConcurrencySettings, CircuitBreakerSettings, CompartmentSettings, Mode,
        RateLimitSettings, RetrySettings,
    },
    units::PerSec,
};
use lab_mitigation::{
    adaptive_concurrency::{
        AdaptiveConcurrency, AdaptiveConcurrencyError, AdaptiveConcurrencyLayer, SampleResult,
    },
    bulkhead::{Bulkhead, BulkheadError, BulkheadFull, BulkheadLayer},
    call_timeout::{CallTimeoutError, CallTimeoutLayer},
    circuit_breaker::{
        CallResult, CircuitBreaker, CircuitBreakerError, CircuitBreakerLayer, Jitter,
    },
    clock::SystemClock,
    rate_limit::{RateLimit, RateLimitError, RateLimitLayer},
    retry::{Retry, RetryLayer, Retryable},
};
use lab_testkit::service::{ControlledService, Readiness, controlled};
use tower::{Layer, Service, ServiceExt};

/// An error of the service behind the layer.
#[derive(Debug, PartialEq, Eq)]
struct Reset(u32);

type Inner = ControlledService<u32, &'static str, Reset>;

fn breaker_layer() -> impl Layer<Inner, Service = impl Guarded<CircuitBreakerError<Reset>>> {
    let settings =
        CircuitBreakerSettings { mode: Mode::Enforce, ..CircuitBreakerSettings::default() };
    let classify = |result: &Result<&'static str, Reset>| match result {
        Ok(_) => CallResult::Success,
        Err(_) => CallResult::Failure,
    };
    CircuitBreakerLayer::new(
        CircuitBreaker::with_clock(&settings, Jitter::new(Seed(0)), SystemClock, |_, _| {}),
        classify,
    )
}

fn timeout_layer() -> CallTimeoutLayer {
    CallTimeoutLayer::new(Some(Duration::from_secs(1)))
}

fn rate_limit_layer() -> RateLimitLayer {
    let settings = RateLimitSettings {
        mode: Mode::Enforce,
        permits_per_sec: Some(PerSec::new(1.0).unwrap()),
        burst: NonZeroU32::new(100),
        ..RateLimitSettings::default()
    };
    RateLimitLayer::new(RateLimit::new(&settings).unwrap())
}

fn bulkhead(max_concurrent_calls: u32) -> Bulkhead {
    let settings = CompartmentSettings {
        max_concurrent_calls: NonZeroU32::new(max_concurrent_calls).unwrap(),
        max_wait_duration: Duration::from_secs(1),
    };
    Bulkhead::new(Mode::Enforce, &settings)
}

fn limiter(initial_limit: u32) -> AdaptiveConcurrency {
    AdaptiveConcurrency::new(&AdaptiveConcurrencySettings {
        mode: Mode::Enforce,
        initial_limit: NonZeroU32::new(initial_limit).unwrap(),
        max_wait_duration: Duration::from_secs(1),
        ..AdaptiveConcurrencySettings::default()
    })
}

fn limiter_layer(
    limiter: AdaptiveConcurrency,
) -> impl Layer<Inner, Service = impl Guarded<AdaptiveConcurrencyError<Reset>>> {
    AdaptiveConcurrencyLayer::new(limiter, |result: &Result<&'static str, Reset>| match result {
        Ok(_) => SampleResult::Success,
        Err(_) => SampleResult::Dropped,
    })
}

/// Tries a reset connection again, and no other error; nobody waits longer than `budget`.
fn retry_layer(mode: Mode, budget: Duration) -> impl Layer<Inner, Service = impl Guarded<Reset>> {
    let retry = Retry::new(&RetrySettings { mode, ..RetrySettings::default() }, || u64::MAX);
    let classify = |error: &Reset| match error {
        Reset(0) => Retryable::Yes,
        Reset(_) => Retryable::No,
    };
    RetryLayer::new(retry, classify, move |_: &u32| {
        Some((tokio::time::Instant::now() + budget).into_std())
    })
}

/// The service that a layer makes of [`Inner`].
trait Guarded<E>:
    Service<u32, Response = &'static str, Error = E, Future: Send + Unpin> + Clone
{
}

impl<S, E> Guarded<E> for S where
    S: Service<u32, Response = &'static str, Error = E, Future: Send + Unpin> + Clone
{
}

/// Runs every check on a fresh service behind a layer.
async fn check_contract<L, E>(layer: impl Fn() -> L, inner_error: impl Fn(Reset) -> E)
where
    L: Layer<Inner, Service: Guarded<E>>,
    E: Debug + PartialEq,
{
    readiness_is_the_inner_services(layer());
    a_failed_readiness_is_handed_on(layer(), inner_error(Reset(1)));
    the_inner_service_is_asked_before_each_call(layer()).await;
    a_clone_asks_for_itself(layer()).await;
    a_dropped_call_drops_the_inner_call(layer()).await;
    responses_and_errors_come_back_unchanged(layer(), inner_error(Reset(7))).await;
}

fn readiness_is_the_inner_services<E: Debug>(layer: impl Layer<Inner, Service: Guarded<E>>) {
    let (inner, probe) = controlled();
    let mut service = layer.layer(inner);
    let wakes = Arc::new(CountedWakes::default());
    let waker = Waker::from(Arc::clone(&wakes));
    let mut context = Context::from_waker(&waker);
    probe.set_readiness(Readiness::NotReady);
    assert!(service.poll_ready(&mut context).is_pending());
    assert_eq!(wakes.0.load(Ordering::Relaxed), 0);
    probe.set_readiness(Readiness::Ready);
    assert_eq!(wakes.0.load(Ordering::Relaxed), 1, "whoever waits is woken");
    assert!(matches!(service.poll_ready(&mut context), Poll::Ready(Ok(()))));
}

fn a_failed_readiness_is_handed_on<E: Debug + PartialEq>(
    layer: impl Layer<Inner, Service: Guarded<E>>,
    want: E,
) {
    let (inner, probe) = controlled();
    let mut service = layer.layer(inner);
    probe.fail_readiness(Reset(1));
    let mut context = Context::from_waker(Waker::noop());
    assert_eq!(service.poll_ready(&mut context), Poll::Ready(Err(want)));
}

async fn the_inner_service_is_asked_before_each_call<E: Debug>(
    layer: impl Layer<Inner, Service: Guarded<E>>,
) {
    let (inner, probe) = controlled();
    let mut service = layer.layer(inner);
    for _ in 0..3 {
        let reply = service.ready().await.unwrap().call(1);
        probe.respond(Ok("page"));
        reply.await.unwrap();
    }
    assert_eq!((probe.counts().n_calls, probe.counts().n_calls_without_readiness), (3, 0));
}

async fn a_clone_asks_for_itself<E: Debug>(layer: impl Layer<Inner, Service: Guarded<E>>) {
    let (inner, probe) = controlled();
    let mut service = layer.layer(inner);
    service.ready().await.unwrap();
    let mut clone = service.clone();
    drop(service.call(1));
    assert_eq!(probe.counts().n_calls_without_readiness, 0, "readiness stays with the original");
    drop(clone.call(2));
    assert_eq!(probe.counts().n_calls_without_readiness, 1, "and is not given to the clone");
}

async fn a_dropped_call_drops_the_inner_call<E: Debug>(
    layer: impl Layer<Inner, Service: Guarded<E>>,
) {
    let (inner, probe) = controlled();
    let mut service = layer.layer(inner);
    let mut reply = service.ready().await.unwrap().call(1);
    let mut context = Context::from_waker(Waker::noop());
    assert!(std::pin::Pin::new(&mut reply).poll(&mut context).is_pending());
    assert_eq!(probe.counts().n_dropped, 0);
    drop(reply);
    assert_eq!(probe.counts().n_dropped, 1);
}

async fn responses_and_errors_come_back_unchanged<E: Debug + PartialEq>(
    layer: impl Layer<Inner, Service: Guarded<E>>,
    want: E,
) {
    let (inner, probe) = controlled();
    let mut service = layer.layer(inner);
    let reply = service.ready().await.unwrap().call(42);
    assert_eq!(probe.respond(Ok("page")), Some(42));
    assert_eq!(reply.await, Ok("page"));
    let reply = service.ready().await.unwrap().call(43);
    assert_eq!(probe.respond(Err(Reset(7))), Some(43));
    assert_eq!(reply.await, Err(want));
}

#[derive(Default)]
struct CountedWakes(AtomicU64);

impl Wake for CountedWakes {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

#[tokio::test(start_paused = true)]
async fn the_breaker_keeps_the_contract_of_a_layer() {
    check_contract(breaker_layer, CircuitBreakerError::Inner).await;
}

#[tokio::test(start_paused = true)]
async fn the_timeout_keeps_the_contract_of_a_layer() {
    check_contract(timeout_layer, CallTimeoutError::Inner).await;
}

#[tokio::test(start_paused = true)]
async fn the_rate_limit_keeps_the_contract_of_a_layer() {
    check_contract(rate_limit_layer, RateLimitError::Inner).await;
}

#[tokio::test(start_paused = true)]
async fn the_bulkhead_keeps_the_contract_of_a_layer() {
    check_contract(|| BulkheadLayer::new(bulkhead(10)), BulkheadError::Inner).await;
}

#[tokio::test(start_paused = true)]
async fn the_limiter_keeps_the_contract_of_a_layer() {
    check_contract(|| limiter_layer(limiter(10)), AdaptiveConcurrencyError::Inner).await;
}

#[tokio::test(start_paused = true)]
async fn the_retry_keeps_the_contract_of_a_layer() {
    check_contract(|| retry_layer(Mode::Enforce, Duration::from_secs(1)), |error| error).await;
}

#[tokio::test(start_paused = true)]
async fn a_retry_asks_the_service_again_before_it_calls_again() {
    let (inner, probe) = controlled();
    let mut service = retry_layer(Mode::Enforce, Duration::from_secs(1)).layer(inner);
    let reply = tokio::spawn(service.ready().await.unwrap().call(1));
    let answers = [Err(Reset(0)), Ok("page")];
    for (n, answer) in (1..).zip(answers) {
        while probe.counts().n_calls < n {
            assert!(!reply.is_finished(), "there is no attempt {n}");
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        assert_eq!(probe.respond(answer), Some(1), "the same request each time");
    }
    assert_eq!(reply.await.unwrap(), Ok("page"));
    assert_eq!(probe.counts().n_calls_without_readiness, 0);
}

#[tokio::test(start_paused = true)]
async fn a_retry_that_is_off_or_too_late_or_of_no_use_is_not_made() {
    let (long, none) = (Duration::from_secs(1), Duration::ZERO);
    for (mode, budget, error) in [
        (Mode::Off, long, Reset(0)),
        (Mode::Observe, long, Reset(0)),
        (Mode::Enforce, none, Reset(0)),
        (Mode::Enforce, long, Reset(1)),
    ] {
        let (inner, probe) = controlled();
        let mut service = retry_layer(mode, budget).layer(inner);
        let reply = service.ready().await.unwrap().call(1);
        let want = Reset(error.0);
        probe.respond(Err(error));
        let reply = tokio::time::timeout(10 * long, reply).await;
        assert_eq!(reply.expect("no other attempt is waited for"), Err(want));
        assert_eq!(probe.counts().n_calls, 1, "{mode:?}, {budget:?}");
    }
}

/// Checks a layer with one place: the second call waits for the first, without a call to a service
/// that was not asked, and a place is given back however its call ends.
async fn check_one_place<E: Debug + PartialEq>(layer: impl Layer<Inner, Service: Guarded<E>>) {
    let (inner, probe) = controlled();
    let mut service = layer.layer(inner);
    let mut context = Context::from_waker(Waker::noop());
    let first = service.ready().await.unwrap().call(1);
    let mut second = service.ready().await.unwrap().call(2);
    let mut third = service.ready().await.unwrap().call(3);
    assert!(std::pin::Pin::new(&mut second).poll(&mut context).is_pending());
    assert!(std::pin::Pin::new(&mut third).poll(&mut context).is_pending());
    assert_eq!(probe.counts().n_calls, 1, "the others wait");
    drop(second);
    drop(first);
    assert!(std::pin::Pin::new(&mut third).poll(&mut context).is_pending());
    assert_eq!(probe.respond(Ok("gone")), Some(1));
    assert_eq!(probe.respond(Ok("page")), Some(3), "who left the queue is passed over");
    assert_eq!(third.await, Ok("page"));
    let fourth = service.ready().await.unwrap().call(4);
    assert_eq!(probe.respond(Err(Reset(4))), Some(4), "an answered call gave its place back");
    assert!(fourth.await.is_err());
    let fifth = service.ready().await.unwrap().call(5);
    assert_eq!(probe.respond(Ok("page")), Some(5), "and so did a failed one");
    assert_eq!(fifth.await, Ok("page"));
    assert_eq!(probe.counts().n_calls_without_readiness, 0);
}

#[tokio::test(start_paused = true)]
async fn a_bulkheads_call_waits_for_its_place_and_gives_it_back() {
    check_one_place(BulkheadLayer::new(bulkhead(1))).await;
}

#[tokio::test(start_paused = true)]
async fn a_limiters_call_waits_for_its_place_and_gives_it_back() {
    check_one_place(limiter_layer(limiter(1))).await;
}

#[tokio::test(start_paused = true)]
async fn a_bulkheads_call_that_gets_no_place_in_time_is_refused_and_never_made() {
    let (inner, probe) = controlled::<u32, &str, Reset>();
    let mut service = BulkheadLayer::new(bulkhead(1)).layer(inner);
    let _first = service.ready().await.unwrap().call(1);
    let refused = service.ready().await.unwrap().call(2).await.unwrap_err();
    let BulkheadError::Full(BulkheadFull { in_flight, max_concurrent_calls, waited }) = refused
    else {
        panic!("the inner service was not called: {refused:?}");
    };
    assert_eq!((in_flight, max_concurrent_calls, probe.counts().n_calls), (1, 1, 1));
    assert!(Duration::from_secs(1) <= waited);
}
