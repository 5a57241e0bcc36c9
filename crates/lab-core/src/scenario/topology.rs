//! Which servers a variant runs on, and what they are told.

use std::{fmt, time::Duration};

use serde::{Deserialize, Serialize};

use super::{
    fault::Fault,
    restore::{NothingToRestore, Restore},
};

/// The servers behind the service. A variant names the one that it is about; the usual is
/// [`Topology::Single`].
#[derive(
    Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(rename_all = "kebab-case")]
pub enum Topology {
    /// One Redis, one PostgreSQL.
    #[default]
    Single,
    /// A primary and a replica of it, watched by three sentinels.
    Sentinel,
    /// Three primaries that share the keys, and a replica of each.
    Cluster,
    /// One Redis, and a PostgreSQL with a replica that answers reads.
    Replica,
}

/// A fault that a topology does not have.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[error(
    "variant `{variant}` runs on topology `{topology}`, which does not have fault `{fault}`; take \
     one of them away"
)]
pub struct FaultNotThere {
    /// The variant that asks for the topology.
    pub variant: String,
    /// The topology.
    pub topology: Topology,
    /// The fault.
    pub fault: Fault,
}

/// Why a variant is not tried under a fault.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum FaultRefused {
    /// It cannot be made on those servers.
    #[error(transparent)]
    NotThere(#[from] FaultNotThere),
    /// It leaves nothing to restore.
    #[error(transparent)]
    NothingToRestore(#[from] NothingToRestore),
}

impl Topology {
    /// Every topology, in the order of tables.
    pub const ALL: [Self; 4] = [Self::Single, Self::Sentinel, Self::Cluster, Self::Replica];

    /// The name used on the command line and in artifacts.
    pub fn name(self) -> &'static str {
        match self {
            Self::Single => "single",
            Self::Sentinel => "sentinel",
            Self::Cluster => "cluster",
            Self::Replica => "replica",
        }
    }

    /// Which servers it has, in one line.
    pub fn title(self) -> &'static str {
        match self {
            Self::Single => "One Redis, one PostgreSQL, one storefront",
            Self::Sentinel => "A Redis primary, its replica and three sentinels",
            Self::Cluster => "Redis Cluster: three primaries and a replica of each",
            Self::Replica => "One Redis, and a PostgreSQL primary with a streaming replica",
        }
    }

    /// Whether another Redis server can take over from one that is gone.
    pub fn fails_over(self) -> bool {
        match self {
            Self::Single | Self::Replica => false,
            Self::Sentinel | Self::Cluster => true,
        }
    }

    /// The topology of its Redis servers alone.
    pub fn on_redis_side(self) -> Self {
        match self {
            Self::Single | Self::Replica => Self::Single,
            Self::Sentinel | Self::Cluster => self,
        }
    }

    /// Whether PostgreSQL has a replica that answers reads.
    pub fn has_database_replica(self) -> bool {
        match self {
            Self::Single | Self::Sentinel | Self::Cluster => false,
            Self::Replica => true,
        }
    }

    /// Whether `fault` can be made there.
    ///
    /// Where a server can take over, faults act on the primary that owns the view counters. Two
    /// kinds are not there: those on the wire, because clients follow the addresses that the
    /// servers announce, past any proxy; and those that this one server would not keep to itself,
    /// because the others would undo them or be changed with it. Somebody else who uses PostgreSQL
    /// uses its primary.
    pub fn has(self, fault: Fault) -> bool {
        match fault {
            Fault::Failover | Fault::CrashAll => self.fails_over(),
            Fault::ExpireHot | Fault::Loading | Fault::ReadOnly | Fault::MaxClients => {
                !self.fails_over()
            }
            _ if fault.is_on_wire() => !self.fails_over(),
            _ => true,
        }
    }
}

impl fmt::Display for Topology {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// How soon the servers of a topology give up one of theirs. `None`: as shipped.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct TopologySettings {
    /// Sentinel's `down-after-milliseconds`.
    #[serde(with = "humantime_serde", skip_serializing_if = "Option::is_none")]
    pub down_after: Option<Duration>,
    /// Cluster's `cluster-node-timeout`.
    #[serde(with = "humantime_serde", skip_serializing_if = "Option::is_none")]
    pub node_timeout: Option<Duration>,
}

/// A setting of the servers that cannot work.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum TopologySettingsError {
    /// No server of the topology reads it.
    #[error("topology_settings.{key} is read by topology `{reader}`, this one is `{topology}`")]
    NobodyReads {
        /// The key.
        key: &'static str,
        /// Who would read it.
        reader: Topology,
        /// What the variant runs on.
        topology: Topology,
    },
    /// The server would not start with it, or take every hiccup for a death.
    #[error(
        "topology_settings.{key} must be from {:?} to {:?}, in whole milliseconds, got {got:?}",
        TopologySettings::SHORTEST,
        TopologySettings::LONGEST
    )]
    OutOfRange {
        /// The key.
        key: &'static str,
        /// What stands there.
        got: Duration,
    },
}

impl TopologySettings {
    /// What Sentinel ships with.
    pub const DOWN_AFTER: Duration = Duration::from_secs(30);
    /// What Redis Cluster ships with.
    pub const NODE_TIMEOUT: Duration = Duration::from_secs(15);
    /// Below this, a server that waits for its turn on two cores is taken for dead. Chosen.
    const SHORTEST: Duration = Duration::from_millis(100);
    /// Longer than any phase.
    const LONGEST: Duration = Duration::from_secs(600);

    /// What is not set here comes from `base`.
    pub fn over(self, base: Self) -> Self {
        Self {
            down_after: self.down_after.or(base.down_after),
            node_timeout: self.node_timeout.or(base.node_timeout),
        }
    }

    /// Sentinel's `down-after-milliseconds`.
    pub fn down_after(self) -> Duration {
        self.down_after.unwrap_or(Self::DOWN_AFTER)
    }

    /// Cluster's `cluster-node-timeout`.
    pub fn node_timeout(self) -> Duration {
        self.node_timeout.unwrap_or(Self::NODE_TIMEOUT)
    }

    /// Checks what is set against who reads it.
    ///
    /// **Errors**: nobody on `topology` reads it, or it is out of its range.
    pub fn validate(self, topology: Topology) -> Result<(), TopologySettingsError> {
        for (key, got, reader) in [
            ("down_after", self.down_after, Topology::Sentinel),
            ("node_timeout", self.node_timeout, Topology::Cluster),
        ] {
            let Some(got) = got else { continue };
            if topology != reader {
                return Err(TopologySettingsError::NobodyReads { key, reader, topology });
            }
            let is_whole = got.subsec_nanos().is_multiple_of(1_000_000);
            if !is_whole || !(Self::SHORTEST..=Self::LONGEST).contains(&got) {
                return Err(TopologySettingsError::OutOfRange { key, got });
            }
        }
        Ok(())
    }
}

/// The servers that a trial needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Servers {
    /// Which servers.
    pub topology: Topology,
    /// What they are told.
    pub settings: TopologySettings,
    /// What one that was killed starts with.
    pub restore: Restore,
}

impl Servers {
    /// Checks that `fault` can be made on these servers and shows what they are for. `variant` is for
    /// the message.
    ///
    /// **Errors**: the topology does not have it, or there is nothing to restore after it.
    pub fn check_fault(self, fault: Fault, variant: &str) -> Result<(), FaultRefused> {
        let (variant, topology) = (variant.to_owned(), self.topology);
        if !topology.has(fault) {
            return Err(FaultNotThere { variant, topology, fault }.into());
        }
        if !self.restore.matters_under(fault) {
            return Err(NothingToRestore { variant, fault }.into());
        }
        Ok(())
    }

    /// Whether [`Self::check_fault`] is content.
    pub fn have(self, fault: Fault) -> bool {
        self.topology.has(fault) && self.restore.matters_under(fault)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_fault_is_somewhere_and_a_failover_only_where_somebody_can_take_over() {
        for fault in Fault::ALL {
            assert!(Topology::ALL.iter().any(|it| it.has(fault)), "{fault}");
            if fault.is_on_wire() {
                assert!(Topology::Single.has(fault) && !Topology::Cluster.has(fault), "{fault}");
            }
        }
        for topology in Topology::ALL {
            assert!(topology.has(Fault::Crash) && topology.has(Fault::Pause), "{topology}");
            assert_eq!(topology.has(Fault::Failover), topology.fails_over(), "{topology}");
            assert_eq!(topology.has(Fault::CrashAll), topology.fails_over(), "{topology}");
        }
    }

    #[test]
    fn a_snapshot_is_restored_where_redis_restarts_and_elsewhere_refused() {
        let restoring = Servers { restore: Restore::Snapshot, ..Servers::default() };
        for fault in Fault::ALL {
            let there = restoring.check_fault(fault, "warm");
            assert_eq!(there.is_ok(), restoring.have(fault), "{fault}");
            let usual = Servers::default();
            assert_eq!(usual.have(fault), Topology::Single.has(fault), "{fault}");
        }
        let had: Vec<Fault> = Fault::ALL.into_iter().filter(|it| restoring.have(*it)).collect();
        assert_eq!(had, [Fault::Crash, Fault::DatabaseSlow, Fault::DatabaseConnections]);
        let error = restoring.check_fault(Fault::Pause, "warm").unwrap_err().to_string();
        for part in ["`warm`", "(restore)", "`pause`", "take one of them away"] {
            assert!(error.contains(part), "{error}");
        }
    }

    #[test]
    fn a_replica_of_the_database_leaves_redis_and_its_faults_as_they_were() {
        assert_eq!(Topology::Replica.on_redis_side(), Topology::Single);
        for fault in Fault::ALL {
            assert_eq!(Topology::Replica.has(fault), Topology::Single.has(fault), "{fault}");
        }
        let with_replica = Topology::ALL.into_iter().filter(|it| it.has_database_replica());
        assert_eq!(with_replica.collect::<Vec<_>>(), [Topology::Replica]);
    }

    #[test]
    fn a_setting_that_nobody_reads_or_that_cannot_work_is_refused_with_its_key() {
        let check = |toml: &str, topology: Topology| {
            let settings: TopologySettings = toml::from_str(toml).unwrap();
            settings.validate(topology).map_err(|error| error.to_string())
        };
        assert_eq!(check("", Topology::Single), Ok(()));
        assert_eq!(check("down_after = \"1s\"", Topology::Sentinel), Ok(()));
        assert_eq!(check("node_timeout = \"1s\"", Topology::Cluster), Ok(()));
        for (toml, topology, part) in [
            ("down_after = \"1s\"", Topology::Cluster, "`sentinel`, this one is `cluster`"),
            ("node_timeout = \"1s\"", Topology::Single, "`cluster`, this one is `single`"),
            ("down_after = \"1s\"", Topology::Replica, "`sentinel`, this one is `replica`"),
            ("down_after = \"99ms\"", Topology::Sentinel, "from 100ms to 600s"),
            ("node_timeout = \"11m\"", Topology::Cluster, "got 660s"),
            ("node_timeout = \"1s 500us\"", Topology::Cluster, "whole milliseconds"),
        ] {
            let error = check(toml, topology).unwrap_err();
            assert!(error.contains("topology_settings.") && error.contains(part), "{error}");
        }
        assert!(toml::from_str::<TopologySettings>("down_afer = \"1s\"").is_err());
    }

    #[test]
    fn what_is_not_set_is_as_the_base_has_it_and_in_the_end_as_shipped() {
        let second = Duration::from_secs(1);
        let base = TopologySettings { down_after: Some(second), node_timeout: None };
        let own = TopologySettings { down_after: None, node_timeout: Some(2 * second) };
        let both = own.over(base);
        assert_eq!((both.down_after(), both.node_timeout()), (second, 2 * second));
        let shipped = TopologySettings::default();
        let seconds = [shipped.down_after().as_secs(), shipped.node_timeout().as_secs()];
        assert_eq!(seconds, [30, 15]);
    }
}
