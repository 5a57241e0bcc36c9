//! How old a page may be, and when to render again: pure, and knows no page.

use std::time::{Duration, Instant};

use lab_core::settings::StaticSnapshotSettings;

/// The ages at which a snapshot changes what it is good for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AgePolicy {
    rebuild_interval: Duration,
    max_age: Option<Duration>,
}

impl AgePolicy {
    /// Takes both ages from `settings`.
    pub fn new(settings: &StaticSnapshotSettings) -> Self {
        Self { rebuild_interval: settings.rebuild_interval, max_age: settings.max_age }
    }

    /// Whether a page of `age` may be served. The limit is the last age that still may.
    pub fn is_servable(&self, age: Duration) -> bool {
        self.max_age.is_none_or(|max_age| age <= max_age)
    }

    /// Whether it is time to render again, when the last rendering began at `rendered_at`; `None`:
    /// there was none.
    pub fn is_rebuild_due(&self, now: Instant, rendered_at: Option<Instant>) -> bool {
        rendered_at.is_none_or(|it| self.rebuild_interval <= now.saturating_duration_since(it))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn policy(max_age_s: Option<u64>) -> AgePolicy {
        AgePolicy::new(&StaticSnapshotSettings {
            rebuild_interval: Duration::from_secs(60),
            max_age: max_age_s.map(Duration::from_secs),
            ..StaticSnapshotSettings::default()
        })
    }

    #[test]
    fn a_page_is_served_up_to_its_greatest_age_or_for_ever() {
        for (max_age_s, age_ms, want) in [
            (Some(600), 0, true),
            (Some(600), 600_000, true),
            (Some(600), 600_001, false),
            (None, 600_001, true),
            (None, u64::MAX, true),
        ] {
            let age = Duration::from_millis(age_ms);
            assert_eq!(policy(max_age_s).is_servable(age), want, "{max_age_s:?}, {age:?}");
        }
    }

    #[test]
    fn rendering_is_due_at_first_and_then_once_per_interval() {
        let t0 = tokio::time::Instant::now().into_std();
        let due = |at_ms, rendered_at| {
            policy(None).is_rebuild_due(t0 + Duration::from_millis(at_ms), rendered_at)
        };
        assert!(due(0, None));
        assert!(!due(59_999, Some(t0)));
        assert!(due(60_000, Some(t0)));
        assert!(!due(0, Some(t0 + Duration::from_secs(1))), "a rendering ahead of now is fresh");
    }
}
