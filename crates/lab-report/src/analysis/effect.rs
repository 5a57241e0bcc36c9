//! What a variant changed against its base, and in one word: helped, made it worse, or neither.
//!
//! The trials of one number meet the same arrivals in every variant, so the comparison is made
//! within pairs: the trial of a number with the variant, and the one without it. The rule stands at
//! [`Comparison::of`], and in `docs/method.md`.

use lab_core::artifact::{
    summary::CellSummary,
    verdict::{TrialFigures, TrialVerdict, Verdict},
};

use super::statistics::{Bound, float, median, median_bound};

/// From this many pairs on the narrower margins hold. Chosen: by luck alone three differences lie
/// on one side in one of four comparisons, which is why there are margins at all.
pub const N_PAIRS_ENOUGH: usize = 3;
/// Ratios nearer than this are the same in practice. Chosen: 20 of 1,000 users.
pub const RATIO_MARGIN: f64 = 0.02;
/// The same with fewer pairs. Measured: in the committed ladder, of one trial each, two variants
/// that change nothing about product pages lie 0.15 and 0.13 below their base where the database
/// is at its capacity (`session-cookie`, `session-database` under crash).
pub const RATIO_MARGIN_FEW_PAIRS: f64 = 0.2;
/// The same with fewer pairs where one of the two ratios is at its [`CEILING`]. There a trial has no
/// noise (five trials of `playbook-one-minute`: 1.000 in each), so that the difference has that of
/// one trial and not of two: 0.2 / √2.
pub const RATIO_MARGIN_FEW_PAIRS_AT_CEILING: f64 = 0.14;
/// p99 within this factor is the same in practice. Chosen.
pub const P99_FACTOR: f64 = 1.5;
/// The same with fewer pairs. Chosen: where three pairs of the committed campaign tell nothing,
/// single ones of them differ by a factor of 2.
pub const P99_FACTOR_FEW_PAIRS: f64 = 3.0;
/// A goodput ratio from here on has no room left for a difference that matters.
pub const CEILING: f64 = 0.99;
/// Rounding errors of a difference stay below this.
pub(super) const ROUNDING: f64 = 1e-9;

/// What a cell shows of its variant against the variant's base, under the same fault and load.
#[derive(Debug, Clone, PartialEq)]
pub enum Effect {
    /// The variant stands on nothing.
    Control,
    /// There is nothing to compare.
    Incomparable(Incomparable),
    /// Both were measured.
    Compared(Comparison),
}

impl Effect {
    /// The comparison, where there is one.
    pub fn comparison(&self) -> Option<&Comparison> {
        match self {
            Self::Compared(comparison) => Some(comparison),
            Self::Control | Self::Incomparable(_) => None,
        }
    }
}

/// Why there is nothing to compare.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Incomparable {
    /// The cell is not valid.
    Invalid,
    /// The base was not tried under this fault and load.
    BaseNotMeasured,
    /// The base's cell is not valid.
    BaseInvalid,
    /// No trial number is valid in both.
    NoPair,
}

/// What is found of a variant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Finding {
    /// Better than without it.
    Helped,
    /// Worse than without it.
    MadeItWorse,
    /// Better in one figure and worse in another.
    Mixed,
    /// No difference that can be told.
    NoDifference,
}

/// A figure that a finding can rest on, in the order in which they are asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum JudgedBy {
    /// Goodput ratio of product pages.
    Goodput,
    /// Served ratio of all routes.
    Served,
    /// p99 of product pages while the fault is on.
    P99,
}

/// On which side of "no change" a figure lies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    /// Clearly better with the variant.
    Better,
    /// Clearly worse with it.
    Worse,
    /// Neither.
    Untold,
}

/// A ratio with the variant and without it; medians over the pairs in which both have it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct PairedRatio {
    /// With the variant.
    pub with: f64,
    /// Its base.
    pub without: f64,
    /// Of the differences within pairs, with − without. Not the difference of the two medians.
    pub difference: f64,
    /// The smallest difference within a pair.
    pub difference_min: f64,
    /// The largest.
    pub difference_max: f64,
    /// How many pairs.
    pub n_pairs: usize,
    /// What the differences say.
    pub side: Side,
}

/// A response time with the variant and without it, in microseconds; medians over the pairs.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct PairedTime {
    /// With the variant.
    pub with_us: Bound,
    /// Its base.
    pub without_us: Bound,
    /// How many pairs.
    pub n_pairs: usize,
    /// What the factors say.
    pub side: Side,
}

/// A variant beside its base.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Comparison {
    /// In one word.
    pub finding: Finding,
    /// The figure that gave the word. Of [`Finding::Mixed`]: goodput, and the served ratio
    /// contradicts it. Of [`Finding::NoDifference`]: the last that was asked.
    pub judged_by: JudgedBy,
    /// Pairs of that figure.
    pub n_pairs: usize,
    /// Goodput ratio of product pages.
    pub goodput: PairedRatio,
    /// Served ratio of all routes; `None` when no pair has it.
    pub served: Option<PairedRatio>,
    /// p99 of product pages while the fault is on; `None` when no pair has it.
    pub p99: Option<PairedTime>,
}

impl Comparison {
    /// Compares the trials of a variant with those of its base. Invalid trials are left out;
    /// `None` when no trial number has a goodput ratio in both.
    ///
    /// A figure is *better* (*worse*) when it is so in every pair, and its median over the pairs
    /// by more than a margin: [`RATIO_MARGIN`] for ratios and the factor [`P99_FACTOR`] for p99,
    /// or the wider margins with fewer than [`N_PAIRS_ENOUGH`] pairs. The word comes from the
    /// first of these that tells a difference:
    ///
    /// 1. the goodput ratio; when the served ratio says the opposite, the finding is *mixed*;
    /// 2. the served ratio, which also counts the other routes and degraded answers;
    /// 3. p99 while the fault is on, but only where goodput is at its ceiling with the variant and
    ///    without it: below that, p99 is the time of requests that were not served.
    ///
    /// p99 is compared itself, not its ratio to the baseline: a variant that makes normal days
    /// faster, and its own baseline with them, must not lose by it.
    pub fn of(with: &[&TrialVerdict], without: &[&TrialVerdict]) -> Option<Self> {
        let pairs = pairs(with, without);
        let goodput = paired_ratio(&pairs, |it| it.goodput_ratio_fault)?;
        let served = paired_ratio(&pairs, |it| it.served_ratio_fault);
        let p99 = paired_p99(&pairs);
        let at_ceiling = CEILING <= goodput.with && CEILING <= goodput.without;
        let served_side = served.map_or(Side::Untold, |it| it.side);
        let (judged_by, side) = match (goodput.side, served_side, p99) {
            (Side::Untold, Side::Untold, Some(p99)) if at_ceiling => (JudgedBy::P99, p99.side),
            (Side::Untold, Side::Untold, _) => (JudgedBy::Goodput, Side::Untold),
            (Side::Untold, side, _) => (JudgedBy::Served, side),
            (side, _, _) => (JudgedBy::Goodput, side),
        };
        let finding = match (side, served_side) {
            (Side::Better, Side::Worse) | (Side::Worse, Side::Better) => Finding::Mixed,
            (Side::Better, _) => Finding::Helped,
            (Side::Worse, _) => Finding::MadeItWorse,
            (Side::Untold, _) => Finding::NoDifference,
        };
        let n_pairs = match judged_by {
            JudgedBy::Goodput => goodput.n_pairs,
            JudgedBy::Served => served.map_or(0, |it| it.n_pairs),
            JudgedBy::P99 => p99.map_or(0, |it| it.n_pairs),
        };
        Some(Self { finding, judged_by, n_pairs, goodput, served, p99 })
    }
}

/// The effect of every cell. `trials` has one list for each cell, in the same order; invalid
/// trials may be in it.
pub fn effects(cells: &[CellSummary], trials: &[Vec<&TrialVerdict>]) -> Vec<Effect> {
    cells
        .iter()
        .zip(trials)
        .map(|(cell, with)| {
            if cell.base.is_none() {
                return Effect::Control;
            }
            let base = base_of(cells, cell)
                .map(|at| (&cells[at], &trials[at]))
                .filter(|(it, _)| 0 < it.n_trials);
            match base {
                _ if cell.verdict == Verdict::Invalid => {
                    Effect::Incomparable(Incomparable::Invalid)
                }
                None => Effect::Incomparable(Incomparable::BaseNotMeasured),
                Some((base, _)) if base.verdict == Verdict::Invalid => {
                    Effect::Incomparable(Incomparable::BaseInvalid)
                }
                Some((_, without)) => Comparison::of(with, without)
                    .map_or(Effect::Incomparable(Incomparable::NoPair), Effect::Compared),
            }
        })
        .collect()
}

/// Where among `cells` the base of `cell` stands: its variant, under the same fault and load.
pub fn base_of(cells: &[CellSummary], cell: &CellSummary) -> Option<usize> {
    let base = cell.base.as_deref()?;
    cells
        .iter()
        .position(|it| it.variant == base && it.fault == cell.fault && it.params == cell.params)
}

/// Figures with the variant, and without it.
type Pair<'a> = (&'a TrialFigures, &'a TrialFigures);

/// The trial numbers that are valid in both, in the order of `with`.
fn pairs<'a>(with: &[&'a TrialVerdict], without: &[&'a TrialVerdict]) -> Vec<Pair<'a>> {
    with.iter()
        .filter(|it| it.valid)
        .filter_map(|with| {
            let without = without.iter().find(|it| it.valid && it.trial == with.trial)?;
            Some((&with.figures, &without.figures))
        })
        .collect()
}

fn paired_ratio(
    pairs: &[Pair<'_>],
    ratio: impl Fn(&TrialFigures) -> Option<f64>,
) -> Option<PairedRatio> {
    let (with, without) =
        pairs.iter().filter_map(|(with, without)| ratio(with).zip(ratio(without))).unzip();
    ratio_of_pairs(with, without)
}

/// The wider margin of two ratios: smaller where one of them is at its ceiling.
pub(super) fn wide_ratio_margin(one: f64, other: f64) -> f64 {
    let is_at_ceiling = CEILING <= one.max(other);
    if is_at_ceiling { RATIO_MARGIN_FEW_PAIRS_AT_CEILING } else { RATIO_MARGIN_FEW_PAIRS }
}

/// A ratio in pairs: the first of `with` and the first of `without` are one. `None` without a pair.
fn ratio_of_pairs(with: Vec<f64>, without: Vec<f64>) -> Option<PairedRatio> {
    let gains: Vec<f64> = with.iter().zip(&without).map(|(with, without)| with - without).collect();
    let (with, without) = (median(&with)?, median(&without)?);
    let is_enough = N_PAIRS_ENOUGH <= gains.len();
    let margin = if is_enough { RATIO_MARGIN } else { wide_ratio_margin(with, without) };
    Some(PairedRatio {
        with,
        without,
        difference: median(&gains)?,
        difference_min: gains.iter().copied().reduce(f64::min)?,
        difference_max: gains.iter().copied().reduce(f64::max)?,
        n_pairs: gains.len(),
        side: side(&gains, &gains, margin),
    })
}

/// p99 while the fault is on. The gain of a pair is ln(without / with). Where the time without the
/// variant is only a lower bound, the true gain is at least that; where the one with it is, at
/// most; where both are, anything.
fn paired_p99(pairs: &[Pair<'_>]) -> Option<PairedTime> {
    let bound = |it: &TrialFigures| {
        let us = it.response_time_p99_us.fault?;
        Some(Bound { value: float(us.max(1)), censored: it.p99_censored })
    };
    let (with, without): (Vec<Bound>, Vec<Bound>) =
        pairs.iter().filter_map(|(with, without)| bound(with).zip(bound(without))).unzip();
    let gains = || with.iter().zip(&without).map(|(a, b)| (a, b, (b.value / a.value).ln()));
    let at_least: Vec<f64> =
        gains().map(|(a, _, gain)| if a.censored { f64::NEG_INFINITY } else { gain }).collect();
    let at_most: Vec<f64> =
        gains().map(|(_, b, gain)| if b.censored { f64::INFINITY } else { gain }).collect();
    let factor = if with.len() < N_PAIRS_ENOUGH { P99_FACTOR_FEW_PAIRS } else { P99_FACTOR };
    Some(PairedTime {
        with_us: median_bound(&with)?,
        without_us: median_bound(&without)?,
        n_pairs: with.len(),
        side: side(&at_least, &at_most, factor.ln()),
    })
}

/// Better when every gain is certainly above 0 and the median above the margin; worse when every
/// gain is certainly below 0 and the median below minus the margin. A gain of 0 is on neither
/// side. `at_least` and `at_most` are what is certain of the gain of each pair.
pub(super) fn side(at_least: &[f64], at_most: &[f64], margin: f64) -> Side {
    let beyond = |gains: &[f64], sign: f64| {
        gains.iter().all(|it| ROUNDING < sign * it)
            && median(gains).is_some_and(|it| margin + ROUNDING < sign * it)
    };
    match (beyond(at_least, 1.0), beyond(at_most, -1.0)) {
        (true, _) => Side::Better,
        (_, true) => Side::Worse,
        _ => Side::Untold,
    }
}

#[cfg(test)]
mod tests;
