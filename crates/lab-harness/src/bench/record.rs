//! `campaign.json`: what is known of the run as a whole, kept up to date while it goes on.

use std::{collections::BTreeMap, path::Path, time::Duration};

use anyhow::{Result, bail};
use lab_core::artifact::{
    campaign_run::{CampaignRun, FILE, PlannedCell, SCHEMA},
    manifest::{Calibration, Environment, Params},
};

use super::{
    results::{Ending, read_json, write_json},
    selection::Selection,
};

/// Reads and writes `campaign.json` of one results folder.
#[derive(Debug)]
pub(crate) struct Record;

impl Record {
    /// Whether the folder has one.
    pub(crate) fn exists(folder: &Path) -> bool {
        folder.join(FILE).exists()
    }

    /// Reads it. **Errors**: missing or damaged.
    pub(crate) fn read(folder: &Path) -> Result<CampaignRun> {
        read_json(&folder.join(FILE))
    }

    /// Writes it at the start of a run, marked partial.
    pub(crate) fn open(
        folder: &Path,
        selection: &Selection,
        environment: &Environment,
        plan: (Option<Calibration>, &[Params]),
        started_at: String,
    ) -> Result<()> {
        let (calibration, params) = plan;
        let campaign = &selection.campaign;
        let record = CampaignRun {
            schema: SCHEMA.into(),
            campaign: selection.name.clone(),
            profile: campaign.profile,
            seed: campaign.seed,
            partial: true,
            started_at,
            wall_time_s: 0.0,
            measuring_time_s: 0.0,
            backend: environment.backend.clone(),
            backend_reason: environment.backend_reason.clone(),
            host: environment.host.clone(),
            versions: environment.versions.clone(),
            calibration,
            slo: campaign.slo,
            n_trials: campaign.trials.most(),
            n_trials_of_load: selection.n_trials_of_load(params),
            cells: cells(selection, params),
        };
        write_json(&folder.join(FILE), &record)
    }

    /// Wall time of the parts of the run that went before; 0 without a record.
    pub(crate) fn wall_time_s(folder: &Path) -> f64 {
        Self::read(folder).map_or(0.0, |it| it.wall_time_s)
    }

    /// Adds the measuring time of one trial; `wall_time_s` is that of the run so far, in all its
    /// parts.
    pub(crate) fn add_trial(folder: &Path, measured: Duration, wall_time_s: f64) -> Result<()> {
        let mut record = Self::read(folder)?;
        record.measuring_time_s += measured.as_secs_f64();
        record.wall_time_s = wall_time_s;
        write_json(&folder.join(FILE), &record)
    }

    /// Writes how the run ended.
    pub(crate) fn close(folder: &Path, ending: Ending) -> Result<()> {
        let mut record = Self::read(folder)?;
        record.partial = ending == Ending::Partial;
        write_json(&folder.join(FILE), &record)
    }

    /// Refuses to go on with another campaign. **Errors**: names both sides.
    pub(crate) fn check_same_campaign(folder: &Path, selection: &Selection) -> Result<()> {
        if !Self::exists(folder) {
            return Ok(());
        }
        let there = Self::read(folder)?;
        let campaign = &selection.campaign;
        let of_load = selection.n_trials_of_load(&selection.params(0.0));
        let asked_trials = trials(campaign.trials.most(), &of_load);
        let pairs = [
            ("campaign", there.campaign, selection.name.clone()),
            ("profile", there.profile.name().into(), campaign.profile.name().into()),
            ("seed", there.seed.0.to_string(), campaign.seed.0.to_string()),
            ("trials", trials(there.n_trials, &there.n_trials_of_load), asked_trials),
            ("cells", cell_names(&there.cells), cell_names(&wanted_cells(selection))),
        ];
        for (what, there, asked) in pairs {
            if there != asked {
                bail!(
                    "--resume: the unfinished run in {} has {what} `{there}`, the command line asks for `{asked}`",
                    folder.display()
                );
            }
        }
        Ok(())
    }
}

/// The cells of a selection; rates of factors are not known and not compared.
fn wanted_cells(selection: &Selection) -> Vec<PlannedCell> {
    cells(selection, &selection.params(0.0))
}

fn trials(n_trials: u32, of_load: &BTreeMap<String, u32>) -> String {
    if of_load.is_empty() {
        return n_trials.to_string();
    }
    of_load.iter().map(|(load, n)| format!("{load} {n}")).collect::<Vec<_>>().join(", ")
}

fn cell_names(cells: &[PlannedCell]) -> String {
    cells.iter().map(PlannedCell::folder).collect::<Vec<_>>().join(" ")
}

fn cells(selection: &Selection, params: &[Params]) -> Vec<PlannedCell> {
    let mut cells = Vec::new();
    for &fault in &selection.campaign.faults {
        for params in params {
            for variant in selection.variants.iter().filter(|it| it.servers().have(fault)) {
                cells.push(PlannedCell {
                    variant: variant.name.clone(),
                    base: variant.base.clone(),
                    fault,
                    topology: variant.topology,
                    params: params.clone(),
                });
            }
        }
    }
    cells
}

/// Whether a results folder holds an unfinished run.
pub(crate) fn is_partial(folder: &Path) -> bool {
    Record::read(folder).is_ok_and(|record| record.partial)
}

/// Whether a results folder holds a complete result.
pub(crate) fn holds_complete(folder: &Path) -> bool {
    folder.join("summary.json").exists() && !is_partial(folder)
}
