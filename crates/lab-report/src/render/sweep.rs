//! The same variants under more and more load: which campaigns have that, and what is drawn of it.

use lab_core::{artifact::summary::CellSummary, route::Route};

use super::{
    numbers,
    ranking::servers,
    view::{CampaignView, CellView},
};
use crate::analysis::{load_sweep::share_of_capacity, statistics::median};

/// What stands over the plots.
pub(super) const TITLE: &str = "Goodput against offered load";

/// How to read the plots, in a few sentences.
pub(super) const NOTE: &str = "Product pages delivered in time while the fault is on, as a share \
    of what the database carries of them without its cache (C), over the offered load as a \
    multiple of C. The dashed line is the ideal of a service with nothing but the database: what \
    is offered, and never more than 1. A variant below it wastes what the database could carry. \
    One above it takes pages from elsewhere or asks less of the database for each; some lie above \
    it because C is what was sustained with 99 % in time, and a database at its limit does more. \
    The last columns count every request, as C does: while Redis is gone each is the database's \
    work, and a variant that keeps room for less important pages, or leaves orders and views \
    alone, has fewer product pages and wastes nothing by that. They go far above 1 where what is \
    admitted is no longer the mix: a view or an order costs the database less than a page";

/// One fault under several loads.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Sweep {
    /// `crash`, for file names.
    pub(super) key: String,
    /// The same for people.
    pub(super) title: String,
    /// C in requests of the whole mix per second.
    pub(super) db_capacity_per_sec: f64,
    /// Every variant with at least two loads, from the best to the worst at its highest.
    pub(super) series: Vec<Series>,
}

/// One variant.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Series {
    pub(super) variant: String,
    /// Its place among all variants of the campaign, so that it looks the same in every plot.
    pub(super) place: usize,
    /// By load factor; at least two.
    pub(super) points: Vec<Point>,
}

/// One variant under one load.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Point {
    pub(super) load_factor: f64,
    /// The share of capacity of every valid trial, in product pages.
    pub(super) trials: Vec<f64>,
    /// Their median.
    pub(super) median: f64,
    /// The same median over requests of every kind.
    pub(super) median_all: f64,
}

impl Series {
    /// The point of the highest load.
    pub(super) fn last(&self) -> &Point {
        self.points.last().expect("a series has at least two points")
    }
}

impl Sweep {
    /// The load factors of all series, each once, in order.
    pub(super) fn load_factors(&self) -> Vec<f64> {
        let mut factors: Vec<f64> =
            self.series.iter().flat_map(|it| it.points.iter().map(|it| it.load_factor)).collect();
        factors.sort_by(f64::total_cmp);
        factors.dedup_by(|a, b| a.total_cmp(b).is_eq());
        factors
    }

    /// The medians as a table: a head, and a row for each variant.
    pub(super) fn table(&self) -> (Vec<String>, Vec<Vec<String>>) {
        let factors = self.load_factors();
        let head = std::iter::once(format!("{}, share of C", self.title))
            .chain(factors.iter().map(|it| format!("at {it}")))
            .chain(factors.iter().map(|it| format!("all requests at {it}")))
            .collect();
        let row = |series: &Series| {
            let entry = |factor: &f64, median: fn(&Point) -> f64| {
                let point =
                    series.points.iter().find(|it| it.load_factor.total_cmp(factor).is_eq());
                point.map_or_else(|| numbers::MISSING.to_owned(), |it| numbers::ratio(median(it)))
            };
            std::iter::once(series.variant.clone())
                .chain(factors.iter().map(|it| entry(it, |point| point.median)))
                .chain(factors.iter().map(|it| entry(it, |point| point.median_all)))
                .collect()
        };
        (head, self.series.iter().map(row).collect())
    }
}

/// One sweep for each fault under which some variant was measured at two loads or more.
pub(super) fn sweeps(view: &CampaignView) -> Vec<Sweep> {
    let Some(db_capacity_per_sec) = view.summary.calibration.db_capacity_per_sec else {
        return Vec::new();
    };
    let variants = view.variants();
    let mut sweeps: Vec<Sweep> = Vec::new();
    for (cell, trials) in view.cells() {
        let Some(point) = point(cell, trials) else { continue };
        let title = format!("{}{}", cell.fault, servers(cell, ", "));
        let place = match sweeps.iter().position(|it| it.title == title) {
            Some(place) => place,
            None => {
                let key = format!("{}{}", cell.fault, servers(cell, "-")).replace(' ', "-");
                sweeps.push(Sweep { key, title, db_capacity_per_sec, series: Vec::new() });
                sweeps.len() - 1
            }
        };
        let series = &mut sweeps[place].series;
        match series.iter_mut().find(|it| it.variant == cell.variant) {
            Some(series) => series.points.push(point),
            None => series.push(Series {
                variant: cell.variant.clone(),
                place: variants.iter().position(|it| *it == cell.variant).unwrap_or_default(),
                points: vec![point],
            }),
        }
    }
    for sweep in &mut sweeps {
        sweep.series.retain(|it| 2 <= it.points.len());
        for series in &mut sweep.series {
            series.points.sort_by(|a, b| a.load_factor.total_cmp(&b.load_factor));
        }
        sweep.series.sort_by(|a, b| b.last().median.total_cmp(&a.last().median));
    }
    sweeps.retain(|it| !it.series.is_empty());
    sweeps
}

/// What the valid trials of a cell make of its load; `None` without one, or when the rate was given
/// outright. The load is a multiple of C, so C is the rate over the load factor.
fn point(cell: &CellSummary, trials: &CellView) -> Option<Point> {
    let load_factor = cell.params.load_factor.filter(|it| 0.0 < *it)?;
    let db_capacity_per_sec = cell.arrival_rate_per_sec / load_factor;
    let shares = |counts: fn(Route) -> bool| -> Vec<f64> {
        let valid = trials.trials.iter().filter(|it| it.verdict.valid);
        valid
            .filter_map(|it| {
                let mix = &it.manifest.campaign.mix;
                share_of_capacity(&it.verdict.figures, mix, db_capacity_per_sec, counts)
            })
            .collect()
    };
    let trials = shares(|it| it == Route::Product);
    let median_all = median(&shares(|_| true))?;
    Some(Point { load_factor, median: median(&trials)?, median_all, trials })
}
