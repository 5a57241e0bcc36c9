//! The arithmetic of calibration. Pure.

use std::time::Duration;

use anyhow::{Result, bail};
use lab_core::{clock::nanos, outcome::Outcome, sample::RequestSample};

/// Share of requests that must succeed within the deadline.
const SUSTAINED_RATIO_MIN: f64 = 0.99;
/// A known capacity is measured again when a burst differs by more.
const DRIFT_RATIO_MAX: f64 = 0.10;
/// The database is the bottleneck when its core is busy for at least this share of the time.
pub(crate) const BUSY_RATIO_MIN: f64 = 0.85;

/// Stretches of a burst that are counted one by one.
const STRETCH: Duration = Duration::from_millis(500);

/// Completions per second in a saturating burst, its settling time left out: the median of its
/// stretches of 0.5 s, so that a short disturbance of the machine does not pass for its capacity.
pub(crate) fn throughput_per_sec(
    samples: &[RequestSample],
    settle: Duration,
    length: Duration,
) -> f64 {
    let place = |after_ns: u64| usize::try_from(after_ns / nanos(STRETCH)).unwrap_or(usize::MAX);
    let n_stretches = place(nanos(length - settle));
    let mut counts = vec![0_u32; n_stretches];
    let successes = samples.iter().filter(|it| it.outcome == Outcome::Success);
    for completed_at_ns in successes.map(|it| it.completed_at_ns) {
        if let Some(after_ns) = completed_at_ns.checked_sub(nanos(settle))
            && let Some(count) = counts.get_mut(place(after_ns))
        {
            *count += 1;
        }
    }
    counts.sort_unstable();
    let (low, high) = (counts[(n_stretches - 1) / 2], counts[n_stretches / 2]);
    f64::from(low + high) / 2.0 / STRETCH.as_secs_f64()
}

/// Whether 99 % succeed within the deadline, and the second half no worse than that on its own: a
/// queue that grows slowly shows there first.
pub(crate) fn is_sustained(samples: &[RequestSample], deadline: Duration) -> bool {
    let last = samples.iter().map(|it| it.intended_at_ns).max().unwrap_or(0);
    let late: Vec<_> = samples.iter().filter(|it| last / 2 <= it.intended_at_ns).collect();
    let is_good = |it: &RequestSample| {
        it.outcome == Outcome::Success && it.response_time_ns() <= nanos(deadline)
    };
    let n_good = samples.iter().filter(|it| is_good(it)).count() as f64;
    let n_late_good = late.iter().filter(|it| is_good(it)).count() as f64;
    !samples.is_empty()
        && SUSTAINED_RATIO_MIN * samples.len() as f64 <= n_good
        && SUSTAINED_RATIO_MIN * late.len() as f64 <= n_late_good
}

/// Whether a burst differs so much from the known one that the capacities are measured again.
pub(crate) fn drifted(known_per_sec: f64, probe_per_sec: f64) -> bool {
    DRIFT_RATIO_MAX * known_per_sec < (probe_per_sec - known_per_sec).abs()
}

/// How busy the database's core and the others were in a burst.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Bottleneck {
    /// Busy share of what the database has of its core, 0 to 1.
    pub(crate) database: f64,
    /// Busy share of the other cores together, 0 to 1.
    pub(crate) others: f64,
}

impl Bottleneck {
    /// From CPU seconds (database, others) before and after `length`, in which there were `cores`
    /// of them.
    pub(crate) fn new(
        before: (f64, f64),
        after: (f64, f64),
        length: Duration,
        cores: (f64, f64),
    ) -> Self {
        let seconds = length.as_secs_f64();
        Self {
            database: (after.0 - before.0) / (seconds * cores.0),
            others: (after.1 - before.1) / (seconds * cores.1),
        }
    }

    /// **Errors**: something else than the database is busiest, so that load at multiples of its
    /// capacity would show the limits of the machine instead.
    pub(crate) fn check(&self) -> Result<()> {
        let Self { database, others } = *self;
        if database < BUSY_RATIO_MIN || database < others {
            bail!(
                "this machine cannot show the effect: with the cache bypassed the database's core \
                 is busy {:.0} % of the time and the others {:.0} %; the database must be the \
                 bottleneck (at least {:.0} %)",
                database * 100.0,
                others * 100.0,
                BUSY_RATIO_MIN * 100.0
            );
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use lab_core::route::Route;

    use super::*;

    fn sample(intended_ms: u64, took_ms: u64, outcome: Outcome) -> RequestSample {
        RequestSample {
            arrival: 0,
            key: 0,
            route: Route::Product,
            outcome,
            served_by: None,
            status: 200,
            intended_at_ns: intended_ms * 1_000_000,
            sent_at_ns: intended_ms * 1_000_000,
            completed_at_ns: (intended_ms + took_ms) * 1_000_000,
        }
    }

    // Worked by hand: ten completions while settling; then, in four stretches of 0.5 s, 3, 1, 0 and 4
    // successes, and failures. The median of 0, 1, 3, 4 is 2 in 0.5 s.
    #[test]
    fn throughput_is_the_median_of_the_stretches_after_the_settling_time() {
        let many =
            |n: u64, from_ms: u64| (0..n).map(move |k| sample(from_ms + k, 10, Outcome::Success));
        let mut samples: Vec<_> =
            many(10, 400).chain(many(3, 1_000)).chain(many(1, 1_600)).collect();
        samples.extend(many(4, 2_700));
        samples.extend((0..9).map(|k| sample(2_200 + k, 10, Outcome::DependencyFailed)));
        let got = throughput_per_sec(&samples, Duration::from_secs(1), Duration::from_secs(3));
        assert!((got - 4.0).abs() < 1e-9, "{got}");
    }

    // 200 requests; 2 late ones are exactly 1 %. Both in the second half are 2 % of it.
    #[test]
    fn a_queue_that_grows_is_not_sustained_although_the_whole_run_looks_fine() {
        let deadline = Duration::from_secs(1);
        let run = |late: &[u64]| -> Vec<_> {
            (0..200)
                .map(|k| {
                    sample(k * 10, if late.contains(&k) { 1_500 } else { 20 }, Outcome::Success)
                })
                .collect()
        };
        assert!(is_sustained(&run(&[]), deadline));
        assert!(is_sustained(&run(&[10, 150]), deadline));
        assert!(!is_sustained(&run(&[150, 199]), deadline));
        assert!(!is_sustained(&[], deadline));
    }

    #[test]
    fn ten_percent_is_the_border_of_drift() {
        assert!(!drifted(400.0, 440.0));
        assert!(drifted(400.0, 441.0));
        assert!(drifted(400.0, 359.0));
    }

    #[test]
    fn the_database_must_be_the_busiest() {
        let four = Duration::from_secs(4);
        let good = Bottleneck::new((10.0, 5.0), (13.8, 7.0), four, (1.0, 1.0));
        assert!((good.database - 0.95).abs() < 1e-9 && (good.others - 0.5).abs() < 1e-9);
        good.check().unwrap();
        let idle = Bottleneck::new((0.0, 0.0), (2.0, 3.9), four, (1.0, 1.0));
        let error = idle.check().unwrap_err().to_string();
        assert!(error.contains("busy 50 %") && error.contains("the others 98 %"), "{error}");
    }
}
