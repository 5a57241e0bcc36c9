//! When the servers are back after a fault, and when the service is: two times that are often taken
//! for one.

use std::{collections::BTreeMap, time::Duration};

use lab_core::{
    event::{Event, kind},
    scenario::{Fault, Servers, Topology},
};

/// What a failover takes beyond the servers' timeout, from and to, by what is published: that they
/// agree and elect. **Source**: the specification of Redis Cluster, "usually executed in a matter of
/// 1 or 2 seconds"; logs of Sentinel say the same.
const BEYOND_TIMEOUT: [Duration; 2] = [Duration::from_secs(1), Duration::from_secs(2)];

/// The two times of one trial, in milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct FailoverTimes {
    /// From the fault's origin until another primary accepted a write. `None`: none did while the
    /// fault was on.
    pub servers_ms: Option<f64>,
    /// From then until every instance that tells had taken it up; 0 where the service was there
    /// before the lab's probe. `None`: no instance told, or there was no other primary.
    pub service_ms: Option<f64>,
}

impl FailoverTimes {
    /// From the events of a trial, in order of time.
    pub fn of(events: &[Event]) -> Self {
        let first = |kind: &str| events.iter().find(|it| it.kind == kind).map(|it| it.at_ms);
        let times = (first(kind::FAULT_INJECTED), first(kind::FAILOVER_COMPLETED));
        let (Some(origin_ms), Some(completed_ms)) = times else { return Self::default() };
        let mut followed: BTreeMap<&str, f64> = BTreeMap::new();
        let is_follow = |it: &&Event| it.kind == kind::PRIMARY_FOLLOWED && origin_ms <= it.at_ms;
        for event in events.iter().filter(is_follow) {
            followed.entry(&event.source).or_insert(event.at_ms);
        }
        let last_ms = followed.into_values().reduce(f64::max);
        Self {
            servers_ms: Some(completed_ms - origin_ms),
            service_ms: last_ms.map(|it| (it - completed_ms).max(0.0)),
        }
    }
}

/// How long a failover takes by what is published, from and to: the timeout after which the servers
/// give up one of theirs, and 1 to 2 s. `None`: nobody can take over, or the fault is not one for
/// which a timeout is waited.
pub fn published(servers: Servers, fault: Fault) -> Option<[Duration; 2]> {
    let timeout = match servers.topology {
        Topology::Single | Topology::Replica => return None,
        Topology::Sentinel => servers.settings.down_after(),
        Topology::Cluster => servers.settings.node_timeout(),
    };
    takes_primary_away(fault).then(|| BEYOND_TIMEOUT.map(|it| timeout + it))
}

/// Whether the primary no longer answers and its replica still does.
fn takes_primary_away(fault: Fault) -> bool {
    matches!(fault, Fault::Crash | Fault::Pause | Fault::DatabaseSlow | Fault::DatabaseConnections)
}

#[cfg(test)]
mod tests {
    use lab_core::scenario::TopologySettings;

    use super::*;

    fn event(at_ms: f64, source: &str, kind: &str) -> Event {
        Event { at_ms, source: source.into(), kind: kind.into(), detail: BTreeMap::new() }
    }

    // Origin 13,004; the servers are back at 15,140.5, which is 2,136.5 later. The second instance
    // is the last to follow, at 15,400: 259.5 later. What it does afterwards is another change.
    #[test]
    fn the_servers_count_from_the_fault_and_the_service_from_the_servers() {
        let events = [
            event(9_000.0, "storefront", kind::PRIMARY_FOLLOWED),
            event(13_004.0, "lab", kind::FAULT_INJECTED),
            event(15_140.5, "lab", kind::FAILOVER_COMPLETED),
            event(15_251.0, "storefront", kind::PRIMARY_FOLLOWED),
            event(15_400.0, "storefront-2", kind::PRIMARY_FOLLOWED),
            event(88_100.0, "storefront-2", kind::PRIMARY_FOLLOWED),
        ];
        let times = FailoverTimes::of(&events);
        assert_eq!(times, FailoverTimes { servers_ms: Some(2_136.5), service_ms: Some(259.5) });
        let no_follower = FailoverTimes::of(&events[..3]);
        assert_eq!((no_follower.servers_ms, no_follower.service_ms), (Some(2_136.5), None));
    }

    #[test]
    fn a_service_that_was_there_before_the_probe_is_not_early() {
        let events = [
            event(13_000.0, "lab", kind::FAULT_INJECTED),
            event(15_010.0, "storefront", kind::PRIMARY_FOLLOWED),
            event(15_020.0, "lab", kind::FAILOVER_COMPLETED),
        ];
        assert_eq!(FailoverTimes::of(&events).service_ms, Some(0.0));
    }

    #[test]
    fn without_another_primary_there_is_neither_time() {
        let events = [
            event(13_000.0, "lab", kind::FAULT_INJECTED),
            event(15_010.0, "storefront", kind::PRIMARY_FOLLOWED),
        ];
        assert_eq!(FailoverTimes::of(&events), FailoverTimes::default());
        assert_eq!(FailoverTimes::of(&[]), FailoverTimes::default());
    }

    #[test]
    fn what_is_published_is_about_servers_that_are_gone_and_counts_their_own_timeout() {
        let seconds = |topology, settings, fault| {
            let servers = Servers { topology, settings, ..Servers::default() };
            published(servers, fault).map(|it| it.map(|it| it.as_secs()))
        };
        let shipped = TopologySettings::default();
        let tuned = TopologySettings { node_timeout: Some(Duration::from_secs(1)), ..shipped };
        assert_eq!(seconds(Topology::Sentinel, shipped, Fault::Crash), Some([31, 32]));
        assert_eq!(seconds(Topology::Cluster, shipped, Fault::Pause), Some([16, 17]));
        assert_eq!(seconds(Topology::Cluster, tuned, Fault::Crash), Some([2, 3]));
        for (topology, fault) in [
            (Topology::Single, Fault::Crash),
            (Topology::Sentinel, Fault::Failover),
            (Topology::Cluster, Fault::CrashAll),
            (Topology::Cluster, Fault::SlowServer),
        ] {
            assert_eq!(seconds(topology, shipped, fault), None, "{topology} {fault}");
        }
    }
}
