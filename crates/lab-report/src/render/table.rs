//! The result table: its columns, its rows, and what stands in a cell. The page, the pull-request
//! text and the terminal each write it in their own way.

use lab_core::artifact::{summary::CellSummary, verdict::Verdict};

use super::numbers;
use crate::analysis::{
    effect::{Effect, Side},
    statistics::float,
};

/// A column.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Column {
    Variant,
    Base,
    Goodput,
    Effect,
    Served,
    P99,
    Detect,
    Mitigate,
    Recover,
    Lost,
    Verdict,
    Trials,
    Demand,
    HighWater,
    Queries,
    Wait,
    PoolTimeouts,
    PostgresCpu,
}

impl Column {
    /// Every column: what users see, then what the database bears.
    pub(super) const ALL: [Self; 18] = [
        Self::Variant,
        Self::Base,
        Self::Goodput,
        Self::Effect,
        Self::Served,
        Self::P99,
        Self::Detect,
        Self::Mitigate,
        Self::Recover,
        Self::Lost,
        Self::Verdict,
        Self::Trials,
        Self::Demand,
        Self::HighWater,
        Self::Queries,
        Self::Wait,
        Self::PoolTimeouts,
        Self::PostgresCpu,
    ];

    /// What users see of a variant.
    pub(super) const SERVING: [Self; 12] = [
        Self::Variant,
        Self::Base,
        Self::Goodput,
        Self::Effect,
        Self::Served,
        Self::P99,
        Self::Detect,
        Self::Mitigate,
        Self::Recover,
        Self::Lost,
        Self::Verdict,
        Self::Trials,
    ];

    /// What the database bears with a variant, and what is served for it.
    pub(super) const PRESSURE: [Self; 8] = [
        Self::Variant,
        Self::Served,
        Self::Demand,
        Self::HighWater,
        Self::Queries,
        Self::Wait,
        Self::PoolTimeouts,
        Self::PostgresCpu,
    ];

    /// What is said of the variant without mitigations, fault by fault.
    pub(super) const NOTHING_DONE: [Self; 7] = [
        Self::Goodput,
        Self::Served,
        Self::P99,
        Self::Demand,
        Self::Recover,
        Self::Lost,
        Self::Trials,
    ];

    /// What stands over it.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Variant => "variant",
            Self::Base => "base",
            Self::Goodput => "goodput ratio",
            Self::Effect => "over base",
            Self::Served => "served ratio",
            Self::P99 => "p99 ratio",
            Self::Detect => "to detect",
            Self::Mitigate => "to mitigate",
            Self::Recover => "to recover",
            Self::Lost => "lost requests",
            Self::Verdict => "verdict",
            Self::Trials => "trials",
            Self::Demand => "connection demand",
            Self::HighWater => "most at once",
            Self::Queries => "queries per request",
            Self::Wait => "p99 wait for a connection",
            Self::PoolTimeouts => "gave up waiting",
            Self::PostgresCpu => "PostgreSQL cores",
        }
    }

    /// Whether it holds words rather than numbers.
    pub(super) fn is_text(self) -> bool {
        matches!(self, Self::Variant | Self::Base | Self::Verdict)
    }

    /// What it means, in one line.
    pub(super) fn meaning(self) -> &'static str {
        match self {
            Self::Variant => "one mitigation setting; `none` is a service as commonly shipped",
            Self::Base => "the variant it stands on",
            Self::Goodput => {
                "product pages: share answered rightly and within the deadline while the fault is \
                 on, over the same share in the baseline; 1 means that users notice nothing"
            }
            Self::Effect => {
                "goodput ratio minus that of the base in the trial of the same number, which met \
                 the same arrivals; median over these pairs, in parentheses where it cannot be told \
                 from none"
            }
            Self::Served => {
                "all routes: success and degraded over scheduled, while the fault is on"
            }
            Self::P99 => {
                "product pages: 99th percentile of the response time while the fault is on, over \
                 that in the baseline; ≥ when that request was not served, so the true value is \
                 at least as large"
            }
            Self::Detect => {
                "from the fault to the first event by which the service behaves otherwise"
            }
            Self::Mitigate => {
                "from the fault until goodput is back at 0.9 of the baseline and stays there; \
                 0 ms means that it never fell"
            }
            Self::Recover => {
                "from Redis answering again until goodput and p99 are as before for 3 s"
            }
            Self::Lost => {
                "requests neither success nor degraded, fault to drain, all trials together"
            }
            Self::Verdict => "served ratio against the objective",
            Self::Trials => "valid trials of those run; invalid ones are in no figure",
            Self::Demand => {
                "connections in use + callers waiting for one: mean of the baseline → mean while \
                 the fault is on"
            }
            Self::HighWater => {
                "the highest connection demand at any moment while the fault is on, of all trials"
            }
            Self::Queries => {
                "statements that PostgreSQL runs for each request due: mean of the baseline → the \
                 second with the most while the fault is on"
            }
            Self::Wait => {
                "99th percentile of the time that callers waited for a database connection while \
                 the fault is on"
            }
            Self::PoolTimeouts => {
                "callers that stopped waiting for a database connection while the fault is on, all \
                 trials together"
            }
            Self::PostgresCpu => "cores that PostgreSQL used on average while the fault is on",
        }
    }

    /// Why a figure of this column may be missing.
    pub(super) fn why_missing(self) -> &'static str {
        match self {
            Self::Base | Self::Effect => "nothing to compare with",
            Self::Detect => "in most trials no event shows that the service noticed",
            Self::Mitigate => "in most trials not while the fault was on",
            Self::Recover => "in most trials not before the trial ended",
            Self::HighWater
            | Self::Queries
            | Self::Wait
            | Self::PoolTimeouts
            | Self::PostgresCpu => "not measured",
            _ => "no valid trial",
        }
    }
}

/// What stands in one cell.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Entry {
    /// As people read it; [`numbers::MISSING`] where there is no figure.
    pub(super) text: String,
    /// What rows are sorted by; `None` for words and missing figures.
    pub(super) sort: Option<f64>,
}

impl Entry {
    fn words(text: impl Into<String>) -> Self {
        Self { text: text.into(), sort: None }
    }

    fn figure(value: Option<f64>, write: impl Fn(f64) -> String) -> Self {
        match value.filter(|it| it.is_finite()) {
            Some(value) => Self { text: write(value), sort: Some(value) },
            None => Self { text: numbers::MISSING.into(), sort: None },
        }
    }

    /// Whether there is no figure.
    pub(super) fn is_missing(&self) -> bool {
        self.text == numbers::MISSING
    }
}

/// What stands in `column` of the row of `cell`. Only [`Column::Effect`] asks for the `effect`.
pub(super) fn entry(cell: &CellSummary, effect: Option<&Effect>, column: Column) -> Entry {
    match column {
        Column::Variant => Entry::words(&cell.variant),
        Column::Base => Entry::words(cell.base.as_deref().unwrap_or(numbers::MISSING)),
        Column::Goodput => Entry::figure(cell.goodput_ratio_fault, numbers::ratio),
        Column::Effect => {
            let comparison = effect.and_then(Effect::comparison);
            let is_told = comparison.is_none_or(|it| it.goodput.side != Side::Untold);
            Entry::figure(comparison.map(|it| it.goodput.difference), |difference| {
                let text = numbers::signed_ratio(difference);
                if is_told { text } else { format!("({text})") }
            })
        }
        Column::Served => Entry::figure(cell.served_ratio_fault, numbers::ratio),
        Column::P99 => Entry::figure(cell.response_time_p99_ratio_fault, |ratio| {
            let sign = if cell.p99_censored { "≥ " } else { "" };
            format!("{sign}{}", numbers::factor(ratio))
        }),
        Column::Detect => Entry::figure(cell.time_to_detect_ms, numbers::milliseconds),
        Column::Mitigate => Entry::figure(cell.time_to_mitigate_ms, numbers::milliseconds),
        Column::Recover => Entry::figure(cell.time_to_recover_ms, numbers::milliseconds),
        Column::Lost => count(cell.lost_requests),
        Column::Verdict => Entry::words(match cell.verdict {
            Verdict::Met => "met",
            Verdict::Missed => "missed",
            Verdict::Invalid => "invalid",
        }),
        Column::Trials => trials(cell),
        Column::Demand => {
            let demand = &cell.connection_demand;
            change(demand.mean_baseline, demand.mean_fault)
        }
        Column::HighWater => count(cell.connection_demand.high_water_fault.map(u64::from)),
        Column::Queries => {
            let queries = &cell.db_amplification;
            change(queries.queries_per_request_baseline, queries.queries_per_request_fault_peak)
        }
        Column::Wait => {
            let us = cell.phases.fault.db.pool_acquire_wait_us_p99.map(float);
            Entry::figure(us, |us| numbers::milliseconds(us / 1e3))
        }
        Column::PoolTimeouts => count(cell.phases.fault.db.pool_timeouts),
        Column::PostgresCpu => {
            Entry::figure(cell.phases.fault.cpu.postgres_cores, numbers::three_digits)
        }
    }
}

/// A whole number of things, exact.
fn count(n: Option<u64>) -> Entry {
    match n {
        Some(n) => Entry { text: numbers::count(n), sort: Some(float(n)) },
        None => Entry::words(numbers::MISSING),
    }
}

/// Before → while the fault is on; rows are sorted by the latter.
fn change(baseline: Option<f64>, fault: Option<f64>) -> Entry {
    if baseline.is_none() && fault.is_none() {
        return Entry::words(numbers::MISSING);
    }
    let text = |it: Option<f64>| it.map_or_else(|| numbers::MISSING.into(), numbers::three_digits);
    Entry { text: format!("{} → {}", text(baseline), text(fault)), sort: fault }
}

fn trials(cell: &CellSummary) -> Entry {
    let n_valid = cell.n_valid();
    let text = match cell.n_invalid {
        0 => n_valid.to_string(),
        _ => format!("{n_valid} of {}", cell.n_trials),
    };
    Entry { text, sort: Some(f64::from(n_valid)) }
}

/// Why figures of `cells` are missing: once for each variant without a valid trial, and once for
/// each column in which another has none.
pub(super) fn notes(cells: &[&CellSummary], columns: &[Column]) -> Vec<String> {
    let (measured, unmeasured): (Vec<&CellSummary>, Vec<&CellSummary>) =
        cells.iter().partition(|it| it.n_invalid < it.n_trials);
    let missing = numbers::MISSING;
    let mut notes: Vec<String> =
        unmeasured.iter().map(|it| format!("{missing} {}: no valid trial", it.variant)).collect();
    for column in columns.iter().filter(|it| !matches!(it, Column::Base | Column::Effect)) {
        if measured.iter().any(|cell| entry(cell, None, *column).is_missing()) {
            notes.push(format!("{missing} {}: {}", column.name(), column.why_missing()));
        }
    }
    notes
}
