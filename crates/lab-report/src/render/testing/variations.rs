//! The sample campaign at more loads, under more faults, with more instances.

use lab_core::{
    artifact::{manifest::ControlPoint, summary::CellSummary},
    scenario::Fault,
};

use super::{CampaignView, CellView, campaign, compare};

/// The same campaign with the cells under the crash once more at a load factor of 10, where `none`
/// has fallen to nothing and the others deliver half of what they did.
pub(in crate::render) fn campaign_at_two_loads() -> CampaignView {
    let mut view = campaign();
    let measured: Vec<(CellSummary, CellView)> = view
        .cells()
        .filter(|(_, it)| !it.trials.is_empty())
        .map(|(a, b)| (a.clone(), b.clone()))
        .collect();
    for (mut cell, mut trials) in measured {
        cell.params.load_factor = Some(10.0);
        cell.params.arrival_rate_per_sec = 4_080.0;
        cell.arrival_rate_per_sec = 4_080.0;
        for trial in &mut trials.trials {
            let fault = &mut trial.verdict.figures.phases.fault;
            for counts in fault.routes.values_mut() {
                counts.n_success /= if cell.variant == "none" { 1_000 } else { 2 };
            }
        }
        view.summary.variants.push(cell);
        view.cells.push(trials);
    }
    compare(&view.summary.variants, &mut view.cells);
    view
}

/// The same campaign, complete, under three faults: `none` has no valid trial of the second, and
/// `playbook-one-minute` none at all of the third.
pub(in crate::render) fn campaign_under_faults() -> CampaignView {
    let mut view = campaign();
    view.summary.variants.pop();
    view.cells.pop();
    let crash: Vec<(CellSummary, CellView)> =
        view.cells().map(|(cell, trials)| (cell.clone(), trials.clone())).collect();
    for fault in [Fault::Pause, Fault::DatabaseConnections] {
        for (mut cell, mut trials) in crash.clone() {
            cell.fault = fault;
            match (fault, cell.variant.as_str()) {
                (Fault::Pause, "none") => {
                    cell.n_invalid = cell.n_trials;
                    cell.served_ratio_fault = None;
                    cell.connection_demand.mean_fault = None;
                }
                (Fault::DatabaseConnections, "playbook-one-minute") => {
                    cell.n_trials = 0;
                    trials.trials.clear();
                }
                _ => {}
            }
            view.summary.variants.push(cell);
            view.cells.push(trials);
        }
    }
    view
}

/// The same campaign with the cells under the crash once more with 4 instances, which deliver half of
/// what one does and are refused 60 connections; with Redis up 4 carry `ratio` times what 1 does.
pub(in crate::render) fn campaign_with_instances(ratio: f64) -> CampaignView {
    let mut view = campaign();
    let one =
        ControlPoint { n_instances: 1, warm_capacity_per_sec: 900.0, db_capacity_per_sec: 408.0 };
    let four = ControlPoint { n_instances: 4, warm_capacity_per_sec: 900.0 * ratio, ..one };
    view.summary.calibration.control = vec![one, four];
    let of_crash = |it: &(&CellSummary, &CellView)| it.0.fault == Fault::Crash;
    let one_each: Vec<(CellSummary, CellView)> =
        view.cells().filter(of_crash).map(|(a, b)| (a.clone(), b.clone())).collect();
    for (mut cell, mut trials) in one_each {
        cell.params.n_instances = 4;
        for trial in &mut trials.trials {
            let fault = &mut trial.verdict.figures.phases.fault;
            fault.outcomes.values_mut().for_each(|it| *it /= 2);
            fault.n_connections_refused = Some(60.0);
        }
        view.summary.variants.push(cell);
        view.cells.push(trials);
    }
    compare(&view.summary.variants, &mut view.cells);
    view
}

/// The four variants of the sample campaign again and again until there are `n_variants`, each under
/// a crash and a pause, complete.
pub(in crate::render) fn campaign_of(n_variants: usize) -> CampaignView {
    let mut view = campaign();
    let of_crash = |it: &(&CellSummary, &CellView)| it.0.fault == Fault::Crash;
    let measured: Vec<(CellSummary, CellView)> =
        view.cells().filter(of_crash).map(|(a, b)| (a.clone(), b.clone())).collect();
    view.summary.partial = false;
    view.summary.variants.clear();
    view.cells.clear();
    for (k, (cell, trials)) in measured.iter().cycle().take(n_variants).enumerate() {
        for fault in [Fault::Crash, Fault::Pause] {
            let mut cell = CellSummary { fault, ..cell.clone() };
            if measured.len() <= k {
                cell.variant = format!("{}-{k}", cell.variant);
            }
            view.summary.variants.push(cell);
            view.cells.push(trials.clone());
        }
    }
    view
}
