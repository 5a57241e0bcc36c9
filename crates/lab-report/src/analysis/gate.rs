//! Is a result worse than a stored one? Judged are figures in which the machine's speed cancels, and
//! counts; times are not, because another day or another machine has its own.

use std::fmt;

use lab_core::artifact::{
    stored_result::{StoredCell, StoredResult},
    summary::Summary,
};

use super::{
    effect::{ROUNDING, Side, side, wide_ratio_margin},
    statistics::{count, median, median_of_existing},
};

/// How often two results on identical code may look, by luck alone, as if some cell no longer
/// recovered. Chosen, as everywhere.
pub const LUCK_MAX: f64 = 0.05;

/// Queries for each request of a normal day may be this many times as many. Chosen: they are
/// counted, and differ by the few entries that expire.
pub const QUERIES_FACTOR: f64 = 1.1;
/// And by at least this many more.
pub const QUERIES_FLOOR: f64 = 0.05;
/// The peak of queries for each request under the fault may be this many times as high. Chosen: it
/// rests on one second of each trial.
pub const PEAK_FACTOR: f64 = 1.5;
/// And by at least this many queries higher.
pub const PEAK_FLOOR: f64 = 1.0;

/// What a figure says, from the best to the worst.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Judgement {
    /// Not worse.
    Pass,
    /// It may be worse, and the trials cannot tell.
    Inconclusive,
    /// Worse.
    Regression,
}

impl Judgement {
    /// The word for it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Pass => "pass",
            Self::Inconclusive => "inconclusive",
            Self::Regression => "regression",
        }
    }
}

/// A figure that is judged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Figure {
    /// Goodput ratio of product pages in the fault window.
    GoodputRatio,
    /// Served ratio of all routes in the fault window.
    ServedRatio,
    /// Share of the trials that recovered.
    Recovered,
    /// Queries for each request in the baseline.
    QueriesPerRequest,
    /// The peak of the same in the fault window.
    QueriesPeak,
}

impl Figure {
    /// Its name in tables.
    pub fn name(self) -> &'static str {
        match self {
            Self::GoodputRatio => "goodput ratio",
            Self::ServedRatio => "served ratio",
            Self::Recovered => "recovered",
            Self::QueriesPerRequest => "queries per request",
            Self::QueriesPeak => "peak queries per request",
        }
    }
}

/// One figure of one cell, then and now.
#[derive(Debug, Clone, PartialEq)]
pub struct Judged {
    /// Index of the cell in the result that is judged.
    pub cell: usize,
    /// Which figure.
    pub figure: Figure,
    /// In the stored result.
    pub then: Option<f64>,
    /// In the one that is judged.
    pub now: Option<f64>,
    /// What it says.
    pub judgement: Judgement,
    /// Why, in a few words.
    pub why: &'static str,
}

/// A comparison as a whole.
#[derive(Debug, Clone, PartialEq)]
pub struct Comparison {
    /// Every figure of every cell that both have, in the order of the stored result.
    pub judged: Vec<Judged>,
    /// Cells of the stored result that the other does not have, and those that were not valid
    /// then: `variant fault load`.
    pub not_compared: Vec<String>,
}

impl Comparison {
    /// The worst judgement of all figures. **Panics** never; a comparison of nothing is refused
    /// before it is made.
    pub fn verdict(&self) -> Judgement {
        self.judged.iter().map(|it| it.judgement).max().unwrap_or(Judgement::Inconclusive)
    }
}

/// Two results that mean nothing side by side: what differs, there and here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NotComparable {
    /// Which key.
    pub what: &'static str,
    /// In the stored result.
    pub then: String,
    /// In the one that is judged.
    pub now: String,
}

impl fmt::Display for NotComparable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { what, then, now } = self;
        write!(f, "the baseline has {what} `{then}`, this result has `{now}`: run the same again")
    }
}

impl std::error::Error for NotComparable {}

/// Judges `now` against `then`, cell by cell.
///
/// **Errors**: another campaign, profile, seed or objective, a part of a run, or no cell that both
/// have.
pub fn judge(then: &StoredResult, now: &StoredResult) -> Result<Comparison, NotComparable> {
    let partial = |it: &StoredResult| if it.partial { "a part of a run" } else { "a whole run" };
    let pairs = [
        ("campaign", then.campaign.clone(), now.campaign.clone()),
        ("profile", then.profile.name().into(), now.profile.name().into()),
        ("seed", then.seed.0.to_string(), now.seed.0.to_string()),
        ("deadline", then.deadline_ms.to_string(), now.deadline_ms.to_string()),
        ("extent", partial(then).into(), partial(now).into()),
    ];
    if let Some((what, then, now)) = pairs.into_iter().find(|(_, then, now)| then != now) {
        return Err(NotComparable { what, then, now });
    }
    let mut comparison = Comparison { judged: Vec::new(), not_compared: Vec::new() };
    let mut both = Vec::new();
    for cell in &then.cells {
        let place = now.cells.iter().position(|it| it.key() == cell.key());
        let had_goodput = Trials::goodput(cell).median.is_some();
        match place.filter(|_| had_goodput) {
            Some(place) => both.push((cell, place)),
            None => comparison.not_compared.push(cell.key()),
        }
    }
    for (cell, place) in &both {
        comparison.judged.extend(judge_cell((cell, &now.cells[*place]), *place, both.len()));
    }
    if comparison.judged.is_empty() {
        let cells =
            |it: &StoredResult| it.cells.iter().map(StoredCell::key).collect::<Vec<_>>().join(", ");
        return Err(NotComparable { what: "cells", then: cells(then), now: cells(now) });
    }
    Ok(comparison)
}

/// Judges one of `n_cells` cells, which stands at `place` in the result that is judged.
fn judge_cell(
    (then, now): (&StoredCell, &StoredCell),
    place: usize,
    n_cells: usize,
) -> Vec<Judged> {
    let judged = |figure, (then, now), (judgement, why)| Judged {
        cell: place,
        figure,
        then,
        now,
        judgement,
        why,
    };
    let is_paired = then.n_invalid == 0 && now.n_invalid == 0;
    let ratio = |figure, (then, now): (Trials, Trials)| {
        judged(figure, (then.median, now.median), judge_ratio(then, now, is_paired))
    };
    let queries = |it: &StoredCell| it.queries_per_request_baseline;
    let peak = |it: &StoredCell| it.queries_per_request_fault_peak;
    let count = |figure, pair: (Option<f64>, Option<f64>), allowed| {
        judged(figure, pair, judge_count(pair, allowed))
    };
    vec![
        ratio(Figure::GoodputRatio, (Trials::goodput(then), Trials::goodput(now))),
        ratio(Figure::ServedRatio, (Trials::served(then), Trials::served(now))),
        judged(
            Figure::Recovered,
            (recovered(then), recovered(now)),
            judge_recovery(then, now, n_cells),
        ),
        count(
            Figure::QueriesPerRequest,
            (queries(then), queries(now)),
            (QUERIES_FACTOR, QUERIES_FLOOR),
        ),
        count(Figure::QueriesPeak, (peak(then), peak(now)), (PEAK_FACTOR, PEAK_FLOOR)),
    ]
}

/// Share of valid trials that recovered.
fn recovered(cell: &StoredCell) -> Option<f64> {
    let n_valid = cell.n_valid();
    (0 < n_valid).then(|| f64::from(cell.n_recovered) / f64::from(n_valid))
}

/// A ratio of one cell.
#[derive(Debug, Clone)]
struct Trials {
    median: Option<f64>,
    /// Of every valid trial that has it, in order.
    each: Vec<f64>,
}

impl Trials {
    fn goodput(cell: &StoredCell) -> Self {
        Self::of(&cell.goodput_ratio_fault_trials)
    }

    fn served(cell: &StoredCell) -> Self {
        Self::of(&cell.served_ratio_fault_trials)
    }

    fn of(trials: &[Option<f64>]) -> Self {
        let each: Vec<f64> = trials.iter().copied().flatten().collect();
        Self { median: median_of_existing(trials), each }
    }
}

/// Trials of one number met the same arrivals and are pairs when none is missing; else the two
/// medians are one pair. The margin does not narrow with their number: the trials of one result share
/// its calibration, and what that leaves is most of the spread between results.
fn judge_ratio(then: Trials, now: Trials, is_paired: bool) -> (Judgement, &'static str) {
    let (Some(then_median), Some(now_median)) = (then.median, now.median) else {
        return (Judgement::Inconclusive, "no valid trial");
    };
    let gains: Vec<f64> = if is_paired && then.each.len() == now.each.len() {
        now.each.iter().zip(&then.each).map(|(now, then)| now - then).collect()
    } else {
        vec![now_median - then_median]
    };
    let margin = wide_ratio_margin(then_median, now_median);
    let loss = median(&gains).map_or(0.0, |it| -it);
    if side(&gains, &gains, margin) == Side::Worse {
        (Judgement::Regression, "worse in every trial, and by more than the margin")
    } else if margin / 2.0 + ROUNDING < loss {
        (Judgement::Inconclusive, "worse, and the trials are too few or disagree")
    } else if gains.iter().all(|it| ROUNDING < *it) {
        (Judgement::Pass, "better in every trial")
    } else {
        (Judgement::Pass, "no difference that can be told")
    }
}

/// The greatest probability with which two results on identical code recover, one in all of `n_then`
/// trials and the other in none of `n_now`, whatever its probability p to recover: p^m (1 − p)^n is
/// greatest at p = m / (m + n). It is that of both results together: a stored one that was lucky meets
/// results that are not more often. **Range** of both: at least 1.
fn luck(n_then: u32, n_now: u32) -> f64 {
    let (m, n) = (f64::from(n_then), f64::from(n_now));
    (m / (m + n)).powf(m) * (n / (m + n)).powf(n)
}

/// In some of `n_cells` cells identical code has this luck at most `n_cells` times as often as in one.
fn judge_recovery(
    then: &StoredCell,
    now: &StoredCell,
    n_cells: usize,
) -> (Judgement, &'static str) {
    let is_luck = || LUCK_MAX < luck(then.n_valid(), now.n_valid()) * count(n_cells);
    match now.n_recovered {
        _ if now.n_valid() == 0 => (Judgement::Inconclusive, "no valid trial"),
        _ if !then.is_recovered() => (Judgement::Pass, "not every trial recovered before either"),
        _ if now.is_recovered() => (Judgement::Pass, "every trial recovers, as before"),
        0 if !is_luck() => (Judgement::Regression, "no trial recovers any more"),
        0 => (Judgement::Inconclusive, "no trial recovers any more, and the trials are too few"),
        _ => (Judgement::Inconclusive, "some trials do not recover any more"),
    }
}

fn judge_count(
    (then, now): (Option<f64>, Option<f64>),
    (factor, floor): (f64, f64),
) -> (Judgement, &'static str) {
    match (then, now) {
        (Some(then), Some(now)) if then * factor < now && then + floor < now => {
            (Judgement::Regression, "more than the count may grow")
        }
        (Some(_), Some(_)) => (Judgement::Pass, "within what the count may grow"),
        (Some(_), None) => (Judgement::Inconclusive, "not counted any more"),
        (None, _) => (Judgement::Pass, "not counted then"),
    }
}

/// Why a summary cannot be what the analysis wrote.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Inconsistent {
    /// The cell.
    pub cell: String,
    /// What does not add up.
    pub what: String,
}

/// Checks what must add up in every summary that nobody has edited. **Errors**: the first that does
/// not.
pub fn check_sums(summary: &Summary) -> Result<(), Inconsistent> {
    for cell in &summary.variants {
        let wrong = |what: String| Err(Inconsistent { cell: StoredCell::from(cell).key(), what });
        for (name, figure, trials) in [
            ("goodput_ratio_fault", cell.goodput_ratio_fault, &cell.goodput_ratio_fault_trials),
            ("served_ratio_fault", cell.served_ratio_fault, &cell.served_ratio_fault_trials),
        ] {
            let n_valid = cell.n_valid();
            if usize::try_from(n_valid).is_ok_and(|it| it != trials.len()) {
                let n = trials.len();
                return wrong(format!("{name}_trials has {n} entries, {n_valid} trials are valid"));
            }
            let existing: Vec<f64> = trials.iter().copied().flatten().collect();
            if let (Some(figure), Some(of_trials)) = (figure, median(&existing))
                && !is_same(figure, of_trials)
            {
                return wrong(format!("{name} is {figure}, the median of its trials {of_trials}"));
            }
        }
        let phases = &cell.phases;
        for (name, phase) in [
            ("baseline", &phases.baseline),
            ("fault", &phases.fault),
            ("recovery", &phases.recovery),
        ] {
            let scheduled: u64 = phase.outcomes.values().sum();
            let served = phase.outcomes.iter().filter(|(outcome, _)| outcome.is_served());
            let served: u64 = served.map(|(_, n)| n).sum();
            if let (Some(figure), Some(of_counts)) =
                (phase.served_ratio, super::statistics::fraction(served, scheduled))
                && !is_same(figure, of_counts)
            {
                return wrong(format!(
                    "phases.{name}.served_ratio is {figure}, its outcomes give {of_counts}"
                ));
            }
        }
    }
    Ok(())
}

fn is_same(a: f64, b: f64) -> bool {
    (a - b).abs() < 1e-9
}

#[cfg(test)]
mod tests;
