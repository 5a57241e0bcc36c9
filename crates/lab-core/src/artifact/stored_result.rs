//! What `gate --baseline` judges of a `summary.json`, and records of results of which it is known how
//! the service differed when they were run: they say how often that judgement is right.

use serde::{Deserialize, Serialize};

use super::{
    gate::KnownChange,
    manifest::{Host, Params},
    summary::{CellSummary, Summary},
};
use crate::{
    scenario::{Fault, Profile},
    seed::Seed,
};

/// Version of the schema of a record of results on a known change.
pub const KNOWN_RESULTS_SCHEMA: &str = "outage-lab/known-results/1";

/// The record of results on a known change. What comparisons of them say is not in it: it follows.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct KnownResults {
    /// [`KNOWN_RESULTS_SCHEMA`].
    pub schema: String,
    /// How the service differed from that of the results on identical code.
    pub change: KnownChange,
    /// In the order in which they were run, each with a calibration of its own.
    pub results: Vec<KnownResult>,
}

impl KnownResults {
    /// The record of these.
    pub fn new(change: KnownChange, results: Vec<KnownResult>) -> Self {
        Self { schema: KNOWN_RESULTS_SCHEMA.into(), change, results }
    }
}

/// One of them.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct KnownResult {
    /// The commit that was run, with `-dirty` for a work tree that differs from it.
    pub commit: String,
    /// What is judged.
    #[serde(flatten)]
    pub result: StoredResult,
}

impl KnownChange {
    /// Where the record of results on it is committed, from the root of the repository.
    pub fn results_file(self) -> String {
        format!("results/gate-baseline-{}.json", self.name())
    }
}

/// A result as far as it is judged, and where it comes from.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct StoredResult {
    /// Name of the campaign.
    pub campaign: String,
    /// Phase lengths by name.
    pub profile: Profile,
    /// Seed of the campaign.
    pub seed: Seed,
    /// A success later than this is a failure, in milliseconds.
    pub deadline_ms: f64,
    /// Whether planned trials are missing.
    pub partial: bool,
    /// Wall time of the start of the run, RFC 3339.
    pub started_at: String,
    /// The machine.
    pub host: Host,
    /// C: requests of the whole mix per second with the cache bypassed; `None` when the rate was given
    /// outright.
    pub db_capacity_per_sec: Option<f64>,
    /// Every cell, in the order of the plan.
    pub cells: Vec<StoredCell>,
}

/// A cell as far as it is judged.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct StoredCell {
    /// Name of the variant.
    pub variant: String,
    /// What is done to Redis.
    pub fault: Fault,
    /// Load and instances.
    pub params: Params,
    /// Trials that were run, invalid ones included.
    pub n_trials: u32,
    /// Trials that cannot answer and are in no figure.
    pub n_invalid: u32,
    /// Goodput fraction in the fault window over that in the baseline, product pages; of every valid
    /// trial, in order.
    pub goodput_ratio_fault_trials: Vec<Option<f64>>,
    /// Success and degraded over scheduled in the fault window, all routes; of every valid trial, in
    /// order.
    pub served_ratio_fault_trials: Vec<Option<f64>>,
    /// Valid trials that recovered.
    pub n_recovered: u32,
    /// Queries for each request in the baseline, over all valid trials together.
    pub queries_per_request_baseline: Option<f64>,
    /// The most queries for each request of a second of the fault window; median over valid trials.
    pub queries_per_request_fault_peak: Option<f64>,
}

impl StoredCell {
    /// Trials that its figures rest on.
    pub fn n_valid(&self) -> u32 {
        self.n_trials.saturating_sub(self.n_invalid)
    }

    /// Whether there is a valid trial and every one recovered.
    pub fn is_recovered(&self) -> bool {
        0 < self.n_valid() && self.n_recovered == self.n_valid()
    }

    /// What makes two cells the same: variant, fault and load. Their arrival rate need not be, it is a
    /// multiple of what each machine carries.
    pub fn key(&self) -> String {
        format!("{} {} {}", self.variant, self.fault, self.params.folder())
    }
}

impl From<&Summary> for StoredResult {
    fn from(summary: &Summary) -> Self {
        Self {
            campaign: summary.campaign.clone(),
            profile: summary.profile,
            seed: summary.seed,
            deadline_ms: summary.slo.deadline_ms,
            partial: summary.partial,
            started_at: summary.started_at.clone(),
            host: summary.host.clone(),
            db_capacity_per_sec: summary.calibration.db_capacity_per_sec,
            cells: summary.variants.iter().map(StoredCell::from).collect(),
        }
    }
}

impl From<&CellSummary> for StoredCell {
    fn from(cell: &CellSummary) -> Self {
        Self {
            variant: cell.variant.clone(),
            fault: cell.fault,
            params: cell.params.clone(),
            n_trials: cell.n_trials,
            n_invalid: cell.n_invalid,
            goodput_ratio_fault_trials: cell.goodput_ratio_fault_trials.clone(),
            served_ratio_fault_trials: cell.served_ratio_fault_trials.clone(),
            n_recovered: cell.n_recovered,
            queries_per_request_baseline: cell.phases.baseline.db.queries_per_request,
            queries_per_request_fault_peak: cell.db_amplification.queries_per_request_fault_peak,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_of_results_stands_beside_that_of_gates() {
        let file = KnownChange::BreakerOff.results_file();
        assert_eq!(file, "results/gate-baseline-breaker-off.json");
        assert_ne!(file, KnownChange::BreakerOff.record_file());
    }
}
