//! Real trials end to end: artifacts, conservation, and every way of being cut short.
//!
//! One bench runs at a time on a machine, so these tests wait for each other.

use std::{fs, path::Path};

use lab_core::{
    artifact::raw::FinalCounts,
    event::{Event, SnapshotLoaded, kind},
    outcome::Outcome,
    sample::decode_file,
};
use nix::sys::signal::Signal;

use crate::{
    lab::{Lab, kill, leftovers, one_at_a_time, read, summary},
    scenarios::{N_PRODUCTS, short_s},
};

#[test]
fn a_smoke_trial_leaves_every_artifact_and_every_request_has_one_outcome() {
    let _guard = one_at_a_time();
    let scratch = tempfile::tempdir().unwrap();
    let out = scratch.path().join("out");
    let end = Lab::bench("bounded-timeouts", &out).args(&["--profile", "smoke"]).run();
    assert!(end.code == 0 || end.code == 3, "{}: {}", end.code, end.stderr);
    let cell = out.join("trials/bounded-timeouts/crash/rate-60/trial-000");
    for file in ["manifest.json", "events.jsonl", "timeline.json", "phases.hlog", "verdict.json"] {
        assert!(cell.join(file).exists(), "{file} is missing");
    }
    assert!(out.join("report.html").exists() && out.join("report.md").exists());
    let samples = decode_file(&fs::read(cell.join("samples.bin")).unwrap()).unwrap();
    let mut arrivals: Vec<_> = samples.iter().map(|it| it.arrival).collect();
    arrivals.sort_unstable();
    let expected: Vec<_> = (0..u32::try_from(samples.len()).unwrap()).collect();
    assert_eq!(arrivals, expected, "each arrival has exactly one sample");
    let summary = summary(&out);
    assert!(!summary.partial);
    assert_eq!(summary.variants.len(), 1);
    let counts: FinalCounts = read(&cell.join("raw/counts.json"));
    assert_eq!(counts.orders_lost, 0);
    assert_eq!(counts.unexpected_deaths, Vec::<String>::new());
    let n_orders = samples
        .iter()
        .filter(|it| it.route.name() == "orders" && it.outcome == Outcome::Success)
        .count();
    assert_eq!(counts.orders_acknowledged, n_orders as u64);
    assert_fault_was_seen(&cell);
    assert_eq!(leftovers(&scratch), Vec::<String>::new());
}

fn events(cell: &Path) -> Vec<Event> {
    let text = fs::read_to_string(cell.join("events.jsonl")).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn assert_fault_was_seen(cell: &Path) {
    let events = events(cell);
    let at = |kind: &str| {
        let event = events.iter().find(|it| it.kind == kind);
        event.unwrap_or_else(|| panic!("no {kind}: {events:?}")).at_ms
    };
    assert!(at(kind::FAULT_INJECTED) <= at(kind::FAULT_CONFIRMED));
    assert!(at(kind::FAULT_CONFIRMED) < at(kind::FAULT_HEALED));
    assert!(at(kind::FAULT_HEALED) <= at(kind::DEPENDENCY_READY));
}

// The base is the control: it restarts empty, and tells of no snapshot.
#[test]
fn a_warm_restart_tells_what_it_read_of_its_snapshot() {
    let _guard = one_at_a_time();
    let scratch = tempfile::tempdir().unwrap();
    let out = scratch.path().join("out");
    let end = Lab::short(&scratch, &out).args(&["--variant", "warm-restore"]).run();
    assert!(end.code == 0 || end.code == 3, "{}: {}", end.code, end.stderr);
    let of = |variant: &str| {
        let cell = out.join(format!("trials/{variant}/crash/rate-60/trial-000"));
        assert_fault_was_seen(&cell);
        events(&cell).iter().find_map(SnapshotLoaded::of)
    };
    assert_eq!(of("bounded-timeouts"), None);
    let loaded = of("warm-restore").unwrap();
    // The most popular pages on which 0.95 of the reads fall are hundreds, of 2,000 products, and a
    // product has two.
    assert!((100..=2 * N_PRODUCTS + 1).contains(&loaded.n_keys), "{loaded:?}");
    assert!(loaded.load_ms <= loaded.restart_ms, "reading is a part of it: {loaded:?}");
    assert_eq!(leftovers(&scratch), Vec::<String>::new());
}

#[test]
fn a_second_bench_is_told_the_pid_of_the_first_and_ctrl_c_leaves_a_partial_report() {
    let _guard = one_at_a_time();
    let scratch = tempfile::tempdir().unwrap();
    let out = scratch.path().join("out");
    let mut first = Lab::short(&scratch, &out).args(&["--trials", "2"]).start();
    first.wait_for("warmup");
    let second = Lab::short(&scratch, &scratch.path().join("second")).run();
    assert_eq!(second.code, 5, "{}", second.stderr);
    assert!(second.stderr.contains(&format!("pid {}", first.pid())), "{}", second.stderr);
    // The second trial has begun, so one is finished.
    first.wait_for("trial 1: warmup");
    first.signal(Signal::SIGINT);
    let (status, said) = first.end();
    assert_eq!(status.code(), Some(130), "{said}");
    assert_eq!(leftovers(&scratch), Vec::<String>::new());
    let partial = summary(&out);
    assert!(partial.partial);
    assert_eq!(partial.variants[0].n_trials, 1);
    let other = Lab::short(&scratch, &out).args(&["--trials", "3", "--resume"]).run();
    assert_eq!(other.code, 2, "{}", other.stderr);
    assert!(other.stderr.contains("has trials `2`") && other.stderr.contains("asks for `3`"));
    let resumed = Lab::short(&scratch, &out).args(&["--trials", "2", "--resume"]).run();
    assert!(resumed.code == 0 || resumed.code == 3, "{}", resumed.stderr);
    let whole = summary(&out);
    assert!(!whole.partial);
    assert_eq!(whole.variants[0].n_trials, 2);
    // The second trial alone takes its phases.
    assert!(whole.measuring_time_s <= whole.wall_time_s, "{whole:?}");
    assert!(partial.wall_time_s + short_s() <= whole.wall_time_s, "{whole:?} after {partial:?}");
}

#[test]
fn ctrl_c_in_any_phase_ends_with_its_own_code_and_leaves_nothing_behind() {
    let _guard = one_at_a_time();
    let scratch = tempfile::tempdir().unwrap();
    let out = scratch.path().join("out");
    for phase in ["warmup", "baseline", "fault", "recovery", "drain"] {
        let mut run = Lab::short(&scratch, &out).start();
        run.wait_for(&format!(": {phase}"));
        run.signal(Signal::SIGINT);
        let (status, said) = run.end();
        assert_eq!(status.code(), Some(130), "{phase}: {said}");
        assert_eq!(leftovers(&scratch), Vec::<String>::new(), "{phase}");
        assert!(!out.exists(), "{phase}: half a result stands where a whole one is expected");
    }
}

#[test]
fn kill_9_in_any_phase_leaves_nothing_that_clean_does_not_remove() {
    let _guard = one_at_a_time();
    let scratch = tempfile::tempdir().unwrap();
    let out = scratch.path().join("out");
    for phase in ["warmup", "baseline", "fault", "recovery", "drain"] {
        let mut run = Lab::short(&scratch, &out).start();
        run.wait_for(&format!(": {phase}"));
        run.signal(Signal::SIGKILL);
        run.end();
        // The control of all searches for leftovers: here is one to be found.
        let left = leftovers(&scratch);
        assert!(left.iter().any(|it| Path::new(it).is_dir()), "{phase}: {left:?}");
        let clean = Lab::new(&["clean"]).run();
        assert_eq!(clean.code, 0, "{phase}: {}", clean.stderr);
        assert_eq!(leftovers(&scratch), Vec::<String>::new(), "{phase}");
        assert!(!out.exists(), "{phase}: half a result stands where a whole one is expected");
    }
    let resumed = Lab::short(&scratch, &out).args(&["--resume"]).run();
    assert!(resumed.code == 0 || resumed.code == 3, "{}", resumed.stderr);
    assert!(!summary(&out).partial);
}

// Both variants of a trial number meet the same requests, so the one that was never cut short says
// what the other must have been asked for.
#[test]
fn a_trial_that_was_killed_and_run_again_has_the_requests_of_one_that_was_not() {
    let _guard = one_at_a_time();
    let scratch = tempfile::tempdir().unwrap();
    let out = scratch.path().join("out");
    let two = || Lab::short(&scratch, &out).args(&["--variant", "none"]);
    let mut run = two().start();
    // Once between two trials, as near as can be, and once in the middle of one.
    run.wait_for(": drain");
    run.wait_for(": warmup");
    run.signal(Signal::SIGKILL);
    run.end();
    let mut run = two().args(&["--resume"]).start();
    run.wait_for(": fault");
    run.signal(Signal::SIGKILL);
    let (_, said) = run.end();
    let resumed = two().args(&["--resume"]).run();
    assert!(matches!(resumed.code, 0 | 3), "{}", resumed.stderr);
    let cells = summary(&out).variants;
    assert_eq!(cells.iter().map(|it| it.n_trials).collect::<Vec<_>>(), [1, 1], "{cells:?}");
    let [first, second] = ["bounded-timeouts", "none"].map(|it| requests(&out, it));
    // Three quarters of what 60 requests/s are in a whole trial.
    assert!(0.75 * 60.0 * short_s() < first.len() as f64, "{} requests", first.len());
    assert_eq!(first, second);
    // The control: one of the two was cut short, and only one.
    let n_begun = |it: &str| said.matches(&format!("{it} crash rate-60 trial 0: warmup")).count();
    assert_eq!(n_begun("bounded-timeouts") + n_begun("none"), 1, "{said}");
    assert_eq!(leftovers(&scratch), Vec::<String>::new());
}

/// What the trial of a variant was asked for: arrival, when it was due, and what it was about.
fn requests(out: &Path, variant: &str) -> Vec<(u32, u64, u32)> {
    let trial = out.join(format!("trials/{variant}/crash/rate-60/trial-000"));
    let samples = decode_file(&fs::read(trial.join("samples.bin")).unwrap()).unwrap();
    let mut requests: Vec<_> =
        samples.iter().map(|it| (it.arrival, it.intended_at_ns, it.key)).collect();
    requests.sort_unstable();
    requests
}

#[test]
fn a_storefront_that_dies_makes_the_trial_invalid_and_it_is_run_again() {
    let _guard = one_at_a_time();
    let scratch = tempfile::tempdir().unwrap();
    let out = scratch.path().join("out");
    let mut run = Lab::short(&scratch, &out).start();
    // With the fault on, so that the next attempt finds Redis down.
    run.wait_for(": fault");
    kill(&scratch, "storefront serve");
    run.wait_for("running its block again");
    assert!(run.said.contains("storefront"), "{}", run.said);
    let (status, said) = run.end();
    assert!(matches!(status.code(), Some(0 | 3)), "{said}");
    let verdict: serde_json::Value =
        read(&out.join("trials/bounded-timeouts/crash/rate-60/trial-000/verdict.json"));
    assert!(verdict["attempt"].as_u64().is_some_and(|it| 2 <= it), "{verdict}");
    assert_eq!(leftovers(&scratch), Vec::<String>::new());
}

#[test]
fn a_generator_that_dies_ends_the_run_with_its_own_code() {
    let _guard = one_at_a_time();
    let scratch = tempfile::tempdir().unwrap();
    let out = scratch.path().join("out");
    let mut run = Lab::short(&scratch, &out).start();
    run.wait_for(": baseline");
    kill(&scratch, "lab-load run");
    let (status, said) = run.end();
    assert_eq!(status.code(), Some(8), "{said}");
    assert!(said.contains("the generator failed"), "{said}");
    assert_eq!(leftovers(&scratch), Vec::<String>::new());
}
