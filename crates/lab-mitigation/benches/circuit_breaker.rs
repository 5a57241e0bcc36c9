//! What a call through a breaker costs, beside other breakers and the parts that stand next to
//! one.
//!
//! Names are `group/who`. Groups that end in `_2_threads` run the same call on two threads at
//! once and give the time of one call as its thread sees it: wall time by calls per thread. The
//! call itself does nothing. Clocks that a library reads are read.

#![expect(clippy::unwrap_used, reason = "a bench that cannot be set up has nothing to say")]

use std::{
    hint::black_box,
    num::NonZeroU32,
    pin::pin,
    sync::{Barrier, LazyLock},
    task::{Context, Waker},
    time::{Duration, Instant},
};

use criterion::{
    BenchmarkGroup, Criterion, criterion_group, criterion_main, measurement::WallTime,
};
use failsafe::CircuitBreaker as _;
use lab_core::{
    seed::Seed,
    settings::{CircuitBreakerSettings, LocalCacheSettings, Mode, RateLimitSettings, TripRule},
    units::PerSec,
};
use lab_mitigation::{
    circuit_breaker::{CallResult, CircuitBreaker, CircuitBreakerLayer, Forced, Jitter},
    clock::{Clock, SystemClock},
    local_cache::LocalCache,
    rate_limit::RateLimit,
};
use recloser::Recloser;
use tokio::runtime::{self, Runtime};
use tower::{Layer, Service, service_fn};
use tower_resilience_circuitbreaker as tower_resilience;

type Group<'a> = BenchmarkGroup<'a, WallTime>;

const N_THREADS: usize = 2;
const LONG: Duration = Duration::from_secs(3_600);

/// Turns the timers that tower-resilience sets when two calls ask its open circuit at once.
static RUNTIME: LazyLock<Runtime> = LazyLock::new(|| {
    runtime::Builder::new_multi_thread().worker_threads(1).enable_time().build().unwrap()
});

fn one_thread(group: &mut Group<'_>, who: &str, call: impl Fn()) {
    group.bench_function(who, |bencher| bencher.iter(&call));
}

fn two_threads(group: &mut Group<'_>, who: &str, call: impl Fn() + Sync) {
    let run = |n_calls| (0..n_calls).for_each(|_| call());
    group.bench_function(who, |bencher| bencher.iter_custom(|n_calls| wall_time(n_calls, &run)));
}

/// As [`one_thread`], for a service. Alone it waits for nobody, so that its futures are polled in
/// place and no executor is part of the figure.
fn one_thread_service(group: &mut Group<'_>, who: &str, service: &impl Guarded) {
    let _guard = RUNTIME.enter();
    one_thread(group, who, || {
        let mut context = Context::from_waker(Waker::noop());
        assert!(pin!(call_service(service, Ok(7))).poll(&mut context).is_ready());
    });
}

/// As [`two_threads`], for a service. Each thread is an executor: a call that waits for the other
/// parks it.
fn two_threads_service(group: &mut Group<'_>, who: &str, service: &(impl Guarded + Sync)) {
    let run = |n_calls| {
        RUNTIME.block_on(async {
            for _ in 0..n_calls {
                call_service(service, Ok(7)).await;
            }
        });
    };
    group.bench_function(who, |bencher| bencher.iter_custom(|n_calls| wall_time(n_calls, &run)));
}

/// The time that [`N_THREADS`] threads take to `run` `n_calls` each, from the moment the first one
/// starts until the last one is done.
fn wall_time(n_calls: u64, run: &(impl Fn(u64) + Sync)) -> Duration {
    let barrier = Barrier::new(N_THREADS);
    let run = || {
        barrier.wait();
        let start = now();
        run(n_calls);
        (start, now())
    };
    let spans: Vec<_> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..N_THREADS).map(|_| scope.spawn(run)).collect();
        threads.into_iter().map(|it| it.join().unwrap()).collect()
    });
    let start = spans.iter().map(|it| it.0).min().unwrap();
    spans.iter().map(|it| it.1).max().unwrap() - start
}

#[expect(clippy::disallowed_methods, reason = "a bench measures real time")]
fn now() -> Instant {
    Instant::now()
}

fn works() -> Result<u32, u32> {
    black_box(Ok(7))
}

fn settings(trip: TripRule) -> CircuitBreakerSettings {
    CircuitBreakerSettings {
        mode: Mode::Enforce,
        trip,
        window_size: NonZeroU32::new(100).unwrap(),
        minimum_number_of_calls: NonZeroU32::new(100).unwrap(),
        ..CircuitBreakerSettings::default()
    }
}

fn ours(settings: &CircuitBreakerSettings) -> CircuitBreaker {
    CircuitBreaker::new(settings, Jitter::new(Seed(1)), |_, _| {})
}

/// One call as the storefront makes it.
fn call_ours(breaker: &CircuitBreaker) {
    if let Ok(permit) = breaker.try_acquire() {
        let result = if works().is_ok() { CallResult::Success } else { CallResult::Failure };
        permit.on_result(result);
    }
}

fn recloser() -> Recloser {
    Recloser::custom().error_rate(0.5).closed_len(100).open_wait(LONG).build()
}

fn failsafe() -> impl failsafe::CircuitBreaker + Sync {
    let backoff = failsafe::backoff::constant(LONG);
    let policy = failsafe::failure_policy::consecutive_failures(5, backoff);
    failsafe::Config::new().failure_policy(policy).build()
}

/// A service behind tower-resilience's breaker, ready to be called.
macro_rules! tower_resilience {
    ($builder:expr) => {
        $builder.build().unwrap().layer(service_fn(|it: Result<u32, u32>| std::future::ready(it)))
    };
}

fn tower_resilience_builder()
-> tower_resilience::CircuitBreakerConfigBuilder<tower_resilience::classifier::DefaultClassifier> {
    tower_resilience::CircuitBreakerLayer::builder().wait_duration_in_open(LONG)
}

/// A service behind a breaker.
trait Guarded: Service<Result<u32, u32>> + Clone {}

impl<S: Service<Result<u32, u32>> + Clone> Guarded for S {}

/// One call of a service, its readiness included. A clone for each call, as axum and tonic make.
async fn call_service(service: &impl Guarded, request: Result<u32, u32>) {
    let mut service = service.clone();
    let ready = std::future::poll_fn(|context| service.poll_ready(context)).await;
    if ready.is_ok() {
        let _ = black_box(service.call(black_box(request)).await);
    }
}

/// Runs `$bench` for every breaker, after `$n_failures` calls that failed.
macro_rules! consecutive_breakers {
    ($group:expr, $bench:ident, $bench_service:ident, $n_failures:expr) => {{
        let n_failures: u32 = $n_failures;
        let breaker = ours(&settings(TripRule::Consecutive));
        (0..n_failures).for_each(|_| breaker.try_acquire().unwrap().on_failure());
        $bench(&mut $group, "ours", || call_ours(&breaker));

        let breaker = recloser();
        (0..20 * n_failures).for_each(|_| drop(breaker.call(|| Err::<u32, u32>(1))));
        $bench(&mut $group, "recloser", || drop(black_box(breaker.call(works))));

        let breaker = failsafe();
        (0..n_failures).for_each(|_| drop(breaker.call(|| Err::<u32, u32>(1))));
        $bench(&mut $group, "failsafe", || drop(black_box(breaker.call(works))));

        let service = tower_resilience!(tower_resilience_builder().consecutive_failures(5));
        RUNTIME.block_on(async {
            for _ in 0..n_failures {
                call_service(&service, Err(1)).await;
            }
        });
        $bench_service(&mut $group, "tower_resilience", &service);
    }};
}

fn closed_success(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("closed_success");
    consecutive_breakers!(group, one_thread, one_thread_service, 0);
    group.finish();
    let mut group = criterion.benchmark_group("closed_success_2_threads");
    consecutive_breakers!(group, two_threads, two_threads_service, 0);
    group.finish();
}

fn rejected(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("rejected");
    consecutive_breakers!(group, one_thread, one_thread_service, 5);
    group.finish();
    let mut group = criterion.benchmark_group("rejected_2_threads");
    consecutive_breakers!(group, two_threads, two_threads_service, 5);
    group.finish();
}

/// Every call is recorded, so these are the figures of the lock and the window.
macro_rules! windows {
    ($group:expr, $bench:ident, $bench_service:ident) => {{
        let breaker = ours(&settings(TripRule::TimeWindow));
        $bench(&mut $group, "ours", || call_ours(&breaker));
        let breaker = ours(&settings(TripRule::CountWindow));
        $bench(&mut $group, "ours_by_count", || call_ours(&breaker));
        // Its time window keeps and searches every call of the last while, some million of them
        // here; so this is its count window.
        let service = tower_resilience!(tower_resilience_builder());
        $bench_service(&mut $group, "tower_resilience_by_count", &service);
    }};
}

fn time_window_success(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("time_window_success");
    windows!(group, one_thread, one_thread_service);
    group.finish();
    let mut group = criterion.benchmark_group("time_window_success_2_threads");
    windows!(group, two_threads, two_threads_service);
    group.finish();
}

/// A threshold of 100 ms is told by the coarse clock, one of 5 ms needs the precise one.
macro_rules! slow_calls {
    ($group:expr, $bench:ident, $bench_service:ident) => {{
        for (who, threshold_ms) in [("ours", 100), ("ours_precise_clock", 5)] {
            let breaker = ours(&CircuitBreakerSettings {
                slow_call_duration_threshold: Some(Duration::from_millis(threshold_ms)),
                ..settings(TripRule::TimeWindow)
            });
            $bench(&mut $group, who, || call_ours(&breaker));
        }
        let service = tower_resilience!(
            tower_resilience_builder().slow_call_duration_threshold(Duration::from_millis(100))
        );
        $bench_service(&mut $group, "tower_resilience_by_count", &service);
    }};
}

fn slow_call_success(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("slow_call_success");
    slow_calls!(group, one_thread, one_thread_service);
    group.finish();
    let mut group = criterion.benchmark_group("slow_call_success_2_threads");
    slow_calls!(group, two_threads, two_threads_service);
    group.finish();
}

/// The same breakers as tower layers, which is the only form tower-resilience comes in.
macro_rules! layers {
    ($group:expr, $bench_service:ident) => {{
        let classify = |result: &Result<u32, u32>| match result {
            Ok(_) => CallResult::Success,
            Err(_) => CallResult::Failure,
        };
        let breaker = ours(&settings(TripRule::Consecutive));
        let inner = service_fn(|it: Result<u32, u32>| std::future::ready(it));
        let service = CircuitBreakerLayer::new(breaker, classify).layer(inner);
        $bench_service(&mut $group, "ours", &service);
        let service = tower_resilience!(tower_resilience_builder().consecutive_failures(5));
        $bench_service(&mut $group, "tower_resilience", &service);
    }};
}

fn layer_success(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("layer_success");
    layers!(group, one_thread_service);
    group.finish();
    let mut group = criterion.benchmark_group("layer_success_2_threads");
    layers!(group, two_threads_service);
    group.finish();
}

/// The states in which nothing is decided.
fn idle(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("breaker_modes");
    for (who, mode) in [("off", Mode::Off), ("observe", Mode::Observe)] {
        let breaker = ours(&CircuitBreakerSettings { mode, ..settings(TripRule::Consecutive) });
        one_thread(&mut group, who, || call_ours(&breaker));
    }
    let breaker = ours(&settings(TripRule::Consecutive));
    breaker.force(Forced::Open);
    one_thread(&mut group, "forced_open", || call_ours(&breaker));
    breaker.force(Forced::Closed);
    one_thread(&mut group, "forced_closed", || call_ours(&breaker));
    group.finish();
}

macro_rules! rate_limits {
    ($group:expr, $bench:ident) => {{
        // So high that no call is refused.
        let permits_per_sec = 1_000_000_000.0;
        let limit = RateLimit::new(&RateLimitSettings {
            mode: Mode::Enforce,
            permits_per_sec: Some(PerSec::new(permits_per_sec).unwrap()),
            burst: Some(NonZeroU32::MAX),
            ..RateLimitSettings::default()
        })
        .unwrap();
        $bench(&mut $group, "ours", || {
            let _ = black_box(limit.check());
        });
        let quota = governor::Quota::per_second(NonZeroU32::new(1_000_000_000).unwrap())
            .allow_burst(NonZeroU32::MAX);
        let governor = governor::RateLimiter::direct(quota);
        $bench(&mut $group, "governor", || drop(black_box(governor.check())));
    }};
}

fn rate_limit(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("rate_limit_permitted");
    rate_limits!(group, one_thread);
    group.finish();
    let mut group = criterion.benchmark_group("rate_limit_permitted_2_threads");
    rate_limits!(group, two_threads);
    group.finish();
}

/// A hit on one of 1,000 pages of 3 KB, whose body is shared and not copied.
macro_rules! cache_hits {
    ($group:expr, $bench:ident) => {{
        let keys: Vec<String> = (0..1_000).map(|n| format!("product:{n}")).collect();
        let body: Body = vec![0_u8; 3_000].into();
        let cache = LocalCache::<String, Body>::new(&LocalCacheSettings {
            mode: Mode::Enforce,
            ttl: LONG,
            ..LocalCacheSettings::default()
        });
        let quick_cache = quick_cache::sync::Cache::new(2_000);
        let moka = moka::sync::Cache::new(2_000);
        let inserted_at = SystemClock.now();
        for key in &keys {
            cache.insert(inserted_at, key.clone(), body.clone());
            quick_cache.insert(key.clone(), body.clone());
            moka.insert(key.clone(), body.clone());
        }
        let key = keys[500].as_str();
        $bench(&mut $group, "ours", || drop(black_box(cache.get(inserted_at, black_box(key)))));
        $bench(&mut $group, "ours_and_clock", || {
            drop(black_box(cache.get(now(), black_box(key))));
        });
        $bench(&mut $group, "quick_cache", || drop(black_box(quick_cache.get(black_box(key)))));
        $bench(&mut $group, "moka", || drop(black_box(moka.get(black_box(key)))));
    }};
}

type Body = std::sync::Arc<[u8]>;

fn local_cache_hit(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("local_cache_hit");
    cache_hits!(group, one_thread);
    group.finish();
    let mut group = criterion.benchmark_group("local_cache_hit_2_threads");
    cache_hits!(group, two_threads);
    group.finish();
}

fn semaphore(criterion: &mut Criterion) {
    let semaphore = tokio::sync::Semaphore::new(64);
    let call = || drop(black_box(semaphore.try_acquire()));
    let mut group = criterion.benchmark_group("semaphore_acquired");
    one_thread(&mut group, "tokio", call);
    group.finish();
    let mut group = criterion.benchmark_group("semaphore_acquired_2_threads");
    two_threads(&mut group, "tokio", call);
    group.finish();
}

/// What the parts are made of: no breaker is faster than the clock it reads.
fn clock(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("clock");
    one_thread(&mut group, "std", || {
        black_box(now());
    });
    one_thread(&mut group, "kernel_coarse", || {
        black_box(rustix::time::clock_gettime(rustix::time::ClockId::MonotonicCoarse));
    });
    one_thread(&mut group, "kernel_precise", || {
        black_box(rustix::time::clock_gettime(rustix::time::ClockId::Monotonic));
    });
    group.finish();
}

fn config() -> Criterion {
    Criterion::default()
        .warm_up_time(Duration::from_millis(300))
        .measurement_time(Duration::from_secs(1))
        .sample_size(30)
}

criterion_group! {
    name = benches;
    config = config();
    targets = clock, closed_success, rejected, time_window_success, slow_call_success,
        layer_success, idle, rate_limit, local_cache_hit, semaphore
}
criterion_main!(benches);
