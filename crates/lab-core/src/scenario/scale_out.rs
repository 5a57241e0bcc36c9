//! Several instances of the service: when they join, who knows of them, and the network between
//! them and the database.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::units::{PerSec, Ratio};

/// A service that is given more instances while Redis is gone. It starts with one; the others are
/// started as processes during the fault. A variant without it has all of them from the start.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ScaleOut {
    /// Time from the scheduled start of the fault phase until the others are started: how long it
    /// takes to provision them.
    #[serde(with = "humantime_serde")]
    pub joins_after: Duration,
    /// Where the list of instances is kept.
    #[serde(default)]
    pub registry: Registry,
}

/// Where the list of instances is kept, from which the load is spread.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Registry {
    /// The load balancer itself knows them: an instance is used once it is ready.
    #[default]
    LoadBalancer,
    /// In Redis: an instance is used once it has entered itself there and was found. While Redis
    /// does not answer, the last list that was read is used.
    Redis,
}

/// The network between the service and PostgreSQL, where it is not the machine's own loopback. All
/// instances share it. Exactly one of the two is given.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Network {
    /// What it carries in each direction, as a share of what PostgreSQL's answers take at C, with the
    /// cache bypassed. Above 0.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub capacity_ratio: Option<Ratio>,
    /// The same in bytes per second.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub database_bytes_per_sec: Option<PerSec>,
}

impl Network {
    /// Bytes per second in each direction, where PostgreSQL's answers take `at_capacity` at C. `None`
    /// when it is a share and that is not known.
    pub fn bytes_per_sec(&self, at_capacity: Option<f64>) -> Option<PerSec> {
        let share = || PerSec::new(self.capacity_ratio?.get() * at_capacity?).ok();
        self.database_bytes_per_sec.or_else(share)
    }

    /// **Errors**: neither or both are given, or a share of 0.
    pub(super) fn validate(&self) -> Result<(), &'static str> {
        match (self.capacity_ratio.map(Ratio::get), self.database_bytes_per_sec) {
            (Some(0.0), None) => Err("network.capacity_ratio must be above 0"),
            (Some(_), None) | (None, Some(_)) => Ok(()),
            (Some(_), Some(_)) | (None, None) => {
                Err("[network] needs exactly one of capacity_ratio and database_bytes_per_sec")
            }
        }
    }
}

/// Instances that would come when Redis is back.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "variant `{variant}`: its instances join {joins_after:?} into the fault, which lasts {fault:?}; \
     take a longer --profile, or set phases.fault in the campaign"
)]
pub struct JoinsTooLate {
    /// The variant.
    pub variant: String,
    /// When its instances join.
    pub joins_after: Duration,
    /// Length of the fault phase.
    pub fault: Duration,
}

/// Checks that instances join while the fault is on.
///
/// **Errors**: they do not.
pub(super) fn check_joins(
    variant: &str,
    scale_out: Option<ScaleOut>,
    fault: Duration,
) -> Result<(), JoinsTooLate> {
    match scale_out {
        Some(ScaleOut { joins_after, .. }) if fault <= joins_after => {
            Err(JoinsTooLate { variant: variant.to_owned(), joins_after, fault })
        }
        Some(_) | None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn instances_that_join_when_redis_is_back_are_refused_with_both_times() {
        let scale_out: ScaleOut = toml::from_str("joins_after = \"12s\"").unwrap();
        assert_eq!(scale_out.registry, Registry::LoadBalancer);
        let check = |fault_s| check_joins("later", Some(scale_out), Duration::from_secs(fault_s));
        assert_eq!(check(13), Ok(()));
        let error = check(12).unwrap_err().to_string();
        assert!(error.contains("`later`") && error.contains("join 12s"), "{error}");
        assert!(error.contains("lasts 12s"), "{error}");
        assert_eq!(check_joins("none", None, Duration::from_secs(1)), Ok(()));
    }

    #[test]
    fn a_registry_or_a_network_that_is_none_is_refused() {
        let refused = |text| toml::from_str::<ScaleOut>(text).unwrap_err().to_string();
        assert!(refused("joins_after = 12").contains("joins_after"));
        let error = refused("joins_after = \"1s\"\nregistry = \"dns\"");
        assert!(error.contains("load_balancer") && error.contains("redis"), "{error}");
        let network = toml::from_str::<Network>("database_bytes_per_sec = 0").unwrap_err();
        assert!(network.to_string().contains("above 0"), "{network}");
        for (text, part) in [
            ("", "exactly one of"),
            ("capacity_ratio = 0.5\ndatabase_bytes_per_sec = 9", "exactly one of"),
            ("capacity_ratio = 0.0", "network.capacity_ratio must be above 0"),
        ] {
            let error = toml::from_str::<Network>(text).unwrap().validate().unwrap_err();
            assert!(error.contains(part), "{text}: {error}");
        }
    }

    #[test]
    fn a_share_is_of_what_the_database_answers_with_at_its_capacity() {
        let width = |text, at_capacity| {
            let network: Network = toml::from_str(text).unwrap();
            network.validate().unwrap();
            network.bytes_per_sec(at_capacity).map(PerSec::get)
        };
        let share = "capacity_ratio = 0.75";
        assert_eq!(width(share, Some(2_000_000.0)), Some(1_500_000.0));
        assert_eq!(width(share, None), None);
        assert_eq!(width("database_bytes_per_sec = 5000", Some(2_000_000.0)), Some(5_000.0));
    }
}
