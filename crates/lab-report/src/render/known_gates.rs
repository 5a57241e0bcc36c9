//! What gates said of changes that are known: false alarms, power, and the spread they stand on.

use lab_core::{
    artifact::gate::{GateVerdict, KnownChange, KnownGates, PairFigures, ResampledGates},
    scenario::{GateFigure, GateSpec},
};

use super::{gate::columns, numbers};
use crate::analysis::{
    paired::figures::at_one_speed,
    statistics::{median, standard_deviation},
};

/// How a gate can end, in the order of the tables' columns.
const ENDS: [GateVerdict; 3] =
    [GateVerdict::Regression, GateVerdict::Pass, GateVerdict::Inconclusive];

/// How the line begins that says how often gates on identical code said *regression*.
pub(super) const FALSE_ALARMS: &str = "false alarms on identical code";

/// How often gates on identical code said *regression*, in one line.
pub(super) fn false_alarm_line(identical: Option<&KnownGates>, gate: &GateSpec) -> String {
    let what = FALSE_ALARMS;
    match identical {
        None => format!("{what}: not measured yet"),
        Some(record) if record.gate != *gate => {
            format!("{what}: not measured yet with these figures, margins and looks")
        }
        Some(record) => format!("{what}: {}", counted(record, GateVerdict::Regression)),
    }
}

/// How many of the gates said `verdict`: those that were run, and those made up from their pairs.
fn counted(record: &KnownGates, verdict: GateVerdict) -> String {
    let mut line = format!("{} of {}", n_run(record, verdict), record.gates.len());
    if let Some(same) = record.resampled.iter().find(|it| is_unchanged(it)) {
        line.push_str(&format!(
            " gates that were run, {} of {} made up from their {} pairs",
            numbers::count(of_verdict(same, verdict).into()),
            numbers::count(same.n_gates.into()),
            record.n_pairs
        ));
    }
    line
}

/// How many of the gates that were run said `verdict`.
fn n_run(record: &KnownGates, verdict: GateVerdict) -> usize {
    record.gates.iter().filter(|it| it.verdict == verdict).count()
}

fn of_verdict(gates: &ResampledGates, verdict: GateVerdict) -> u32 {
    match verdict {
        GateVerdict::Regression => gates.n_regression,
        GateVerdict::Pass => gates.n_pass,
        GateVerdict::Inconclusive | GateVerdict::Undecided => gates.n_inconclusive,
    }
}

/// Whether these gates were made up of the code as it was, not made worse.
fn is_unchanged(gates: &ResampledGates) -> bool {
    gates.margins_worse.abs() < f64::EPSILON
}

/// A record for the terminal.
pub fn known_gates_report(record: &KnownGates) -> String {
    let summary = match record.change {
        KnownChange::IdenticalCode => false_alarm_line(Some(record), &record.gate),
        change @ (KnownChange::SlowerPages
        | KnownChange::BreakerOff
        | KnownChange::LocalCacheOff) => {
            format!("{}: caught by {}", change.name(), counted(record, GateVerdict::Regression))
        }
    };
    let head = ["margins worse", "gates", "regression", "pass", "inconclusive"];
    let row = |it: &ResampledGates| {
        let said = ENDS.map(|verdict| numbers::count(of_verdict(it, verdict).into()));
        let [regression, pass, inconclusive] = said;
        let gates = numbers::count(it.n_gates.into());
        [numbers::three_digits(it.margins_worse), gates, regression, pass, inconclusive]
    };
    let rows: Vec<[String; 5]> =
        std::iter::once(head.map(str::to_owned)).chain(record.resampled.iter().map(row)).collect();
    format!("{summary}\n\n{}", columns(&rows))
}

/// Records as one table in Markdown.
pub fn known_gates_table(records: &[KnownGates]) -> String {
    if records.is_empty() {
        return "*Not measured yet.*".into();
    }
    let mut table = String::from(
        "| the head | gates run | regression | pass | inconclusive | decided after | pairs | of these compared | \
         p99, times as long | spread of its logarithm | made-up gates: regression | pass | \
         inconclusive |\n\
         | --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |",
    );
    for record in records {
        let [regression, pass, inconclusive] = ENDS.map(|it| n_run(record, it));
        let (n_compared, times, spread) = p99_ratio(record);
        let made_up = record.resampled.iter().find(|it| is_unchanged(it));
        let [said, passed, unsure] = made_up.map_or([const { String::new() }; 3], |it| {
            ENDS.map(|verdict| numbers::count(of_verdict(it, verdict).into()))
        });
        table.push_str(&format!(
            "\n| {} | {} | {regression} | {pass} | {inconclusive} | {} | {} | {n_compared} | {times} | {spread} | \
             {said} | {passed} | {unsure} |",
            what(record.change),
            record.gates.len(),
            decided_after(record),
            record.n_pairs,
        ));
    }
    table
}

/// How the head differs, in a few words.
pub(super) fn what(change: KnownChange) -> &'static str {
    match change {
        KnownChange::IdenticalCode => "identical code",
        KnownChange::SlowerPages => "every product page takes a fifth longer",
        KnownChange::BreakerOff => "the circuit breaker is off",
        KnownChange::LocalCacheOff => "the cache inside the service is off",
    }
}

/// Median number of pairs after which the gates were decided.
fn decided_after(record: &KnownGates) -> String {
    let needed: Vec<f64> = record.gates.iter().map(|it| f64::from(it.n_pairs_needed)).collect();
    shown(median(&needed))
}

/// Of the pairs whose p99 was compared: how many there are, the median of the head's over the
/// reference's, and the standard deviation of its logarithm.
fn p99_ratio(record: &KnownGates) -> (usize, String, String) {
    let ratio = |it: &PairFigures| {
        let figure = GateFigure::ResponseTimeMsP99;
        let (head, reference) = at_one_speed(it, figure, record.gate.machine)?;
        Some(head / reference)
    };
    let pairs = record.comparisons.iter().flat_map(|it| &it.pairs);
    let ratios: Vec<f64> = pairs.filter_map(ratio).collect();
    let logarithms: Vec<f64> = ratios.iter().map(|it| it.ln()).collect();
    (ratios.len(), shown(median(&ratios)), shown(standard_deviation(&logarithms)))
}

fn shown(value: Option<f64>) -> String {
    value.map_or_else(|| numbers::MISSING.to_owned(), numbers::three_digits)
}
