//! What a trial was: everything needed to run it again.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::{
    clock::MonotonicNs,
    load_plan::LoadPlan,
    scenario::{Campaign, Fault, PhaseLengths, Profile, ResolvedVariant, Topology},
    seed::Seed,
    target::TargetConfig,
};

/// Version of the manifest's schema.
pub const SCHEMA: &str = "outage-lab/manifest/1";

/// `manifest.json` of one trial, written before its first request.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Manifest {
    /// [`SCHEMA`].
    pub schema: String,
    /// Name of the campaign.
    pub campaign_name: String,
    /// The campaign, as its file and the command line made it.
    pub campaign: Campaign,
    /// The variant with its bases' settings.
    pub variant: ResolvedVariant,
    /// What is done to Redis.
    pub fault: Fault,
    /// Which servers there are.
    pub topology: Topology,
    /// The cell's parameters.
    pub params: Params,
    /// Which repetition, from 0.
    pub trial: u32,
    /// Which attempt at this repetition, from 1; above 1 when an earlier one was invalid.
    pub attempt: u32,
    /// The trial's seed, the same for every variant of this repetition.
    pub seed: Seed,
    /// Phase lengths by name.
    pub profile: Profile,
    /// Phase lengths.
    pub phases: PhaseLengths,
    /// `CLOCK_MONOTONIC` of the start of the schedule: every `at_ms` counts from here.
    pub origin: MonotonicNs,
    /// Wall time of the start of the schedule, RFC 3339, for people.
    pub started_at: String,
    /// What the service was started with.
    pub target: TargetConfig,
    /// What the generator was started with.
    pub load: LoadPlan,
    /// The machine, the servers and the build.
    pub environment: Environment,
    /// What the machine can carry, when it was measured.
    pub calibration: Option<Calibration>,
}

/// Parameters of a cell beside variant and fault.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Params {
    /// Offered load over C; `None` when the rate was given outright.
    pub load_factor: Option<f64>,
    /// Scheduled arrivals per second.
    pub arrival_rate_per_sec: f64,
    /// Instances of the service.
    pub n_instances: u32,
}

impl Params {
    /// Name of the folder of this cell: `load-factor-1.5` or `rate-1500`, and `-instances-4` after
    /// it where there is more than one.
    pub fn folder(&self) -> String {
        let load = match self.load_factor {
            Some(load_factor) => format!("load-factor-{load_factor}"),
            None => format!("rate-{}", self.arrival_rate_per_sec),
        };
        match self.n_instances {
            0 | 1 => load,
            n => format!("{load}-instances-{n}"),
        }
    }
}

/// What the machine can carry. The key of every figure: load is offered in multiples of it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Calibration {
    /// C: requests of the whole mix per second that the database sustains with the cache bypassed.
    pub db_capacity_per_sec: f64,
    /// Requests of the whole mix per second with a warm cache.
    pub warm_capacity_per_sec: f64,
    /// Throughput of the short saturating burst that a later run repeats to see drift.
    pub probe_per_sec: f64,
    /// What each number of instances carries with Redis up; empty where there is only one number.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub control: Vec<ControlPoint>,
    /// What the database carries in each topology that is compared; empty where none is.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub topologies: Vec<TopologyPoint>,
    /// Bytes of PostgreSQL's answers for a request of the whole mix with the cache bypassed; `None`
    /// where no variant has a network of its own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub database_bytes_per_request: Option<f64>,
}

impl Calibration {
    /// Bytes per second of PostgreSQL's answers at C; `None` where they were not measured.
    pub fn database_bytes_per_sec(&self) -> Option<f64> {
        Some(self.database_bytes_per_request? * self.db_capacity_per_sec)
    }

    /// How many instances C was measured with: the number at which the database carried most, the
    /// smallest of several.
    pub fn database_instances(&self) -> u32 {
        let best = self.control.iter().reduce(|best, it| {
            if best.db_capacity_per_sec < it.db_capacity_per_sec { it } else { best }
        });
        best.map_or(1, |it| it.n_instances)
    }
}

/// What a number of instances carries in a saturating burst, with Redis up: the control of whether
/// more instances can carry more at all on this machine.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct ControlPoint {
    /// Instances of the service.
    pub n_instances: u32,
    /// Requests of the whole mix per second with a warm cache.
    pub warm_capacity_per_sec: f64,
    /// The same with the cache bypassed.
    pub db_capacity_per_sec: f64,
}

/// What the database of a topology carries in a saturating burst with the cache bypassed: the control
/// of whether a replica adds capacity at all on this machine.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct TopologyPoint {
    /// Which servers.
    pub topology: Topology,
    /// Requests of the whole mix per second.
    pub db_capacity_per_sec: f64,
}

/// The machine, the servers and the build.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Environment {
    /// `docker` or `process`.
    pub backend: String,
    /// Why this backend was taken.
    pub backend_reason: String,
    /// Cores, processor, memory and kernel.
    pub host: Host,
    /// Versions by name: `outage_lab`, `redis`, `postgres`, `rustc`.
    pub versions: BTreeMap<String, String>,
    /// Git commit of the build and whether the work tree was clean; `None` outside a checkout.
    pub commit: Option<String>,
    /// Image digests or server binaries.
    pub servers: BTreeMap<String, String>,
    /// CPU numbers of each component; empty when nothing was pinned.
    pub cpu_sets: BTreeMap<String, Vec<usize>>,
}

/// The machine.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Host {
    /// Processors the lab may use.
    pub n_cpus: u32,
    /// As `/proc/cpuinfo` names it.
    pub cpu_model: String,
    /// Memory, in bytes.
    pub memory_bytes: u64,
    /// As `/etc/os-release` names it.
    pub os: String,
    /// As `uname -r` names it.
    pub kernel: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_database_is_measured_with_as_many_instances_as_get_most_out_of_it() {
        let point = |n_instances, db_capacity_per_sec| ControlPoint {
            n_instances,
            warm_capacity_per_sec: 1.0,
            db_capacity_per_sec,
        };
        let calibration = |control| Calibration {
            db_capacity_per_sec: 200.0,
            warm_capacity_per_sec: 900.0,
            probe_per_sec: 205.0,
            control,
            topologies: Vec::new(),
            database_bytes_per_request: None,
        };
        let several = [point(1, 150.0), point(2, 205.0), point(4, 205.0), point(8, 90.0)];
        assert_eq!(calibration(several.to_vec()).database_instances(), 2);
        assert_eq!(calibration(Vec::new()).database_instances(), 1);
    }

    #[test]
    fn a_cells_folder_says_its_load() {
        let params = |load_factor, arrival_rate_per_sec| Params {
            load_factor,
            arrival_rate_per_sec,
            n_instances: 1,
        };
        assert_eq!(params(Some(1.5), 612.4).folder(), "load-factor-1.5");
        assert_eq!(params(None, 1500.0).folder(), "rate-1500");
        let several = Params { n_instances: 4, ..params(Some(1.5), 612.4) };
        assert_eq!(several.folder(), "load-factor-1.5-instances-4");
    }
}
