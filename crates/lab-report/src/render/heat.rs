//! Every variant under every fault at a glance: which campaigns have that, and what is drawn of it.

use lab_core::{artifact::summary::CellSummary, scenario::Fault};

use super::{ranking::load_title, view::CampaignView};
use crate::analysis::statistics::ratio;

/// What stands over the maps.
pub(super) const TITLE: &str = "Every variant under every fault";

/// How to read the maps, in a few sentences.
pub(super) const NOTE: &str = "Variants from the one that served most to the one that served \
    least, over all faults. The darker a field, the worse. A field with a × was measured and is \
    not valid: this machine could not show it; one with a – was not measured, because the \
    variant's servers do not have the fault or the campaign ended before it";

/// Fewer faults are told by the tables alone.
const FAULTS_MIN: usize = 3;

/// Which figure a map shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Figure {
    /// Share of all requests that were served while the fault was on.
    ServedRatio,
    /// Mean connection demand while the fault was on.
    ConnectionDemand,
}

impl Figure {
    /// Both, in the order in which they stand.
    pub(super) const ALL: [Self; 2] = [Self::ServedRatio, Self::ConnectionDemand];

    /// `served-ratio`, for file names.
    pub(super) fn key(self) -> &'static str {
        match self {
            Self::ServedRatio => "served-ratio",
            Self::ConnectionDemand => "connection-demand",
        }
    }

    /// The same for people.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::ServedRatio => "Served ratio",
            Self::ConnectionDemand => "Connection demand",
        }
    }

    fn of(self, cell: &CellSummary) -> Option<f64> {
        match self {
            Self::ServedRatio => cell.served_ratio_fault,
            Self::ConnectionDemand => cell.connection_demand.mean_fault,
        }
    }
}

/// One field of a map.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Field {
    /// What was measured.
    Measured(f64),
    /// Trials were run, and none is valid.
    Invalid,
    /// No trial was run.
    NotThere,
}

/// All cells at one load.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct HeatMap {
    /// `load-factor-1.5`, for file names.
    pub(super) key: String,
    /// The same for people.
    pub(super) load: String,
    /// The columns, as planned.
    pub(super) faults: Vec<Fault>,
    /// From the variant that served most to the one that served least.
    pub(super) rows: Vec<Row>,
}

/// One variant: a field of each figure for each fault.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Row {
    pub(super) variant: String,
    served_ratio: Vec<Field>,
    connection_demand: Vec<Field>,
}

impl Row {
    /// The fields of `figure`, one for each fault.
    pub(super) fn fields(&self, figure: Figure) -> &[Field] {
        match figure {
            Figure::ServedRatio => &self.served_ratio,
            Figure::ConnectionDemand => &self.connection_demand,
        }
    }

    fn mean_served_ratio(&self) -> f64 {
        let measured = self.served_ratio.iter().filter_map(|it| match it {
            Field::Measured(ratio) => Some(*ratio),
            Field::Invalid | Field::NotThere => None,
        });
        let (sum, n) = measured.fold((0.0, 0.0), |(sum, n), it| (sum + it, n + 1.0));
        ratio(sum, n).unwrap_or(-1.0)
    }
}

/// A map for each load at which the campaign has several faults.
pub(super) fn heat_maps(view: &CampaignView) -> Vec<HeatMap> {
    let cells = &view.summary.variants;
    let mut maps: Vec<HeatMap> = Vec::new();
    for cell in cells {
        let key = cell.params.folder();
        if maps.iter().any(|it| it.key == key) {
            continue;
        }
        let of_load: Vec<&CellSummary> =
            cells.iter().filter(|it| it.params == cell.params).collect();
        maps.push(heat_map(key, load_title(cell), &of_load, &view.variants()));
    }
    maps.retain(|it| FAULTS_MIN <= it.faults.len());
    maps
}

fn heat_map(key: String, load: String, cells: &[&CellSummary], variants: &[&str]) -> HeatMap {
    let mut faults: Vec<Fault> = Vec::new();
    for cell in cells {
        if !faults.contains(&cell.fault) {
            faults.push(cell.fault);
        }
    }
    let field = |variant: &str, fault: Fault, figure: Figure| {
        let cell = cells.iter().find(|it| it.variant == variant && it.fault == fault);
        cell.filter(|it| 0 < it.n_trials)
            .map_or(Field::NotThere, |it| figure.of(it).map_or(Field::Invalid, Field::Measured))
    };
    let row = |variant: &&str| {
        let fields = |figure| faults.iter().map(|it| field(variant, *it, figure)).collect();
        Row {
            variant: (*variant).to_owned(),
            served_ratio: fields(Figure::ServedRatio),
            connection_demand: fields(Figure::ConnectionDemand),
        }
    };
    let mut rows: Vec<Row> = variants.iter().map(row).collect();
    rows.sort_by(|a, b| b.mean_served_ratio().total_cmp(&a.mean_served_ratio()));
    HeatMap { key, load, faults, rows }
}
