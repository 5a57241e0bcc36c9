//! What a Redis that was killed had again from its snapshot, and how long that took.

use lab_core::event::{Event, SnapshotLoaded};

use super::statistics::{float, median, ratio};

/// Medians over the trials of a cell that restored a snapshot.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Restored {
    /// How many trials that are.
    pub n_trials: usize,
    /// Keys that were there again.
    pub n_keys: f64,
    /// Keys that were in the snapshot and whose time to live had ended.
    pub n_expired: f64,
    /// Reading the snapshot, in milliseconds, by the server's own account.
    pub load_ms: f64,
    /// From the order to start until the first answer, in milliseconds.
    pub restart_ms: f64,
    /// Reading, in seconds per million keys: of each trial its time over its keys, those that had
    /// expired included, because they are read too.
    pub load_s_per_million: f64,
}

impl Restored {
    /// From the events of each trial; `None` when no trial restored a snapshot with a key in it.
    pub fn of<'a>(trials: impl IntoIterator<Item = &'a [Event]>) -> Option<Self> {
        let loads: Vec<SnapshotLoaded> = trials
            .into_iter()
            .filter_map(|events| events.iter().find_map(SnapshotLoaded::of))
            .collect();
        let median_of =
            |of: fn(&SnapshotLoaded) -> f64| median(&loads.iter().map(of).collect::<Vec<_>>());
        let per_million: Vec<f64> = loads.iter().filter_map(s_per_million).collect();
        Some(Self {
            n_trials: loads.len(),
            n_keys: median_of(|it| float(it.n_keys))?,
            n_expired: median_of(|it| float(it.n_expired))?,
            load_ms: median_of(|it| it.load_ms)?,
            restart_ms: median_of(|it| it.restart_ms)?,
            load_s_per_million: median(&per_million)?,
        })
    }
}

/// `None`: it read no key.
fn s_per_million(load: &SnapshotLoaded) -> Option<f64> {
    let millions = float(load.n_keys + load.n_expired) / 1e6;
    ratio(load.load_ms / 1e3, millions)
}

#[cfg(test)]
mod tests {
    use lab_core::event::kind;

    use super::*;

    fn trial(n_keys: u64, n_expired: u64, load_ms: f64, restart_ms: f64) -> Vec<Event> {
        let detail = SnapshotLoaded { n_keys, n_expired, load_ms, restart_ms }.detail();
        let event = |kind: &str, detail| Event {
            at_ms: 25_000.0,
            source: "lab".into(),
            kind: kind.into(),
            detail,
        };
        vec![event(kind::FAULT_HEALED, detail.clone()), event(kind::SNAPSHOT_LOADED, detail)]
    }

    // Per million: 50 ms for 20,000 keys is 2.5 s, 90 ms for 20,000 is 4.5 s, 60 ms for 20,000 is 3 s.
    #[test]
    fn what_was_restored_is_the_median_of_the_trials_that_did() {
        let trials = [
            trial(20_000, 0, 50.0, 80.0),
            trial(19_000, 1_000, 90.0, 130.0),
            vec![],
            trial(19_990, 10, 60.0, 95.0),
        ];
        let restored = Restored::of(trials.iter().map(Vec::as_slice)).unwrap();
        assert_eq!(restored.n_trials, 3);
        assert_eq!((restored.n_keys, restored.n_expired), (19_990.0, 10.0));
        assert_eq!((restored.load_ms, restored.restart_ms), (60.0, 95.0));
        assert!((restored.load_s_per_million - 3.0).abs() < 1e-9, "{restored:?}");
    }

    #[test]
    fn where_nothing_was_restored_there_is_no_figure() {
        assert_eq!(Restored::of([[].as_slice()]), None);
        let empty = trial(0, 0, 1.0, 30.0);
        assert_eq!(
            Restored::of([empty.as_slice()]),
            None,
            "a snapshot without a key tells no rate"
        );
    }
}
