//! The shared retry on a paused clock: waits, deadlines, the budget, modes, callers that leave.

use std::{cell::Cell, future::pending};

use lab_core::{settings::RetryBudgetKind, units::Ratio};
use tokio::time::{Instant as TokioInstant, timeout};

use super::*;

const BASE: Duration = Duration::from_millis(100);
/// Draws half of the longest wait.
const HALF: u64 = 1 << 63;

fn settings(mode: Mode) -> RetrySettings {
    RetrySettings {
        mode,
        attempts_max: NonZeroU32::new(3).unwrap(),
        backoff_base: BASE,
        backoff_cap: 10 * BASE,
        budget: RetryBudgetKind::TokenBucket,
        budget_ratio: Ratio::new(0.0).unwrap(),
        budget_min_per_sec: 1,
        budget_window: Duration::from_secs(10),
    }
}

fn retry(mode: Mode) -> Retry {
    Retry::new(&settings(mode), || HALF)
}

fn always<E>(_error: &E) -> Retryable {
    Retryable::Yes
}

/// Fails every attempt before number `n`, and counts them.
struct SucceedsAt {
    n: u32,
    n_calls: Cell<u32>,
}

impl SucceedsAt {
    fn attempt(n: u32) -> Self {
        Self { n, n_calls: Cell::new(0) }
    }

    async fn call(&self, attempt: NonZeroU32) -> Result<u32, u32> {
        self.n_calls.set(self.n_calls.get() + 1);
        assert_eq!(attempt.get(), self.n_calls.get(), "attempts count from 1");
        if self.n <= attempt.get() { Ok(attempt.get()) } else { Err(attempt.get()) }
    }

    async fn through(&self, retry: &Retry) -> Result<u32, u32> {
        retry.run(None, always, |attempt| self.call(attempt)).await
    }
}

/// Whether `elapsed` is `want` as far as tokio's timer goes, which has a grain of 1 ms.
#[track_caller]
fn assert_elapsed(start: TokioInstant, want: Duration) {
    let elapsed = start.elapsed();
    assert!(want <= elapsed && elapsed <= want + Duration::from_millis(5), "{elapsed:?}");
}

// Worked by hand: half of 100 ms and half of 200 ms are 150 ms.
#[tokio::test(start_paused = true)]
async fn it_tries_until_a_call_succeeds_and_waits_in_between() {
    let (retry, start) = (retry(Mode::Enforce), TokioInstant::now());
    assert_eq!(SucceedsAt::attempt(3).through(&retry).await, Ok(3));
    assert_elapsed(start, Duration::from_millis(150));
    let snapshot = retry.snapshot();
    assert_eq!((snapshot.n_requests, snapshot.n_attempts, snapshot.n_retries), (1, 3, 2));
    assert!((snapshot.retry_amplification - 3.0).abs() < 1e-9);
}

#[tokio::test(start_paused = true)]
async fn a_call_that_succeeds_at_once_is_made_once() {
    let (retry, start) = (retry(Mode::Enforce), TokioInstant::now());
    assert_eq!(SucceedsAt::attempt(1).through(&retry).await, Ok(1));
    assert_elapsed(start, Duration::ZERO);
    let snapshot = retry.snapshot();
    assert_eq!((snapshot.n_attempts, snapshot.n_retries), (1, 0));
}

#[tokio::test(start_paused = true)]
async fn the_last_attempts_error_comes_back_unchanged() {
    let retry = retry(Mode::Enforce);
    let calls = SucceedsAt::attempt(99);
    assert_eq!(calls.through(&retry).await, Err(3));
    assert_eq!((calls.n_calls.get(), retry.snapshot().n_attempts_used_up), (3, 1));
}

#[tokio::test(start_paused = true)]
async fn an_error_that_is_not_retryable_is_the_answer_at_once() {
    let (retry, calls) = (retry(Mode::Enforce), SucceedsAt::attempt(99));
    let classify = |error: &u32| if *error == 2 { Retryable::No } else { Retryable::Yes };
    let result = retry.run(None, classify, |attempt| calls.call(attempt)).await;
    assert_eq!((result, retry.snapshot().n_not_retryable), (Err(2), 1));
}

// Worked by hand: the second attempt begins at 50 ms, the third would at 150 ms.
#[tokio::test(start_paused = true)]
async fn no_attempt_begins_at_the_deadline_or_later() {
    for (deadline_ms, n_attempts) in [(40, 1), (140, 2), (160, 3)] {
        let (retry, calls) = (retry(Mode::Enforce), SucceedsAt::attempt(99));
        let deadline = SystemClock.now() + Duration::from_millis(deadline_ms);
        let result = retry.run(Some(deadline), always, |attempt| calls.call(attempt)).await;
        assert_eq!(result, Err(n_attempts), "{deadline_ms} ms");
        let n_too_near = u64::from(n_attempts < 3);
        assert_eq!(retry.snapshot().n_deadline_too_near, n_too_near, "{deadline_ms} ms");
    }
}

// Worked by hand: 1 per second over 10 s are 10 retries; 4 requests that make 2 each take 8, the
// fifth takes the last 2, and the others make one attempt.
#[tokio::test(start_paused = true)]
async fn when_the_budget_is_spent_requests_make_one_attempt() {
    let retry = retry(Mode::Enforce);
    for n in 1..=100 {
        let want = if n <= 5 { 3 } else { 1 };
        let calls = SucceedsAt::attempt(99);
        // Less than a slot of the window apart, all of them.
        assert_eq!(calls.through(&retry.clone()).await, Err(want), "request {n}");
    }
    let snapshot = retry.snapshot();
    assert_eq!((snapshot.n_retries, snapshot.n_budget_spent), (10, 95));
    assert!((snapshot.retry_amplification - 1.1).abs() < 1e-9);
}

// The negative control: what the budget is there to prevent.
#[tokio::test(start_paused = true)]
async fn the_naive_retry_triples_the_load_of_what_is_down() {
    let naive = RetrySettings { budget: RetryBudgetKind::None, ..settings(Mode::Enforce) };
    let retry = Retry::new(&naive, || HALF);
    for _ in 0..100 {
        assert_eq!(SucceedsAt::attempt(99).through(&retry).await, Err(3));
    }
    let snapshot = retry.snapshot();
    assert_eq!((snapshot.n_attempts, snapshot.n_budget_spent), (300, 0));
}

#[tokio::test(start_paused = true)]
async fn observing_makes_one_attempt_and_counts_the_second_that_would_have_been() {
    let retry = retry(Mode::Observe);
    for _ in 0..12 {
        assert_eq!(SucceedsAt::attempt(2).through(&retry).await, Err(1));
    }
    let snapshot = retry.snapshot();
    assert_eq!((snapshot.n_attempts, snapshot.n_retries), (12, 0));
    let stopped = (snapshot.n_would_retry, snapshot.n_budget_spent);
    assert_eq!(stopped, (10, 2), "the budget is as spent as enforcing would have left it");
}

#[tokio::test(start_paused = true)]
async fn switched_off_it_makes_one_attempt_and_counts_nothing() {
    let retry = retry(Mode::Off);
    assert_eq!(SucceedsAt::attempt(2).through(&retry).await, Err(1));
    let snapshot = retry.snapshot();
    assert_eq!((snapshot.n_attempts, snapshot.n_would_retry), (0, 0));
    retry.set_mode(Mode::Enforce);
    assert_eq!(SucceedsAt::attempt(2).through(&retry).await, Ok(2));
}

struct OnDrop<'a>(&'a Cell<u32>);

impl Drop for OnDrop<'_> {
    fn drop(&mut self) {
        self.0.set(self.0.get() + 1);
    }
}

#[tokio::test(start_paused = true)]
async fn a_caller_that_leaves_drops_the_attempt_or_the_wait_that_goes_on() {
    let (retry, n_dropped) = (retry(Mode::Enforce), Cell::new(0));
    let silent = |_attempt| async {
        let _held = OnDrop(&n_dropped);
        pending::<Result<(), ()>>().await
    };
    assert!(timeout(BASE, retry.run(None, always, silent)).await.is_err());
    assert_eq!((n_dropped.get(), retry.snapshot().n_attempts), (1, 1));
    let calls = SucceedsAt::attempt(2);
    let leaves = timeout(BASE / 4, calls.through(&retry)).await;
    assert!(leaves.is_err(), "the wait is half of the base");
    assert_eq!(calls.n_calls.get(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_random_source_that_panics_takes_one_request_and_no_other_with_it() {
    let n_drawn = std::sync::atomic::AtomicU64::new(0);
    let retry = Retry::new(&settings(Mode::Enforce), move || {
        if n_drawn.fetch_add(1, Relaxed) == 0 {
            std::panic::resume_unwind(Box::new("a bug"));
        }
        HALF
    });
    let first = tokio::spawn({
        let retry = retry.clone();
        async move { retry.run(None, always, |_| async { Err::<(), _>(1) }).await }
    });
    assert!(first.await.unwrap_err().is_panic());
    assert_eq!(SucceedsAt::attempt(2).through(&retry).await, Ok(2));
}
