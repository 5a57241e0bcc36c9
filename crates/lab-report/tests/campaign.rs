//! From the folder of a trial to the report of a campaign, through the binary, on made-up trials.

#![expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

#[allow(dead_code, reason = "the benches use the rest")]
mod synthetic;

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Output},
};

use lab_core::{
    artifact::{
        gate::KnownChange,
        stored_result::KnownResults,
        verdict::{InvalidReason, TrialVerdict, Verdict},
    },
    outcome::Outcome,
};
use serde_json::Value;
use synthetic::{Defect, N_REQUESTS, cell, write_campaign, write_trial};

fn lab_report(arguments: &[&str], folder: &Path) -> Output {
    Command::new(env!("CARGO_BIN_EXE_lab-report"))
        .args(arguments)
        .arg(folder)
        .output()
        .expect("the binary runs")
}

fn stdout(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

fn trial_folder(campaign: &Path, trial: u32) -> PathBuf {
    campaign.join(cell().folder()).join(format!("trial-{trial:03}"))
}

fn read<T: serde::de::DeserializeOwned>(path: &Path) -> T {
    serde_json::from_slice(&fs::read(path).unwrap()).unwrap()
}

/// A campaign of one cell with these trials, each analysed.
fn campaign(folder: &Path, n_trials: u32, defects: &[Defect]) {
    write_campaign(folder, n_trials);
    for (trial, defect) in (0..).zip(defects) {
        let folder = trial_folder(folder, trial);
        write_trial(&folder, trial, *defect);
        assert!(lab_report(&["trial"], &folder).status.success());
    }
}

fn close(got: Option<f64>, want: f64) {
    let got = got.expect("there is a value");
    assert!((got - want).abs() < 1e-6, "got {got}, want {want}");
}

// By hand: of the 1,600 requests of the fault window (5 to 9 s at 400/s) 1,120 are product pages,
// of which the 280 of the first second fail. Goodput fraction 0.75, baseline 1. Served: 1,320 of
// 1,600. Failed pages count at 1 s, more than one in a hundred, so p99 is censored at 1 s against
// 2 ms. A window starting 900 ms in holds a tenth of failures. Queries 2,000/s over 400/s are 5 a
// request, against 0.5.
#[test]
fn the_figures_of_a_trial_are_those_worked_out_by_hand() {
    let folder = tempfile::tempdir().unwrap();
    write_trial(folder.path(), 0, Defect::None);
    let output = lab_report(&["trial"], folder.path());
    assert_eq!(stdout(&output), "valid\n", "{}", String::from_utf8_lossy(&output.stderr));
    let verdict: TrialVerdict = read(&folder.path().join("verdict.json"));
    let figures = &verdict.figures;
    assert_eq!(figures.requests_scheduled, u64::from(N_REQUESTS));
    close(figures.goodput_ratio_fault, 0.75);
    close(figures.served_ratio_fault, 1_320.0 / 1_600.0);
    assert_eq!(verdict.verdict, Verdict::Missed, "0.825 is below 0.95");
    let stalls = verdict.machine_stalls;
    assert_eq!((stalls.n, stalls.total_ms, stalls.longest_ms), (1, 12.0, 12.0));
    assert!(figures.p99_censored);
    let p99 = figures.response_time_p99_ratio_fault.unwrap();
    assert!((499.0..501.0).contains(&p99), "{p99}");
    close(figures.db_amplification.ratio, 10.0);
    close(figures.db_amplification.queries_per_request_baseline, 0.5);
    close(figures.connection_demand.mean_baseline, 0.5);
    close(figures.connection_demand.mean_fault, 30.0);
    assert_eq!(figures.connection_demand.high_water_fault, Some(77));
    close(figures.time_to_detect_ms, 950.0);
    close(figures.time_to_mitigate_ms, 900.0);
    close(figures.time_to_recover_ms, 0.0);
    assert_eq!(figures.lost_requests, 280);
    assert_eq!(figures.phases.fault.outcomes[&Outcome::Degraded], 240);
    assert_eq!(figures.phases.fault.pool_in_use_max, Some(20));
    close(figures.phases.baseline.cpu_s.postgres, 0.6);
    close(figures.phases.recovery.cpu_s.redis, 0.4);
    let timeline = fs::metadata(folder.path().join("timeline.json")).unwrap().len();
    assert!(timeline < 60_000, "{timeline} bytes are too many to commit");
}

#[test]
fn an_invalid_trial_says_why_on_one_line_and_is_no_error() {
    let folder = tempfile::tempdir().unwrap();
    write_trial(folder.path(), 0, Defect::FaultUnseenAndQueriesUncounted);
    let output = lab_report(&["trial"], folder.path());
    assert!(output.status.success());
    assert_eq!(
        stdout(&output),
        "invalid: the fault was not confirmed within 250 ms (never); \
         the service counted 9180 queries, postgres 10200 (more than 0.01 apart)\n"
    );
    let verdict: TrialVerdict = read(&folder.path().join("verdict.json"));
    assert!(!verdict.valid);
    assert_eq!(verdict.verdict, Verdict::Invalid);
    assert!(matches!(verdict.reasons[0], InvalidReason::FaultNotConfirmed { .. }));
}

// One sample in four seconds; from 2 to 13 s there should be 110, and half of them must be there.
#[test]
fn a_trial_that_was_hardly_sampled_is_invalid() {
    let folder = tempfile::tempdir().unwrap();
    write_trial(folder.path(), 0, Defect::None);
    let path = folder.path().join("raw/service.jsonl");
    let lines: Vec<String> =
        fs::read_to_string(&path).unwrap().lines().step_by(40).map(str::to_owned).collect();
    fs::write(&path, lines.join("\n") + "\n").unwrap();
    let output = lab_report(&["trial"], folder.path());
    let said = stdout(&output);
    assert!(said.contains("samples of service, at least 55 were expected"), "{said}");
}

#[test]
fn a_trial_that_cannot_be_read_names_the_file_and_leaves_no_verdict() {
    let folder = tempfile::tempdir().unwrap();
    write_trial(folder.path(), 0, Defect::None);
    fs::remove_file(folder.path().join("raw/cpu.jsonl")).unwrap();
    let output = lab_report(&["trial"], folder.path());
    assert_eq!(output.status.code(), Some(4));
    let error = String::from_utf8(output.stderr).unwrap();
    assert!(error.contains("raw/cpu.jsonl") && error.lines().count() == 1, "{error}");
    assert!(!folder.path().join("verdict.json").exists());
}

/// Every key of the contract, `/` between levels.
const CONTRACT: &str = "schema campaign profile seed partial started_at wall_time_s \
    measuring_time_s backend host/n_cpus host/cpu_model host/memory_bytes host/os host/kernel \
    versions/outage_lab versions/redis versions/postgres versions/rustc \
    calibration/db_capacity_per_sec calibration/warm_capacity_per_sec slo/deadline_ms \
    slo/served_ratio_min variants/0/variant variants/0/base variants/0/fault variants/0/topology \
    variants/0/params/load_factor variants/0/params/n_instances variants/0/arrival_rate_per_sec \
    variants/0/n_trials variants/0/n_invalid variants/0/verdict variants/0/goodput_ratio_fault \
    variants/0/goodput_ratio_fault_trials variants/0/served_ratio_fault \
    variants/0/served_ratio_fault_trials variants/0/response_time_p99_ratio_fault \
    variants/0/response_time_p99_ratio_fault_trials variants/0/p99_censored \
    variants/0/db_amplification/ratio variants/0/db_amplification/queries_per_request_fault_peak \
    variants/0/db_amplification/queries_per_request_baseline \
    variants/0/connection_demand/mean_baseline variants/0/connection_demand/mean_fault \
    variants/0/connection_demand/high_water_fault variants/0/time_to_detect_ms \
    variants/0/time_to_mitigate_ms variants/0/time_to_recover_ms variants/0/n_recovered \
    variants/0/recovered variants/0/lost_requests variants/0/orders_acknowledged \
    variants/0/orders_lost variants/0/views_lost";

/// Every key of `P`.
const CONTRACT_PHASE: &str = "offered_per_sec achieved_per_sec throughput_per_sec goodput_per_sec \
    served_ratio outcomes/success outcomes/unsent served_by/database \
    routes/product/goodput_per_sec routes/product/served_ratio \
    routes/product/response_time_us/p999 response_time_us/p50 response_time_us/p90 \
    response_time_us/p99 response_time_us/p999 response_time_us/max service_time_us/p50 \
    service_time_us/max send_lag_us/p50 send_lag_us/p99 send_lag_us/max db/queries_per_sec \
    db/queries_per_request db/backends_active_max db/backends_total_max db/pool_in_use_max \
    db/pool_pending_max db/pool_acquire_wait_us_p99 db/pool_timeouts cache/hit_ratio \
    cpu/storefront_cores cpu/postgres_cores cpu/redis_cores cpu/load_cores";

#[test]
fn the_summary_has_every_key_of_the_contract_and_the_figures_of_valid_trials() {
    let folder = tempfile::tempdir().unwrap();
    let defects = [Defect::None, Defect::FaultUnseenAndQueriesUncounted, Defect::None];
    campaign(folder.path(), 3, &defects);
    let output = lab_report(&["campaign"], folder.path());
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let summary: Value = read(&folder.path().join("summary.json"));
    let missing = |at: &str| summary.pointer(at).is_none();
    for key in CONTRACT.split_whitespace() {
        assert!(!missing(&format!("/{key}")), "{key} is missing");
    }
    for phase in ["baseline", "fault", "recovery"] {
        for key in CONTRACT_PHASE.split_whitespace() {
            let key = format!("/variants/0/phases/{phase}/{key}");
            assert!(!missing(&key), "{key} is missing");
        }
    }
    assert_eq!(summary["schema"], "outage-lab/summary/1");
    assert_eq!(summary["partial"], false);
    assert_eq!(summary["calibration"]["db_capacity_per_sec"], Value::Null);
    assert_eq!(summary["slo"]["deadline_ms"], 1000.0);
    let cell = &summary["variants"][0];
    assert_eq!((&cell["n_trials"], &cell["n_invalid"]), (&3.into(), &1.into()));
    assert_eq!(cell["verdict"], "missed", "a third is not more than a third");
    assert_eq!(cell["goodput_ratio_fault_trials"].as_array().unwrap().len(), 2);
    assert_eq!(cell["lost_requests"], 560);
    assert_eq!(cell["views_lost"], 6);
    let fault = &cell["phases"]["fault"];
    close(fault["offered_per_sec"].as_f64(), 400.0);
    close(fault["goodput_per_sec"].as_f64(), 270.0);
    close(fault["cache"]["hit_ratio"].as_f64(), 0.95);
    assert_eq!(fault["cpu"]["storefront_cores"], Value::Null);
}

#[test]
fn a_rebuilt_report_is_the_same_byte_for_byte_and_a_change_is_named() {
    let folder = tempfile::tempdir().unwrap();
    campaign(folder.path(), 1, &[Defect::None]);
    assert!(lab_report(&["campaign"], folder.path()).status.success());
    for committed in ["summary.json", "report.md", "report.html"] {
        assert!(folder.path().join(committed).exists(), "{committed}");
    }
    // A report is made of committed files only.
    let trial = trial_folder(folder.path(), 0);
    fs::remove_file(trial.join("samples.bin")).unwrap();
    fs::remove_dir_all(trial.join("raw")).unwrap();
    let check = || lab_report(&["campaign", "--check"], folder.path());
    assert_eq!((check().status.code(), stdout(&check())), (Some(0), String::new()));
    fs::write(folder.path().join("report.md"), "edited by hand").unwrap();
    assert_eq!((check().status.code(), stdout(&check())), (Some(1), "differs: report.md\n".into()));
}

#[test]
fn a_campaign_whose_trials_are_not_all_there_is_partial() {
    let folder = tempfile::tempdir().unwrap();
    campaign(folder.path(), 2, &[Defect::None]);
    fs::create_dir_all(trial_folder(folder.path(), 1)).unwrap();
    assert!(lab_report(&["campaign"], folder.path()).status.success());
    let summary: Value = read(&folder.path().join("summary.json"));
    assert_eq!(summary["partial"], true);
    assert_eq!(summary["variants"][0]["n_trials"], 1);
    let table = lab_report(&["readme-table"], folder.path());
    assert!(stdout(&table).contains("none"));
}

/// Replaces a text that stands once in a file.
fn edit(path: &Path, from: &str, to: &str) {
    let text = fs::read_to_string(path).unwrap();
    assert_eq!(text.matches(from).count(), 1, "{from} in {}", path.display());
    fs::write(path, text.replace(from, to)).unwrap();
}

/// A repository whose record of results is still empty, and two campaigns that were run in it.
fn known_campaigns(root: &Path) -> [PathBuf; 2] {
    fs::create_dir(root.join("results")).unwrap();
    let folders = ["one", "two"].map(|it| root.join(it));
    for (folder, started_at) in folders.iter().zip(["2026-11-29T01:00:00Z", "2026-11-29T02:00:00Z"])
    {
        campaign(folder, 1, &[Defect::None]);
        edit(&folder.join("campaign.json"), "2026-11-23T03:00:00Z", started_at);
        assert!(lab_report(&["campaign"], folder).status.success());
    }
    folders
}

/// Adds the campaign in `folder` to the record of `change`.
fn record_known(root: &Path, change: KnownChange, folder: &Path) -> Output {
    let file = |it: KnownChange| root.join(it.results_file()).to_string_lossy().into_owned();
    let (record, identical) = (file(change), file(KnownChange::IdenticalCode));
    let files = ["--record", &record, "--identical", &identical, "--write"];
    lab_report(&[&["known-results", change.name()], &files[..]].concat(), folder)
}

#[test]
fn a_record_of_results_is_what_the_next_comparison_shows() {
    let root = tempfile::tempdir().unwrap();
    let [one, two] = known_campaigns(root.path());
    // One of them twice: it counts once.
    for folder in [&two, &one, &two] {
        let output = record_known(root.path(), KnownChange::IdenticalCode, folder);
        assert!(output.status.success(), "{output:?}");
    }
    let record = root.path().join(KnownChange::IdenticalCode.results_file());
    let known: KnownResults = read(&record);
    let runs: Vec<_> = known.results.iter().map(|it| it.result.started_at.as_str()).collect();
    assert_eq!(runs, ["2026-11-29T01:00:00Z", "2026-11-29T02:00:00Z"]);
    close(known.results[0].result.cells[0].goodput_ratio_fault_trials[0], 0.75);

    let [baseline, record] = [&one, &record].map(|it| it.to_str().unwrap());
    let files = ["gate", "--baseline", baseline, "--identical", record, "--result"];
    let output = lab_report(&files, &two);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let line = "false alarms on identical code: 0 of 2 comparisons of 2 results, 0 inconclusive\n";
    assert!(stdout(&output).ends_with(line), "{}", stdout(&output));
    let tables = stdout(&lab_report(&["known-results-table"], root.path()));
    assert!(
        tables.contains("1 trial of 1 cell | 0123456789ab | 2 | – | 2 | 0 | 2 | 0 |"),
        "{tables}"
    );
    assert!(tables.contains("load-factor-1.5 | 2 | 1 | 0.750 |"), "{tables}");
}

#[test]
fn a_record_that_cannot_be_used_is_no_reason_not_to_judge() {
    let root = tempfile::tempdir().unwrap();
    let [one, two] = known_campaigns(root.path());
    let record = root.path().join("record.json");
    fs::write(&record, "{").unwrap();
    let [baseline, record] = [&one, &record].map(|it| it.to_str().unwrap());
    let files = ["gate", "--baseline", baseline, "--identical", record, "--result"];
    let output = lab_report(&files, &two);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let said = "not known, because the record cannot be used: parse ";
    assert!(stdout(&output).contains(said), "{}", stdout(&output));
}

#[test]
fn a_result_of_another_version_or_cut_short_is_in_no_record() {
    let root = tempfile::tempdir().unwrap();
    let [one, two] = known_campaigns(root.path());
    let refused = |change, folder: &Path| {
        let output = record_known(root.path(), change, folder);
        assert_eq!(output.status.code(), Some(4), "{output:?}");
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(said.trim().lines().count(), 1, "{said}");
        said
    };
    let clean = refused(KnownChange::BreakerOff, &two);
    let why = format!("use {}: it ran 0123456789ab, and breaker-off is", two.display());
    assert!(clean.contains(&why), "{clean}");
    let manifest = trial_folder(&two, 0).join("manifest.json");
    edit(&manifest, "0123456789ab", "0123456789ab-dirty");
    let dirty = refused(KnownChange::IdenticalCode, &two);
    assert!(dirty.contains("identical-code is a work tree without changes"), "{dirty}");
    let nothing = refused(KnownChange::BreakerOff, &two);
    assert!(nothing.contains("no result on identical code of 0123456789ab"), "{nothing}");
    record_known(root.path(), KnownChange::IdenticalCode, &one);
    let output = record_known(root.path(), KnownChange::BreakerOff, &two);
    let said = stdout(&output);
    assert!(said.starts_with("the circuit breaker is off, compared with"), "{output:?}");
    let off = root.path().join(KnownChange::BreakerOff.results_file());
    fs::copy(off, root.path().join(KnownChange::SlowerPages.results_file())).unwrap();
    let other = refused(KnownChange::SlowerPages, &two);
    assert!(other.contains("a record of breaker-off, no record of slower-pages"), "{other}");
    edit(&one.join("campaign.json"), "\"n_trials\":1", "\"n_trials\":2");
    let partial = refused(KnownChange::IdenticalCode, &one);
    assert!(
        partial.contains("cut short; finish it with `cargo xtask bench --resume`"),
        "{partial}"
    );
}
