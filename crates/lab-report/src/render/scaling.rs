//! "Why not just add servers?": which campaigns answer that, and what is shown of it.

use lab_core::artifact::{
    manifest::{ControlPoint, Params},
    summary::CellSummary,
};

use super::{
    numbers,
    positive_control::{self, Words},
    ranking,
    view::{CampaignView, CellView, TrialView},
};
use crate::analysis::{
    positive_control::PositiveControl,
    scaling::{goodput_per_sec, refused_per_sec},
    statistics::median,
};

/// What stands over the plots.
pub(super) const TITLE: &str = "Why not just add servers?";

/// How to read the plots, in a few sentences.
pub(super) const NOTE: &str = "Each instance has a fixed share of a core, so the machine does not \
    decide. The uppermost frame is the positive control: with Redis up, what that many instances \
    carry. Below it Redis is gone: what they deliver in time, how many database connections they \
    hold or wait for on average, and how many connections PostgreSQL refuses them because it has no \
    more. A variant of `[scale_out]` starts with one instance, the others join during the fault; \
    every other variant has all of them from the start";

/// One fault at one load, over numbers of instances.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Scaling {
    /// `crash-load-factor-1.5`, for file names.
    pub(super) key: String,
    /// The same for people.
    pub(super) title: String,
    /// What that many instances carry with Redis up, by their number.
    pub(super) control: Vec<ControlPoint>,
    /// C in requests of the whole mix per second, where it was measured.
    pub(super) db_capacity_per_sec: Option<f64>,
    /// Requests due per second.
    pub(super) offered_per_sec: f64,
    /// Connections that PostgreSQL has.
    pub(super) max_connections: u32,
    /// Every variant with at least two numbers of instances, in the order of the plan.
    pub(super) series: Vec<Series>,
}

/// One variant.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Series {
    pub(super) variant: String,
    /// Its place among all variants of the campaign, so that it looks the same in every plot.
    pub(super) place: usize,
    /// By number of instances.
    pub(super) points: Vec<Point>,
}

/// One variant with one number of instances.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Point {
    pub(super) n_instances: u32,
    /// Successes per second, all routes.
    pub(super) goodput: Figure,
    /// Mean of connections in use and waited for, all instances.
    pub(super) demand: Figure,
    /// Connections refused per second.
    pub(super) refused: Figure,
}

/// A figure of every valid trial that has it.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Figure(pub(super) Vec<f64>);

impl Figure {
    fn of(trials: &CellView, of: impl Fn(&TrialView) -> Option<f64>) -> Self {
        Self(trials.trials.iter().filter(|it| it.verdict.valid).filter_map(of).collect())
    }

    /// Median over the trials.
    pub(super) fn median(&self) -> Option<f64> {
        median(&self.0)
    }
}

impl Scaling {
    /// The numbers of instances of all series, each once, in order.
    pub(super) fn numbers_of_instances(&self) -> Vec<u32> {
        let points = self.series.iter().flat_map(|it| &it.points).map(|it| it.n_instances);
        let mut numbers: Vec<u32> = points.collect();
        numbers.sort_unstable();
        numbers.dedup();
        numbers
    }

    /// Whether this machine can show what more instances bring, in one sentence.
    pub(super) fn control_sentence(&self) -> String {
        let control = PositiveControl::of_instances(&self.control);
        let words = |it: &PositiveControl<u32>| Words {
            many: format!("with Redis up {} instances carry", it.many),
            few: format!("{} carries", it.few),
            otherwise: "so a curve that stays flat may be the machine's",
        };
        positive_control::sentence(control.as_ref(), words, "more instances carry")
    }

    /// The medians as a table: a head, and a row for each variant and number.
    pub(super) fn table(&self) -> (Vec<String>, Vec<Vec<String>>) {
        let head = [
            &self.title,
            "instances",
            "goodput, requests/s",
            "connection demand",
            "refused connections/s",
        ];
        let shown = |it: &Figure| {
            it.median().map_or_else(|| numbers::MISSING.to_owned(), numbers::three_digits)
        };
        let row = |series: &Series, it: &Point| {
            let figures = [&it.goodput, &it.demand, &it.refused].map(shown);
            [series.variant.clone(), it.n_instances.to_string()]
                .into_iter()
                .chain(figures)
                .collect()
        };
        let rows = self.series.iter().flat_map(|it| it.points.iter().map(move |p| row(it, p)));
        (head.map(str::to_owned).to_vec(), rows.collect())
    }
}

/// One for each fault and load at which some variant was measured with two numbers of instances.
pub(super) fn scalings(view: &CampaignView) -> Vec<Scaling> {
    let variants = view.variants();
    let mut scalings: Vec<Scaling> = Vec::new();
    for (cell, trials) in view.cells() {
        let Some(trial) = trials.trials.first() else { continue };
        let alone = CellSummary {
            params: Params { n_instances: 1, ..cell.params.clone() },
            ..cell.clone()
        };
        let key = ranking::group_key(&alone);
        let place = match scalings.iter().position(|it| it.key == key) {
            Some(place) => place,
            None => {
                scalings.push(Scaling {
                    key,
                    title: ranking::group_title(&alone),
                    control: view.summary.calibration.control.clone(),
                    db_capacity_per_sec: view.summary.calibration.db_capacity_per_sec,
                    offered_per_sec: cell.arrival_rate_per_sec,
                    max_connections: trial.manifest.campaign.database.max_connections.get(),
                    series: Vec::new(),
                });
                scalings.len() - 1
            }
        };
        let series = &mut scalings[place].series;
        match series.iter_mut().find(|it| it.variant == cell.variant) {
            Some(series) => series.points.push(point(cell, trials)),
            None => series.push(Series {
                variant: cell.variant.clone(),
                place: variants.iter().position(|it| *it == cell.variant).unwrap_or_default(),
                points: vec![point(cell, trials)],
            }),
        }
    }
    for scaling in &mut scalings {
        scaling.series.retain(|it| 2 <= it.points.len());
        for series in &mut scaling.series {
            series.points.sort_by_key(|it| it.n_instances);
        }
        scaling.series.sort_by_key(|it| it.place);
    }
    scalings.retain(|it| 2 <= it.numbers_of_instances().len());
    scalings
}

fn point(cell: &CellSummary, trials: &CellView) -> Point {
    Point {
        n_instances: cell.params.n_instances,
        goodput: Figure::of(trials, |it| goodput_per_sec(&it.verdict.figures)),
        demand: Figure::of(trials, |it| it.verdict.figures.connection_demand.mean_fault),
        refused: Figure::of(trials, |it| refused_per_sec(&it.verdict.figures)),
    }
}
