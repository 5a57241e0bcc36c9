//! Calls under a deadline, on tokio's paused clock: refused, cut short, left alone.

use std::{
    cell::Cell,
    future::{pending, ready},
};

use tokio::time::{Instant as TokioInstant, advance, sleep};

use super::*;
use crate::call_timeout::CallTimeout;

const BUDGET: Duration = Duration::from_millis(100);

const fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

fn propagation(mode: Mode) -> (DeadlinePropagation, Deadline) {
    let settings = DeadlinePropagationSettings {
        mode,
        default_budget: BUDGET,
        min_remaining: ms(5),
        ..DeadlinePropagationSettings::default()
    };
    let propagation = DeadlinePropagation::new(&settings);
    let deadline = propagation.deadline(TokioInstant::now().into_std(), None);
    (propagation, deadline)
}

/// The counts, in the order permitted, rejected, would reject, cut short, would cut short.
fn counts(propagation: &DeadlinePropagation) -> [u64; 5] {
    let snapshot = propagation.snapshot();
    let DecisionCounts { n_permitted, n_rejected, n_would_reject } = snapshot.counts;
    [n_permitted, n_rejected, n_would_reject, snapshot.n_cut_short, snapshot.n_would_cut_short]
}

#[tokio::test(start_paused = true)]
async fn the_second_step_gets_what_the_first_one_left() {
    let (propagation, deadline) = propagation(Mode::Enforce);
    assert_eq!(propagation.within(deadline, Some(ms(80)), sleep(ms(70))).await, Ok(()));
    let start = TokioInstant::now();
    let result = propagation.within(deadline, Some(ms(80)), pending::<()>()).await;
    assert!(matches!(result, Err(DeadlineError::Exceeded(_))), "{result:?}");
    // tokio's timer has a grain of 1 ms, and each step may use one.
    let waited = start.elapsed();
    assert!(ms(28) <= waited && waited <= ms(31), "{waited:?}");
    assert_eq!(counts(&propagation), [2, 0, 0, 1, 0]);
}

#[tokio::test(start_paused = true)]
async fn a_silent_call_ends_by_its_own_timeout_while_there_is_time() {
    let (propagation, deadline) = propagation(Mode::Enforce);
    let result = propagation.within(deadline, Some(ms(50)), pending::<()>()).await;
    assert_eq!(result, Err(DeadlineError::TimedOut(CallTimeout { waited: ms(50) })));
    assert_eq!(counts(&propagation), [1, 0, 0, 0, 0]);
}

#[tokio::test(start_paused = true)]
async fn a_call_without_time_is_never_polled() {
    let (propagation, deadline) = propagation(Mode::Enforce);
    advance(ms(96)).await;
    let polled = Cell::new(false);
    let result = propagation.within(deadline, None, async { polled.set(true) }).await;
    let late_by = Duration::ZERO;
    assert_eq!(result, Err(DeadlineError::Exceeded(DeadlineExceeded { budget: BUDGET, late_by })));
    assert!(!polled.get());
    assert_eq!(counts(&propagation), [0, 1, 0, 0, 0]);
}

#[tokio::test(start_paused = true)]
async fn observing_counts_what_would_have_been_refused_or_cut_short_and_lets_it_pass() {
    let (propagation, deadline) = propagation(Mode::Observe);
    assert_eq!(propagation.within(deadline, None, sleep(ms(150))).await, Ok(()));
    assert_eq!(counts(&propagation), [1, 0, 0, 0, 1], "begun in time, ended late");
    let now = TokioInstant::now().into_std();
    assert_eq!(propagation.bound(now, deadline, Some(ms(80))), Ok(Some(ms(80))));
    assert_eq!(counts(&propagation), [1, 0, 1, 0, 1], "would not have been begun");
}

#[tokio::test(start_paused = true)]
async fn a_call_that_would_not_have_been_begun_would_not_have_been_cut_short() {
    let (propagation, deadline) = propagation(Mode::Observe);
    advance(ms(100)).await;
    assert_eq!(propagation.within(deadline, None, sleep(ms(10))).await, Ok(()));
    assert_eq!(counts(&propagation), [0, 0, 1, 0, 0]);
}

#[tokio::test(start_paused = true)]
async fn switched_off_a_deadline_bounds_and_counts_nothing() {
    let (propagation, deadline) = propagation(Mode::Off);
    advance(ms(1_000)).await;
    assert_eq!(propagation.within(deadline, None, ready(7)).await, Ok(7));
    let now = TokioInstant::now().into_std();
    assert_eq!(propagation.bound(now, deadline, None), Ok(None));
    assert_eq!(counts(&propagation), [0; 5]);
    propagation.set_mode(Mode::Enforce);
    assert!(propagation.bound(now, deadline, None).is_err(), "from the next call on");
}

#[tokio::test(start_paused = true)]
async fn dropping_the_bounded_call_drops_the_call() {
    let (propagation, deadline) = propagation(Mode::Enforce);
    let held = Arc::new(());
    let call = {
        let held = Arc::clone(&held);
        async move {
            pending::<()>().await;
            drop(held);
        }
    };
    let mut bounded = Box::pin(propagation.within(deadline, None, call));
    assert!(is_pending(bounded.as_mut()).await);
    drop(bounded);
    assert_eq!(Arc::strong_count(&held), 1);
    assert_eq!(counts(&propagation), [1, 0, 0, 0, 0], "a caller who left is not cut short");
}

/// Polls once.
async fn is_pending<F: Future>(mut future: std::pin::Pin<&mut F>) -> bool {
    std::future::poll_fn(|context| {
        std::task::Poll::Ready(future.as_mut().poll(context).is_pending())
    })
    .await
}
