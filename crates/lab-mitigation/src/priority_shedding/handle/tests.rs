//! The shared queue: waits, dropped permits and waiters, modes. tokio's clock is paused.

use std::time::Duration;

use tokio::task::JoinHandle;

use super::*;

use RouteClass::{Auxiliary, Core};

const TARGET: Duration = Duration::from_millis(5);
const INTERVAL: Duration = Duration::from_millis(100);

fn shedding(mode: Mode) -> PriorityShedding {
    PriorityShedding::new(&PrioritySheddingSettings {
        mode,
        max_concurrent_calls: NonZeroU32::MIN,
        target: TARGET,
        interval: INTERVAL,
    })
}

/// Starts a caller and lets it come as far as the queue.
async fn caller(
    shedding: &PriorityShedding,
    class: RouteClass,
) -> JoinHandle<Result<PriorityPermit, Shed>> {
    let shedding = shedding.clone();
    let caller = tokio::spawn(async move { shedding.acquire(class).await });
    tokio::task::yield_now().await;
    caller
}

fn depth(shedding: &PriorityShedding) -> (u32, u32) {
    let occupancy = shedding.snapshot().occupancy;
    (occupancy.in_flight, occupancy.queue_depth)
}

fn counts(shedding: &PriorityShedding) -> (u64, u64, u64, u64) {
    let GateSnapshot { counts, waits, .. } = shedding.snapshot();
    (counts.n_permitted, counts.n_rejected, counts.n_would_reject, waits.n_left)
}

#[tokio::test(start_paused = true)]
async fn a_place_that_comes_free_goes_to_core() {
    let shedding = shedding(Mode::Enforce);
    let permit = shedding.acquire(Auxiliary).await.unwrap();
    let (auxiliary, core) = (caller(&shedding, Auxiliary).await, caller(&shedding, Core).await);
    drop(permit);
    let permit = core.await.unwrap().unwrap();
    assert!(!auxiliary.is_finished());
    drop(permit);
    assert!(auxiliary.await.unwrap().is_ok());
}

#[tokio::test(start_paused = true)]
async fn who_waited_long_enough_is_shed_with_the_facts() {
    let shedding = shedding(Mode::Enforce);
    let _permit = shedding.acquire(Core).await.unwrap();
    let shed = shedding.acquire(Core).await.unwrap_err();
    assert_eq!(shed.class, Core);
    assert!((INTERVAL..INTERVAL + TARGET).contains(&shed.waited), "{shed}");
    let shed = Shed { class: Auxiliary, waited: TARGET };
    assert_eq!(shed.to_string(), "auxiliary call shed after 5ms");
    assert_eq!((counts(&shedding), depth(&shedding)), ((1, 1, 0, 0), (1, 0)));
}

#[tokio::test(start_paused = true)]
async fn an_auxiliary_caller_that_makes_way_is_told_at_once() {
    let shedding = shedding(Mode::Enforce);
    let _permit = shedding.acquire(Core).await.unwrap();
    let core = caller(&shedding, Core).await;
    tokio::time::advance(INTERVAL / 2).await;
    let shed = shedding.acquire(Auxiliary).await.unwrap_err();
    assert!(shed.waited < INTERVAL, "its own time was not up: {shed}");
    assert!(core.await.unwrap().is_err());
}

#[tokio::test(start_paused = true)]
async fn a_waiter_that_leaves_is_passed_over_and_a_dropped_permit_goes_on() {
    let shedding = shedding(Mode::Enforce);
    let permit = shedding.acquire(Core).await.unwrap();
    let (first, second) = (caller(&shedding, Core).await, caller(&shedding, Core).await);
    first.abort();
    assert!(first.await.unwrap_err().is_cancelled());
    assert_eq!(depth(&shedding), (1, 1));
    drop(permit);
    drop(second.await.unwrap().unwrap());
    assert_eq!((counts(&shedding), depth(&shedding)), ((2, 0, 0, 1), (0, 0)));
}

#[tokio::test(start_paused = true)]
async fn observing_it_sheds_nobody_and_counts_whom_it_would_have() {
    let shedding = shedding(Mode::Observe);
    let first = shedding.acquire(Core).await.unwrap();
    let [late, next] =
        [shedding.acquire(Auxiliary).await.unwrap(), shedding.acquire(Core).await.unwrap()];
    assert_eq!(depth(&shedding), (1, 2));
    tokio::time::advance(INTERVAL / 2).await;
    drop(first);
    assert_eq!((counts(&shedding), depth(&shedding)), ((2, 0, 0, 0), (1, 1)));
    tokio::time::advance(INTERVAL / 2).await;
    drop(next);
    assert_eq!((counts(&shedding), depth(&shedding)), ((2, 0, 1, 0), (0, 0)));
    drop(late);
    assert_eq!(depth(&shedding), (0, 0));
}

#[tokio::test(start_paused = true)]
async fn switched_off_it_passes_everything_and_counts_nothing() {
    let shedding = shedding(Mode::Off);
    let permits = [shedding.acquire(Core).await.unwrap(), shedding.acquire(Core).await.unwrap()];
    shedding.set_mode(Mode::Enforce);
    drop(permits);
    assert_eq!((counts(&shedding), depth(&shedding)), ((0, 0, 0, 0), (0, 0)));
}

#[tokio::test(start_paused = true)]
async fn more_places_let_waiters_in_at_once() {
    let shedding = shedding(Mode::Enforce);
    let _permit = shedding.acquire(Core).await.unwrap();
    let waiting = caller(&shedding, Auxiliary).await;
    shedding.resize(NonZeroU32::new(2).unwrap());
    assert!(waiting.await.unwrap().is_ok());
}
