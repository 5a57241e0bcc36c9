//! The rules on cells worked by hand.

use lab_core::{
    artifact::{
        campaign_run::PlannedCell,
        summary::{CellSummary, Summary},
        verdict::{TrialFigures, TrialVerdict},
    },
    scenario::Fault,
    seed::Seed,
};

use super::*;
use crate::analysis::{
    histograms::PhaseHistograms,
    summary::{TrialResult, summarise},
    testing::{campaign_run, planned_cell, trial_figures, trial_verdict},
};

/// A cell with these goodput ratios, one for each trial; everything recovers.
fn cell(fault: Fault, goodput: &[f64]) -> (PlannedCell, Vec<TrialVerdict>) {
    let trial = |(number, goodput): (u32, &f64)| {
        let figures = TrialFigures {
            goodput_ratio_fault: Some(*goodput),
            served_ratio_fault: Some(0.9),
            recovered: true,
            ..trial_figures()
        };
        TrialVerdict { trial: number, ..trial_verdict(figures) }
    };
    (PlannedCell { fault, ..planned_cell() }, (0..).zip(goodput).map(trial).collect())
}

fn summary(cells: &[(PlannedCell, Vec<TrialVerdict>)]) -> Summary {
    let histograms = PhaseHistograms::default();
    let results: Vec<Vec<TrialResult<'_>>> = cells
        .iter()
        .map(|(_, trials)| {
            let result = |verdict| TrialResult { verdict, histograms: &histograms };
            trials.iter().map(result).collect()
        })
        .collect();
    let run = campaign_run(cells.iter().map(|(cell, _)| cell.clone()).collect());
    // Not every one has the three trials that the run is said to have.
    Summary { partial: false, ..summarise(&run, &results) }
}

fn of(goodput: &[f64]) -> Summary {
    summary(&[cell(Fault::Crash, goodput)])
}

fn judgement_of(comparison: &Comparison, figure: Figure) -> Judgement {
    let found = comparison.judged.iter().find(|it| it.figure == figure);
    found.expect("every figure is judged").judgement
}

fn judge(then: &Summary, now: &Summary) -> Result<Comparison, NotComparable> {
    super::judge(&then.into(), &now.into())
}

/// What goodput ratios now say against those of then.
fn goodput(then: &[f64], now: &[f64]) -> Judgement {
    judgement_of(&judge(&of(then), &of(now)).unwrap(), Figure::GoodputRatio)
}

#[test]
fn the_same_result_passes_in_every_figure() {
    let comparison = judge(&of(&[0.9, 0.8, 0.7]), &of(&[0.9, 0.8, 0.7])).unwrap();
    assert_eq!(comparison.verdict(), Judgement::Pass);
    assert_eq!(comparison.judged.len(), 5);
    assert_eq!(comparison.not_compared, [] as [String; 0]);
}

// The margin is 0.2, half of it 0.1. Lower by 0.3 each is a regression; by 0.15 each, or by 0.3 in the
// median and higher in one pair, cannot be told; by 0.05 each is not worse.
#[test]
fn goodput_is_judged_in_pairs_and_by_a_margin() {
    assert_eq!(goodput(&[0.9, 0.8, 0.7], &[0.6, 0.5, 0.4]), Judgement::Regression);
    assert_eq!(goodput(&[0.9, 0.8, 0.7], &[0.75, 0.65, 0.55]), Judgement::Inconclusive);
    assert_eq!(goodput(&[0.9, 0.8, 0.7], &[0.95, 0.5, 0.4]), Judgement::Inconclusive);
    assert_eq!(goodput(&[0.9, 0.8, 0.7], &[0.85, 0.75, 0.65]), Judgement::Pass);
    assert_eq!(goodput(&[0.9, 0.8, 0.7], &[0.95, 0.85, 0.75]), Judgement::Pass);
}

// 0.14 where one of the two is at its ceiling. 0.9 − 0.7 is a little above 0.2 in binary.
#[test]
fn the_margin_itself_is_no_difference() {
    assert_eq!(goodput(&[0.9], &[0.65]), Judgement::Regression);
    assert_eq!(goodput(&[0.9], &[0.7]), Judgement::Inconclusive);
    assert_eq!(goodput(&[0.9], &[0.79]), Judgement::Inconclusive);
    assert_eq!(goodput(&[0.9], &[0.8]), Judgement::Pass);
    assert_eq!(goodput(&[1.0], &[0.85]), Judgement::Regression);
    assert_eq!(goodput(&[1.0], &[0.92]), Judgement::Inconclusive);
}

// One value of three is not what most trials say: as in the summary there is no median.
#[test]
fn a_ratio_that_most_trials_do_not_have_is_not_judged() {
    let few = |it: &mut CellSummary| it.goodput_ratio_fault_trials = vec![Some(0.9), None, None];
    let now = changed(|_| {}, few);
    assert_eq!(judgement_of(&now, Figure::GoodputRatio), Judgement::Inconclusive);
    let (mut then, now) = (of(&[0.9; 3]), of(&[0.9; 3]));
    few(&mut then.variants[0]);
    assert_eq!(judge(&then, &now).unwrap_err().what, "cells", "it is not compared");
}

// 0.9 and 0.6 are one pair, although the first trials are equal.
#[test]
fn trials_of_another_number_are_no_pairs() {
    assert_eq!(goodput(&[0.9], &[0.9, 0.3, 0.6]), Judgement::Regression);
}

/// The summaries of then and now, whose only cell was changed by hand.
fn changed(then: impl Fn(&mut CellSummary), now: impl Fn(&mut CellSummary)) -> Comparison {
    let (mut a, mut b) = (of(&[0.9; 3]), of(&[0.9; 3]));
    then(&mut a.variants[0]);
    now(&mut b.variants[0]);
    judge(&a, &b).unwrap()
}

#[test]
fn a_cell_that_no_longer_recovers_is_a_regression() {
    let recovered =
        |now: fn(&mut CellSummary)| judgement_of(&changed(|_| {}, now), Figure::Recovered);
    assert_eq!(recovered(|_| {}), Judgement::Pass);
    let none = recovered(|it| it.n_recovered = 0);
    assert_eq!(none, Judgement::Regression);
    let some = recovered(|it| it.n_recovered = 2);
    assert_eq!(some, Judgement::Inconclusive);
    let alone = |it: &mut CellSummary| (it.n_trials, it.n_recovered) = (1, 1);
    let single = changed(alone, |it| (it.n_trials, it.n_recovered) = (1, 0));
    assert_eq!(judgement_of(&single, Figure::Recovered), Judgement::Inconclusive);
    let neither = changed(|it| it.n_recovered = 2, |it| it.n_recovered = 0);
    assert_eq!(judgement_of(&neither, Figure::Recovered), Judgement::Pass);
}

// By hand: all of 1 then and none of 1 now is ½ · ½ at best, of 3 and 3 a 64th, of 2 and 1 2² / 3³. Four
// cells of three trials have that luck in 6 of 100, three of them in less than 5.
#[test]
fn what_luck_alone_can_bring_is_no_regression() {
    for (m, n, want) in [(1, 1, 0.25), (3, 3, 1.0 / 64.0), (2, 1, 4.0 / 27.0)] {
        assert!((luck(m, n) - want).abs() < 1e-12, "{m} then, {n} now");
    }
    let trials = [0.9; 3];
    let faults = [Fault::Crash, Fault::Pause, Fault::Latency, Fault::SlowServer];
    let judged = |n_cells: usize| {
        let then = summary(&faults.map(|it| cell(it, &trials))[..n_cells]);
        let mut now = then.clone();
        now.variants[0].n_recovered = 0;
        judgement_of(&judge(&then, &now).unwrap(), Figure::Recovered)
    };
    assert_eq!((judged(3), judged(4)), (Judgement::Regression, Judgement::Inconclusive));
}

// 1 query for each request may become 1.1; 0.1 may become 0.15, though that is half as much again.
#[test]
fn counts_are_judged_by_a_factor_and_a_floor() {
    let set = |it: &mut CellSummary, n| it.phases.baseline.db.queries_per_request = Some(n);
    let judged = |comparison: &Comparison| judgement_of(comparison, Figure::QueriesPerRequest);
    for (comparison, want) in [
        (changed(move |it| set(it, 1.0), move |it| set(it, 1.12)), Judgement::Regression),
        (changed(move |it| set(it, 1.0), move |it| set(it, 1.09)), Judgement::Pass),
        (changed(move |it| set(it, 0.1), move |it| set(it, 0.14)), Judgement::Pass),
        (changed(move |it| set(it, 0.1), move |it| set(it, 0.16)), Judgement::Regression),
        (changed(move |it| set(it, 0.1), |_| {}), Judgement::Inconclusive),
        (changed(|_| {}, move |it| set(it, 9.0)), Judgement::Pass),
    ] {
        assert_eq!(judged(&comparison), want);
    }
    let peak = |it: &mut CellSummary, n| {
        it.db_amplification.queries_per_request_fault_peak = Some(n);
    };
    let comparison = changed(move |it| peak(it, 3.0), move |it| peak(it, 4.6));
    assert_eq!(judgement_of(&comparison, Figure::QueriesPeak), Judgement::Regression);
    assert_eq!(comparison.verdict(), Judgement::Regression, "the worst of all");
}

#[test]
fn what_means_nothing_side_by_side_is_refused_with_the_difference() {
    let refused = |change: fn(&mut Summary)| {
        let mut now = of(&[0.9]);
        change(&mut now);
        judge(&of(&[0.9]), &now).unwrap_err().to_string()
    };
    assert_eq!(
        refused(|it| it.campaign = "ladder".into()),
        "the baseline has campaign `redis-outage`, this result has `ladder`: run the same again"
    );
    assert!(refused(|it| it.seed = Seed(7)).contains("seed `1`"));
    assert!(refused(|it| it.partial = true).contains("a part of a run"));
    assert!(refused(|it| it.slo.deadline_ms = 500.0).contains("deadline"));
    assert!(refused(|it| it.variants[0].fault = Fault::Pause).contains("cells"));
}

#[test]
fn a_cell_that_is_missing_or_was_not_valid_is_named() {
    let then = summary(&[cell(Fault::Crash, &[0.9]), cell(Fault::Pause, &[])]);
    let comparison = judge(&then, &of(&[0.9])).unwrap();
    assert_eq!(comparison.not_compared, ["circuit-breaker pause load-factor-1.5"]);
    let now = summary(&[cell(Fault::Crash, &[])]);
    let comparison = judge(&of(&[0.9]), &now).unwrap();
    assert_eq!(comparison.verdict(), Judgement::Inconclusive, "there is nothing to judge by");
}

#[test]
fn a_summary_that_does_not_add_up_is_told_by_its_figure() {
    assert_eq!(check_sums(&of(&[0.9, 0.8, 0.7])), Ok(()));
    let wrong = |change: fn(&mut CellSummary)| {
        let mut edited = of(&[0.9, 0.8, 0.7]);
        change(&mut edited.variants[0]);
        check_sums(&edited).unwrap_err().what
    };
    let what = wrong(|it| it.goodput_ratio_fault = Some(0.99));
    assert_eq!(what, "goodput_ratio_fault is 0.99, the median of its trials 0.8");
    assert!(wrong(|it| it.n_trials = 9).contains("goodput_ratio_fault_trials has 3 entries"));
    let what = wrong(|it| {
        it.phases.fault.outcomes.insert(lab_core::outcome::Outcome::Success, 10);
        it.phases.fault.served_ratio = Some(0.5);
    });
    assert!(what.contains("phases.fault.served_ratio is 0.5"), "{what}");
}
