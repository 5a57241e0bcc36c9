//! From a budget to the time that a call may take: pure.

use std::time::{Duration, Instant};

use lab_core::settings::DeadlinePropagationSettings;

use super::{DeadlineExceeded, InvalidBudget};

/// Most digits of a stated budget. **Source**: gRPC over HTTP/2, `TimeoutValue`.
const BUDGET_DIGITS_MAX: usize = 8;
/// How much of a wrong budget is shown: it comes from outside.
const SHOWN_CHARS_MAX: usize = 20;

/// The point in time at which a request's answer is worth nothing any more. Two words to copy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Deadline {
    at: Instant,
    budget: Duration,
}

impl Deadline {
    /// `budget` after `arrived_at`.
    ///
    /// A budget beyond what the machine's clock can express counts as none at all: no work is
    /// better than work without end.
    pub fn after(arrived_at: Instant, budget: Duration) -> Self {
        Self { at: arrived_at.checked_add(budget).unwrap_or(arrived_at), budget }
    }

    /// The point in time.
    pub fn at(self) -> Instant {
        self.at
    }

    /// All the time that the request had when it arrived.
    pub fn budget(self) -> Duration {
        self.budget
    }

    /// Time left at `now`; zero once it has passed.
    pub fn remaining(self, now: Instant) -> Duration {
        self.at.saturating_duration_since(now)
    }

    /// The budget to state to a service that is called at `now`: whole milliseconds, rounded down
    /// so that the callee gives up first. `None` when there is less than one left.
    pub fn budget_header(self, now: Instant) -> Option<String> {
        let ms = self.remaining(now).as_millis();
        (ms != 0).then(|| ms.to_string())
    }

    /// That this deadline cannot be kept, as of `now`.
    pub fn exceeded(self, now: Instant) -> DeadlineExceeded {
        let late_by = now.saturating_duration_since(self.at);
        DeadlineExceeded { budget: self.budget, late_by }
    }
}

/// Reads a budget as a client states it: whole milliseconds in digits, nothing else.
///
/// **Range**: 1 to 99 999 999 ms (27 hours). **Errors**: anything else, such as a sign, a space, a
/// unit or zero. A service should answer that the request is wrong: a guess would be silent.
pub fn parse_budget(stated: &str) -> Result<Duration, InvalidBudget> {
    let is_number = (1..=BUDGET_DIGITS_MAX).contains(&stated.len())
        && stated.bytes().all(|it| it.is_ascii_digit());
    let ms = if is_number { stated.parse().unwrap_or(0) } else { 0 };
    if ms == 0 {
        return Err(InvalidBudget { got: stated.chars().take(SHOWN_CHARS_MAX).collect() });
    }
    Ok(Duration::from_millis(ms))
}

/// How much time a request gets, and whether a call for it may begin.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DeadlinePolicy {
    default_budget: Duration,
    budget_max: Duration,
    min_remaining: Duration,
}

impl DeadlinePolicy {
    /// Takes the three durations from `settings`.
    pub fn new(settings: &DeadlinePropagationSettings) -> Self {
        Self {
            default_budget: settings.default_budget,
            budget_max: settings.budget_max,
            min_remaining: settings.min_remaining,
        }
    }

    /// The deadline of a request that arrived at `arrived_at`; its client stated a budget, or
    /// none. More than `budget_max` counts as `budget_max`.
    pub fn deadline(&self, arrived_at: Instant, stated: Option<Duration>) -> Deadline {
        let budget = stated.unwrap_or(self.default_budget).min(self.budget_max);
        Deadline::after(arrived_at, budget)
    }

    /// The time that a call begun at `now` may take: what is left, or the call's own timeout where
    /// that is shorter.
    ///
    /// **Errors**: less than `min_remaining` is left. Work that cannot finish is not begun. A
    /// call's own timeout may be shorter than `min_remaining`; that is its own business.
    pub fn bound(
        &self,
        now: Instant,
        deadline: Deadline,
        own_timeout: Option<Duration>,
    ) -> Result<Duration, DeadlineExceeded> {
        let remaining = deadline.remaining(now);
        if remaining < self.min_remaining || remaining.is_zero() {
            return Err(deadline.exceeded(now));
        }
        Ok(own_timeout.map_or(remaining, |it| it.min(remaining)))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    fn policy() -> DeadlinePolicy {
        DeadlinePolicy::new(&DeadlinePropagationSettings {
            default_budget: ms(1_000),
            budget_max: ms(10_000),
            min_remaining: ms(5),
            ..DeadlinePropagationSettings::default()
        })
    }

    fn some_instant() -> Instant {
        tokio::time::Instant::now().into_std()
    }

    #[test]
    fn a_client_that_states_nothing_gets_the_default_and_one_that_states_too_much_the_cap() {
        let t0 = some_instant();
        for (stated, want_ms) in [
            (None, 1_000),
            (Some(1), 1),
            (Some(9_999), 9_999),
            (Some(10_001), 10_000),
            (Some(u64::MAX), 10_000),
        ] {
            let deadline = policy().deadline(t0, stated.map(ms));
            assert_eq!((deadline.budget(), deadline.at()), (ms(want_ms), t0 + ms(want_ms)));
        }
    }

    /// What one call of a request with 100 ms may take, at each time: `(at_ms, own_timeout_ms)`.
    #[track_caller]
    fn check(script: &[(u64, Option<u64>)], want: &[Result<u64, u64>]) {
        let t0 = some_instant();
        let deadline = policy().deadline(t0, Some(ms(100)));
        let got: Vec<_> = script
            .iter()
            .map(|&(at_ms, own)| policy().bound(t0 + ms(at_ms), deadline, own.map(ms)))
            .collect();
        let error = |late_ms| DeadlineExceeded { budget: ms(100), late_by: ms(late_ms) };
        let want: Vec<_> = want.iter().map(|it| it.map(ms).map_err(error)).collect();
        assert_eq!(got, want);
    }

    #[test]
    fn a_call_gets_its_own_timeout_until_less_is_left() {
        check(
            &[(0, Some(50)), (49, Some(50)), (51, Some(50)), (90, Some(50)), (90, None)],
            &[Ok(50), Ok(50), Ok(49), Ok(10), Ok(10)],
        );
    }

    #[test]
    fn work_that_cannot_finish_is_not_begun() {
        check(
            &[(95, None), (96, None), (96, Some(1)), (100, None), (107, Some(50))],
            &[Ok(5), Err(0), Err(0), Err(0), Err(7)],
        );
    }

    #[test]
    fn an_own_timeout_below_the_least_remaining_is_kept() {
        check(&[(0, Some(1))], &[Ok(1)]);
    }

    #[test]
    fn a_budget_is_digits_and_nothing_else() {
        for (stated, want) in
            [("1", 1), ("250", 250), ("007", 7), ("99999999", 99_999_999), ("00000001", 1)]
        {
            assert_eq!(parse_budget(stated), Ok(ms(want)), "{stated:?}");
        }
        for stated in
            ["", "0", "00000000", "+5", "-5", " 5", "5 ", "5ms", "1e3", "5.0", "100000000", "٣"]
        {
            assert_eq!(parse_budget(stated), Err(InvalidBudget { got: stated.into() }));
        }
    }

    #[test]
    fn a_wrong_budget_is_shown_only_in_part() {
        let error = parse_budget(&"é".repeat(10_000)).unwrap_err();
        assert_eq!(error.got, "é".repeat(20));
    }

    // Worked by hand: 100.9 ms of 150.9 are left after 50; the callee gets whole milliseconds.
    #[test]
    fn what_is_handed_on_is_what_is_left_rounded_down() {
        let t0 = some_instant();
        let deadline = policy().deadline(t0, Some(Duration::from_micros(150_900)));
        assert_eq!(deadline.budget_header(t0 + ms(50)).as_deref(), Some("100"));
        assert_eq!(deadline.budget_header(t0 + ms(150)), None);
        assert_eq!(deadline.budget_header(t0 + ms(151)), None);
    }

    #[test]
    fn a_budget_without_end_leaves_no_time() {
        let t0 = some_instant();
        assert_eq!(Deadline::after(t0, Duration::MAX).remaining(t0), Duration::ZERO);
    }

    proptest! {
        #[test]
        fn no_call_outlives_its_deadline_and_every_refusal_had_too_little_time(
            stated_ms in prop::option::of(1..20_000_u64),
            at_ms in 0..20_000_u64,
            own_ms in prop::option::of(1..20_000_u64),
        ) {
            let t0 = some_instant();
            let (now, deadline) = (t0 + ms(at_ms), policy().deadline(t0, stated_ms.map(ms)));
            match policy().bound(now, deadline, own_ms.map(ms)) {
                Ok(bound) => {
                    prop_assert!(now + bound <= deadline.at());
                    prop_assert!(own_ms.is_none_or(|own| bound <= ms(own)));
                    prop_assert!(!bound.is_zero());
                }
                Err(error) => {
                    prop_assert!(deadline.at() < now + ms(5));
                    prop_assert_eq!(error, deadline.exceeded(now));
                }
            }
        }

        #[test]
        fn a_budget_that_is_handed_on_is_read_back_as_no_more_than_was_left(left_us in 0..99_999_999_u64) {
            let t0 = some_instant();
            let left = Duration::from_micros(left_us);
            let handed_on = Deadline::after(t0, left).budget_header(t0);
            match handed_on {
                Some(header) => {
                    let read = parse_budget(&header).unwrap();
                    prop_assert!(read <= left && left < read + ms(1));
                }
                None => prop_assert!(left < ms(1)),
            }
        }
    }
}
