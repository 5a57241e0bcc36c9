//! The rule on trials worked by hand.

use lab_core::artifact::{
    campaign_run::PlannedCell,
    verdict::{PerPhase, TrialFigures, TrialVerdict, Verdict},
};

use super::*;
use crate::analysis::{
    histograms::PhaseHistograms,
    summary::{TrialResult, summarise},
    testing::{campaign_run, planned_cell, trial_figures, trial_verdict},
};

/// A trial: its number, goodput ratio, served ratio, p99 in ms.
#[derive(Clone, Copy)]
struct Trial(u32, f64, f64, u64);

/// p99 at the deadline of 1 s is that of a request that was not served.
fn verdict(Trial(trial, goodput, served, p99_ms): Trial) -> TrialVerdict {
    let figures = TrialFigures {
        goodput_ratio_fault: Some(goodput),
        served_ratio_fault: Some(served),
        response_time_p99_us: PerPhase { fault: Some(p99_ms * 1_000), ..PerPhase::default() },
        p99_censored: 1_000 <= p99_ms,
        ..trial_figures()
    };
    TrialVerdict { trial, ..trial_verdict(figures) }
}

fn compare_verdicts(with: &[TrialVerdict], without: &[TrialVerdict]) -> Option<Comparison> {
    let with: Vec<&TrialVerdict> = with.iter().collect();
    let without: Vec<&TrialVerdict> = without.iter().collect();
    Comparison::of(&with, &without)
}

fn compare(with: &[Trial], without: &[Trial]) -> Comparison {
    let verdicts = |it: &[Trial]| it.iter().copied().map(verdict).collect::<Vec<_>>();
    compare_verdicts(&verdicts(with), &verdicts(without)).unwrap()
}

/// Goodput ratios with and without; nothing else differs.
fn by_goodput(pairs: &[(f64, f64)]) -> Finding {
    let trials = |of: fn(&(f64, f64)) -> f64| -> Vec<Trial> {
        (0..).zip(pairs).map(|(number, pair)| Trial(number, of(pair), 0.5, 1_000)).collect()
    };
    let comparison = compare(&trials(|it| it.0), &trials(|it| it.1));
    assert_eq!((comparison.judged_by, comparison.n_pairs), (JudgedBy::Goodput, pairs.len()));
    comparison.finding
}

/// Served ratios with and without, three pairs each time; goodput is the same.
fn by_served(with: f64, without: f64) -> Comparison {
    let trials = |served| [0, 1, 2].map(|number| Trial(number, 0.8, served, 1_000));
    compare(&trials(with), &trials(without))
}

/// p99 in ms with and without; goodput and served ratio are 1 in both.
fn by_p99(pairs: &[(u64, u64)]) -> Finding {
    let trials = |of: fn(&(u64, u64)) -> u64| -> Vec<Trial> {
        (0..).zip(pairs).map(|(number, pair)| Trial(number, 1.0, 1.0, of(pair))).collect()
    };
    let comparison = compare(&trials(|it| it.0), &trials(|it| it.1));
    assert_eq!(comparison.judged_by, JudgedBy::P99);
    comparison.finding
}

// Differences: +0.11, +0.25, +0.05, all above 0, median 0.11. The other way round all are below.
#[test]
fn three_pairs_on_one_side_beyond_the_margin_tell_a_difference() {
    assert_eq!(by_goodput(&[(0.8, 0.69), (0.9, 0.65), (0.7, 0.65)]), Finding::Helped);
    assert_eq!(by_goodput(&[(0.69, 0.8), (0.65, 0.9), (0.65, 0.7)]), Finding::MadeItWorse);
}

// +0.108, −0.202, −0.119: what the committed campaign has of the breaker under pause at 1.5. The
// medians 0.743 and 0.860 alone would say that it made things worse.
#[test]
fn pairs_on_both_sides_tell_nothing_however_far_apart_the_medians_are() {
    let pairs = [(0.968, 0.860), (0.743, 0.945), (0.718, 0.837)];
    assert_eq!(by_goodput(&pairs), Finding::NoDifference);
}

// A difference of exactly 0 is on neither side, and one of exactly 0.02 is not beyond 0.02.
#[test]
fn a_tie_and_the_margin_itself_tell_nothing() {
    assert_eq!(by_goodput(&[(0.9, 0.6), (0.9, 0.6), (0.6, 0.6)]), Finding::NoDifference);
    assert_eq!(by_goodput(&[(0.52, 0.5), (0.52, 0.5), (0.52, 0.5)]), Finding::NoDifference);
    assert_eq!(by_goodput(&[(0.521, 0.5), (0.521, 0.5), (0.521, 0.5)]), Finding::Helped);
    assert_eq!(by_goodput(&[(0.479, 0.5), (0.479, 0.5), (0.479, 0.5)]), Finding::MadeItWorse);
    assert_eq!(by_goodput(&[(0.0, 0.0), (0.0, 0.0), (0.0, 0.0)]), Finding::NoDifference);
}

#[test]
fn fewer_than_three_pairs_need_the_wider_margin() {
    assert_eq!(by_goodput(&[(0.7, 0.5)]), Finding::NoDifference);
    assert_eq!(by_goodput(&[(0.71, 0.5)]), Finding::Helped);
    assert_eq!(by_goodput(&[(0.69, 0.5), (0.69, 0.5)]), Finding::NoDifference);
    assert_eq!(by_goodput(&[(0.29, 0.5), (0.29, 0.5)]), Finding::MadeItWorse);
    assert_eq!(by_goodput(&[(0.4, 0.5), (0.6, 0.5)]), Finding::NoDifference);
}

// At the ceiling of 0.99 a trial has no noise, so a difference of 0.15 against it tells something; a
// hundredth below, both are noisy.
#[test]
fn fewer_than_three_pairs_need_less_against_a_ratio_at_its_ceiling() {
    assert_eq!(by_goodput(&[(1.0, 0.85)]), Finding::Helped);
    assert_eq!(by_goodput(&[(0.84, 0.99)]), Finding::MadeItWorse);
    assert_eq!(by_goodput(&[(1.0, 0.86)]), Finding::NoDifference);
    assert_eq!(by_goodput(&[(0.98, 0.83)]), Finding::NoDifference);
}

// Medians of 0.7, 0.9, 0.5 and 0.6, 0.6, 0.6; differences +0.1, +0.3, −0.1, median +0.1.
#[test]
fn the_figures_are_medians_over_the_pairs() {
    let with = [Trial(0, 0.7, 0.9, 20), Trial(1, 0.9, 0.8, 40), Trial(2, 0.5, 0.7, 1_000)];
    let without = [0, 1, 2].map(|number| Trial(number, 0.6, 0.6, 1_000));
    let Comparison { goodput, served, p99, .. } = compare(&with, &without);
    let close = |a: f64, b: f64| assert!((a - b).abs() < 1e-9, "{a}, {b}");
    close(goodput.with, 0.7);
    close(goodput.without, 0.6);
    close(goodput.difference, 0.1);
    close(goodput.difference_min, -0.1);
    close(goodput.difference_max, 0.3);
    assert_eq!(goodput.side, Side::Untold);
    close(served.unwrap().difference, 0.2);
    let p99 = p99.unwrap();
    assert_eq!(p99.with_us, Bound { value: 40_000.0, censored: false });
    assert_eq!(p99.without_us, Bound { value: 1_000_000.0, censored: true });
}

// The trial number pairs them, not the place in the list: number 1 is missing on one side, invalid
// on the other side of number 2. Left are 0 (+0.3) and 3 (+0.12).
#[test]
fn trials_are_paired_by_their_number_and_only_valid_ones() {
    let with = [Trial(0, 0.9, 0.5, 1), Trial(2, 0.9, 0.5, 1), Trial(3, 0.72, 0.5, 1)].map(verdict);
    let mut without = [
        Trial(0, 0.6, 0.5, 1),
        Trial(1, 0.1, 0.5, 1),
        Trial(2, 0.1, 0.5, 1),
        Trial(3, 0.6, 0.5, 1),
    ]
    .map(verdict);
    without[2].valid = false;
    let comparison = compare_verdicts(&with, &without).unwrap();
    assert_eq!(comparison.n_pairs, 2);
    assert!((comparison.goodput.difference - 0.21).abs() < 1e-9, "{comparison:?}");
    assert_eq!(comparison.finding, Finding::Helped);
    assert_eq!(compare_verdicts(&with, &without[1..3]), None, "no number is valid in both");
    let unknown = TrialVerdict { figures: trial_figures(), ..with[0].clone() };
    assert_eq!(compare_verdicts(&[unknown], &without[..1]), None, "no goodput ratio");
}

#[test]
fn the_served_ratio_speaks_where_goodput_tells_nothing() {
    let comparison = by_served(0.97, 0.94);
    assert_eq!((comparison.finding, comparison.judged_by), (Finding::Helped, JudgedBy::Served));
    assert_eq!(by_served(0.9, 0.94).finding, Finding::MadeItWorse);
    let comparison = by_served(0.95, 0.94);
    assert_eq!(
        (comparison.finding, comparison.judged_by),
        (Finding::NoDifference, JudgedBy::Goodput)
    );
}

// Pages served from an old copy are degraded: goodput falls from 0.8 to 0.1, served rises.
#[test]
fn goodput_and_served_ratio_that_contradict_each_other_are_a_mixed_finding() {
    let trials = |goodput, served| [0, 1, 2].map(|number| Trial(number, goodput, served, 1_000));
    let (stale, plain) = (trials(0.1, 0.97), trials(0.8, 0.8));
    let comparison = compare(&stale, &plain);
    assert_eq!((comparison.finding, comparison.judged_by), (Finding::Mixed, JudgedBy::Goodput));
    assert_eq!(compare(&plain, &stale).finding, Finding::Mixed);
    assert_eq!(compare(&trials(0.9, 0.81), &plain).finding, Finding::Helped);
}

// Factors 3, 2, 1.6: median 2. With 3, 1.4, 1.3 the median is 1.4, within 1.5.
#[test]
fn at_the_ceiling_p99_speaks_by_its_factor() {
    assert_eq!(by_p99(&[(100, 300), (100, 200), (100, 160)]), Finding::Helped);
    assert_eq!(by_p99(&[(300, 100), (200, 100), (160, 100)]), Finding::MadeItWorse);
    assert_eq!(by_p99(&[(100, 300), (100, 140), (100, 130)]), Finding::NoDifference);
    assert_eq!(by_p99(&[(100, 300), (100, 300), (110, 100)]), Finding::NoDifference);
    assert_eq!(by_p99(&[(100, 150), (100, 150), (100, 150)]), Finding::NoDifference);
    assert_eq!(by_p99(&[(100, 290)]), Finding::NoDifference);
    assert_eq!(by_p99(&[(100, 310)]), Finding::Helped);
}

// 0.985 is below the ceiling: there, p99 is the time of requests that were not served.
#[test]
fn below_the_ceiling_p99_says_nothing() {
    let trials = |goodput, p99_ms| [0, 1, 2].map(|number| Trial(number, goodput, goodput, p99_ms));
    for (with, without) in [(0.985, 0.99), (0.99, 0.985)] {
        let Comparison { finding, judged_by, .. } =
            compare(&trials(with, 10), &trials(without, 900));
        assert_eq!((finding, judged_by), (Finding::NoDifference, JudgedBy::Goodput));
    }
    assert_eq!(compare(&trials(0.99, 10), &trials(0.99, 900)).finding, Finding::Helped);
}

// Without it at least 1 s against 100 ms: at least tenfold. With it at least 1 s: surely worse.
// Both at least 1 s: nobody knows. With it ≥ 1 s against ≥ 4 s: it may be faster or slower.
#[test]
fn a_lower_bound_counts_only_for_what_it_is_certain_of() {
    assert_eq!(by_p99(&[(100, 1_000); 3]), Finding::Helped);
    assert_eq!(by_p99(&[(1_000, 100); 3]), Finding::MadeItWorse);
    assert_eq!(by_p99(&[(1_000, 1_000); 3]), Finding::NoDifference);
    assert_eq!(by_p99(&[(1_000, 4_000); 3]), Finding::NoDifference);
    assert_eq!(by_p99(&[(4_000, 1_000); 3]), Finding::NoDifference);
    assert_eq!(by_p99(&[(100, 1_000), (100, 1_000), (1_000, 1_000)]), Finding::NoDifference);
}

/// A campaign of `none`, `bounded` on it and `breaker` on that, one cell each; `break_it` changes
/// the trials before they are summed up.
fn effects_after(break_it: impl FnOnce(&mut [Vec<TrialVerdict>; 3])) -> Vec<Effect> {
    let names = [("none", None), ("bounded", Some("none")), ("breaker", Some("bounded"))];
    let cells: Vec<PlannedCell> = names
        .iter()
        .map(|(variant, base)| PlannedCell {
            variant: (*variant).into(),
            base: base.map(str::to_owned),
            ..planned_cell()
        })
        .collect();
    let mut trials = [0.0, 0.6, 0.9].map(|goodput| {
        vec![0, 1, 2].into_iter().map(|n| verdict(Trial(n, goodput, goodput, 5))).collect()
    });
    break_it(&mut trials);
    let histograms = PhaseHistograms::default();
    let results: Vec<Vec<TrialResult<'_>>> = trials
        .iter()
        .map(|it| {
            it.iter().map(|verdict| TrialResult { verdict, histograms: &histograms }).collect()
        })
        .collect();
    let cells = summarise(&campaign_run(cells), &results).variants;
    let verdicts: Vec<Vec<&TrialVerdict>> = trials.iter().map(|it| it.iter().collect()).collect();
    effects(&cells, &verdicts)
}

fn finding(effect: &Effect) -> Option<Finding> {
    effect.comparison().map(|it| it.finding)
}

#[test]
fn every_cell_is_compared_with_its_own_base_and_a_control_with_none() {
    let effects = effects_after(|_| {});
    assert_eq!(effects[0], Effect::Control);
    assert_eq!(finding(&effects[1]), Some(Finding::Helped));
    let breaker = effects[2].comparison().unwrap().goodput;
    assert!((breaker.difference - 0.3).abs() < 1e-9, "{breaker:?}");
}

#[test]
fn a_cell_or_a_base_that_cannot_answer_gives_no_finding() {
    let invalidate = |trials: &mut Vec<TrialVerdict>, n: usize| {
        for trial in trials.iter_mut().take(n) {
            trial.valid = false;
            trial.verdict = Verdict::Invalid;
        }
    };
    let why = |effect: &Effect| match effect {
        Effect::Incomparable(why) => Some(*why),
        Effect::Control | Effect::Compared(_) => None,
    };
    let effects = effects_after(|it| invalidate(&mut it[2], 2));
    assert_eq!(why(&effects[2]), Some(Incomparable::Invalid));
    let effects = effects_after(|it| invalidate(&mut it[1], 2));
    assert_eq!(why(&effects[1]), Some(Incomparable::Invalid));
    assert_eq!(why(&effects[2]), Some(Incomparable::BaseInvalid));
    let effects = effects_after(|it| it[1].clear());
    assert_eq!(why(&effects[2]), Some(Incomparable::BaseNotMeasured));
    let effects = effects_after(|it| {
        for trial in &mut it[1] {
            trial.trial += 10;
        }
    });
    assert_eq!(why(&effects[2]), Some(Incomparable::NoPair));
    let effects = effects_after(|it| invalidate(&mut it[1], 1));
    assert_eq!(
        effects[2].comparison().unwrap().n_pairs,
        2,
        "one invalid trial of three is allowed"
    );
}

#[test]
fn a_base_under_another_load_is_no_base() {
    let [mut with, without] = [0.9, 0.1].map(|goodput| verdict(Trial(0, goodput, goodput, 5)));
    let base = |variant: &str, load_factor| PlannedCell {
        variant: variant.into(),
        base: (variant == "breaker").then(|| "none".into()),
        params: lab_core::artifact::manifest::Params {
            load_factor: Some(load_factor),
            ..planned_cell().params
        },
        ..planned_cell()
    };
    with.cell = base("breaker", 1.5);
    let histograms = PhaseHistograms::default();
    let result = |verdict| vec![TrialResult { verdict, histograms: &histograms }];
    let run = campaign_run(vec![base("breaker", 1.5), base("none", 0.7)]);
    let cells = summarise(&run, &[result(&with), result(&without)]).variants;
    let effects = effects(&cells, &[vec![&with], vec![&without]]);
    assert_eq!(effects[0], Effect::Incomparable(Incomparable::BaseNotMeasured));
}
