//! Judgements of made-up pairs.

use lab_core::{
    artifact::gate::{GivenUp, MachineSeen},
    scenario::MachineSpec,
};

use super::{
    super::testing::{Made, USUAL, committed_spec, file, pair, pairs, spec},
    *,
};

const MACHINE: MachineSpec = MachineSpec { stalled_ratio_max: 0.01, load_cpu_exponent: 2.0 };

fn judgement(pairs: Vec<PairFigures>) -> GateJudgement {
    judge(&file(pairs))
}

/// Pairs without noise, in which the head's p99 is so many times that of the reference.
fn by_factors(factors: &[f64]) -> Vec<PairFigures> {
    let one = |(number, factor): (u32, &f64)| {
        let figures = [
            (GateFigure::ResponseTimeMsP99, 4.0, 4.0 * factor),
            (GateFigure::ServedRatio, 0.97, 0.97),
            (GateFigure::QueriesPerRequest, 0.3, 0.3),
        ];
        pair(number, &figures)
    };
    (0..).zip(factors).map(one).collect()
}

fn p99(judgement: &GateJudgement) -> JudgedFigure {
    judgement.looks.last().unwrap().figures[0]
}

#[test]
fn before_the_first_look_nothing_is_decided() {
    let judgement = judgement(pairs(7, Made { p99_ms: 40.0, ..USUAL }, 1));
    assert_eq!((judgement.verdict, judgement.looks.len()), (GateVerdict::Undecided, 0));
}

#[test]
fn a_clear_regression_of_each_figure_is_found_at_the_first_look() {
    for (head, figure) in [
        (Made { p99_ms: 16.0, ..USUAL }, GateFigure::ResponseTimeMsP99),
        (Made { served_ratio: 0.9, ..USUAL }, GateFigure::ServedRatio),
        (Made { queries_per_request: 0.6, ..USUAL }, GateFigure::QueriesPerRequest),
    ] {
        let judgement = judgement(pairs(20, head, 2));
        assert_eq!(judgement.verdict, GateVerdict::Regression, "{figure:?}: {judgement:?}");
        let [look] = &judgement.looks[..] else { panic!("{figure:?}: {judgement:?}") };
        assert_eq!(look.n_pairs, 8);
        let worse = look.figures.iter().filter(|it| it.verdict == GateVerdict::Regression);
        let worse: Vec<GateFigure> = worse.map(|it| it.comparison.figure).collect();
        assert_eq!(worse, [figure]);
    }
}

#[test]
fn a_better_version_passes_at_the_first_look() {
    let judgement = judgement(pairs(8, Made { p99_ms: 2.0, ..USUAL }, 3));
    assert_eq!((judgement.verdict, judgement.looks.len()), (GateVerdict::Pass, 1));
    assert!(p99(&judgement).comparison.worse_factor < 1.0);
}

// All eight are worse by a factor of 1.2, which is significant (1 in 256) and within the margin of
// 1.25: all averages are 1.2, so the interval excludes the margin.
#[test]
fn a_difference_within_the_margin_is_no_regression_however_significant() {
    let judgement = judgement(by_factors(&[1.2; 8]));
    let p99 = p99(&judgement);
    assert!(p99.p <= p99.p_max, "{p99:?}");
    assert_eq!(judgement.verdict, GateVerdict::Pass);
}

// The upper end of eight pairs is the third of the averages of two: 1.28, 1.275, 1.27. That is beyond
// the 1.25 of a regression, and below 1.3. The floor, which is a way to pass too, is made small.
#[test]
fn a_pass_may_rule_out_more_than_a_regression_needs() {
    let verdict = |factors: [f64; 8], pass_factor| {
        let mut file = file(by_factors(&factors));
        let margin = &mut file.subject.gate.figures[0];
        (margin.floor, margin.pass_factor) = (0.1, pass_factor);
        judge(&file).verdict
    };
    let scattered = [0.9, 1.0, 1.1, 1.28, 0.95, 1.05, 1.27, 0.85];
    assert_eq!(verdict(scattered, None), GateVerdict::Undecided);
    assert_eq!(verdict(scattered, Some(1.3)), GateVerdict::Pass);
    assert_eq!(verdict([1.27; 8], Some(1.3)), GateVerdict::Regression, "which goes before a pass");
}

// The machine was 1.7 times as slow for the head in six of sixteen pairs, and its p99 three times as
// long. At one speed it is what it was; as measured the estimate is far beyond the margin of 1.25.
#[test]
fn a_machine_that_was_slower_is_no_regression_and_hides_none() {
    let mut factors = vec![1.0; 10];
    factors.extend([3.0; 6]);
    let mut file = file(by_factors(&factors));
    for (pair, factor) in file.pairs.iter_mut().zip(&factors) {
        let seen = |cores: f64| Some(MachineSeen { stalled_ratio: 0.0, load_cpu_cores: cores });
        (pair.head.machine, pair.reference.machine) = (seen(0.07 * factor.sqrt()), seen(0.07));
    }
    file.subject.gate.looks = vec![16];
    file.subject.gate.machine = Some(MACHINE);
    let judged = judge(&file);
    assert_eq!((judged.verdict, p99(&judged).comparison.n_pairs), (GateVerdict::Pass, 16));
    assert!((p99(&judged).comparison.worse_factor - 1.0).abs() < 1e-9);
    for pair in &mut file.pairs {
        *pair.head.figures.get_mut(&GateFigure::ResponseTimeMsP99).unwrap() *= 1.5;
    }
    let judged = judge(&file);
    assert_eq!(judged.verdict, GateVerdict::Regression);
    assert!((p99(&judged).comparison.worse_factor - 1.5).abs() < 1e-9);
}

// As long as a figure that decides is compared in no pair, there is no pass; the others are judged.
#[test]
fn where_the_machine_never_ran_response_times_cannot_be_told() {
    let mut file = file(by_factors(&[1.0; 20]));
    for pair in &mut file.pairs {
        pair.head.machine = Some(MachineSeen { stalled_ratio: 0.02, load_cpu_cores: 0.07 });
        pair.reference.machine = Some(MachineSeen { stalled_ratio: 0.0, load_cpu_cores: 0.07 });
    }
    assert_eq!(judge(&file).verdict, GateVerdict::Pass, "where nobody asks for it");
    file.subject.gate.machine = Some(MACHINE);
    assert_eq!(judge(&file).verdict, GateVerdict::Inconclusive);
    for pair in &mut file.pairs {
        *pair.head.figures.get_mut(&GateFigure::ServedRatio).unwrap() = 0.8;
    }
    assert_eq!(judge(&file).verdict, GateVerdict::Regression);
}

// 0.1 ms, ten times as long as 0.01 ms: beyond the factor, below the floor of 1 ms.
#[test]
fn a_difference_below_the_floor_is_no_regression_whatever_its_factor() {
    let mut pairs = by_factors(&[10.0; 8]);
    for pair in &mut pairs {
        for side in [&mut pair.head, &mut pair.reference] {
            *side.figures.get_mut(&GateFigure::ResponseTimeMsP99).unwrap() /= 400.0;
        }
    }
    let judgement = judgement(pairs);
    assert_eq!(judgement.verdict, GateVerdict::Pass, "{judgement:?}");
}

// Seven of eight by a factor of 2, and one that is better by more than any of them is worse, the
// rank sum is 28 of 36: P(W+ ≥ 28) is far above 0.0056.
#[test]
fn a_large_estimate_that_is_not_significant_goes_on_and_ends_inconclusive() {
    let mut factors = vec![2.0, 2.01, 2.02, 2.03, 2.04, 2.05, 2.06, 0.1];
    let first = judgement(by_factors(&factors));
    assert_eq!(first.verdict, GateVerdict::Undecided);
    assert!(2.0 < p99(&first).comparison.worse_factor, "{first:?}");
    factors.extend([0.2, 0.3, 0.25, 0.35, 2.1, 2.2, 2.3, 0.28, 0.15, 1.9, 0.4, 1.8]);
    let last = judgement(by_factors(&factors));
    assert_eq!((last.verdict, last.looks.len()), (GateVerdict::Inconclusive, 3));
}

#[test]
fn pairs_after_the_look_that_decided_do_not_change_the_answer() {
    let mut all = by_factors(&[3.0; 8]);
    all.extend(by_factors(&[0.1; 12]));
    let judgement = judgement(all);
    assert_eq!((judgement.verdict, judgement.n_pairs), (GateVerdict::Regression, 20));
    assert_eq!(judgement.looks.len(), 1);
}

#[test]
fn a_pair_that_cannot_be_made_valid_ends_inconclusive() {
    let mut cut_short = file(pairs(5, USUAL, 4));
    cut_short.given_up = Some(GivenUp { pair: 5, reasons: vec!["head: no".into()] });
    assert_eq!(judge(&cut_short).verdict, GateVerdict::Inconclusive);
    let mut decided = file(by_factors(&[3.0; 8]));
    decided.given_up = cut_short.given_up;
    assert_eq!(judge(&decided).verdict, GateVerdict::Regression, "it had been decided before");
}

#[test]
fn a_figure_that_no_pair_has_cannot_pass() {
    let mut pairs = by_factors(&[1.0; 8]);
    for pair in &mut pairs {
        pair.head.figures.remove(&GateFigure::ServedRatio);
    }
    assert_eq!(judgement(pairs).verdict, GateVerdict::Undecided);
}

// Holm by hand, at a level of 0.05/3 = 0.0167 and three figures: 0.005 is held against 0.0056 and
// passes, 0.008 against 0.0083 and passes, 0.02 against 0.0167 and does not. With 0.006 as the
// smallest, it ends there.
#[test]
fn holms_correction_is_as_by_hand() {
    let significant = |p: [f64; 3]| {
        holm_levels(&p, &spec()).iter().map(|it| it.is_significant).collect::<Vec<_>>()
    };
    assert_eq!(significant([0.02, 0.005, 0.008]), [false, true, true]);
    assert_eq!(significant([0.008, 0.006, 0.0001]), [true, true, true]);
    assert_eq!(significant([0.006, 0.007, 0.008]), [false, false, false]);
    let p_max = holm_levels(&[0.02, 0.005, 0.008], &spec())[1].p_max;
    assert!((p_max - 0.05 / 9.0).abs() < 1e-12);
}

#[test]
fn figures_that_do_not_decide_are_shown() {
    let judgement = judgement(pairs(8, USUAL, 1));
    let shown: Vec<_> = judgement.shown.iter().map(|it| it.figure).collect();
    assert_eq!(shown, [GateFigure::GoodputRatio], "those that the pairs have");
    assert!((judgement.shown[0].worse_factor - 1.0).abs() < 1e-12);
}

// Sum over the looks of three times what is attained at each: 1/256, 19/2^12 and 360/2^16 (scipy's
// exact distribution, see the signed-rank test).
#[test]
fn the_plan_of_the_gate_gives_a_false_alarm_in_at_most_one_of_twenty() {
    let bound = false_alarm_bound(&committed_spec());
    let by_hand = 3.0 * (1.0 / 256.0 + 19.0 / 4_096.0 + 360.0 / 65_536.0);
    assert!((bound - by_hand).abs() < 1e-12, "{bound}");
    assert!(bound <= 0.05, "{bound}");
}
