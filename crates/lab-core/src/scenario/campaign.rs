//! `scenarios/<campaign>.toml`: which cells to run, on which load and which target.

use std::{num::NonZeroU32, time::Duration};

use serde::{Deserialize, Serialize};

use super::{
    fault::{Fault, FaultPhaseTooShort},
    gate::{GateSpec, GateSpecError},
    profile::{PhaseLengths, PhaseOverrides, Profile},
    topology::Topology,
    trials::Trials,
    variant::ResolvedVariant,
};
use crate::{
    catalogue::CatalogueSpec,
    load_plan::Mix,
    seed::Seed,
    target::CacheSpec,
    units::{LoadFactor, Ratio},
};

/// A whole set of experiments, as its file says, before the command line selects from it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Campaign {
    /// One line for lists and reports.
    pub title: String,
    /// Names of files under `scenarios/variants/`, in the order of tables.
    pub variants: Vec<String>,
    /// What is done to Redis.
    pub faults: Vec<Fault>,
    /// Which servers its variants may need: a machine need not have room for all.
    #[serde(default = "every_topology", skip_serializing_if = "is_every_topology")]
    pub topologies: Vec<Topology>,
    /// Phase lengths.
    pub profile: Profile,
    /// Phases that this campaign needs longer, or shorter, than its profile has them.
    #[serde(default, skip_serializing_if = "is_default")]
    pub phases: PhaseOverrides,
    /// Repetitions of every cell.
    pub trials: Trials,
    /// Seed from which the seed of every trial is derived.
    pub seed: Seed,
    /// Offered load as multiples of the calibrated capacity C.
    pub load_factors: Vec<LoadFactor>,
    /// Instances of the service: every variant is run with each number of them.
    #[serde(default = "one_instance", skip_serializing_if = "is_one_instance")]
    pub instances: Vec<NonZeroU32>,
    /// When a service level is met.
    pub slo: Slo,
    /// The client closes the connection this long after the intended time. `None`: the deadline.
    #[serde(default, with = "humantime_serde", skip_serializing_if = "Option::is_none")]
    pub give_up_after: Option<Duration>,
    /// Share of each kind of request.
    pub mix: Mix,
    /// Exponent of the popularity of products.
    pub zipf_exponent: f64,
    /// Virtual users that log in and use their session.
    pub session_users: NonZeroU32,
    /// What the shared cache holds when a trial starts.
    pub cache: CacheSpec,
    /// The data set.
    pub catalogue: CatalogueSpec,
    /// The database and the pool before it.
    pub database: Database,
    /// The service itself.
    pub service: Service,
    /// How two versions of the service are compared. `None`: this campaign compares none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gate: Option<GateSpec>,
}

/// When a service level is met.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Slo {
    /// A success later than this is a failure.
    #[serde(with = "humantime_serde")]
    pub deadline: Duration,
    /// Least share of requests served while the fault is on.
    pub served_ratio_min: Ratio,
}

/// The database and the pool before it.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Database {
    /// Connections in the service's pool.
    pub pool_size: NonZeroU32,
    /// PostgreSQL's `max_connections`.
    pub max_connections: NonZeroU32,
    /// Share of one core that PostgreSQL has. `None`: a whole one. A smaller database lets a
    /// machine of few cores offer many times its capacity.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cpu_quota: Option<Ratio>,
}

/// The service itself.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Service {
    /// Threads that serve requests.
    pub worker_threads: NonZeroU32,
    /// Share of one core that each instance has. `None`: what is left of the machine. With it, the
    /// cores of the machine do not decide how much several instances carry.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cpu_quota: Option<Ratio>,
}

/// The kernel grants 1 ms at the least, of the lab's periods of 10 ms.
const CPU_QUOTA_MIN: f64 = 0.1;
/// Each instance is a process with two ports. Chosen: far more than a machine of a laboratory runs.
const INSTANCES_MAX: u32 = 64;

fn one_instance() -> Vec<NonZeroU32> {
    vec![NonZeroU32::MIN]
}

fn is_one_instance(instances: &[NonZeroU32]) -> bool {
    instances == [NonZeroU32::MIN]
}

/// A campaign that parses and cannot be run. Each names the key to change.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum CampaignError {
    /// A list that needs at least one entry has none.
    #[error("{key}: needs at least one entry")]
    Empty {
        /// The key.
        key: &'static str,
    },
    /// An entry stands twice.
    #[error("{key}: `{entry}` stands twice")]
    Twice {
        /// The key.
        key: &'static str,
        /// The entry.
        entry: String,
    },
    /// The shares of the mix do not sum to 1.
    #[error("mix: the shares must sum to 1, they sum to {total:.4}")]
    Mix {
        /// What they sum to.
        total: f64,
    },
    /// An exponent that is no popularity.
    #[error("zipf_exponent: must be from 0 to 3, got {got}")]
    ZipfExponent {
        /// The exponent.
        got: f64,
    },
    /// A duration outside its range.
    #[error("{key}: must be {allowed}, got {got:?}")]
    Duration {
        /// The key.
        key: &'static str,
        /// The range.
        allowed: &'static str,
        /// The duration.
        got: Duration,
    },
    /// A fault phase that does not show a fault of the campaign.
    #[error(transparent)]
    FaultPhase(#[from] FaultPhaseTooShort),
    /// A comparison of versions that cannot decide anything.
    #[error(transparent)]
    Gate(#[from] GateSpecError),
    /// A share of a core that the kernel does not grant.
    #[error("{key}: must be from {CPU_QUOTA_MIN} to 1, got {got}")]
    CpuQuota {
        /// The key.
        key: &'static str,
        /// The share.
        got: f64,
    },
    /// More instances than a machine can run.
    #[error("instances: must be at most {INSTANCES_MAX} each, got {got}")]
    TooManyInstances {
        /// How many.
        got: u32,
    },
    /// A list of repetitions that does not fit that of the load factors.
    #[error(
        "trials: must be one number, or one for each of the {n_load_factors} load factors, got {got}"
    )]
    Trials {
        /// How many load factors there are.
        n_load_factors: usize,
        /// The numbers.
        got: Trials,
    },
    /// A number that is too small for another.
    #[error("{key}: must be at least {least} ({why}), got {got}")]
    TooSmall {
        /// The key.
        key: &'static str,
        /// The least value.
        least: u32,
        /// Where that comes from.
        why: &'static str,
        /// The value.
        got: u32,
    },
}

/// A variant that needs servers which its campaign forbids.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[error(
    "variant `{variant}` needs topology `{needs}`, the campaign's `topologies` has only {allowed}; \
     add it there, or leave the variant out"
)]
pub struct TopologyForbidden {
    /// The variant.
    pub variant: String,
    /// What it needs.
    pub needs: Topology,
    /// What there may be.
    pub allowed: String,
}

impl Campaign {
    /// How long clients wait before they close the connection.
    pub fn give_up_after(&self) -> Duration {
        self.give_up_after.unwrap_or(self.slo.deadline)
    }

    /// How long each phase lasts: as the profile says, and as the campaign says otherwise.
    pub fn lengths(&self) -> PhaseLengths {
        self.phases.over(self.profile.lengths(self.give_up_after()))
    }

    /// Checks that `variant` may run here. **Errors**: it needs servers that the campaign forbids.
    pub fn check_topology(&self, variant: &ResolvedVariant) -> Result<(), TopologyForbidden> {
        if self.topologies.contains(&variant.topology) {
            return Ok(());
        }
        Err(TopologyForbidden {
            variant: variant.name.clone(),
            needs: variant.topology,
            allowed: self.topologies.iter().map(ToString::to_string).collect::<Vec<_>>().join(", "),
        })
    }

    /// Most instances that run at once.
    pub fn n_instances_max(&self) -> u32 {
        self.instances.iter().map(|it| it.get()).max().unwrap_or(1)
    }

    /// Checks what the types do not. **Errors**: the first key that cannot work.
    pub fn validate(&self) -> Result<(), CampaignError> {
        no_duplicates("variants", self.variants.iter().cloned())?;
        no_duplicates("topologies", self.topologies.iter().map(ToString::to_string))?;
        no_duplicates("faults", self.faults.iter().map(ToString::to_string))?;
        no_duplicates("load_factors", self.load_factors.iter().map(|it| it.get().to_string()))?;
        no_duplicates("instances", self.instances.iter().map(ToString::to_string))?;
        let n_load_factors = self.load_factors.len();
        if self.trials.n_load_factors().is_some_and(|it| it != n_load_factors) {
            return Err(CampaignError::Trials { n_load_factors, got: self.trials.clone() });
        }
        let total = self.mix.total();
        if 1e-9 < (total - 1.0).abs() {
            return Err(CampaignError::Mix { total });
        }
        if !(0.0..=3.0).contains(&self.zipf_exponent) {
            return Err(CampaignError::ZipfExponent { got: self.zipf_exponent });
        }
        let (least, most) = (Duration::from_millis(10), Duration::from_secs(60));
        for (key, got) in
            [("slo.deadline", self.slo.deadline), ("give_up_after", self.give_up_after())]
        {
            if !(least..=most).contains(&got) {
                return Err(CampaignError::Duration { key, allowed: "from 10ms to 60s", got });
            }
        }
        if self.give_up_after() < self.slo.deadline {
            return Err(CampaignError::Duration {
                key: "give_up_after",
                allowed: "at least slo.deadline",
                got: self.give_up_after(),
            });
        }
        if self.cache.ttl < Duration::from_secs(1) {
            return Err(CampaignError::Duration {
                key: "cache.ttl",
                allowed: "at least 1s",
                got: self.cache.ttl,
            });
        }
        for (key, got) in self.phases.set() {
            if !(Duration::from_secs(1)..=Duration::from_hours(1)).contains(&got) {
                return Err(CampaignError::Duration { key, allowed: "from 1s to 1h", got });
            }
        }
        let fault_phase = self.lengths().fault;
        self.faults.iter().try_for_each(|it| it.check_length(fault_phase))?;
        self.gate.as_ref().map_or(Ok(()), GateSpec::validate)?;
        self.validate_sizes()
    }

    fn validate_sizes(&self) -> Result<(), CampaignError> {
        let quotas = [
            ("database.cpu_quota", self.database.cpu_quota),
            ("service.cpu_quota", self.service.cpu_quota),
        ];
        for (key, quota) in quotas {
            if let Some(quota) = quota.filter(|it| it.get() < CPU_QUOTA_MIN) {
                return Err(CampaignError::CpuQuota { key, got: quota.get() });
            }
        }
        let n_instances = self.n_instances_max();
        if INSTANCES_MAX < n_instances {
            return Err(CampaignError::TooManyInstances { got: n_instances });
        }
        let reserved = 10;
        let least = self.database.pool_size.get() + reserved;
        let got = self.database.max_connections.get();
        if got < least {
            let why = "the pool and 10 for the lab";
            return Err(CampaignError::TooSmall {
                key: "database.max_connections",
                least,
                why,
                got,
            });
        }
        let least = self.catalogue.categories.get();
        let got = self.catalogue.products.get();
        if got < least {
            let why = "no category may be empty";
            return Err(CampaignError::TooSmall { key: "catalogue.products", least, why, got });
        }
        Ok(())
    }
}

fn every_topology() -> Vec<Topology> {
    Topology::ALL.to_vec()
}

fn is_every_topology(topologies: &[Topology]) -> bool {
    topologies == Topology::ALL
}

fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

fn no_duplicates(
    key: &'static str,
    entries: impl Iterator<Item = String>,
) -> Result<(), CampaignError> {
    let mut seen = std::collections::BTreeSet::new();
    for entry in entries {
        if !seen.insert(entry.clone()) {
            return Err(CampaignError::Twice { key, entry });
        }
    }
    if seen.is_empty() { Err(CampaignError::Empty { key }) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    const REDIS_OUTAGE: &str = include_str!("../../../../scenarios/redis-outage.toml");

    fn check(from: &str, to: &str) -> String {
        assert!(REDIS_OUTAGE.contains(from), "the campaign no longer has {from}");
        let text = REDIS_OUTAGE.replace(from, to);
        match toml::from_str::<Campaign>(&text) {
            Err(error) => error.to_string(),
            Ok(campaign) => campaign.validate().map_or_else(|e| e.to_string(), |()| "ok".into()),
        }
    }

    #[test]
    fn the_main_campaign_is_valid() {
        assert_eq!(check("", ""), "ok");
    }

    // 4 x 20 connections are more than the 70 that the server has: that is what is to be seen.
    #[test]
    fn a_campaign_may_have_more_connections_in_its_pools_than_the_server_has() {
        let several = "max_connections = 70\n[service]\ncpu_quota = 0.12";
        let text = REDIS_OUTAGE
            .replace("trials = 1", "trials = 1\ninstances = [1, 4]")
            .replace("max_connections = 100\n\n[service]", several);
        let campaign: Campaign = toml::from_str(&text).unwrap();
        assert_eq!(campaign.validate(), Ok(()));
        assert_eq!(campaign.n_instances_max(), 4);
        assert_eq!(campaign.service.cpu_quota.map(Ratio::get), Some(0.12));
        let usual: Campaign = toml::from_str(REDIS_OUTAGE).unwrap();
        assert_eq!(usual.n_instances_max(), 1);
        assert!(!toml::to_string(&usual).unwrap().contains("instances"));
    }

    #[test]
    fn a_campaign_may_have_a_phase_longer_than_its_profile() {
        let text = REDIS_OUTAGE.replace("[slo]", "[phases]\nfault = \"90s\"\n[slo]");
        let lengths = toml::from_str::<Campaign>(&text).unwrap().lengths();
        assert_eq!(lengths.fault, Duration::from_secs(90));
        assert_eq!(lengths.baseline, Duration::from_secs(8), "the rest is as in quick");
    }

    #[test]
    fn a_wrong_campaign_names_the_key() {
        for (from, to, part) in [
            ("product = 0.70", "product = 0.60", "mix: the shares must sum to 1"),
            ("product = 0.70", "product = 7", "from 0 to 1"),
            ("deadline = \"1s\"", "deadline = 1", "deadline"),
            ("deadline = \"1s\"", "deadline = \"1h\"", "slo.deadline: must be from 10ms to 60s"),
            ("load_factors = [1.5]", "load_factors = [0]", "above 0 and at most 100"),
            ("load_factors = [1.5]", "load_factors = []", "load_factors: needs at least one"),
            ("faults = [\"crash\"]", "faults = [\"outage\"]", "unknown variant `outage`"),
            ("faults = [\"crash\"]", "faults = [\"crash\", \"crash\"]", "`crash` stands twice"),
            ("faults = [\"crash\"]", "faults = [\"crash\"]\ntopologies = []", "topologies: needs"),
            ("faults = [\"crash\"]", "faults = [\"crash\"]\ntopologies = [\"moon\"]", "`moon`"),
            ("trials = 1", "trials = 0", "nonzero"),
            ("trials = 1", "trails = 1", "trails"),
            ("trials = 1", "trials = [5, 3]", "one for each of the 1 load factors, got 5,3"),
            ("[slo]", "[phases]\nfault = \"0s\"\n[slo]", "phases.fault: must be from 1s to 1h"),
            ("[slo]", "[phases]\nfault = \"1s\"\n[slo]", "fault `crash` needs a fault phase of 2s"),
            ("[slo]", "[phases]\nfautl = \"9s\"\n[slo]", "fautl"),
            ("max_connections = 100", "max_connections = 20", "at least 30"),
            ("pool_size = 20", "pool_size = 20\ncpu_quota = 0.01", "cpu_quota: must be from 0.1"),
            ("pool_size = 20", "pool_size = 20\ncpu_quota = 40", "from 0 to 1"),
            (
                "worker_threads = 1",
                "worker_threads = 1\ncpu_quota = 0.05",
                "service.cpu_quota: must",
            ),
            ("trials = 1", "trials = 1\ninstances = []", "instances: needs at least one entry"),
            ("trials = 1", "trials = 1\ninstances = [0]", "nonzero"),
            ("trials = 1", "trials = 1\ninstances = [2, 2]", "instances: `2` stands twice"),
            ("trials = 1", "trials = 1\ninstances = [1, 65]", "at most 64 each, got 65"),
        ] {
            let error = check(from, to);
            assert!(error.contains(part), "{to}: {error}");
        }
    }
}
