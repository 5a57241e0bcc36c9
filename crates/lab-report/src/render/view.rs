//! Everything the report shows: what the caller read from a campaign's folder, ready to be drawn.

use hdrhistogram::Histogram;
use lab_core::{
    artifact::{
        campaign_run::CampaignRun,
        manifest::Manifest,
        summary::{CellSummary, Summary},
        timeline::Timeline,
        verdict::{PerPhase, TrialVerdict},
    },
    event::Event,
    route::Route,
    scenario::ResolvedVariant,
};

use super::ranking::group_key;
use crate::analysis::{effect::Effect, histograms::p99_of_shortest};

/// A campaign as the report shows it.
#[derive(Debug, Clone)]
pub struct CampaignView {
    /// What the harness knows of the campaign as a whole.
    pub run: CampaignRun,
    /// The figures.
    pub summary: Summary,
    /// The trials of every cell, in the order of `summary.variants` and as many.
    pub cells: Vec<CellView>,
}

/// The trials of one cell: variant × fault × parameters.
#[derive(Debug, Clone)]
pub struct CellView {
    /// Every trial that was run, in order, invalid ones included. Empty when none was.
    pub trials: Vec<TrialView>,
    /// Response times of product pages over all valid trials, in microseconds, as in
    /// `summary.variants[].phases[].response_time_us`. Empty without a valid trial.
    pub response_times_us: PerPhase<Histogram<u64>>,
    /// What the variant changed against its base.
    pub effect: Effect,
}

/// One trial.
#[derive(Debug, Clone)]
pub struct TrialView {
    /// What it was.
    pub manifest: Manifest,
    /// What it says.
    pub verdict: TrialVerdict,
    /// Its time axis.
    pub timeline: Timeline,
    /// What happened.
    pub events: Vec<Event>,
}

impl CampaignView {
    /// The cells with their figures, in the order of the plan.
    pub(super) fn cells(&self) -> impl Iterator<Item = (&CellSummary, &CellView)> {
        self.summary.variants.iter().zip(&self.cells)
    }

    /// What `cell` shows of its variant against the variant's base.
    pub(super) fn effect_of(&self, cell: &CellSummary) -> Option<&Effect> {
        let is_same =
            |it: &CellSummary| it.variant == cell.variant && group_key(it) == group_key(cell);
        self.cells().find(|(it, _)| is_same(it)).map(|(_, trials)| &trials.effect)
    }

    /// Names of all variants, in the order of the plan.
    pub(super) fn variants(&self) -> Vec<&str> {
        let mut names: Vec<&str> = Vec::new();
        for cell in &self.summary.variants {
            if !names.contains(&cell.variant.as_str()) {
                names.push(&cell.variant);
            }
        }
        names
    }

    /// What `variant` is; `None` when no trial of it was run.
    pub(super) fn resolved(&self, variant: &str) -> Option<&ResolvedVariant> {
        self.cells()
            .filter(|(cell, _)| cell.variant == variant)
            .find_map(|(_, trials)| trials.trials.first())
            .map(|it| &it.manifest.variant)
    }
}

impl CellView {
    /// p99 of the product pages that were served while the fault was on, in microseconds, over all
    /// valid trials. `None` when none was served.
    pub(super) fn served_p99_us(&self) -> Option<u64> {
        let valid = self.trials.iter().filter(|it| it.verdict.valid);
        let n_served = valid
            .filter_map(|it| it.verdict.figures.phases.fault.routes.get(&Route::Product))
            .map(|it| it.n_served)
            .sum();
        p99_of_shortest(&self.response_times_us.fault, n_served)
    }

    /// The trial to draw: the valid one whose goodput ratio is the (lower) median; without a
    /// valid one, the last.
    pub(super) fn typical_trial(&self) -> Option<&TrialView> {
        let mut valid: Vec<&TrialView> = self.trials.iter().filter(|it| it.verdict.valid).collect();
        valid.sort_by(|a, b| {
            let ratio = |it: &TrialView| it.verdict.figures.goodput_ratio_fault.unwrap_or(0.0);
            ratio(a).total_cmp(&ratio(b))
        });
        let middle = valid.len().saturating_sub(1) / 2;
        valid.get(middle).copied().or(self.trials.last())
    }
}
