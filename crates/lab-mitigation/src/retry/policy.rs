//! Whether a failed attempt is followed by another, and when: pure. The time and the random number
//! come from the caller.

use std::{
    num::NonZeroU32,
    time::{Duration, Instant},
};

use lab_core::settings::{RetryBudgetKind, RetrySettings};

use super::RetryBudget;

/// Whether another attempt may go better. For the caller to say: only it knows what its errors
/// mean, and whether doing the work twice does harm.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Retryable {
    /// It may.
    Yes,
    /// It will not, or it must not be tried.
    No,
}

/// One failed attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Failed {
    /// Which one; the first is 1.
    pub attempt: NonZeroU32,
    /// What the caller makes of its error.
    pub retryable: Retryable,
    /// When nobody waits for the answer any more. `None`: somebody always does.
    pub deadline: Option<Instant>,
}

/// What follows a failed attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NextAttempt {
    /// Another attempt, after this time.
    After(Duration),
    /// None: the attempt's error is the answer.
    Never(Stopped),
}

/// Why there is no other attempt. The reasons are asked in this order, so that what would not have
/// been tried anyway takes nothing of the budget.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stopped {
    /// The caller said that another would not go better.
    NotRetryable,
    /// It was the last one that one request may make.
    AttemptsUsedUp,
    /// It would begin when nobody waits for it any more.
    DeadlineTooNear,
    /// All requests together have made as many retries as they may.
    BudgetSpent,
}

/// Decides about retries. Reads no clock and draws no random number.
#[derive(Debug, Clone)]
pub struct RetryPolicy {
    attempts_max: NonZeroU32,
    backoff: Backoff,
    /// `None`: every request makes all of its attempts.
    budget: Option<RetryBudget>,
}

impl RetryPolicy {
    /// Starts with the budget's free retries.
    pub fn new(settings: &RetrySettings) -> Self {
        Self {
            attempts_max: settings.attempts_max,
            backoff: Backoff { base: settings.backoff_base, cap: settings.backoff_cap },
            budget: match settings.budget {
                RetryBudgetKind::None => None,
                RetryBudgetKind::TokenBucket => Some(RetryBudget::new(settings)),
            },
        }
    }

    /// A logical request began at `now`.
    pub fn on_first_attempt(&mut self, now: Instant) {
        if let Some(budget) = &mut self.budget {
            budget.on_first_attempt(now);
        }
    }

    /// What follows an attempt that failed at `now`. `random` draws the wait: every 64-bit number
    /// is to be as likely as any other.
    pub fn after(&mut self, now: Instant, failed: Failed, random: u64) -> NextAttempt {
        if failed.retryable == Retryable::No {
            return NextAttempt::Never(Stopped::NotRetryable);
        }
        if self.attempts_max <= failed.attempt {
            return NextAttempt::Never(Stopped::AttemptsUsedUp);
        }
        let wait = self.backoff.wait(failed.attempt, random);
        if failed.deadline.is_some_and(|deadline| is_at_or_past(deadline, now, wait)) {
            return NextAttempt::Never(Stopped::DeadlineTooNear);
        }
        match self.budget.as_mut().map(|budget| budget.try_withdraw(now)) {
            Some(Err(_spent)) => NextAttempt::Never(Stopped::BudgetSpent),
            Some(Ok(())) | None => NextAttempt::After(wait),
        }
    }
}

/// Whether `now` + `wait` is not before `deadline`; a time too late to be named is not.
fn is_at_or_past(deadline: Instant, now: Instant, wait: Duration) -> bool {
    now.checked_add(wait).is_none_or(|then| deadline <= then)
}

/// Exponential backoff with full jitter and a cap.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Backoff {
    /// Longest wait after the first attempt.
    pub base: Duration,
    /// Longest wait of all.
    pub cap: Duration,
}

impl Backoff {
    /// The wait after attempt number `attempt`: random / 2⁶⁴ · min(cap, base · 2^(attempt − 1)).
    ///
    /// **Range**: from zero to that bound, which itself is never drawn. A bound of more than 584
    /// years counts as that.
    pub fn wait(self, attempt: NonZeroU32, random: u64) -> Duration {
        let factor = 1_u32.checked_shl(attempt.get() - 1).unwrap_or(u32::MAX);
        let bound = self.base.saturating_mul(factor).min(self.cap);
        let bound_ns = u64::try_from(bound.as_nanos()).unwrap_or(u64::MAX);
        let wait_ns = (u128::from(bound_ns) * u128::from(random)) >> 64;
        Duration::from_nanos(u64::try_from(wait_ns).unwrap_or(u64::MAX))
    }
}

#[cfg(test)]
mod tests {
    use lab_core::units::Ratio;
    use lab_testkit::clock::ManualClock;
    use proptest::prelude::*;

    use super::*;

    const HALF: u64 = 1 << 63;

    fn attempt(n: u32) -> NonZeroU32 {
        NonZeroU32::new(n).unwrap()
    }

    fn settings() -> RetrySettings {
        RetrySettings {
            attempts_max: attempt(3),
            backoff_base: Duration::from_millis(100),
            backoff_cap: Duration::from_millis(300),
            budget_ratio: Ratio::new(0.0).unwrap(),
            budget_min_per_sec: 1,
            budget_window: Duration::from_secs(2),
            ..RetrySettings::default()
        }
    }

    fn failed(n: u32) -> Failed {
        Failed { attempt: attempt(n), retryable: Retryable::Yes, deadline: None }
    }

    // Worked by hand: 100, 200, then 300 instead of 400 ms, and half of each.
    #[test]
    fn the_longest_wait_doubles_up_to_the_cap_and_the_wait_is_drawn_below_it() {
        let backoff = Backoff { base: Duration::from_millis(100), cap: Duration::from_millis(300) };
        for (n, half_ms) in [(1, 50), (2, 100), (3, 150), (4, 150), (33, 150), (u32::MAX, 150)] {
            assert_eq!(backoff.wait(attempt(n), HALF), Duration::from_millis(half_ms), "{n}");
            assert_eq!(backoff.wait(attempt(n), 0), Duration::ZERO);
        }
        let longest = backoff.wait(attempt(1), u64::MAX);
        assert_eq!(longest, Duration::from_millis(100) - Duration::from_nanos(1));
    }

    #[test]
    fn a_base_of_zero_waits_for_nothing() {
        let backoff = Backoff { base: Duration::ZERO, cap: Duration::ZERO };
        assert_eq!(backoff.wait(attempt(7), u64::MAX), Duration::ZERO);
    }

    // Two free retries in a window of 2 s.
    #[test]
    fn what_would_not_be_tried_anyway_takes_nothing_of_the_budget() {
        let (mut policy, now) = (RetryPolicy::new(&settings()), ManualClock::new().now());
        policy.on_first_attempt(now);
        let near = Some(now + Duration::from_millis(50));
        let not_retryable = Failed { retryable: Retryable::No, ..failed(1) };
        for (failed, want) in [
            (not_retryable, NextAttempt::Never(Stopped::NotRetryable)),
            (failed(3), NextAttempt::Never(Stopped::AttemptsUsedUp)),
            (Failed { deadline: near, ..failed(1) }, NextAttempt::Never(Stopped::DeadlineTooNear)),
            (failed(1), NextAttempt::After(Duration::from_millis(50))),
            (failed(2), NextAttempt::After(Duration::from_millis(100))),
            (failed(1), NextAttempt::Never(Stopped::BudgetSpent)),
        ] {
            assert_eq!(policy.after(now, failed, HALF), want, "{failed:?}");
        }
    }

    #[test]
    fn an_attempt_begins_only_before_the_deadline() {
        let now = ManualClock::new().now();
        let mut policy = RetryPolicy::new(&settings());
        let mut after = |deadline_ms| {
            let deadline = Some(now + Duration::from_millis(deadline_ms));
            policy.after(now, Failed { deadline, ..failed(1) }, HALF)
        };
        assert_eq!(after(50), NextAttempt::Never(Stopped::DeadlineTooNear));
        assert_eq!(after(51), NextAttempt::After(Duration::from_millis(50)));
        assert_eq!(after(0), NextAttempt::Never(Stopped::DeadlineTooNear));
    }

    #[test]
    fn without_a_budget_every_request_makes_all_of_its_attempts() {
        let naive = RetrySettings { budget: RetryBudgetKind::None, ..settings() };
        let (mut policy, now) = (RetryPolicy::new(&naive), ManualClock::new().now());
        for _ in 0..1_000 {
            policy.on_first_attempt(now);
            assert!(matches!(policy.after(now, failed(1), 0), NextAttempt::After(_)));
            assert!(matches!(policy.after(now, failed(2), 0), NextAttempt::After(_)));
            assert!(matches!(policy.after(now, failed(3), 0), NextAttempt::Never(_)));
        }
    }

    #[test]
    fn a_single_attempt_is_never_followed_by_another() {
        let once = RetrySettings { attempts_max: attempt(1), ..settings() };
        let (mut policy, now) = (RetryPolicy::new(&once), ManualClock::new().now());
        assert_eq!(policy.after(now, failed(1), 0), NextAttempt::Never(Stopped::AttemptsUsedUp));
    }

    proptest! {
        #[test]
        fn a_wait_is_below_its_bound_and_no_number_overflows(
            base_ns in any::<u64>(),
            cap_ns in any::<u64>(),
            n in 1..=u32::MAX,
            random in any::<u64>(),
        ) {
            let [base, cap] = [base_ns, cap_ns].map(Duration::from_nanos);
            let wait = Backoff { base, cap }.wait(attempt(n), random);
            prop_assert!(wait <= cap);
            prop_assert!(n > 1 || wait <= base);
        }
    }
}
