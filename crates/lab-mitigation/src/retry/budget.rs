//! The bound on all retries together: pure, told the time by its caller.

use std::time::{Duration, Instant};

use lab_core::settings::RetrySettings;

/// Parts of the window. What is older than the window is forgotten one part at a time, so the
/// budget looks back over 0.9 to 1 of it.
const N_SLOTS: u8 = 10;
/// The budget counts in millionths of a retry, which no ratio of a settings file is finer than.
const ONE_RETRY: u128 = 1_000_000;

/// Every retry of the last window is paid for, and there is nothing left.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("retry budget spent")]
pub struct BudgetSpent;

/// Allows, over any window, `min_per_sec` retries per second of it and `ratio` retries for every
/// first attempt in it. Reads no clock.
///
/// As in Finagle, what is free is there from the start and all at once: 10 per second over 10 s are
/// 100 retries in a row.
#[derive(Debug, Clone)]
pub struct RetryBudget {
    /// Millionths of a retry that a first attempt pays for.
    deposit: u128,
    /// Millionths of a retry that are free in a window.
    reserve: u128,
    slot_duration: Duration,
    slots: [Slot; N_SLOTS as usize],
    /// The first reading, and the number of the slot in use, counted from there.
    origin: Option<Instant>,
    slot_number: u64,
}

#[derive(Debug, Clone, Copy, Default)]
struct Slot {
    n_first_attempts: u64,
    n_retries: u64,
}

impl RetryBudget {
    /// Starts with the free retries of a window and nothing paid for.
    pub fn new(settings: &RetrySettings) -> Self {
        // A ratio is at most 1, so this is at most a million.
        #[expect(clippy::cast_possible_truncation, reason = "`as` saturates")]
        #[expect(clippy::cast_sign_loss, reason = "a ratio is not negative")]
        let deposit = (settings.budget_ratio.get() * 1e6).round() as u128;
        // Retries per second × microseconds = millionths of a retry.
        let reserve =
            settings.budget_window.as_micros().saturating_mul(settings.budget_min_per_sec.into());
        let slot_duration =
            (settings.budget_window / u32::from(N_SLOTS)).max(Duration::from_nanos(1));
        Self {
            deposit,
            reserve,
            slot_duration,
            slots: [Slot::default(); N_SLOTS as usize],
            origin: None,
            slot_number: 0,
        }
    }

    /// A logical request began at `now`, and pays.
    pub fn on_first_attempt(&mut self, now: Instant) {
        let slot = self.slot_at(now);
        slot.n_first_attempts = slot.n_first_attempts.saturating_add(1);
    }

    /// Takes one retry at `now`.
    ///
    /// **Errors**: there is none. Nothing is taken then.
    pub fn try_withdraw(&mut self, now: Instant) -> Result<(), BudgetSpent> {
        self.slot_at(now);
        let sum = |count: fn(&Slot) -> u64| -> u128 {
            self.slots.iter().map(|slot| u128::from(count(slot))).sum()
        };
        let paid = self
            .deposit
            .saturating_mul(sum(|slot| slot.n_first_attempts))
            .saturating_add(self.reserve);
        let taken = sum(|slot| slot.n_retries).saturating_add(1).saturating_mul(ONE_RETRY);
        if paid < taken {
            return Err(BudgetSpent);
        }
        let slot = self.slot_at(now);
        slot.n_retries = slot.n_retries.saturating_add(1);
        Ok(())
    }

    /// The slot of `now`, after those that have passed out of the window were emptied. A `now`
    /// before the last one counts as that.
    fn slot_at(&mut self, now: Instant) -> &mut Slot {
        let origin = *self.origin.get_or_insert(now);
        let elapsed = now.saturating_duration_since(origin);
        let number = elapsed.as_nanos() / self.slot_duration.as_nanos();
        let number = u64::try_from(number).unwrap_or(u64::MAX).max(self.slot_number);
        for passed in 0..(number - self.slot_number).min(N_SLOTS.into()) {
            self.slots[index(number - passed)] = Slot::default();
        }
        self.slot_number = number;
        &mut self.slots[index(number)]
    }
}

fn index(slot_number: u64) -> usize {
    usize::try_from(slot_number % u64::from(N_SLOTS)).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use lab_core::units::Ratio;
    use lab_testkit::clock::ManualClock;
    use proptest::prelude::*;

    use super::*;

    const WINDOW: Duration = Duration::from_secs(10);

    fn budget(ratio: f64, min_per_sec: u32) -> RetryBudget {
        RetryBudget::new(&RetrySettings {
            budget_ratio: Ratio::new(ratio).unwrap(),
            budget_min_per_sec: min_per_sec,
            budget_window: WINDOW,
            ..RetrySettings::default()
        })
    }

    fn n_withdrawn(budget: &mut RetryBudget, now: Instant) -> usize {
        (0..1_000).take_while(|_| budget.try_withdraw(now).is_ok()).count()
    }

    // Worked by hand: 2 per second over 10 s are 20; 30 first attempts at 0.1 pay for 3 more.
    #[test]
    fn what_is_free_and_what_was_paid_for_can_be_taken_once() {
        let (mut budget, t0) = (budget(0.1, 2), ManualClock::new().now());
        (0..30).for_each(|_| budget.on_first_attempt(t0));
        assert_eq!(n_withdrawn(&mut budget, t0), 23);
        (0..9).for_each(|_| budget.on_first_attempt(t0));
        assert_eq!(budget.try_withdraw(t0), Err(BudgetSpent), "0.9 of a retry is none");
        budget.on_first_attempt(t0);
        assert_eq!(n_withdrawn(&mut budget, t0), 1);
    }

    #[test]
    fn a_ratio_of_three_tenths_pays_for_exactly_three_in_ten() {
        for tenths in 1..=10_u32 {
            let (mut budget, t0) = (budget(f64::from(tenths) / 10.0, 0), ManualClock::new().now());
            (0..100).for_each(|_| budget.on_first_attempt(t0));
            assert_eq!(n_withdrawn(&mut budget, t0), 10 * tenths as usize, "{tenths} tenths");
        }
    }

    #[test]
    fn what_was_paid_and_what_was_taken_is_forgotten_after_the_window() {
        let (mut budget, t0) = (budget(1.0, 1), ManualClock::new().now());
        (0..5).for_each(|_| budget.on_first_attempt(t0));
        assert_eq!(n_withdrawn(&mut budget, t0), 15);
        let late = t0 + WINDOW - Duration::from_nanos(1);
        assert_eq!(n_withdrawn(&mut budget, late), 0);
        assert_eq!(n_withdrawn(&mut budget, t0 + WINDOW), 10, "what is free is free again");
        assert_eq!(n_withdrawn(&mut budget, t0 + 100 * WINDOW), 10, "and does not pile up");
    }

    #[test]
    fn with_nothing_free_and_nothing_paid_there_is_no_retry() {
        let (mut budget, t0) = (budget(0.0, 0), ManualClock::new().now());
        (0..100).for_each(|_| budget.on_first_attempt(t0));
        assert_eq!(budget.try_withdraw(t0), Err(BudgetSpent));
    }

    #[test]
    fn a_clock_that_goes_back_takes_and_pays_as_if_it_stood_still() {
        let (mut budget, t0) = (budget(1.0, 0), ManualClock::new().now());
        budget.on_first_attempt(t0);
        let later = t0 + WINDOW / 2;
        budget.on_first_attempt(later);
        assert_eq!(n_withdrawn(&mut budget, t0), 2);
        assert_eq!(n_withdrawn(&mut budget, later), 0);
    }

    proptest! {
        // The reference keeps every event with the number of its tenth of the window.
        #[test]
        fn it_allows_what_a_list_of_all_events_allows(
            percent in 0..=100_u32,
            min_per_sec in 0..4_u32,
            // Now and then a gap of more than the window.
            steps in prop::collection::vec(
                (prop_oneof![20 => 0..3_000_u64, 1 => 0..30_000_u64], any::<bool>()),
                1..200,
            ),
        ) {
            let mut budget = budget(f64::from(percent) / 100.0, min_per_sec);
            let t0 = ManualClock::new().now();
            let (mut at_ms, mut first_attempts, mut retries) = (0, Vec::new(), Vec::new());
            // The origin is the first reading.
            budget.on_first_attempt(t0);
            first_attempts.push(0);
            for (gap_ms, is_first_attempt) in steps {
                at_ms += gap_ms;
                let (now, slot) = (t0 + Duration::from_millis(at_ms), at_ms / 1_000);
                if is_first_attempt {
                    budget.on_first_attempt(now);
                    first_attempts.push(slot);
                    continue;
                }
                let in_window = |slots: &[u64]| {
                    u32::try_from(slots.iter().filter(|it| slot < **it + 10).count()).unwrap()
                };
                let allowed = percent * in_window(&first_attempts) + 100 * 10 * min_per_sec;
                let is_allowed = 100 * (in_window(&retries) + 1) <= allowed;
                prop_assert_eq!(budget.try_withdraw(now).is_ok(), is_allowed);
                if is_allowed {
                    retries.push(slot);
                }
            }
        }
    }
}
