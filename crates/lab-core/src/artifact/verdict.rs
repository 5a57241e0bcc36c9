//! `verdict.json`: what one trial says, in figures that can be merged over trials.
//!
//! Counts, sums and maxima are here; the distributions are in `phases.hlog` beside it.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{campaign_run::PlannedCell, timeline::CpuColumn};
use crate::{
    outcome::{Outcome, ServedBy},
    route::Route,
    scenario::Phase,
    seed::Seed,
};

/// Version of the schema of `verdict.json`.
pub const SCHEMA: &str = "outage-lab/verdict/1";
/// The file's name, below the trial's folder.
pub const FILE: &str = "verdict.json";

/// The answer to one service level objective.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// The share of requests served while the fault was on reached the objective.
    Met,
    /// It did not.
    Missed,
    /// The measurement cannot answer.
    Invalid,
}

impl Verdict {
    /// The name used in artifacts.
    pub fn name(self) -> &'static str {
        match self {
            Self::Met => "met",
            Self::Missed => "missed",
            Self::Invalid => "invalid",
        }
    }
}

/// `verdict.json` of one trial.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TrialVerdict {
    /// [`SCHEMA`].
    pub schema: String,
    /// Which cell the trial belongs to.
    pub cell: PlannedCell,
    /// Which repetition, from 0.
    pub trial: u32,
    /// Which attempt at this repetition, from 1.
    pub attempt: u32,
    /// The trial's seed.
    pub seed: Seed,
    /// Whether the trial may be averaged in: `reasons` is empty.
    pub valid: bool,
    /// Why it may not.
    pub reasons: Vec<InvalidReason>,
    /// `served_ratio_fault` against the objective.
    pub verdict: Verdict,
    /// The fault window, from the fault's origin to the dependency's first answer, in milliseconds
    /// from the start of the schedule. Without the event of its start it starts where the schedule
    /// says, without that of its end it lasts until the last arrival.
    pub fault_window: Window,
    /// How much the machine stood still from the baseline to the last arrival.
    pub machine_stalls: MachineStalls,
    /// The figures.
    pub figures: TrialFigures,
}

/// A stretch of the trial's time axis, in milliseconds from the start of the schedule.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Window {
    /// The first instant inside.
    pub start_ms: f64,
    /// The first instant after.
    pub end_ms: f64,
}

impl Window {
    /// Length in milliseconds; 0 for an empty window.
    pub fn length_ms(self) -> f64 {
        (self.end_ms - self.start_ms).max(0.0)
    }

    /// Length in seconds; 0 for an empty window.
    pub fn length_s(self) -> f64 {
        self.length_ms() / 1_000.0
    }

    /// Whether `at_ms` lies inside: the start belongs to it, the end does not.
    pub fn contains(self, at_ms: f64) -> bool {
        self.start_ms <= at_ms && at_ms < self.end_ms
    }
}

/// Stretches in which a processor of the generator ran nothing although a thread was due on it.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
pub struct MachineStalls {
    /// How many, of 1 ms and longer.
    pub n: u64,
    /// Their time together, in milliseconds; what overlaps on two processors counts once.
    pub total_ms: f64,
    /// The longest, in milliseconds.
    pub longest_ms: f64,
}

/// Why a trial cannot answer. Each carries what was seen and what is allowed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, thiserror::Error)]
#[serde(tag = "reason", rename_all = "snake_case")]
pub enum InvalidReason {
    /// No event says that the fault was injected.
    #[error("the fault was not injected")]
    FaultNotInjected {},
    /// The probe did not see the effect in time.
    #[error("the fault was not confirmed within {allowed_ms} ms ({})",
        after_ms.map_or_else(|| "never".to_owned(), |it| format!("after {it:.0} ms")))]
    FaultNotConfirmed {
        /// When it was seen, in milliseconds after the injection; `None`: never.
        after_ms: Option<f64>,
        /// The limit in milliseconds.
        allowed_ms: f64,
    },
    /// The dependency never answered again, so the fault window has no end.
    #[error("the dependency did not answer again before the arrivals ended")]
    DependencyNotReady {},
    /// Requests for which no virtual user was free in time.
    #[error("{n} requests were never sent")]
    Unsent {
        /// How many.
        n: u64,
    },
    /// Requests that the generator sent too late although a user was free.
    #[error(
        "{n} requests were sent more than {allowed_ms} ms late while a user was free \
        (worst {worst_ms:.1} ms)"
    )]
    SentLate {
        /// How many.
        n: u64,
        /// How late the latest of them was, in milliseconds, machine stalls taken off.
        worst_ms: f64,
        /// The limit in milliseconds.
        allowed_ms: f64,
    },
    /// The machine itself stood still for longer than any figure can bear.
    #[error("the machine stood still for {longest_ms:.0} ms (allowed are {allowed_ms} ms)")]
    MachineStalled {
        /// The longest stall of a processor of the generator, in milliseconds.
        longest_ms: f64,
        /// The limit in milliseconds.
        allowed_ms: f64,
    },
    /// Too many requests fail while nothing is broken.
    #[error("baseline success ratio {got:.4} is below {allowed}")]
    BaselineFailing {
        /// Success over scheduled.
        got: f64,
        /// The least allowed.
        allowed: f64,
    },
    /// The service has not settled: the two halves of the baseline differ.
    #[error(
        "baseline p99 drifts: {:.1} ms, then {:.1} ms (more than {allowed}x apart)",
        ms(*first_half_us),
        ms(*second_half_us)
    )]
    BaselineDrifting {
        /// p99 of the product response time in the first half, in microseconds.
        first_half_us: u64,
        /// The same in the second half.
        second_half_us: u64,
        /// The largest allowed ratio between them.
        allowed: f64,
    },
    /// The cache was not as full as the scenario states.
    #[error("baseline hit ratio {got:.3} is not within {tolerance} of the stated {stated}")]
    HitRatioOff {
        /// Share of cached reads that a cache answered.
        got: f64,
        /// What the scenario states.
        stated: f64,
        /// The allowed distance.
        tolerance: f64,
    },
    /// The generator was late too often to be believed.
    #[error(
        "send lag p99 in {phase} is {:.2} ms (allowed are {:.2} ms)",
        ms(*got_us),
        ms(*allowed_us)
    )]
    SendLag {
        /// In which phase.
        phase: Phase,
        /// p99 of the send lag, in microseconds.
        got_us: u64,
        /// The limit in microseconds.
        allowed_us: u64,
    },
    /// A phase without a single product request: nothing can be said of it.
    #[error("no product request was scheduled in {phase}")]
    EmptyPhase {
        /// Which phase.
        phase: Phase,
    },
    /// Too few samples of the service, of PostgreSQL or of CPU time to make figures of.
    #[error("{n} samples of {what}, at least {allowed} were expected")]
    SampledTooRarely {
        /// `service`, `database` or `cpu`.
        what: String,
        /// How many there are from the baseline to the last arrival.
        n: u64,
        /// The least allowed.
        allowed: u64,
    },
    /// The service or PostgreSQL could not be asked for its count.
    #[error("queries could not be counted")]
    QueriesNotCounted {},
    /// The service's count of queries is not PostgreSQL's.
    #[error(
        "the service counted {service} queries, postgres {postgres} \
        (more than {tolerance} apart)"
    )]
    QueriesNotReconciled {
        /// The service's count.
        service: u64,
        /// PostgreSQL's count.
        postgres: u64,
        /// The allowed relative distance.
        tolerance: f64,
    },
    /// Scheduled requests without an outcome, with two, or never scheduled at all.
    #[error(
        "of {scheduled} scheduled requests {missing} have no outcome, {repeated} more than one, \
        {foreign} records belong to none"
    )]
    OutcomesNotOneEach {
        /// Requests in the schedule.
        scheduled: u64,
        /// Requests without a record.
        missing: u64,
        /// Records of a request that already has one.
        repeated: u64,
        /// Records of a request outside the schedule.
        foreign: u64,
    },
    /// A process of the trial ended although nobody asked it to.
    #[error("{process} died unexpectedly")]
    UnexpectedDeath {
        /// Its name.
        process: String,
    },
    /// Acknowledged orders that are not in the database.
    #[error("{n} acknowledged orders are not in the database")]
    OrdersLost {
        /// How many.
        n: u64,
    },
}

/// Microseconds as milliseconds, for people.
fn ms(us: u64) -> f64 {
    us as f64 / 1_000.0
}

/// One value for each of the three phases that figures are made of.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
pub struct PerPhase<T> {
    /// Normal behaviour: the scheduled baseline phase.
    pub baseline: T,
    /// From the fault's origin to the dependency's first answer.
    pub fault: T,
    /// From the dependency's first answer to the last arrival.
    pub recovery: T,
}

impl<T> PerPhase<T> {
    /// Makes the value of each phase, in order.
    pub fn from_fn(mut make: impl FnMut(Phase) -> T) -> Self {
        Self {
            baseline: make(Phase::Baseline),
            fault: make(Phase::Fault),
            recovery: make(Phase::Recovery),
        }
    }

    /// The value of one phase; `None` for the phases that no figure is made of.
    pub fn get(&self, phase: Phase) -> Option<&T> {
        match phase {
            Phase::Baseline => Some(&self.baseline),
            Phase::Fault => Some(&self.fault),
            Phase::Recovery => Some(&self.recovery),
            Phase::Warmup | Phase::Drain => None,
        }
    }

    /// The phases and their values, in order.
    pub fn iter(&self) -> impl Iterator<Item = (Phase, &T)> {
        [
            (Phase::Baseline, &self.baseline),
            (Phase::Fault, &self.fault),
            (Phase::Recovery, &self.recovery),
        ]
        .into_iter()
    }
}

/// Every figure of one trial. `None` where a figure does not exist.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TrialFigures {
    /// Requests in the schedule, warmup included.
    pub requests_scheduled: u64,
    /// Goodput fraction of product pages: success within the deadline over scheduled.
    pub goodput_fraction: PerPhase<Option<f64>>,
    /// Goodput fraction of the fault over that of the baseline, product pages.
    pub goodput_ratio_fault: Option<f64>,
    /// Success and degraded over scheduled in the fault window, all routes.
    pub served_ratio_fault: Option<f64>,
    /// p99 of the product response time, in microseconds. Requests that were not served count at
    /// the longer of their true time and the deadline.
    pub response_time_p99_us: PerPhase<Option<u64>>,
    /// p99 in the fault window over p99 in the baseline.
    pub response_time_p99_ratio_fault: Option<f64>,
    /// Whether the p99 of the fault window is that of a request that was not served: the true
    /// value is at least as large.
    pub p99_censored: bool,
    /// Queries for each request.
    pub db_amplification: DbAmplification,
    /// Connections in use and waited for.
    pub connection_demand: ConnectionDemand,
    /// From the fault's origin to the first event by which the service changed behaviour.
    pub time_to_detect_ms: Option<f64>,
    /// From the fault's origin until product pages were back for good; 0: they never fell.
    pub time_to_mitigate_ms: Option<f64>,
    /// From the dependency's first answer until everything was as before.
    pub time_to_recover_ms: Option<f64>,
    /// Whether `time_to_recover_ms` exists.
    pub recovered: bool,
    /// Scheduled and neither success nor degraded, fault to drain.
    pub lost_requests: u64,
    /// Orders that the generator saw acknowledged.
    pub orders_acknowledged: u64,
    /// Acknowledged orders that are not in the database.
    pub orders_lost: u64,
    /// Acknowledged views that are nowhere.
    pub views_lost: Option<u64>,
    /// Counts, sums and maxima by phase.
    pub phases: PerPhase<PhaseCounts>,
}

/// Queries for each request. A request counts when it was scheduled.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
pub struct DbAmplification {
    /// The peak over the baseline's mean, the latter taken as at least 0.1.
    pub ratio: Option<f64>,
    /// Highest value of any second of the fault window.
    pub queries_per_request_fault_peak: Option<f64>,
    /// Mean of the baseline.
    pub queries_per_request_baseline: Option<f64>,
}

/// Connections in use + callers waiting for one, summed over all instances.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
pub struct ConnectionDemand {
    /// Mean over the time of the baseline.
    pub mean_baseline: Option<f64>,
    /// Mean over the time of the fault window.
    pub mean_fault: Option<f64>,
    /// Highest value in the fault window, kept by the service between samples. Of several instances
    /// the highest sum of the marks that they kept at the same time: at least the true one.
    pub high_water_fault: Option<u32>,
}

/// Counts, sums and maxima of one phase; merged over trials by adding and by the larger.
///
/// A request belongs to the phase in which it was due, but for `n_sent` and `n_answered`.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct PhaseCounts {
    /// Length in seconds.
    pub duration_s: f64,
    /// Requests due.
    pub n_scheduled: u64,
    /// Requests whose sending began in the phase.
    pub n_sent: u64,
    /// Requests whose response, of any status, was complete in the phase.
    pub n_answered: u64,
    /// Requests due, by outcome; every outcome is there.
    pub outcomes: BTreeMap<Outcome, u64>,
    /// Responses to the requests due, by what served them.
    pub served_by: BTreeMap<ServedBy, u64>,
    /// Requests due, by route.
    pub routes: BTreeMap<Route, RouteCounts>,
    /// Statements sent to PostgreSQL.
    pub n_queries: Option<f64>,
    /// Most backends in state `active`.
    pub backends_active_max: Option<u32>,
    /// Most backends of any state.
    pub backends_total_max: Option<u32>,
    /// Most connections handed out at once.
    pub pool_in_use_max: Option<u32>,
    /// Most callers waiting at once.
    pub pool_pending_max: Option<u32>,
    /// Callers that stopped waiting for a connection.
    pub n_pool_timeouts: Option<f64>,
    /// Connections that PostgreSQL refused because it had no more. `None` also in results from
    /// before it was counted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub n_connections_refused: Option<f64>,
    /// The most that a replica was behind, in bytes of log. `None`: there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replication_lag_bytes_max: Option<u64>,
    /// The longest that a replica took to replay, in microseconds. `None`: there is none, or it was
    /// idle.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replication_lag_us_max: Option<u64>,
    /// Cached reads answered by Redis.
    pub n_cache_hits: Option<f64>,
    /// Cached reads that Redis had no entry for.
    pub n_cache_misses: Option<f64>,
    /// CPU time used, in seconds of one core.
    pub cpu_s: CpuColumn<Option<f64>>,
}

/// Requests of one route in one phase.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct RouteCounts {
    /// Requests due.
    pub n_scheduled: u64,
    /// Those that ended in success.
    pub n_success: u64,
    /// Those that ended in success or degraded.
    pub n_served: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reason_says_what_was_seen_and_what_is_allowed() {
        let late = InvalidReason::FaultNotConfirmed { after_ms: Some(301.2), allowed_ms: 250.0 };
        assert_eq!(late.to_string(), "the fault was not confirmed within 250 ms (after 301 ms)");
        let never = InvalidReason::FaultNotConfirmed { after_ms: None, allowed_ms: 250.0 };
        assert_eq!(never.to_string(), "the fault was not confirmed within 250 ms (never)");
        let json = serde_json::to_string(&InvalidReason::Unsent { n: 3 }).unwrap();
        assert_eq!(json, r#"{"reason":"unsent","n":3}"#);
    }

    #[test]
    fn a_window_holds_its_start_and_not_its_end() {
        let window = Window { start_ms: 10.0, end_ms: 20.0 };
        assert!(window.contains(10.0) && !window.contains(20.0));
        assert!((window.length_s() - 0.01).abs() < 1e-12);
    }
}
