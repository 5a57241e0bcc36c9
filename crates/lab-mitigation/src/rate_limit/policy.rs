//! From settings to the two numbers of a bucket: pure.

use std::{num::NonZeroU32, time::Duration};

use governor::Quota;
use lab_core::settings::RateLimitSettings;

use super::RateLimitSettingsError;

/// Without a configured burst the bucket holds a tenth of a second's worth of permits.
const DEFAULT_BURST: Duration = Duration::from_millis(100);

/// How many permits there are: one per `period`, at most `burst` saved up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Budget {
    /// Time in which one permit comes in. **Range**: above 0.
    pub period: Duration,
    /// Permits that a quiet time leaves.
    pub burst: NonZeroU32,
}

impl Budget {
    /// The budget of `settings`, or `None` when they name no rate.
    ///
    /// A `capacity_ratio` is no rate: whoever knows the capacity has resolved it into
    /// `permits_per_sec` before.
    ///
    /// **Errors**: a period of less than 1 ns, or a bucket that takes longer than 2⁶⁴ ns to fill.
    pub fn from_settings(
        settings: &RateLimitSettings,
    ) -> Result<Option<Self>, RateLimitSettingsError> {
        let Some(rate) = settings.permits_per_sec else { return Ok(None) };
        let permits_per_sec = rate.get();
        let burst = settings.burst.unwrap_or_else(|| default_burst(permits_per_sec));
        let out_of_range = RateLimitSettingsError::OutOfRange { permits_per_sec, burst };
        let period =
            Duration::try_from_secs_f64(1.0 / permits_per_sec).map_err(|_error| out_of_range)?;
        let is_countable = !period.is_zero()
            && period.as_nanos().saturating_mul(u128::from(burst.get())) <= u128::from(u64::MAX);
        if is_countable { Ok(Some(Self { period, burst })) } else { Err(out_of_range) }
    }

    pub(super) fn quota(self) -> Quota {
        Quota::with_period(self.period)
            .expect("a budget's period is above 0")
            .allow_burst(self.burst)
    }
}

/// ⌈rate × 0.1 s⌉, at least 1.
fn default_burst(permits_per_sec: f64) -> NonZeroU32 {
    let permits = (permits_per_sec * DEFAULT_BURST.as_secs_f64()).ceil();
    #[expect(clippy::cast_possible_truncation, reason = "`as` saturates, and the range is checked")]
    #[expect(clippy::cast_sign_loss, reason = "a rate is above 0")]
    NonZeroU32::new(permits as u32).unwrap_or(NonZeroU32::MIN)
}

#[cfg(test)]
mod tests {
    use lab_core::units::PerSec;

    use super::*;

    fn budget(rate: f64, burst: Option<u32>) -> Result<Option<Budget>, RateLimitSettingsError> {
        Budget::from_settings(&RateLimitSettings {
            permits_per_sec: Some(PerSec::new(rate).unwrap()),
            burst: burst.and_then(NonZeroU32::new),
            ..RateLimitSettings::default()
        })
    }

    // Worked by hand: 400/s is one in 2.5 ms, and a tenth of a second of it is 40; 412/s gives
    // 41.2, rounded up; 3/s gives 0.3, rounded up.
    #[test]
    fn the_bucket_holds_a_tenth_of_a_second_unless_it_is_told_otherwise() {
        let micros = Duration::from_micros;
        for (rate, burst, period, want) in [
            (400.0, None, micros(2_500), 40),
            (400.0, Some(1), micros(2_500), 1),
            (0.5, None, micros(2_000_000), 1),
        ] {
            let budget = budget(rate, burst).unwrap().unwrap();
            assert_eq!((budget.period, budget.burst.get()), (period, want), "{rate} per second");
        }
        assert_eq!(budget(412.0, None).unwrap().unwrap().burst.get(), 42);
        assert_eq!(budget(3.0, None).unwrap().unwrap().burst.get(), 1);
    }

    #[test]
    fn settings_without_a_rate_have_no_budget() {
        assert_eq!(Budget::from_settings(&RateLimitSettings::default()), Ok(None));
    }

    #[test]
    fn a_rate_that_nanoseconds_cannot_count_is_refused() {
        for (rate, burst) in [(3e9, None), (1e-30, None), (1e-3, Some(u32::MAX))] {
            let error = budget(rate, burst).unwrap_err();
            assert!(matches!(error, RateLimitSettingsError::OutOfRange { .. }), "{rate}");
        }
    }
}
