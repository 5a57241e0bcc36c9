//! What goes wrong in the strategy's listing of a breaker (stage 3, row S18), line by line, and
//! that ours does not.
//!
//! The listing leaves `nextAttempt`, `onSuccess` and `onFailure` undefined and does not limit
//! half-open calls. [`Listing`] follows it as JavaScript would run it: `undefined` in arithmetic
//! is NaN, and every comparison with NaN is false.

use std::time::{Duration, Instant};

use lab_core::{seed::Seed, settings::CircuitBreakerSettings};
use lab_mitigation::circuit_breaker::{CallResult, CircuitPolicy, CircuitState, Jitter};
use lab_testkit::clock::ManualClock;

const THRESHOLD: u32 = 5;
const TIMEOUT: Duration = Duration::from_secs(60);
const TIMEOUT_MS: f64 = 60_000.0;
const UNDEFINED: f64 = f64::NAN;

/// How a reader might complete the listing's `nextAttempt`.
#[derive(Clone, Copy)]
enum NextAttempt {
    /// As printed: nobody sets it.
    NeverSet,
    /// As its name says: the time of the next attempt, now + timeout.
    NowPlusTimeout,
    /// As the listing's comparison needs it, against its name: the time of the trip.
    Now,
}

#[derive(Debug, PartialEq)]
enum ListingState {
    Closed,
    Open,
    HalfOpen,
}

struct Listing {
    state: ListingState,
    failure_count: u32,
    next_attempt: f64,
    completion: NextAttempt,
}

impl Listing {
    fn new(completion: NextAttempt) -> Self {
        let state = ListingState::Closed;
        Self { state, failure_count: 0, next_attempt: UNDEFINED, completion }
    }

    /// The first half of `call`: whether the service is called.
    fn admits(&mut self, now_ms: f64) -> bool {
        if self.state == ListingState::Open {
            if now_ms - self.next_attempt > TIMEOUT_MS {
                self.state = ListingState::HalfOpen;
            } else {
                return false;
            }
        }
        true
    }

    /// `onFailure`, completed in the obvious way.
    fn on_failure(&mut self, now_ms: f64) {
        self.failure_count += 1;
        if THRESHOLD <= self.failure_count {
            self.state = ListingState::Open;
            self.next_attempt = match self.completion {
                NextAttempt::NeverSet => UNDEFINED,
                NextAttempt::NowPlusTimeout => now_ms + TIMEOUT_MS,
                NextAttempt::Now => now_ms,
            };
        }
    }

    fn tripped_at_zero(completion: NextAttempt) -> Self {
        let mut listing = Self::new(completion);
        (0..THRESHOLD).for_each(|_| listing.on_failure(0.0));
        listing
    }
}

/// Ours with the listing's numbers, tripped at the returned instant.
fn tripped() -> (CircuitPolicy, Instant) {
    let settings = CircuitBreakerSettings::default();
    assert_eq!(settings.failure_threshold.get(), THRESHOLD);
    assert_eq!(settings.wait_duration_in_open, TIMEOUT);
    let t0 = ManualClock::new().now();
    let mut policy = CircuitPolicy::new(&settings, Jitter::new(Seed(0)), t0);
    for _ in 0..THRESHOLD {
        let admitted = policy.try_acquire(t0).expect("a closed circuit admits");
        policy.on_result(t0, admitted.ticket, CallResult::Failure);
    }
    assert_eq!(policy.state(), CircuitState::Open);
    (policy, t0)
}

#[test]
fn as_printed_the_listing_never_leaves_open_again() {
    let mut listing = Listing::tripped_at_zero(NextAttempt::NeverSet);
    let a_year_ms = 365.0 * 86_400_000.0;
    assert!(!listing.admits(a_year_ms));
}

#[test]
fn with_next_attempt_as_its_name_says_the_listing_waits_twice_as_long() {
    let mut listing = Listing::tripped_at_zero(NextAttempt::NowPlusTimeout);
    assert!(!listing.admits(TIMEOUT_MS + 1.0));
    assert!(!listing.admits(2.0 * TIMEOUT_MS));
    assert!(listing.admits(2.0 * TIMEOUT_MS + 1.0));
}

#[test]
fn half_open_the_listing_lets_everybody_in() {
    let mut listing = Listing::tripped_at_zero(NextAttempt::Now);
    let n_admitted = (0..1_000).filter(|_| listing.admits(TIMEOUT_MS + 1.0)).count();
    assert_eq!((n_admitted, listing.state), (1_000, ListingState::HalfOpen));
}

#[test]
fn ours_waits_once_and_admits_one_probe() {
    let (mut policy, t0) = tripped();
    assert!(policy.try_acquire(t0 + TIMEOUT - Duration::from_nanos(1)).is_err());
    let n_admitted = (0..1_000).filter(|_| policy.try_acquire(t0 + TIMEOUT).is_ok()).count();
    assert_eq!((n_admitted, policy.state()), (1, CircuitState::HalfOpen));
}
