//! From the verdicts of pairs of trials to a judgement, through the binary, on committed trials.

#![expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Output},
};

use lab_core::{
    artifact::{
        gate::{
            GateJudgement, GatePairs, GateRun, GateSubject, GateVerdict, KnownGates, RUN_SCHEMA,
            RanPair, Side, Version,
        },
        manifest::Host,
        verdict::{MachineStalls, TrialVerdict},
    },
    scenario::{Campaign, GateFigure},
    seed::Seed,
};
use serde::{Serialize, de::DeserializeOwned};

fn lab_report(arguments: &[&str], paths: &[&Path]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_lab-report"))
        .args(arguments)
        .args(paths)
        .output()
        .expect("the binary runs")
}

fn read<T: DeserializeOwned>(path: &Path) -> T {
    serde_json::from_slice(&fs::read(path).unwrap()).unwrap()
}

fn write(path: &Path, value: &impl Serialize) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, serde_json::to_vec(value).unwrap()).unwrap();
}

/// A file of the repository.
fn repository(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").join(path)
}

/// One of three committed trials of the cell that the gate judges, as on a machine that did not
/// stall: a gate compares no response times of one that did.
fn committed(pair: u32) -> TrialVerdict {
    let cell = "results/redis-outage/trials/playbook-one-minute/crash/load-factor-1.5";
    let mut verdict: TrialVerdict =
        read(&repository(cell).join(format!("trial-{:03}/verdict.json", pair % 3)));
    verdict.machine_stalls = MachineStalls::default();
    verdict
}

/// A comparison of `n_pairs` pairs in `folder`: committed trials against themselves, those of the
/// head with a p99 that is `times` as long.
fn comparison(folder: &Path, n_pairs: u32, times: u64) {
    let text = fs::read_to_string(repository("scenarios/gate.toml")).unwrap();
    let campaign: Campaign = toml::from_str(&text).unwrap();
    let version =
        |label: &str| Version { label: label.into(), commit: Some("0123456789ab".into()) };
    let subject = GateSubject {
        campaign: "gate".into(),
        cell: committed(0).cell,
        seed: Seed(7),
        head: version("work tree"),
        reference: version("HEAD"),
        gate: campaign.gate.unwrap(),
        calibration: None,
        backend: "process".into(),
        host: Host {
            n_cpus: 2,
            cpu_model: "made up".into(),
            memory_bytes: 1 << 32,
            os: "none".into(),
            kernel: "none".into(),
        },
        // What tells one comparison from another.
        started_at: folder.display().to_string(),
    };
    let mut pairs = Vec::new();
    for pair in 0..n_pairs {
        for side in Side::ALL {
            let mut verdict = committed(pair);
            if let (Side::Head, Some(us)) = (side, &mut verdict.figures.response_time_p99_us.fault)
            {
                *us *= times;
            }
            write(&folder.join(RanPair::trial_folder(pair, side)).join("verdict.json"), &verdict);
        }
        pairs.push(RanPair { pair, first: Side::Head, attempt: 1 });
    }
    let run = GateRun { schema: RUN_SCHEMA.into(), subject, pairs, given_up: None };
    write(&folder.join("gate.json"), &run);
}

/// Adds the comparisons in `folders` to a record of `change`, by the rules of the repository's gate.
fn record_known(change: &str, record: &Path, folders: &[&Path]) -> Output {
    let rules = repository("scenarios/gate.toml");
    let flags = ["known", change, "--gates=50", "--write"].map(Path::new);
    let files = [Path::new("--rules"), &rules, Path::new("--record"), record];
    lab_report(&[], &[&flags, &files[..], folders].concat())
}

// What is expected is read off the committed verdict of the same trial.
#[test]
fn figures_of_both_versions_come_from_the_verdicts_of_their_trials() {
    let scratch = tempfile::tempdir().unwrap();
    comparison(scratch.path(), 3, 4);
    let output = lab_report(&["pairs"], &[scratch.path()]);
    assert_eq!(output.status.code(), Some(3), "three pairs decide nothing: {output:?}");
    let pairs: GatePairs = read(&scratch.path().join("pairs.json"));
    assert_eq!(pairs.pairs.len(), 3);
    let trial = committed(0);
    let p99_ms = trial.figures.response_time_p99_us.fault.unwrap() as f64 / 1_000.0;
    let (head, reference) = pairs.pairs[0].both(GateFigure::ResponseTimeMsP99).unwrap();
    assert!((reference - p99_ms).abs() < 1e-9 && (head - 4.0 * p99_ms).abs() < 1e-9);
    let fault = &trial.figures.phases.fault;
    let queries = fault.n_queries.unwrap() / fault.n_scheduled as f64;
    let (_, reference) = pairs.pairs[0].both(GateFigure::QueriesPerRequest).unwrap();
    assert!((reference - queries).abs() < 1e-12);
}

#[test]
fn the_exit_code_is_the_judgement_and_the_files_say_the_same() {
    for (times, code, verdict) in [(1, 0, GateVerdict::Pass), (4, 1, GateVerdict::Regression)] {
        let scratch = tempfile::tempdir().unwrap();
        comparison(scratch.path(), 8, times);
        let output = lab_report(&["pairs", "--format", "json"], &[scratch.path()]);
        assert_eq!(output.status.code(), Some(code), "{output:?}");
        let judgement: GateJudgement = read(&scratch.path().join("judgement.json"));
        assert_eq!(judgement.verdict, verdict);
        let said: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
        assert_eq!(said["verdict"], verdict.name());
        assert_eq!(said["false_alarms"], "false alarms on identical code: not measured yet");
        let comment = fs::read_to_string(scratch.path().join("gate.md")).unwrap();
        assert!(comment.starts_with(&format!("**{}: after 8 pairs", verdict.name())), "{comment}");
        let plot = scratch.path().join("plots/response_time_ms_p99.svg");
        assert_eq!(plot.exists(), times == 4, "only what moved is drawn");
    }
}

#[test]
fn a_trial_that_is_not_valid_is_in_no_judgement() {
    let scratch = tempfile::tempdir().unwrap();
    comparison(scratch.path(), 8, 1);
    let path = scratch.path().join("trials/head/pair-002/verdict.json");
    let mut verdict: TrialVerdict = read(&path);
    verdict.valid = false;
    write(&path, &verdict);
    let output = lab_report(&["pairs"], &[scratch.path()]);
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(4), "{said}");
    assert!(said.contains("pair 2, head: it is not valid"), "{said}");
    assert_eq!(said.trim().lines().count(), 1, "{said}");
}

#[test]
fn a_record_of_identical_code_is_what_the_next_gate_shows() {
    let scratch = tempfile::tempdir().unwrap();
    let (one, two) = (scratch.path().join("one"), scratch.path().join("two"));
    comparison(&one, 8, 1);
    comparison(&two, 8, 1);
    for folder in [&one, &two] {
        lab_report(&["pairs"], &[folder]);
    }
    let record = scratch.path().join("record.json");
    // One after the other, and one of them again: a record grows, and counts nothing twice.
    for folders in [&[&one][..], &[&two], &[&one, &two]] {
        let folders: Vec<&Path> = folders.iter().map(|it| it.as_path()).collect();
        let output = record_known("identical-code", &record, &folders);
        assert!(output.status.success(), "{output:?}");
    }
    let seen: KnownGates = read(&record);
    assert_eq!((seen.gates.len(), seen.n_pairs, seen.resampled[0].n_gates), (2, 16, 50));
    assert_eq!(seen.resampled[0].n_regression, 0, "all pairs are equal");
    let output = lab_report(&["pairs", "--identical", record.to_str().unwrap()], &[&one]);
    let said = String::from_utf8_lossy(&output.stdout);
    let line = "false alarms on identical code: 0 of 2 gates that were run, 0 of 50 made up from their 16 pairs";
    assert!(said.contains(line), "{said}");
}

#[test]
fn a_record_of_another_change_or_of_other_rules_or_edited_by_hand_is_refused() {
    let scratch = tempfile::tempdir().unwrap();
    let folder = scratch.path().join("one");
    comparison(&folder, 8, 1);
    lab_report(&["pairs"], &[&folder]);
    let record = scratch.path().join("results/gate-identical-code.json");
    fs::create_dir(record.parent().unwrap()).unwrap();
    record_known("identical-code", &record, &[&folder]);
    let rules = scratch.path().join("scenarios/gate.toml");
    fs::create_dir(rules.parent().unwrap()).unwrap();
    let today = fs::read_to_string(repository("scenarios/gate.toml")).unwrap();
    fs::write(&rules, &today).unwrap();
    let output = lab_report(&["known-table"], &[scratch.path()]);
    let table = String::from_utf8_lossy(&output.stdout);
    assert!(table.contains("| identical code | 1 | 0 | 1 | 0 | 8 | 8 |"), "{output:?}");
    let output = record_known("breaker-off", &record, &[]);
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.contains("it is a record of identical-code, no record of breaker-off"), "{said}");

    let tomorrow = today.replace("factor = 1.12", "factor = 1.13");
    assert_ne!(tomorrow, today);
    fs::write(&rules, tomorrow).unwrap();
    let output = lab_report(&["known-table"], &[scratch.path()]);
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(4), "{said}");
    assert!(said.contains("type `cargo xtask gate --known identical-code --record`"), "{said}");

    fs::write(&rules, today).unwrap();
    let mut seen: KnownGates = read(&record);
    seen.gates[0].verdict = GateVerdict::Inconclusive;
    write(&record, &seen);
    let output = lab_report(&["known-table"], &[scratch.path()]);
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(4), "{said}");
    assert!(said.contains("its gates do not follow from its pairs"), "{said}");
}
