//! The judgement of two versions over pairs of trials, look by look.
//!
//! At each look, over the pairs that there are by then:
//!
//! - **regression** when three things hold for one figure: Wilcoxon's one-sided test is significant
//!   after Holm's correction over the figures, the estimate of Hodges and Lehmann of how many times
//!   as bad is beyond the factor allowed, and that of by how much is beyond the floor;
//! - **pass** when for every figure the upper end of the factor's interval is below what a pass rules
//!   out, or that of the difference's below the floor;
//! - else more pairs, or after the last look *inconclusive*.
//!
//! Each look has an equal part of the probability of a false alarm, so over all looks it is at most
//! the sum, however they depend on each other; within a look Holm's correction keeps the part, however
//! the figures depend on each other. **Source**: Holm, Scandinavian Journal of Statistics 6, 1979;
//! the equal parts are Bonferroni's over looks, in the spirit of Pocock, Biometrika 64, 1977.

use lab_core::{
    artifact::gate::{
        FigureComparison, GateJudgement, GateLook, GatePairs, GateVerdict, JUDGEMENT_SCHEMA,
        JudgedFigure, PairFigures,
    },
    scenario::{FigureMargin, GateFigure, GateSpec},
};

use super::{
    super::statistics::{count, median},
    figures::{Worsening, at_one_speed, worsening},
    signed_rank::{critical_rank_sum, signed_rank},
    walsh::WalshAverages,
};

/// Judges a comparison by the pairs that there are so far and the rules it was run under.
pub fn judge(file: &GatePairs) -> GateJudgement {
    judge_by(file, &file.subject.gate)
}

/// Judges a comparison by other rules than it was run under.
pub fn judge_by(file: &GatePairs, spec: &GateSpec) -> GateJudgement {
    let subject = &file.subject;
    let looks = looks(&file.pairs, spec);
    let decided = looks.last().map_or(GateVerdict::Undecided, |it| it.verdict);
    let verdict = match (decided, &file.given_up) {
        (GateVerdict::Undecided, Some(_)) => GateVerdict::Inconclusive,
        (decided, _) => decided,
    };
    let is_shown = |it: &GateFigure| spec.figures.iter().all(|judged| judged.figure != *it);
    let shown = GateFigure::ALL.into_iter().filter(is_shown);
    GateJudgement {
        schema: JUDGEMENT_SCHEMA.into(),
        versions: [subject.head.clone(), subject.reference.clone()],
        verdict,
        n_pairs: length(&file.pairs),
        looks,
        shown: shown.filter_map(|it| compare(&file.pairs, it, spec)).collect(),
        given_up: file.given_up.clone(),
    }
}

/// What these pairs come to; [`GateVerdict::Undecided`] while there are more to come.
pub fn verdict(pairs: &[PairFigures], spec: &GateSpec) -> GateVerdict {
    looks(pairs, spec).last().map_or(GateVerdict::Undecided, |it| it.verdict)
}

/// Every look for which there are pairs, up to the first that decides. Pairs after that one do not
/// change the answer: it would have been given without them.
fn looks(pairs: &[PairFigures], spec: &GateSpec) -> Vec<GateLook> {
    let mut looks = Vec::new();
    for &n_pairs in &spec.looks {
        let so_far = usize::try_from(n_pairs).ok().and_then(|it| pairs.get(..it));
        let Some(so_far) = so_far else { break };
        let look = look(so_far, spec);
        let is_over = look.verdict != GateVerdict::Undecided;
        looks.push(look);
        if is_over {
            break;
        }
    }
    looks
}

fn look(pairs: &[PairFigures], spec: &GateSpec) -> GateLook {
    let compared: Vec<Compared<'_>> = spec
        .figures
        .iter()
        .filter_map(|margin| {
            let comparison = compare(pairs, margin.figure, spec)?;
            let factors = worsenings(pairs, margin.figure, spec, |it| it.log_factor);
            Some(Compared { margin, comparison, p: signed_rank(&factors).p_above })
        })
        .collect();
    let levels = holm_levels(&compared.iter().map(|it| it.p).collect::<Vec<_>>(), spec);
    let figures: Vec<JudgedFigure> =
        compared.iter().zip(levels).map(|(it, level)| it.judged(level)).collect();
    let has = |verdict| figures.iter().any(|it| it.verdict == verdict);
    // A figure that no pair has cannot pass: nothing is known of it.
    let is_whole = figures.len() == spec.figures.len();
    let verdict = if has(GateVerdict::Regression) {
        GateVerdict::Regression
    } else if is_whole && !has(GateVerdict::Undecided) {
        GateVerdict::Pass
    } else if length(pairs) == spec.pairs_max() {
        GateVerdict::Inconclusive
    } else {
        GateVerdict::Undecided
    };
    GateLook { n_pairs: length(pairs), verdict, figures }
}

/// A figure that decides, before the correction for the others.
struct Compared<'a> {
    margin: &'a FigureMargin,
    comparison: FigureComparison,
    p: f64,
}

impl Compared<'_> {
    fn judged(&self, Holm { p_max, is_significant }: Holm) -> JudgedFigure {
        let FigureMargin { factor, floor, .. } = *self.margin;
        let it = &self.comparison;
        let is_beyond = factor <= it.worse_factor && floor <= it.worse_by;
        let is_below =
            it.worse_factor_interval.is_some_and(|[_, high]| high < self.margin.pass_factor())
                || it.worse_by_high.is_some_and(|high| high < floor);
        let verdict = match (is_significant && is_beyond, is_below) {
            (true, _) => GateVerdict::Regression,
            (false, true) => GateVerdict::Pass,
            (false, false) => GateVerdict::Undecided,
        };
        JudgedFigure { comparison: *it, p: self.p, p_max, verdict }
    }
}

/// What Holm's correction asks of one figure.
#[derive(Debug, Clone, Copy)]
struct Holm {
    p_max: f64,
    is_significant: bool,
}

/// Holm's correction of one look: the smallest p is held against the level over the number of
/// figures, the next against the level over one less, and so on; the first that is too large ends it.
/// Figures without a pair count too: the number is that of the campaign.
fn holm_levels(p: &[f64], spec: &GateSpec) -> Vec<Holm> {
    let mut order: Vec<usize> = (0..p.len()).collect();
    order.sort_by(|a, b| p[*a].total_cmp(&p[*b]));
    let mut levels = vec![Holm { p_max: 0.0, is_significant: false }; p.len()];
    let mut is_open = true;
    for (place, figure) in order.into_iter().enumerate() {
        let p_max = spec.level_of_look() / count(spec.figures.len() - place);
        is_open &= p[figure] <= p_max;
        levels[figure] = Holm { p_max, is_significant: is_open };
    }
    levels
}

/// One figure of the two versions, in the pairs that can be compared in it; `None` when none has it.
fn compare(pairs: &[PairFigures], figure: GateFigure, spec: &GateSpec) -> Option<FigureComparison> {
    let level = spec.level_of_pass();
    let (head, reference): (Vec<f64>, Vec<f64>) =
        pairs.iter().filter_map(|it| at_one_speed(it, figure, spec.machine)).unzip();
    let factors = WalshAverages::of(&worsenings(pairs, figure, spec, |it| it.log_factor));
    let differences = WalshAverages::of(&worsenings(pairs, figure, spec, |it| it.by));
    let interval = factors.interval(level);
    let is_censored = |it: &PairFigures| it.head.p99_censored || it.reference.p99_censored;
    Some(FigureComparison {
        figure,
        n_pairs: length(&head),
        reference_median: median(&reference)?,
        head_median: median(&head)?,
        worse_factor: factors.estimate()?.exp(),
        worse_factor_interval: interval.map(|it| [it.low.exp(), it.high.exp()]),
        worse_by: differences.estimate()?,
        worse_by_high: differences.interval(level).map(|it| it.high),
        censored: figure == GateFigure::ResponseTimeMsP99 && pairs.iter().any(is_censored),
    })
}

fn worsenings(
    pairs: &[PairFigures],
    figure: GateFigure,
    spec: &GateSpec,
    of: impl Fn(Worsening) -> f64,
) -> Vec<f64> {
    pairs.iter().filter_map(|it| worsening(it, figure, spec.machine)).map(of).collect()
}

/// The most probability of *regression* for identical code: the sum over looks and figures of what
/// the exact test attains at its level. The margins make it smaller still.
pub fn false_alarm_bound(spec: &GateSpec) -> f64 {
    let n_figures = count(spec.figures.len());
    let attained = |n_pairs: &u32| {
        let n_pairs = usize::try_from(*n_pairs).ok()?;
        // By symmetry P(W+ ≥ n(n + 1)/2 − k) is P(W+ ≤ k).
        critical_rank_sum(n_pairs, spec.level_of_look() / n_figures).map(|(_, p)| p * n_figures)
    };
    spec.looks.iter().filter_map(attained).sum()
}

/// How many there are: pairs of some gates, or figures of one.
pub(super) fn length<T>(all: &[T]) -> u32 {
    u32::try_from(all.len()).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests;
