//! `campaign.json`: what the harness knows of a campaign as a whole, for the analysis.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::manifest::{Calibration, Host, Params};
use crate::{
    scenario::{Fault, Profile, Slo, Topology},
    seed::Seed,
};

/// Version of the schema of `campaign.json`.
pub const SCHEMA: &str = "outage-lab/campaign/1";
/// The file's name, below the campaign's folder.
pub const FILE: &str = "campaign.json";

/// `campaign.json`, written by the harness when the last trial of the campaign is over.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CampaignRun {
    /// [`SCHEMA`].
    pub schema: String,
    /// Name of the campaign.
    pub campaign: String,
    /// Phase lengths by name.
    pub profile: Profile,
    /// Seed of the campaign.
    pub seed: Seed,
    /// Whether the run was stopped before its last planned trial.
    pub partial: bool,
    /// Wall time of the start of the run, RFC 3339.
    pub started_at: String,
    /// From the start of the run to the end of its last trial, in seconds.
    pub wall_time_s: f64,
    /// Warmup to drain, summed over all trials, in seconds.
    pub measuring_time_s: f64,
    /// `docker` or `process`.
    pub backend: String,
    /// Why this backend was taken.
    pub backend_reason: String,
    /// The machine.
    pub host: Host,
    /// Versions by name: `outage_lab`, `redis`, `postgres`, `rustc`.
    pub versions: BTreeMap<String, String>,
    /// What the machine can carry; `None` when the rate was given outright and not measured.
    pub calibration: Option<Calibration>,
    /// When a service level is met.
    pub slo: Slo,
    /// Repetitions planned for every cell; the most of them, where they are not the same.
    pub n_trials: u32,
    /// Those of a load, by the name of its folder, where they are not the same for every load.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub n_trials_of_load: BTreeMap<String, u32>,
    /// Every planned cell, in the order of tables.
    pub cells: Vec<PlannedCell>,
}

impl CampaignRun {
    /// Repetitions planned for a cell.
    pub fn n_trials_of(&self, cell: &PlannedCell) -> u32 {
        self.n_trials_of_load.get(&cell.params.folder()).copied().unwrap_or(self.n_trials)
    }
}

/// One combination of variant, fault and parameters.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PlannedCell {
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
}

impl PlannedCell {
    /// The cell's folder below the campaign's: `trials/<variant>/<fault>/<params>`.
    pub fn folder(&self) -> String {
        format!("trials/{}/{}/{}", self.variant, self.fault, self.params.folder())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cells_folder_names_variant_fault_and_load() {
        let cell = PlannedCell {
            variant: "circuit-breaker".into(),
            base: Some("bounded-timeouts".into()),
            fault: Fault::Crash,
            topology: Topology::Single,
            params: Params { load_factor: Some(1.5), arrival_rate_per_sec: 600.0, n_instances: 1 },
        };
        assert_eq!(cell.folder(), "trials/circuit-breaker/crash/load-factor-1.5");
    }
}
