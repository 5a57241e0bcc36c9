//! `timeline.json`: one trial on its time axis, enough to draw every plot of it.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::outcome::{Outcome, ServedBy};

/// Version of the schema of `timeline.json`.
pub const SCHEMA: &str = "outage-lab/timeline/1";
/// The file's name, below the trial's folder.
pub const FILE: &str = "timeline.json";

/// `timeline.json` of one trial. Every column has one entry for each bin; bin k covers
/// k × `bin_ms` to (k + 1) × `bin_ms`, in milliseconds from the start of the schedule.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Timeline {
    /// [`SCHEMA`].
    pub schema: String,
    /// Length of a bin in milliseconds.
    pub bin_ms: u32,
    /// Bins, from the start of the schedule to the end of the drain.
    pub n_bins: usize,
    /// What users saw. A request belongs to the bin in which it was due.
    pub requests: RequestColumns,
    /// What the service said of its connection pool.
    pub pool: PoolColumns,
    /// What PostgreSQL said, and what it was asked.
    pub database: DatabaseColumns,
    /// Cores used, by component; `None` where nothing was read.
    pub cpu_cores: CpuColumn<Vec<Option<f64>>>,
}

/// What users saw, by bin.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct RequestColumns {
    /// Requests due, all routes.
    pub scheduled: Vec<u32>,
    /// Requests due by how they ended, all routes; every outcome is there.
    pub outcomes: BTreeMap<Outcome, Vec<u32>>,
    /// Responses by what served them, all routes; sources that never served are left out.
    pub served_by: BTreeMap<ServedBy, Vec<u32>>,
    /// Product pages due.
    pub product_scheduled: Vec<u32>,
    /// Product pages that ended in success.
    pub product_success: Vec<u32>,
    /// Median response time of product pages, in microseconds; `None` for an empty bin. Requests
    /// that were not served count at the longer of their true time and the deadline.
    pub product_response_time_us_p50: Vec<Option<u64>>,
    /// 99th percentile of the same.
    pub product_response_time_us_p99: Vec<Option<u64>>,
}

/// What the service said of its connection pool, by bin; `None` where it did not answer. Sums over
/// all instances; highest values are the highest sum of the marks that instances kept at that time,
/// which is at least the true one.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct PoolColumns {
    /// Connections that the pools may open; the largest of the trial. `None`: the service never
    /// answered.
    pub size_max: Option<u32>,
    /// Mean over time of in use + pending.
    pub connection_demand_mean: Vec<Option<f64>>,
    /// Highest in use + pending.
    pub connection_demand_high_water: Vec<Option<u32>>,
    /// Most connections handed out at once.
    pub in_use: Vec<Option<u32>>,
    /// Most callers waiting at once.
    pub pending: Vec<Option<u32>>,
}

/// What PostgreSQL said, by bin; `None` where nothing was read.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct DatabaseColumns {
    /// Statements that the service sent, per second.
    pub queries_per_sec: Vec<Option<f64>>,
    /// Backends in state `active`, the most of the bin.
    pub backends_active: Vec<Option<u32>>,
    /// Backends of any state, the most of the bin.
    pub backends_total: Vec<Option<u32>>,
    /// Connections refused because PostgreSQL had no more, per second. Empty in results from before
    /// it was counted.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub connections_refused_per_sec: Vec<Option<f64>>,
}

/// One value for each component that uses CPU.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
pub struct CpuColumn<T> {
    /// The target service.
    pub storefront: T,
    /// PostgreSQL, all its processes.
    pub postgres: T,
    /// Redis.
    pub redis: T,
    /// The load generator.
    pub load: T,
}
