//! What a comparison of made-up versions reads like.

use lab_core::{artifact::gate::GivenUp, seed::Seed};

use super::*;
use crate::analysis::paired::{
    judge::judge,
    resample::identical_code,
    testing::{Made, USUAL, file, pairs},
};

const SLOW: Made = Made { p99_ms: 16.0, ..USUAL };

fn report(head: Made, format: GateFormat) -> String {
    let file = file(pairs(8, head, 2));
    paired_report(&file, &judge(&file), None, format)
}

fn record() -> IdenticalCode {
    let mut file = file(pairs(20, USUAL, 1));
    file.subject.reference.commit.clone_from(&file.subject.head.commit);
    identical_code(&[file], 20, Seed(1)).unwrap()
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
    let text = identical_code_report(&record());
    assert!(text.contains("margins worse  gates  regression  pass  inconclusive"), "{text}");
    assert_eq!(text.lines().count(), 2 + 1 + 4, "{text}");
}
