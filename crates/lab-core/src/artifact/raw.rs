//! What the harness samples while a trial runs, one JSON line per sample, on the trial's axis.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::target::TargetSample;

/// Time between two [`ServiceLine`]s.
pub const SERVICE_PERIOD: Duration = Duration::from_millis(100);
/// Time between two [`DatabaseLine`]s.
pub const DATABASE_PERIOD: Duration = Duration::from_millis(250);
/// Time between two [`CpuLine`]s.
pub const CPU_PERIOD: Duration = Duration::from_millis(500);

/// File of [`ServiceLine`]s, below the trial's folder.
pub const SERVICE_FILE: &str = "raw/service.jsonl";
/// File of [`DatabaseLine`]s, below the trial's folder.
pub const DATABASE_FILE: &str = "raw/database.jsonl";
/// File of [`CpuLine`]s, below the trial's folder.
pub const CPU_FILE: &str = "raw/cpu.jsonl";
/// File of [`StallLine`]s, below the trial's folder.
pub const STALLS_FILE: &str = "raw/stalls.jsonl";
/// File of the [`FinalCounts`], below the trial's folder.
pub const COUNTS_FILE: &str = "raw/counts.json";

/// What an instance of the service said of itself, every 100 ms.
///
/// An instance that joins later has a first line from the moment it was started, which nobody said:
/// everything in it is 0, `pool_size_max` too, which no running instance says.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ServiceLine {
    /// When it was asked, in milliseconds from the start of the schedule.
    pub at_ms: f64,
    /// Which instance, from 1.
    #[serde(default = "first_instance", skip_serializing_if = "is_first_instance")]
    pub instance: u32,
    /// What it said.
    #[serde(flatten)]
    pub sample: TargetSample,
}

impl ServiceLine {
    /// The first line of an instance that was started at `at_ms`.
    pub fn began(at_ms: f64, instance: u32) -> Self {
        Self { at_ms, instance, sample: TargetSample::default() }
    }

    /// Whether this is such a line: before it there was no such instance.
    pub fn is_begin(&self) -> bool {
        self.sample.pool_size_max == 0
    }
}

fn first_instance() -> u32 {
    1
}

fn is_first_instance(instance: &u32) -> bool {
    *instance == 1
}

/// What PostgreSQL said of its backends, every 250 ms. The lab's own backends are not counted.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct DatabaseLine {
    /// When it was asked, in milliseconds from the start of the schedule.
    pub at_ms: f64,
    /// Backends by state and wait event; those on a replica come after those on the primary.
    pub backends: Vec<BackendGroup>,
    /// How far a replica is behind. `None`: there is none, or it is not connected.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replication_lag: Option<ReplicationLag>,
}

/// How far a replica of PostgreSQL is behind its primary, as the primary knows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReplicationLag {
    /// Written by the primary and not yet replayed by the replica, in bytes of log.
    pub bytes: u64,
    /// From writing the latest part of the log to hearing that it was replayed, in microseconds.
    /// `None`: the replica was idle and up to date for a while.
    pub replay_us: Option<u64>,
}

/// Backends in one state that wait for one thing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BackendGroup {
    /// `pg_stat_activity.state`, such as `active` or `idle`; empty while a backend starts.
    pub state: String,
    /// `pg_stat_activity.wait_event_type`; `None` when it runs on a CPU.
    pub wait_event_type: Option<String>,
    /// `pg_stat_activity.wait_event`.
    pub wait_event: Option<String>,
    /// How many.
    pub n: u32,
}

/// CPU time used since the trial's processes started, every 500 ms. Seconds of one core.
/// `None` while a component is not running or cannot be read.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CpuLine {
    /// When it was read, in milliseconds from the start of the schedule.
    pub at_ms: f64,
    /// The target service, all its instances.
    pub storefront_cpu_s: Option<f64>,
    /// PostgreSQL, all its processes.
    pub postgres_cpu_s: Option<f64>,
    /// Redis; starts anew when it was restarted.
    pub redis_cpu_s: Option<f64>,
    /// The load generator.
    pub load_cpu_s: Option<f64>,
}

/// A stretch of time in which one of the generator's processors ran nothing although a thread was
/// due on it: the machine's doing (a hypervisor that runs somebody else), not the generator's.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct StallLine {
    /// When it began, in milliseconds from the start of the schedule.
    pub at_ms: f64,
    /// How long it lasted, in milliseconds.
    pub for_ms: f64,
    /// Which processor; `None` when nothing is pinned.
    pub cpu: Option<usize>,
}

/// Totals read when the trial was over and the database quiet.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct FinalCounts {
    /// Requests in the whole schedule, as the generator says: each must have one outcome.
    pub requests_scheduled: u64,
    /// Statements that all instances of the service say they sent, total. `None`: one no longer
    /// answered.
    pub service_queries: Option<u64>,
    /// Statements that `pg_stat_statements` counted for the service's role, on all servers.
    pub postgres_queries: Option<u64>,
    /// Orders that the generator saw acknowledged.
    pub orders_acknowledged: u64,
    /// Acknowledged orders that are not in the database.
    pub orders_lost: u64,
    /// Views that were acknowledged and are neither in the database nor in Redis nor in a buffer.
    /// `None`: could not be counted.
    pub views_lost: Option<u64>,
    /// Names of processes that ended although nobody asked them to.
    pub unexpected_deaths: Vec<String>,
}
