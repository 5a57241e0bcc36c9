//! The one clock all artifacts are stamped with.
//!
//! Every process of a trial stamps with the kernel's `CLOCK_MONOTONIC`, so that their records can
//! be laid on one time axis. Policies and analysis never read it: they take `now`.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// Nanoseconds of `CLOCK_MONOTONIC`. Comparable between processes of one machine, until it reboots.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct MonotonicNs(pub u64);

impl MonotonicNs {
    /// Reads the clock. The only place in the workspace that does so for an artifact.
    pub fn now() -> Self {
        let time = nix::time::clock_gettime(nix::time::ClockId::CLOCK_MONOTONIC)
            .expect("CLOCK_MONOTONIC exists on every Linux kernel");
        let seconds = u64::try_from(time.tv_sec()).expect("time since boot is not negative");
        let nanoseconds = u64::try_from(time.tv_nsec()).expect("nanoseconds are 0 to 999,999,999");
        Self(seconds * 1_000_000_000 + nanoseconds)
    }

    /// Nanoseconds from `origin` to `self`; negative when `self` is before `origin`.
    pub fn since(self, origin: Self) -> i64 {
        i64::try_from(i128::from(self.0) - i128::from(origin.0))
            .expect("two readings of one boot are less than 292 years apart")
    }

    /// Time from `earlier` to `self`; zero when `earlier` is the later one.
    pub fn saturating_since(self, earlier: Self) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }

    /// This instant plus `delay`.
    #[must_use]
    pub fn plus(self, delay: Duration) -> Self {
        Self(self.0 + nanos(delay))
    }
}

/// A duration as whole nanoseconds.
pub fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).expect("durations here are far below 584 years")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_instant_before_the_origin_is_negative() {
        assert_eq!(MonotonicNs(5).since(MonotonicNs(8)), -3);
        assert_eq!(MonotonicNs(8).since(MonotonicNs(5)), 3);
        assert_eq!(MonotonicNs(8).saturating_since(MonotonicNs(5)), Duration::from_nanos(3));
        assert_eq!(MonotonicNs(5).saturating_since(MonotonicNs(8)), Duration::ZERO);
        assert_eq!(MonotonicNs(1).plus(Duration::from_micros(2)), MonotonicNs(2_001));
    }

    #[test]
    fn the_clock_does_not_run_backwards() {
        let earlier = MonotonicNs::now();
        assert!(earlier <= MonotonicNs::now());
    }
}
