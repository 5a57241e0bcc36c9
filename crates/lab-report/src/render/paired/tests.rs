//! What a comparison of made-up versions reads like.

use lab_core::{
    artifact::gate::{GivenUp, KnownChange, MachineSeen},
    scenario::MachineSpec,
    seed::Seed,
};

use super::{
    super::known_gates::{known_gates_report, known_gates_table},
    *,
};
use crate::analysis::paired::{
    judge::judge,
    resample::known_gates,
    testing::{Made, USUAL, file, pairs, spec},
};

const SLOW: Made = Made { p99_ms: 16.0, ..USUAL };

fn report(head: Made, format: GateFormat) -> String {
    let file = file(pairs(8, head, 2));
    paired_report(&file, &judge(&file), None, format)
}

fn record() -> KnownGates {
    let mut file = file(pairs(20, USUAL, 1));
    file.subject.reference.commit.clone_from(&file.subject.head.commit);
    known_gates((KnownChange::IdenticalCode, &spec()), vec![file], (20, Seed(1))).unwrap()
}

#[test]
fn the_terminal_shows_the_verdict_the_versions_and_every_figure() {
    insta::assert_snapshot!("paired-gate-text", report(SLOW, GateFormat::Text));
}

#[test]
fn every_format_says_the_same() {
    let markdown = report(SLOW, GateFormat::Markdown);
    assert!(markdown.starts_with("**regression: after 8 pairs, worse by more"), "{markdown}");
    assert_eq!(markdown.matches("| regression |").count(), 1, "{markdown}");
    let json: serde_json::Value = serde_json::from_str(&report(SLOW, GateFormat::Json)).unwrap();
    assert_eq!(json["verdict"], "regression");
    assert_eq!(json["subject"]["reference"]["label"], "main");
    let p99 = &json["judgement"]["looks"][0]["figures"][0];
    assert_eq!(
        (&p99["figure"], &p99["verdict"]),
        (&json!("response_time_ms_p99"), &json!("regression"))
    );
    let github = report(SLOW, GateFormat::Github);
    let errors: Vec<&str> = github.lines().filter(|it| it.starts_with("::error ")).collect();
    assert_eq!(errors.len(), 1, "{github}");
    assert!(errors[0].contains("p99 of product pages, ms: 3.79 → 15.8, 4.16× as bad"), "{github}");
    assert!(github.lines().all(|it| it.starts_with("::")), "{github}");
}

#[test]
fn the_speed_of_the_machine_is_told_and_where_it_stood_still() {
    let mut file = file(pairs(8, SLOW, 2));
    let spec = MachineSpec { stalled_ratio_max: 0.01, load_cpu_exponent: 2.0 };
    file.subject.gate.machine = Some(spec);
    for (number, pair) in (0..).zip(&mut file.pairs) {
        let seen =
            |stalled_ratio, load_cpu_cores| Some(MachineSeen { stalled_ratio, load_cpu_cores });
        let stalled_ratio = if number < 3 { 0.02 } else { 0.0 };
        let slower = if number == 5 { 0.14 } else { 0.07 };
        (pair.head.machine, pair.reference.machine) =
            (seen(stalled_ratio, slower), seen(0.0, 0.07));
    }
    let text = paired_report(&file, &judge(&file), None, GateFormat::Text);
    for part in [
        "took 1.0000× the processor time with the head (1.0000× to 2×)",
        "to the power of 2.",
        "In 3 of 8 pairs the machine stood still for more than 1 % of a trial",
    ] {
        assert!(text.contains(part), "{part}: {text}");
    }
    file.subject.gate.machine = None;
    let text = paired_report(&file, &judge(&file), None, GateFormat::Text);
    assert!(!text.contains("generator"), "{text}");
}

#[test]
fn what_cannot_be_told_names_the_figures_or_the_pair() {
    let verdict = |file: &GatePairs| {
        let text = paired_report(file, &judge(file), None, GateFormat::Text);
        text.lines().next().unwrap().to_owned()
    };
    let mut file = file(pairs(3, USUAL, 2));
    let undecided = verdict(&file);
    assert_eq!(undecided, "undecided: after 3 pairs, before the first look there are more to come");
    file.given_up = Some(GivenUp { pair: 3, reasons: vec!["head: 3 orders lost".into()] });
    let given_up = verdict(&file);
    assert!(given_up.starts_with("inconclusive: after 3 pairs"), "{given_up}");
    assert!(
        given_up.ends_with("pair 3 was not valid however often it was run: head: 3 orders lost")
    );
}

#[test]
fn only_figures_that_moved_are_drawn() {
    let drawn = |head| {
        let file = file(pairs(8, head, 2));
        let files = paired_files(&file, &judge(&file), None).unwrap();
        files.into_keys().map(|it| it.display().to_string()).collect::<Vec<_>>()
    };
    assert_eq!(drawn(SLOW), ["gate.md", "plots/response_time_ms_p99.svg"]);
    let file = file(pairs(8, SLOW, 2));
    let files = paired_files(&file, &judge(&file), None).unwrap();
    let plot = String::from_utf8(files.into_values().last().unwrap()).unwrap();
    assert_eq!(plot.matches("<circle").count(), 8, "one for each pair");
    assert!(plot.contains("allowed 1.25×") && plot.contains("head went first"), "{plot}");
}

#[test]
fn false_alarms_are_those_of_the_same_gate_or_none() {
    let record = record();
    let gate = record.gate.clone();
    assert_eq!(false_alarm_line(None, &gate), "false alarms on identical code: not measured yet");
    let line = false_alarm_line(Some(&record), &gate);
    let start = "false alarms on identical code: 0 of 1 gates that were run, ";
    assert!(
        line.starts_with(start) && line.ends_with(" of 20 made up from their 20 pairs"),
        "{line}"
    );
    let mut other = gate;
    other.figures[0].factor = 2.0;
    assert!(false_alarm_line(Some(&record), &other).contains("not measured yet with these"));
}

#[test]
fn a_record_shows_false_alarms_and_power() {
    let text = known_gates_report(&record());
    assert!(text.contains("margins worse  gates  regression  pass  inconclusive"), "{text}");
    assert_eq!(text.lines().count(), 2 + 1 + 4, "{text}");
}

// As this noise is drawn, identical code passes at the second look. A p99 four times as long is seen at
// the first, in every made-up gate.
#[test]
fn records_of_known_changes_are_rows_of_one_table() {
    let mut slow = file(pairs(20, SLOW, 1));
    slow.subject.head.commit = Some("0123456789ab-dirty".into());
    let change = (KnownChange::SlowerPages, &spec());
    let slow = known_gates(change, vec![slow], (20, Seed(1))).unwrap();
    let line = known_gates_report(&slow);
    assert!(
        line.starts_with("slower-pages: caught by 1 of 1 gates that were run, 20 of 20 made up")
    );
    let table = known_gates_table(&[record(), slow]);
    let rows: Vec<&str> = table.lines().skip(2).collect();
    let [same, slow] = rows[..] else { panic!("{table}") };
    assert!(same.starts_with("| identical code | 1 | 0 | 1 | 0 | 14 | 20 |"), "{table}");
    assert!(
        slow.starts_with("| every product page takes a fifth longer | 1 | 1 | 0 | 0 | 8 | 20 | ")
    );
    assert!(slow.ends_with("| 20 | 0 | 0 |"), "{table}");
    assert_eq!(known_gates_table(&[]), "*Not measured yet.*");
}
