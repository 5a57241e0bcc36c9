//! Names and lifetimes of cache entries.

use std::{fmt, time::Duration};

use lab_core::seed::Seed;
use lab_mitigation::paced_refill::jittered_ttl;

use crate::random::Random;

/// A page that can be cached. Displayed, it is the key in Redis and in the local cache.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum PageKey {
    /// `GET /`.
    Home,
    /// `GET /products/{id}`.
    Product(i32),
    /// `GET /products/{id}/recommendations`.
    Recommendations(i32),
}

/// Changes with the content of pages, so that a new release never serves an old one's bytes.
const VERSION: u32 = 1;

impl fmt::Display for PageKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Home => write!(formatter, "page:{VERSION}:home"),
            Self::Product(id) => write!(formatter, "page:{VERSION}:product:{id}"),
            Self::Recommendations(id) => write!(formatter, "page:{VERSION}:recommendations:{id}"),
        }
    }
}

/// A time to live that differs by up to a tenth from entry to entry, so that entries made together
/// do not expire together.
#[derive(Debug)]
pub(crate) struct JitteredTtl {
    ttl: Duration,
    random: Random,
}

impl JitteredTtl {
    pub(crate) fn new(ttl: Duration, seed: Seed) -> Self {
        Self { ttl, random: Random::new(seed, "ttl-jitter") }
    }

    /// The next one, from 0.9 to 1.1 times the configured one, in milliseconds and at least 1.
    pub(crate) fn next_ms(&self) -> u64 {
        let ttl = jittered_ttl(self.ttl, self.random.next());
        u64::try_from(ttl.as_millis()).unwrap_or(u64::MAX).max(1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_of_different_pages_differ() {
        let keys = [PageKey::Home, PageKey::Product(1), PageKey::Recommendations(1)];
        let names = keys.map(|key| key.to_string());
        assert_eq!(names, ["page:1:home", "page:1:product:1", "page:1:recommendations:1"]);
    }

    // 0.9 and 1.1 times 300 s; 2,000 draws over 60,001 values come near both ends.
    #[test]
    fn lifetimes_spread_a_tenth_to_both_sides() {
        let ttl = JitteredTtl::new(Duration::from_secs(300), Seed(1));
        let drawn: Vec<u64> = (0..2_000).map(|_| ttl.next_ms()).collect();
        assert!(drawn.iter().all(|ms| (270_000..=330_000).contains(ms)));
        assert!(drawn.iter().any(|ms| *ms < 271_000) && drawn.iter().any(|ms| 329_000 < *ms));
    }
}
