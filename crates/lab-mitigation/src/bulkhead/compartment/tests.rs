//! The shared bulkhead: waits, dropped permits and waiters, modes, threads. tokio's clock is
//! paused.

use std::time::Duration;

use tokio::task::JoinHandle;

use super::*;

const WAIT: Duration = Duration::from_millis(100);

fn bulkhead(mode: Mode, max_concurrent_calls: u32, max_wait_duration: Duration) -> Bulkhead {
    let max_concurrent_calls = NonZeroU32::new(max_concurrent_calls).unwrap();
    Bulkhead::new(mode, &CompartmentSettings { max_concurrent_calls, max_wait_duration })
}

/// Starts a caller and lets it come as far as the queue.
async fn caller(bulkhead: &Bulkhead) -> JoinHandle<Result<BulkheadPermit, BulkheadFull>> {
    let bulkhead = bulkhead.clone();
    let caller = tokio::spawn(async move { bulkhead.acquire().await });
    tokio::task::yield_now().await;
    caller
}

fn depth(bulkhead: &Bulkhead) -> (u32, u32) {
    let occupancy = bulkhead.snapshot().occupancy;
    (occupancy.in_flight, occupancy.queue_depth)
}

fn counts(bulkhead: &Bulkhead) -> (u64, u64, u64, u64) {
    let GateSnapshot { counts, waits, .. } = bulkhead.snapshot();
    (counts.n_permitted, counts.n_rejected, counts.n_would_reject, waits.n_left)
}

#[tokio::test(start_paused = true)]
async fn without_a_wait_the_excess_is_refused_at_once_with_the_facts() {
    let bulkhead = bulkhead(Mode::Enforce, 2, Duration::ZERO);
    let permits = [bulkhead.acquire().await.unwrap(), bulkhead.clone().acquire().await.unwrap()];
    let full = BulkheadFull { in_flight: 2, max_concurrent_calls: 2, waited: Duration::ZERO };
    assert_eq!(bulkhead.acquire().await.unwrap_err(), full);
    assert_eq!(full.to_string(), "bulkhead full: 2 of 2 calls in flight after 0ns");
    drop(permits);
    assert!(bulkhead.acquire().await.is_ok());
    assert_eq!(counts(&bulkhead), (3, 1, 0, 0));
}

#[tokio::test(start_paused = true)]
async fn a_place_that_comes_free_goes_to_who_waits_longest() {
    let bulkhead = bulkhead(Mode::Enforce, 1, WAIT);
    let permit = bulkhead.acquire().await.unwrap();
    let (first, second) = (caller(&bulkhead).await, caller(&bulkhead).await);
    drop(permit);
    let first = first.await.unwrap().unwrap();
    assert_eq!(depth(&bulkhead), (1, 1));
    assert!(!second.is_finished());
    drop(first);
    drop(second.await.unwrap().unwrap());
    assert_eq!(depth(&bulkhead), (0, 0));
}

#[tokio::test(start_paused = true)]
async fn a_wait_is_bounded() {
    let bulkhead = bulkhead(Mode::Enforce, 1, WAIT);
    let _permit = bulkhead.acquire().await.unwrap();
    let start = tokio::time::Instant::now();
    let full = bulkhead.acquire().await.unwrap_err();
    // tokio's timers tick in milliseconds.
    assert!((WAIT..=WAIT + Duration::from_millis(2)).contains(&start.elapsed()));
    assert!(WAIT <= full.waited);
    assert_eq!((counts(&bulkhead), depth(&bulkhead)), ((1, 1, 0, 0), (1, 0)));
}

#[tokio::test(start_paused = true)]
async fn a_waiter_that_leaves_is_passed_over() {
    let bulkhead = bulkhead(Mode::Enforce, 1, WAIT);
    let permit = bulkhead.acquire().await.unwrap();
    let (first, second) = (caller(&bulkhead).await, caller(&bulkhead).await);
    first.abort();
    assert!(first.await.unwrap_err().is_cancelled());
    assert_eq!(depth(&bulkhead), (1, 1));
    drop(permit);
    assert!(second.await.unwrap().is_ok());
    assert_eq!(counts(&bulkhead), (2, 0, 0, 1));
}

#[tokio::test(start_paused = true)]
async fn a_place_given_to_a_waiter_that_leaves_before_it_looks_goes_to_the_next() {
    let bulkhead = bulkhead(Mode::Enforce, 1, WAIT);
    let permit = bulkhead.acquire().await.unwrap();
    let (first, second) = (caller(&bulkhead).await, caller(&bulkhead).await);
    drop(permit);
    first.abort();
    assert!(first.await.is_err());
    assert!(second.await.unwrap().is_ok());
    assert_eq!(depth(&bulkhead), (0, 0));
}

#[tokio::test(start_paused = true)]
async fn resizing_takes_effect_on_waiters_and_takes_no_place_away() {
    let bulkhead = bulkhead(Mode::Enforce, 1, WAIT);
    let size = |n| NonZeroU32::new(n).unwrap();
    let _first = bulkhead.acquire().await.unwrap();
    let second = caller(&bulkhead).await;
    bulkhead.resize(size(2));
    let second = second.await.unwrap().unwrap();
    bulkhead.resize(size(1));
    assert_eq!(depth(&bulkhead), (2, 0));
    drop(second);
    assert_eq!(bulkhead.acquire().await.unwrap_err().max_concurrent_calls, 1);
}

#[tokio::test(start_paused = true)]
async fn observing_it_decides_as_enforcing_and_holds_nobody_up() {
    let bulkhead = bulkhead(Mode::Observe, 1, WAIT);
    let start = tokio::time::Instant::now();
    let first = bulkhead.acquire().await.unwrap();
    let [refused, served, left] = [
        bulkhead.acquire().await.unwrap(),
        bulkhead.acquire().await.unwrap(),
        bulkhead.acquire().await.unwrap(),
    ];
    assert_eq!((start.elapsed(), depth(&bulkhead)), (Duration::ZERO, (1, 3)));
    drop(left);
    assert_eq!(counts(&bulkhead), (1, 0, 0, 1), "it ended before its turn");
    tokio::time::advance(WAIT).await;
    drop(first);
    assert_eq!(counts(&bulkhead), (1, 0, 2, 1), "the time of both is up");
    drop((refused, served));
    let first = bulkhead.acquire().await.unwrap();
    let second = bulkhead.acquire().await.unwrap();
    drop(first);
    assert_eq!((depth(&bulkhead), counts(&bulkhead)), ((1, 0), (3, 0, 2, 1)));
    drop(second);
    assert_eq!(depth(&bulkhead), (0, 0));
}

#[tokio::test(start_paused = true)]
async fn observing_without_a_wait_a_call_that_would_be_refused_takes_no_place() {
    let bulkhead = bulkhead(Mode::Observe, 1, Duration::ZERO);
    let first = bulkhead.acquire().await.unwrap();
    let second = bulkhead.acquire().await.unwrap();
    drop(first);
    assert_eq!((depth(&bulkhead), counts(&bulkhead)), ((0, 0), (1, 0, 1, 0)));
    drop(second);
    assert_eq!(depth(&bulkhead), (0, 0));
}

#[tokio::test(start_paused = true)]
async fn switched_off_it_passes_everything_and_counts_nothing() {
    let bulkhead = bulkhead(Mode::Off, 1, Duration::ZERO);
    let permits = [bulkhead.acquire().await.unwrap(), bulkhead.acquire().await.unwrap()];
    assert_eq!((depth(&bulkhead), counts(&bulkhead)), ((0, 0), (0, 0, 0, 0)));
    bulkhead.set_mode(Mode::Enforce);
    drop(permits);
    assert_eq!(depth(&bulkhead), (0, 0), "what was not counted in is not counted out");
}

#[tokio::test(start_paused = true)]
async fn one_class_cannot_fill_what_another_needs() {
    let one = CompartmentSettings { max_concurrent_calls: NonZeroU32::MIN, ..Default::default() };
    let settings = BulkheadSettings { mode: Mode::Enforce, core: one, auxiliary: one };
    let bulkheads = RouteBulkheads::new(&settings);
    let _permit = bulkheads.of(RouteClass::Auxiliary).acquire().await.unwrap();
    assert!(bulkheads.of(RouteClass::Auxiliary).acquire().await.is_err());
    let permit = bulkheads.of(RouteClass::Core).acquire().await;
    assert!(permit.is_ok());
    let snapshot = bulkheads.snapshot();
    assert_eq!((snapshot.core.counts.n_rejected, snapshot.auxiliary.counts.n_rejected), (0, 1));
    bulkheads.set_mode(Mode::Off);
    assert!(bulkheads.of(RouteClass::Auxiliary).acquire().await.is_ok());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn of_many_threads_at_once_never_more_than_the_cap_are_in_flight() {
    use std::sync::atomic::{AtomicU32, Ordering};
    let bulkhead = bulkhead(Mode::Enforce, 3, Duration::from_secs(30));
    let in_flight = Arc::new(AtomicU32::new(0));
    let callers: Vec<_> = (0..64)
        .map(|_| {
            let (bulkhead, in_flight) = (bulkhead.clone(), Arc::clone(&in_flight));
            tokio::spawn(async move {
                for _ in 0..50 {
                    let permit = bulkhead.acquire().await.unwrap();
                    assert!(in_flight.fetch_add(1, Ordering::SeqCst) < 3);
                    tokio::task::yield_now().await;
                    in_flight.fetch_sub(1, Ordering::SeqCst);
                    drop(permit);
                }
            })
        })
        .collect();
    for caller in callers {
        caller.await.unwrap();
    }
    assert_eq!((depth(&bulkhead), counts(&bulkhead)), ((0, 0), (64 * 50, 0, 0, 0)));
}

#[tokio::test(start_paused = true)]
async fn the_snapshot_reads_well_as_json() {
    let bulkhead = bulkhead(Mode::Enforce, 2, Duration::ZERO);
    let _permit = bulkhead.acquire().await.unwrap();
    assert_eq!(
        serde_json::to_string(&bulkhead.snapshot()).unwrap(),
        r#"{"mode":"enforce","in_flight":1,"max_concurrent_calls":2,"queue_depth":0,"n_permitted":1,"n_rejected":0,"n_would_reject":0,"n_waited":0,"n_left":0}"#
    );
}
