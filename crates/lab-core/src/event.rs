//! What happened in a trial, on the trial's time axis.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// One line of `events.jsonl`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Event {
    /// Milliseconds from the start of the schedule; negative before it.
    pub at_ms: f64,
    /// Who saw it: `lab` or `storefront`; of several instances `storefront-2` and so on.
    pub source: String,
    /// What happened, in the past tense; the known ones are in [`kind`].
    pub kind: String,
    /// Facts, if any.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub detail: BTreeMap<String, String>,
}

/// What a server that was killed read of its snapshot: the detail of a [`kind::SNAPSHOT_LOADED`].
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct SnapshotLoaded {
    /// Keys that are there again.
    pub n_keys: u64,
    /// Keys that were in the snapshot and whose time to live had ended.
    pub n_expired: u64,
    /// Reading the snapshot, in milliseconds, as the server itself tells.
    pub load_ms: f64,
    /// From the order to start until the server answered, in milliseconds: start of the process and
    /// reading together.
    pub restart_ms: f64,
}

impl SnapshotLoaded {
    /// What an event says; `None`: it is of another kind, or not whole.
    pub fn of(event: &Event) -> Option<Self> {
        if event.kind != kind::SNAPSHOT_LOADED {
            return None;
        }
        let count = |key: &str| event.detail.get(key)?.parse().ok();
        let time =
            |key: &str| event.detail.get(key)?.parse().ok().filter(|it: &f64| it.is_finite());
        Some(Self {
            n_keys: count("keys")?,
            n_expired: count("keys_expired")?,
            load_ms: time("load_ms")?,
            restart_ms: time("restart_ms")?,
        })
    }

    /// What the event says.
    pub fn detail(self) -> BTreeMap<String, String> {
        let Self { n_keys, n_expired, load_ms, restart_ms } = self;
        [
            ("keys", n_keys.to_string()),
            ("keys_expired", n_expired.to_string()),
            ("load_ms", load_ms.to_string()),
            ("restart_ms", restart_ms.to_string()),
        ]
        .map(|(key, value)| (key.to_owned(), value))
        .into()
    }
}

/// The kinds of events that the lab and the storefront write and the analysis reads.
pub mod kind {
    /// A phase began; `detail.phase` names it. Its `at_ms` is when the schedule says so.
    pub const PHASE_STARTED: &str = "phase_started";
    /// The system call that injects the fault returned: the fault's origin in time.
    pub const FAULT_INJECTED: &str = "fault_injected";
    /// A probe that is not the injector saw the effect.
    pub const FAULT_CONFIRMED: &str = "fault_confirmed";
    /// The probe did not see the effect in time; `detail.saw` says what it saw.
    pub const FAULT_NOT_CONFIRMED: &str = "fault_not_confirmed";
    /// The system call that ends the fault returned.
    pub const FAULT_HEALED: &str = "fault_healed";
    /// The dependency answers again: the end of the fault window.
    pub const DEPENDENCY_READY: &str = "dependency_ready";
    /// A server that was killed has read its snapshot and answers, where the variant restores one;
    /// `detail` is a [`super::SnapshotLoaded`].
    pub const SNAPSHOT_LOADED: &str = "snapshot_loaded";
    /// The servers of Redis have another primary that accepts writes, seen by a probe that asks them
    /// as a client would; `detail.primary` says where. When the *service* is back is another time.
    pub const FAILOVER_COMPLETED: &str = "failover_completed";
    /// The service follows the sentinels to another primary; `detail.primary` says where.
    pub const PRIMARY_FOLLOWED: &str = "primary_followed";
    /// The circuit opened.
    pub const CIRCUIT_OPENED: &str = "circuit_opened";
    /// The circuit lets probes through.
    pub const CIRCUIT_HALF_OPENED: &str = "circuit_half_opened";
    /// The circuit closed.
    pub const CIRCUIT_CLOSED: &str = "circuit_closed";
    /// The first stale answer since the last fresh stretch was served.
    pub const STALE_SERVED: &str = "stale_served";
    /// The first request since a quiet second was refused by the rate limit.
    pub const RATE_LIMIT_REACHED: &str = "rate_limit_reached";
    /// The shared cache is back, empty: from here misses are let through to refill it at a pace.
    pub const REFILL_BEGAN: &str = "refill_began";
    /// The paced refill is over: every miss is let through again.
    pub const REFILL_ENDED: &str = "refill_ended";
    /// The dimmer began to leave auxiliary work out.
    pub const DEGRADATION_BEGAN: &str = "degradation_began";
    /// All auxiliary work is done again.
    pub const DEGRADATION_ENDED: &str = "degradation_ended";
    /// An operator switched a mitigation; `detail.mitigation` and `detail.mode` say which, to what.
    pub const MITIGATION_SWITCHED: &str = "mitigation_switched";
    /// Another instance of the service was started; `detail.instance` is its number.
    pub const INSTANCE_STARTED: &str = "instance_started";
    /// An instance is in the list from which the load is spread; `detail.instance` is its number.
    pub const INSTANCE_JOINED: &str = "instance_joined";
    /// An instance is no longer in that list; `detail.instance` is its number.
    pub const INSTANCE_LEFT: &str = "instance_left";
    /// A process of the trial ended although nobody asked it to; `detail.who` names it.
    pub const UNEXPECTED_DEATH: &str = "unexpected_death";

    /// Kinds by which the service changes behaviour: the first of them after the fault's origin
    /// is the detection.
    pub const DETECTIONS: [&str; 6] = [
        CIRCUIT_OPENED,
        STALE_SERVED,
        RATE_LIMIT_REACHED,
        DEGRADATION_BEGAN,
        MITIGATION_SWITCHED,
        PRIMARY_FOLLOWED,
    ];
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_without_detail_is_one_short_line() {
        let event = Event {
            at_ms: 13_000.5,
            source: "lab".into(),
            kind: kind::FAULT_INJECTED.into(),
            detail: BTreeMap::new(),
        };
        let line = serde_json::to_string(&event).unwrap();
        assert_eq!(line, r#"{"at_ms":13000.5,"source":"lab","kind":"fault_injected"}"#);
        assert_eq!(serde_json::from_str::<Event>(&line).unwrap(), event);
    }

    #[test]
    fn what_a_snapshot_gave_back_survives_its_event_and_half_of_it_is_nothing() {
        let loaded =
            SnapshotLoaded { n_keys: 20_113, n_expired: 4, load_ms: 61.0, restart_ms: 94.25 };
        let mut event = Event {
            at_ms: 25_094.25,
            source: "lab".into(),
            kind: kind::SNAPSHOT_LOADED.into(),
            detail: loaded.detail(),
        };
        let line = serde_json::to_string(&event).unwrap();
        assert!(line.contains(r#""keys":"20113""#), "{line}");
        assert_eq!(SnapshotLoaded::of(&serde_json::from_str(&line).unwrap()), Some(loaded));
        event.detail.insert("load_ms".into(), "NaN".into());
        assert_eq!(SnapshotLoaded::of(&event), None);
        event.detail.remove("load_ms");
        assert_eq!(SnapshotLoaded::of(&event), None);
        let other = Event { kind: kind::FAULT_HEALED.into(), detail: loaded.detail(), ..event };
        assert_eq!(SnapshotLoaded::of(&other), None);
    }
}
