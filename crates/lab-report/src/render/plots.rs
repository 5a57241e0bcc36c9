//! Which plots a campaign has, and under which names they stand.

use std::collections::BTreeMap;

use super::{
    RenderError,
    canvas::{png, svg},
    comparison_plot::ComparisonPlot,
    distribution,
    heat::{self, Figure, HeatMap},
    heat_plot::HeatPlot,
    load_plot::LoadPlot,
    ranking::{self, cell_key, group_key},
    scaling::scalings,
    scaling_plot::ScalingPlot,
    sweep, timeline,
    view::CampaignView,
};

/// Variants whose timeline README shows.
const README_VARIANTS: [&str; 2] = ["none", "playbook-one-minute"];

/// All plots by name, without `plots/` and without ending.
#[derive(Debug, Default)]
pub(super) struct Plots {
    /// As SVG: every plot.
    pub(super) svgs: BTreeMap<String, String>,
    /// As PNG: the few that README shows.
    pub(super) pngs: BTreeMap<String, Vec<u8>>,
}

/// Name of the plot that compares the variants of a group.
pub(super) fn comparison_name(group_key: &str) -> String {
    format!("comparison-{group_key}")
}

/// Name of the plot of goodput against offered load.
pub(super) fn load_plot_name(sweep_key: &str) -> String {
    format!("goodput-by-load-{sweep_key}")
}

/// Name of the map of one figure over variants and faults.
pub(super) fn heat_plot_name(map: &HeatMap, figure: Figure) -> String {
    format!("faults-{}-{}", figure.key(), map.key)
}

/// Name of the plot of what more instances bring.
pub(super) fn scaling_plot_name(scaling_key: &str) -> String {
    format!("instances-{scaling_key}")
}

/// Name of the timeline of a cell.
pub(super) fn timeline_name(cell_key: &str) -> String {
    format!("{cell_key}-timeline")
}

/// Name of the distribution of a cell.
pub(super) fn distribution_name(cell_key: &str) -> String {
    format!("{cell_key}-distribution")
}

/// Draws every plot. **Errors**: those of the canvas. A cell without trials has none.
pub(super) fn draw_all(view: &CampaignView) -> Result<Plots, RenderError> {
    let mut plots = Plots::default();
    let groups = ranking::groups(&view.summary);
    let headline = ranking::headline_group(&groups).map(|it| it.key.clone());
    for group in &groups {
        let plot = ComparisonPlot::of(group);
        let name = comparison_name(&group.key);
        if headline.as_deref() == Some(&group.key) {
            plots.pngs.insert(name.clone(), png(&plot)?);
        }
        plots.svgs.insert(name, svg(&plot)?);
    }
    for sweep in &sweep::sweeps(view) {
        plots.svgs.insert(load_plot_name(&sweep.key), svg(&LoadPlot { sweep })?);
    }
    for map in &heat::heat_maps(view) {
        for figure in Figure::ALL {
            plots.svgs.insert(heat_plot_name(map, figure), svg(&HeatPlot { map, figure })?);
        }
    }
    for scaling in &scalings(view) {
        let name = scaling_plot_name(&scaling.key);
        plots.svgs.insert(name, svg(&ScalingPlot { scaling })?);
    }
    for (cell, trials) in view.cells() {
        let key = cell_key(cell);
        if let Some(trial) = trials.typical_trial() {
            let plot = timeline::plot_of(cell, trial);
            let in_readme = headline.as_deref() == Some(&group_key(cell))
                && README_VARIANTS.contains(&cell.variant.as_str());
            if in_readme {
                plots.pngs.insert(timeline_name(&key), png(&plot)?);
            }
            plots.svgs.insert(timeline_name(&key), svg(&plot)?);
        }
        if let Some(plot) = distribution::plot_of(cell, trials, &view.summary.slo) {
            plots.svgs.insert(distribution_name(&key), svg(&plot)?);
        }
    }
    Ok(plots)
}
