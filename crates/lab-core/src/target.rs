//! What the lab and the target service agree on: the file the service is started with, the header
//! that tells it how long a client waits, and what its internal port tells.

use std::{
    collections::BTreeMap, fmt, net::SocketAddr, num::NonZeroU32, path::PathBuf, time::Duration,
};

use serde::{Deserialize, Serialize};

use crate::{
    catalogue::CatalogueSpec, clock::MonotonicNs, seed::Seed, settings::Settings, units::Ratio,
};

/// The header in which a client says how long it will still wait: whole milliseconds, at least 1,
/// left at the moment the request is sent. What the service does after that reaches nobody.
pub const BUDGET_HEADER: &str = "x-budget-ms";

/// Names of the switches on the target's internal port (`POST /internal/mitigations/<name>`), in
/// order: what an operator can turn on and off while the service runs.
pub const SWITCHES: [&str; 16] = [
    "adaptive_concurrency",
    "async_queue",
    "batch_writes",
    "bulkhead",
    "circuit_breaker",
    "coalesce",
    "deadline_propagation",
    "graceful_degradation",
    "local_cache",
    "optimized_query",
    "paced_refill",
    "pool_raise",
    "priority_shedding",
    "rate_limit",
    "retry",
    "static_snapshot",
];

/// The set in Redis into which instances enter their address.
pub const REGISTRY_KEY: &str = "storefront:instances";
/// How long an entry is good for when its instance does not renew it. Chosen: as long as load
/// balancers usually wait for a few missed heartbeats.
pub const REGISTRY_TTL: Duration = Duration::from_secs(3);

/// The key whose existence says that the instance at `address` still renews its entry.
pub fn registry_entry(address: SocketAddr) -> String {
    format!("storefront:instance:{address}")
}

/// Everything the target service is started with. Written by the lab as JSON, one file per trial.
///
/// The service's commands all take it: `serve`, `seed` (schema and data set, once per stack) and
/// `reset` (back to the known state, before every trial).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TargetConfig {
    /// Address of the public routes.
    pub listen: SocketAddr,
    /// Address of `/internal/*`; always on loopback.
    pub internal_listen: SocketAddr,
    /// What `/internal/*` wants as `authorization: Bearer <token>`.
    pub internal_token: String,
    /// Where Redis is.
    pub redis: RedisLocation,
    /// Whether it enters itself into the list of instances in Redis, for as long as it runs.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub registers: bool,
    /// Where PostgreSQL is, as a `tokio-postgres` connection string.
    pub database_url: String,
    /// Where a replica of it answers reads. `None`: there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replica_url: Option<String>,
    /// Connections in the pool, the same for that of the replica, unless the variant sets its own.
    pub pool_size: NonZeroU32,
    /// Threads that serve requests.
    pub worker_threads: NonZeroU32,
    /// The data set.
    pub catalogue: CatalogueSpec,
    /// What the shared cache holds when a trial starts.
    pub cache: CacheSpec,
    /// The seed of the trial.
    pub seed: Seed,
    /// The variant's settings; a `capacity_ratio` is already resolved into `permits_per_sec`.
    pub settings: Settings,
    /// Where the service appends its events as JSON lines ([`TargetEvent`]).
    pub events_path: PathBuf,
    /// Folder for what the service itself must not lose, such as queued writes. It is kept from one
    /// start to the next.
    #[serde(default)]
    pub state_path: PathBuf,
    /// Requests per second of cached routes that the schedule will offer: what a local cache
    /// would have been filled by.
    pub cached_reads_per_sec: f64,
    /// Weight of each cached route in the load, for the same purpose.
    pub zipf_exponent: f64,
}

/// Where a client finds Redis: an address, or whom to ask for one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged, deny_unknown_fields)]
pub enum RedisLocation {
    /// One server, and no other.
    Single(SocketAddr),
    /// The primary that sentinels name.
    Sentinel {
        /// The sentinels.
        sentinels: Vec<SocketAddr>,
        /// The name under which they watch it.
        master: String,
    },
    /// The nodes of a cluster, which know who owns which key.
    Cluster {
        /// Nodes to ask first.
        cluster: Vec<SocketAddr>,
    },
}

impl RedisLocation {
    /// The only server; `None` where there are several.
    pub fn single(&self) -> Option<SocketAddr> {
        match self {
            Self::Single(address) => Some(*address),
            Self::Sentinel { .. } | Self::Cluster { .. } => None,
        }
    }
}

impl fmt::Display for RedisLocation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let list = |addresses: &[SocketAddr]| {
            addresses.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
        };
        match self {
            Self::Single(address) => write!(f, "{address}"),
            Self::Sentinel { sentinels, master } => {
                write!(f, "`{master}` of the sentinels {}", list(sentinels))
            }
            Self::Cluster { cluster } => write!(f, "the cluster of {}", list(cluster)),
        }
    }
}

/// What the shared cache holds when a trial starts.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CacheSpec {
    /// Time to live of an entry; entries loaded ahead have a part of it left, spread evenly from
    /// half of it to all of it, so that they do not expire together.
    #[serde(with = "humantime_serde")]
    pub ttl: Duration,
    /// Share of cached reads that Redis answers in the baseline phase.
    pub hit_ratio: Ratio,
}

/// An event as the service writes it, on the machine's clock.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TargetEvent {
    /// When it happened.
    pub at: MonotonicNs,
    /// What happened, in the past tense, such as `circuit_opened`.
    pub kind: String,
    /// Facts, if any.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub detail: BTreeMap<String, String>,
}

/// What `POST /internal/sample` answers: figures of the time since it was last asked, and totals
/// since the service started. Asking resets the former, so only the lab's sampler asks. Where a
/// replica answers reads, the figures of its pool and its statements are added to the primary's.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TargetSample {
    /// Connections the pool may open.
    pub pool_size_max: u32,
    /// Connections handed out now.
    pub pool_in_use: u32,
    /// Connections open and not handed out now.
    pub pool_idle: u32,
    /// Callers waiting for a connection now.
    pub pool_pending: u32,
    /// Most connections handed out at once since the last sample.
    pub pool_in_use_high_water: u32,
    /// Most callers waiting at once since the last sample.
    pub pool_pending_high_water: u32,
    /// Mean over time of in use + pending since the last sample.
    pub connection_demand_mean: f64,
    /// Highest in use + pending since the last sample.
    pub connection_demand_high_water: u32,
    /// Waits for a connection since the last sample: pairs of microseconds and count.
    pub acquire_waits_us: Vec<(u64, u64)>,
    /// Callers that stopped waiting because of `acquire_timeout`, total.
    pub acquire_timeouts_total: u64,
    /// Connections that PostgreSQL refused because it has no more (`too many clients`), total.
    #[serde(default)]
    pub connections_refused_total: u64,
    /// Statements sent to PostgreSQL, total.
    pub queries_total: u64,
    /// Statements that ended in an error, total. PostgreSQL's own counts leave them out.
    pub queries_failed_total: u64,
    /// Cached reads answered by Redis, total.
    pub cache_hits_total: u64,
    /// Cached reads that asked Redis and were told "not there", total.
    pub cache_misses_total: u64,
    /// Redis calls that failed, timed out or were not permitted, total.
    pub redis_errors_total: u64,
    /// Requests accepted, total.
    pub requests_total: u64,
    /// Requests accepted whose response is not finished, now.
    pub pending_requests: u64,
    /// Views acknowledged and not yet in the database or in Redis, now.
    pub views_buffered: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_single_redis_is_its_address_and_every_other_says_whom_to_ask() {
        for (json, words) in [
            (r#""127.0.0.1:1""#, "127.0.0.1:1"),
            (
                r#"{"sentinels":["127.0.0.1:1","127.0.0.1:2"],"master":"redis"}"#,
                "`redis` of the sentinels 127.0.0.1:1, 127.0.0.1:2",
            ),
            (r#"{"cluster":["127.0.0.1:1"]}"#, "the cluster of 127.0.0.1:1"),
        ] {
            let location: RedisLocation = serde_json::from_str(json).unwrap();
            assert_eq!(location.to_string(), words);
            assert_eq!(serde_json::to_string(&location).unwrap(), json);
        }
        for json in [r#"{"cluster":["127.0.0.1:1"],"master":"redis"}"#, r#"{"sentinels":[]}"#] {
            assert!(serde_json::from_str::<RedisLocation>(json).is_err(), "{json}");
        }
    }
}
