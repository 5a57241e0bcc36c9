//! Lifetimes that differ, so that entries made together do not expire together: pure.

use std::time::Duration;

/// A time to live from 0.9 to 1.1 times `ttl`, drawn by `random`, in whole milliseconds and at
/// least 1.
///
/// Evenly spread if `random` is: every 64-bit number is as good as any other. A `ttl` of more than
/// 2⁶⁴ ms counts as that.
pub fn jittered_ttl(ttl: Duration, random: u64) -> Duration {
    let ttl_ms = u64::try_from(ttl.as_millis()).unwrap_or(u64::MAX);
    let draw = random % (ttl_ms / 5 + 1);
    Duration::from_millis((ttl_ms - ttl_ms / 10).saturating_add(draw).max(1))
}

#[cfg(test)]
mod tests {
    use super::*;

    // Worked by hand: a fifth of 300 s is 60,001 values from 270,000 ms on.
    #[test]
    fn a_lifetime_is_within_a_tenth_of_the_configured_one() {
        let ttl = Duration::from_secs(300);
        for (random, want_ms) in [(0, 270_000), (30_000, 300_000), (60_000, 330_000)] {
            assert_eq!(jittered_ttl(ttl, random), Duration::from_millis(want_ms), "{random}");
        }
        assert_eq!(jittered_ttl(ttl, 60_001), jittered_ttl(ttl, 0));
    }

    #[test]
    fn no_lifetime_is_zero_and_none_overflows() {
        assert_eq!(jittered_ttl(Duration::ZERO, 7), Duration::from_millis(1));
        let longest = jittered_ttl(Duration::MAX, u64::MAX);
        assert!(Duration::from_millis(u64::MAX / 10 * 9) <= longest);
    }
}
