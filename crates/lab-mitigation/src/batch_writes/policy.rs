//! Whether it is time to write: pure, and knows no counter.

use std::time::{Duration, Instant};

use lab_core::settings::BatchWritesSettings;

/// Why a flush is due.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FlushReason {
    /// The oldest increment has waited for the whole interval.
    Interval,
    /// Enough increments have come together.
    Size,
}

/// When to flush. Remembers since when something waits, and whether the last write failed.
#[derive(Debug, Clone)]
pub struct FlushPolicy {
    flush_interval: Duration,
    flush_count: u64,
    waiting_since: Option<Instant>,
    /// The last write failed, and nothing was taken since.
    is_retry: bool,
}

impl FlushPolicy {
    /// Takes interval and size from `settings`. Nothing waits.
    pub fn new(settings: &BatchWritesSettings) -> Self {
        Self {
            flush_interval: settings.flush_interval,
            flush_count: settings.flush_count.get().into(),
            waiting_since: None,
            is_retry: false,
        }
    }

    /// Something was buffered at `now`.
    pub fn on_added(&mut self, now: Instant) {
        self.waiting_since.get_or_insert(now);
    }

    /// Everything that was buffered is being written.
    pub fn on_taken(&mut self) {
        self.waiting_since = None;
        self.is_retry = false;
    }

    /// At `now` it turned out that the write failed; what was taken is buffered again. The next
    /// try is an interval away, however much is buffered: a database that is away is not asked
    /// again at once.
    pub fn on_restored(&mut self, now: Instant) {
        self.waiting_since = Some(now);
        self.is_retry = true;
    }

    /// Whether a flush is due at `now`, with `n_buffered` increments buffered.
    pub fn due(&self, now: Instant, n_buffered: u64) -> Option<FlushReason> {
        let waiting_since = self.waiting_since.filter(|_| 0 < n_buffered)?;
        if self.flush_interval <= now.saturating_duration_since(waiting_since) {
            Some(FlushReason::Interval)
        } else if self.flush_count <= n_buffered && !self.is_retry {
            Some(FlushReason::Size)
        } else {
            None
        }
    }

    /// Time from `now` until a flush is due if nothing more is added; `None` while nothing waits.
    pub fn time_until_due(&self, now: Instant, n_buffered: u64) -> Option<Duration> {
        if self.due(now, n_buffered).is_some() {
            return Some(Duration::ZERO);
        }
        let waiting_since = self.waiting_since.filter(|_| 0 < n_buffered)?;
        let waited = now.saturating_duration_since(waiting_since);
        Some(self.flush_interval.saturating_sub(waited))
    }
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroU32;

    use super::*;

    /// Plays `(at_ms, event)` pairs, with an interval of 1 s and a size of 3, and compares what is
    /// due after each one. `add` adds one, `take` takes all, `fail` restores what was taken, `wait`
    /// only lets time pass.
    #[track_caller]
    fn check(script: &[(u64, &str)], want: &[&str]) {
        let t0 = tokio::time::Instant::now().into_std();
        let settings = BatchWritesSettings {
            flush_interval: Duration::from_millis(1_000),
            flush_count: NonZeroU32::new(3).unwrap(),
            ..BatchWritesSettings::default()
        };
        let (mut policy, mut n_buffered, mut n_taken) = (FlushPolicy::new(&settings), 0, 0);
        let mut got = Vec::new();
        for &(at_ms, event) in script {
            let now = t0 + Duration::from_millis(at_ms);
            match event {
                "add" => {
                    n_buffered += 1;
                    policy.on_added(now);
                }
                "take" => {
                    n_taken += std::mem::take(&mut n_buffered);
                    policy.on_taken();
                }
                "fail" => {
                    n_buffered += std::mem::take(&mut n_taken);
                    policy.on_restored(now);
                }
                "wait" => {}
                other => panic!("unknown event {other}"),
            }
            let due = match policy.due(now, n_buffered) {
                None => "not due".to_owned(),
                Some(reason) => format!("{reason:?}"),
            };
            let until = policy.time_until_due(now, n_buffered).map(|it| it.as_millis());
            got.push(format!("{at_ms} {event}: {due}, {until:?}"));
        }
        assert_eq!(got, want);
    }

    #[test]
    fn a_flush_is_due_when_the_oldest_increment_has_waited_the_interval() {
        check(
            &[(0, "wait"), (5_000, "add"), (5_999, "add"), (6_000, "wait"), (6_000, "take")],
            &[
                "0 wait: not due, None",
                "5000 add: not due, Some(1000)",
                "5999 add: not due, Some(1)",
                "6000 wait: Interval, Some(0)",
                "6000 take: not due, None",
            ],
        );
    }

    #[test]
    fn a_flush_is_due_at_once_when_enough_have_come_together() {
        check(
            &[(0, "add"), (1, "add"), (2, "add"), (2, "take"), (3, "add")],
            &[
                "0 add: not due, Some(1000)",
                "1 add: not due, Some(999)",
                "2 add: Size, Some(0)",
                "2 take: not due, None",
                "3 add: not due, Some(1000)",
            ],
        );
    }

    #[test]
    fn after_a_failed_write_the_next_try_is_an_interval_away_however_much_is_buffered() {
        check(
            &[
                (0, "add"),
                (0, "add"),
                (0, "add"),
                (0, "take"),
                (50, "fail"),
                (60, "add"),
                (1_050, "wait"),
                (1_050, "take"),
                (1_060, "add"),
                (1_060, "add"),
                (1_060, "add"),
            ],
            &[
                "0 add: not due, Some(1000)",
                "0 add: not due, Some(1000)",
                "0 add: Size, Some(0)",
                "0 take: not due, None",
                "50 fail: not due, Some(1000)",
                "60 add: not due, Some(990)",
                "1050 wait: Interval, Some(0)",
                "1050 take: not due, None",
                "1060 add: not due, Some(1000)",
                "1060 add: not due, Some(1000)",
                "1060 add: Size, Some(0)",
            ],
        );
    }
}
