//! `summary.json`: every cell of a campaign in figures. Other programs read it, so its keys are a
//! contract: all are present, and `null` where a figure does not exist.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{
    manifest::{ControlPoint, Host, Params, TopologyPoint},
    verdict::{ConnectionDemand, DbAmplification, PerPhase, Verdict},
};
use crate::{
    outcome::{Outcome, ServedBy},
    route::Route,
    scenario::{Fault, Profile, Topology},
    seed::Seed,
};

/// Version of the schema of `summary.json`.
pub const SCHEMA: &str = "outage-lab/summary/1";
/// The file's name, below the campaign's folder.
pub const FILE: &str = "summary.json";

/// `summary.json`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Summary {
    /// [`SCHEMA`].
    pub schema: String,
    /// Name of the campaign.
    pub campaign: String,
    /// Phase lengths by name.
    pub profile: Profile,
    /// Seed of the campaign.
    pub seed: Seed,
    /// Whether planned trials are missing.
    pub partial: bool,
    /// Wall time of the start of the run, RFC 3339.
    pub started_at: String,
    /// How long the run took, in seconds.
    pub wall_time_s: f64,
    /// Warmup to drain, summed over all trials, in seconds.
    pub measuring_time_s: f64,
    /// `docker` or `process`.
    pub backend: String,
    /// The machine.
    pub host: Host,
    /// Versions of the lab and of the servers.
    pub versions: Versions,
    /// What the machine can carry.
    pub calibration: CalibrationSummary,
    /// When a service level is met.
    pub slo: SloSummary,
    /// One entry for each cell: variant × fault × params, in the order of the plan.
    pub variants: Vec<CellSummary>,
}

/// Versions of the lab and of the servers.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Versions {
    /// The lab.
    pub outage_lab: Option<String>,
    /// Redis.
    pub redis: Option<String>,
    /// PostgreSQL.
    pub postgres: Option<String>,
    /// The compiler of lab and service.
    pub rustc: Option<String>,
}

/// What the machine can carry; `None` when it was not measured.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct CalibrationSummary {
    /// C: requests of the whole mix per second with the cache bypassed.
    pub db_capacity_per_sec: Option<f64>,
    /// Requests of the whole mix per second with a warm cache.
    pub warm_capacity_per_sec: Option<f64>,
    /// What each number of instances carries with Redis up. Only where there are several numbers.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub control: Vec<ControlPoint>,
    /// What the database carries in each topology. Only where a replica is compared.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub topologies: Vec<TopologyPoint>,
}

/// When a service level is met.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct SloSummary {
    /// A success later than this is a failure, in milliseconds.
    pub deadline_ms: f64,
    /// Least share of requests served while the fault is on.
    pub served_ratio_min: f64,
}

/// One cell. Ratios are medians over its valid trials, in `_trials` every valid trial stands.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CellSummary {
    /// Name of the variant.
    pub variant: String,
    /// The variant it stands on.
    pub base: Option<String>,
    /// What is done to Redis.
    pub fault: Fault,
    /// Which servers there are.
    pub topology: Topology,
    /// Load and instances.
    pub params: Params,
    /// Scheduled arrivals per second.
    pub arrival_rate_per_sec: f64,
    /// Trials that were run, invalid ones included.
    pub n_trials: u32,
    /// Trials that cannot answer and are in no figure.
    pub n_invalid: u32,
    /// `served_ratio_fault` against the objective.
    pub verdict: Verdict,
    /// Goodput fraction in the fault window over that in the baseline, product pages.
    pub goodput_ratio_fault: Option<f64>,
    /// The same of every valid trial, in order.
    pub goodput_ratio_fault_trials: Vec<Option<f64>>,
    /// Success and degraded over scheduled in the fault window, all routes.
    pub served_ratio_fault: Option<f64>,
    /// The same of every valid trial, in order.
    pub served_ratio_fault_trials: Vec<Option<f64>>,
    /// p99 of the product response time in the fault window over that in the baseline.
    pub response_time_p99_ratio_fault: Option<f64>,
    /// The same of every valid trial, in order.
    pub response_time_p99_ratio_fault_trials: Vec<Option<f64>>,
    /// Whether `response_time_p99_ratio_fault` is a lower bound, because it rests on a trial whose
    /// p99 is that of a request that was not served.
    pub p99_censored: bool,
    /// Queries for each request; medians over valid trials.
    pub db_amplification: DbAmplification,
    /// Connection demand: medians of the means, the highest of the high-water marks.
    pub connection_demand: ConnectionDemand,
    /// Median over valid trials; `None` when most have none. A trial without one counts as longer
    /// than any that has one.
    pub time_to_detect_ms: Option<f64>,
    /// As `time_to_detect_ms`; 0: goodput never fell.
    pub time_to_mitigate_ms: Option<f64>,
    /// As `time_to_detect_ms`.
    pub time_to_recover_ms: Option<f64>,
    /// Valid trials that recovered.
    pub n_recovered: u32,
    /// Whether every valid trial recovered; `None` without a valid trial.
    pub recovered: Option<bool>,
    /// Scheduled and neither success nor degraded, fault to drain, sum over valid trials.
    pub lost_requests: Option<u64>,
    /// Orders that were acknowledged, sum over valid trials.
    pub orders_acknowledged: Option<u64>,
    /// Acknowledged orders that are not in the database, sum over valid trials.
    pub orders_lost: Option<u64>,
    /// Acknowledged views that are nowhere, sum over valid trials; `None` when one has no count.
    pub views_lost: Option<u64>,
    /// Figures by phase, over all valid trials together.
    pub phases: PerPhase<PhaseSummary>,
}

impl CellSummary {
    /// Trials that its figures rest on.
    pub fn n_valid(&self) -> u32 {
        self.n_trials.saturating_sub(self.n_invalid)
    }
}

/// Figures of one phase, over all valid trials together.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct PhaseSummary {
    /// Requests due, per second.
    pub offered_per_sec: Option<f64>,
    /// Requests sent, per second.
    pub achieved_per_sec: Option<f64>,
    /// Responses of any status, per second.
    pub throughput_per_sec: Option<f64>,
    /// Successes within the deadline, per second, all routes.
    pub goodput_per_sec: Option<f64>,
    /// Success and degraded over scheduled, all routes.
    pub served_ratio: Option<f64>,
    /// Requests due, by how they ended.
    pub outcomes: BTreeMap<Outcome, u64>,
    /// Responses by what served them.
    pub served_by: BTreeMap<ServedBy, u64>,
    /// The same by route.
    pub routes: BTreeMap<Route, RouteSummary>,
    /// Response time of product pages; those not served count at the longer of their true time and
    /// the deadline.
    pub response_time_us: Quantiles,
    /// Service time of product pages that were sent.
    pub service_time_us: Quantiles,
    /// Send lag of all routes.
    pub send_lag_us: LagQuantiles,
    /// The database and the pool before it.
    pub db: DbSummary,
    /// The shared cache.
    pub cache: CacheSummary,
    /// CPU.
    pub cpu: CpuSummary,
}

/// One route in one phase.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct RouteSummary {
    /// Successes within the deadline, per second.
    pub goodput_per_sec: Option<f64>,
    /// Success and degraded over scheduled.
    pub served_ratio: Option<f64>,
    /// Response time; requests not served count at the longer of their true time and the deadline.
    pub response_time_us: Quantiles,
}

/// Quantiles in microseconds: the smallest recorded value that at least this share of all values
/// does not exceed, to three digits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Quantiles {
    /// Half of all values.
    pub p50: Option<u64>,
    /// 0.9 of all values.
    pub p90: Option<u64>,
    /// 0.99 of all values.
    pub p99: Option<u64>,
    /// 0.999 of all values.
    pub p999: Option<u64>,
    /// The largest.
    pub max: Option<u64>,
}

/// Quantiles of the send lag in microseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct LagQuantiles {
    /// Half of all values.
    pub p50: Option<u64>,
    /// 0.99 of all values.
    pub p99: Option<u64>,
    /// The largest.
    pub max: Option<u64>,
}

/// The database and the pool before it, in one phase.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
pub struct DbSummary {
    /// Statements per second.
    pub queries_per_sec: Option<f64>,
    /// Statements for each request due.
    pub queries_per_request: Option<f64>,
    /// Most backends in state `active`.
    pub backends_active_max: Option<u32>,
    /// Most backends of any state.
    pub backends_total_max: Option<u32>,
    /// Most connections handed out at once.
    pub pool_in_use_max: Option<u32>,
    /// Most callers waiting at once.
    pub pool_pending_max: Option<u32>,
    /// 99th percentile of the wait for a connection, in microseconds.
    pub pool_acquire_wait_us_p99: Option<u64>,
    /// Callers that stopped waiting for a connection.
    pub pool_timeouts: Option<u64>,
    /// Connections that PostgreSQL refused because it had no more. Results from before it was
    /// counted do not have the key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub connections_refused: Option<u64>,
    /// The most that a replica was behind, in bytes of log. Only where there is a replica.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replication_lag_bytes_max: Option<u64>,
    /// The longest that a replica took to replay, in microseconds. Only where there is a replica.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replication_lag_us_max: Option<u64>,
}

/// The shared cache in one phase.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
pub struct CacheSummary {
    /// Reads answered by Redis over reads that reached it; `None` when it was not reached.
    pub hit_ratio: Option<f64>,
}

/// Cores used on average in one phase.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
pub struct CpuSummary {
    /// The target service.
    pub storefront_cores: Option<f64>,
    /// PostgreSQL, all its processes.
    pub postgres_cores: Option<f64>,
    /// Redis.
    pub redis_cores: Option<f64>,
    /// The load generator.
    pub load_cores: Option<f64>,
}
