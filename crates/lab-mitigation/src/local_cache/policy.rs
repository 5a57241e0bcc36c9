//! Whether an entry of some age may be served: pure, and knows no entry.

use std::time::{Duration, Instant};

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
    negative_ttl: Option<Duration>,
}

impl StalePolicy {
    /// Takes both ages from `settings`.
    pub fn new(settings: &LocalCacheSettings) -> Self {
        Self {
            ttl: settings.ttl,
            stale_on_error_max_age: settings.stale_on_error_max_age,
            negative_ttl: settings.negative_ttl,
        }
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

    /// The last moment at which an entry made at `made_at` is fresh. `None`: it is for ever, no
    /// clock reaches so far.
    pub fn fresh_until(&self, made_at: Instant) -> Option<Instant> {
        made_at.checked_add(self.ttl)
    }

    /// Age up to which it is remembered that something does not exist. `None`: not at all. There
    /// is no stale after it: a page that was made since must not stay away because something else
    /// is broken.
    pub fn negative_ttl(&self) -> Option<Duration> {
        self.negative_ttl
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
    fn the_last_fresh_moment_is_the_last_fresh_age() {
        let made_at = tokio::time::Instant::now().into_std();
        let policy = StalePolicy::new(&LocalCacheSettings::default());
        let last = policy.fresh_until(made_at).unwrap();
        assert_eq!(policy.freshness(last - made_at), Freshness::Fresh);
        let next = last + Duration::from_nanos(1);
        assert_eq!(policy.freshness(next - made_at), Freshness::TooOld);
        let for_ever = LocalCacheSettings { ttl: Duration::MAX, ..LocalCacheSettings::default() };
        assert_eq!(StalePolicy::new(&for_ever).fresh_until(made_at), None);
    }

    #[test]
    fn without_a_greatest_age_nothing_stale_is_usable() {
        assert_eq!(freshness_at(None, 60_000), Freshness::Fresh);
        assert_eq!(freshness_at(None, 60_001), Freshness::TooOld);
    }
}
