//! Whether an entry of some age may be served: pure, and knows no entry.

use std::time::Duration;

use lab_core::settings::LocalCacheSettings;

/// What an entry of some age is good for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Freshness {
    /// To be served as it is.
    Fresh,
    /// To be served only when nothing else answers.
    StaleUsable,
    /// Not to be served.
    TooOld,
}

/// The ages at which an entry changes what it is good for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StalePolicy {
    ttl: Duration,
    stale_on_error_max_age: Option<Duration>,
}

impl StalePolicy {
    /// Takes both ages from `settings`.
    pub fn new(settings: &LocalCacheSettings) -> Self {
        Self { ttl: settings.ttl, stale_on_error_max_age: settings.stale_on_error_max_age }
    }

    /// What an entry of `age` is good for. Both limits are the last age that still is.
    pub fn freshness(&self, age: Duration) -> Freshness {
        if age <= self.ttl {
            Freshness::Fresh
        } else if self.stale_on_error_max_age.is_some_and(|max_age| age <= max_age) {
            Freshness::StaleUsable
        } else {
            Freshness::TooOld
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn freshness_at(stale_on_error_max_age: Option<u64>, age_ms: u64) -> Freshness {
        let settings = LocalCacheSettings {
            ttl: Duration::from_secs(60),
            stale_on_error_max_age: stale_on_error_max_age.map(Duration::from_secs),
            ..LocalCacheSettings::default()
        };
        StalePolicy::new(&settings).freshness(Duration::from_millis(age_ms))
    }

    #[test]
    fn an_entry_is_fresh_up_to_its_ttl_and_usable_up_to_its_greatest_age() {
        for (age_ms, want) in [
            (0, Freshness::Fresh),
            (60_000, Freshness::Fresh),
            (60_001, Freshness::StaleUsable),
            (600_000, Freshness::StaleUsable),
            (600_001, Freshness::TooOld),
        ] {
            assert_eq!(freshness_at(Some(600), age_ms), want, "{age_ms} ms");
        }
    }

    #[test]
    fn without_a_greatest_age_nothing_stale_is_usable() {
        assert_eq!(freshness_at(None, 60_000), Freshness::Fresh);
        assert_eq!(freshness_at(None, 60_001), Freshness::TooOld);
    }
}
