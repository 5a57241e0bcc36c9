//! Real trials with several instances: they join while the fault is on, or only when Redis is back.
//!
//! One bench runs at a time on a machine, so these tests wait for each other.

use std::{collections::BTreeMap, fs, path::Path};

use lab_core::{
    artifact::raw::{FinalCounts, ServiceLine},
    event::{Event, kind},
    outcome::Outcome,
    sample::decode_file,
};

use crate::{
    lab::{Lab, leftovers, one_at_a_time, read, summary},
    scenarios,
};

/// What the test's own variants add to the repository's.
const VARIANTS: [(&str, &str); 2] = [
    ("joins-soon", "[scale_out]\njoins_after = \"1s\"\n"),
    ("listed-in-redis", "[scale_out]\njoins_after = \"1s\"\nregistry = \"redis\"\n"),
];

/// The repository's variants and the test's own, and its main campaign with two instances.
fn write_scenarios(folder: &Path) {
    scenarios::copy_to(folder);
    let to = folder.join("scenarios");
    for (name, lines) in VARIANTS {
        let head =
            "title = \"t\"\nbase = \"bounded-timeouts\"\nstrategy = []\nhypothesis = \"h\"\n";
        fs::write(to.join(format!("variants/{name}.toml")), format!("{head}{lines}")).unwrap();
    }
    scenarios::edit(folder, "redis-outage.toml", |text| {
        scenarios::small_shop(text).replace("trials = 1", "trials = 1\ninstances = [2]")
    });
}

/// Runs one trial of `variant` with two instances and returns its folder.
fn trial(scratch: &Path, variant: &str) -> std::path::PathBuf {
    write_scenarios(scratch);
    let out = scratch.join("out");
    let end = Lab::bench(variant, &out).args(&["--profile", "smoke"]).within(scratch).run();
    assert!(end.code == 0 || end.code == 3, "{}: {}", end.code, end.stderr);
    assert_eq!(summary(&out).variants[0].params.n_instances, 2);
    out.join(format!("trials/{variant}/crash/rate-60-instances-2/trial-000"))
}

/// When each instance did what `kind` says, by its number.
fn times(trial: &Path, kind: &str) -> BTreeMap<String, f64> {
    let text = fs::read_to_string(trial.join("events.jsonl")).unwrap();
    let events = text.lines().map(|line| serde_json::from_str::<Event>(line).unwrap());
    let of_kind = events.filter(|it| it.kind == kind);
    of_kind.map(|it| (it.detail.get("instance").cloned().unwrap_or_default(), it.at_ms)).collect()
}

fn at(trial: &Path, kind: &str) -> f64 {
    *times(trial, kind).values().next().unwrap()
}

/// Lines that an instance said of itself, those from before it began left out.
fn lines_of(trial: &Path, instance: u32) -> Vec<ServiceLine> {
    let text = fs::read_to_string(trial.join("raw/service.jsonl")).unwrap();
    let lines = text.lines().map(|line| serde_json::from_str::<ServiceLine>(line).unwrap());
    lines.filter(|it| it.instance == instance && !it.is_begin()).collect()
}

fn n_requests(trial: &Path, instance: u32) -> u64 {
    lines_of(trial, instance).last().map_or(0, |it| it.sample.requests_total)
}

// A variant without `[scale_out]` is the control: both instances are there from the start.
#[test]
fn instances_share_the_load_from_the_start_or_from_when_they_join() {
    let _guard = one_at_a_time();
    for variant in ["bounded-timeouts", "joins-soon"] {
        let scratch = tempfile::tempdir().unwrap();
        let trial = trial(scratch.path(), variant);
        let samples = decode_file(&fs::read(trial.join("samples.bin")).unwrap()).unwrap();
        let counts: FinalCounts = read(&trial.join("raw/counts.json"));
        assert_eq!(counts.requests_scheduled, samples.len() as u64);
        assert_eq!((counts.orders_lost, counts.unexpected_deaths), (0, Vec::new()), "{variant}");
        let queries = (counts.service_queries.unwrap(), counts.postgres_queries.unwrap());
        assert!(queries.0.abs_diff(queries.1) * 100 <= queries.1, "of both: {queries:?}");
        let n_sent = samples.iter().filter(|it| it.outcome != Outcome::Unsent).count() as u64;
        let [first, second] = [1, 2].map(|it| n_requests(&trial, it));
        assert!(0 < second && first + second <= n_sent, "{first} and {second} of {n_sent}");
        let (started, joined) =
            (times(&trial, kind::INSTANCE_STARTED), times(&trial, kind::INSTANCE_JOINED));
        if variant == "joins-soon" {
            let origin = at(&trial, kind::FAULT_INJECTED);
            assert!(origin + 900.0 < started["2"] && started["2"] < joined["2"]);
            assert!(second < first, "{second} of the last seconds, {first} of all");
        } else {
            assert!(started.is_empty() && joined.is_empty(), "{started:?} {joined:?}");
        }
        assert!(trial.join("raw/instance-2/storefront.log").exists());
        assert_eq!(leftovers(&scratch), Vec::<String>::new());
    }
}

#[test]
fn an_instance_whose_list_is_in_redis_joins_when_redis_is_back() {
    let _guard = one_at_a_time();
    let scratch = tempfile::tempdir().unwrap();
    let trial = trial(scratch.path(), "listed-in-redis");
    let (started, ready) = (at(&trial, kind::INSTANCE_STARTED), at(&trial, kind::DEPENDENCY_READY));
    assert!(started < ready, "it was there while Redis was not");
    let joined = times(&trial, kind::INSTANCE_JOINED);
    assert!(joined.get("2").is_some_and(|it| ready < *it), "{joined:?}, ready at {ready}");
    let before = lines_of(&trial, 2).into_iter().filter(|it| it.at_ms < ready);
    assert!(before.map(|it| it.sample.requests_total).all(|it| it == 0));
    assert_eq!(leftovers(&scratch), Vec::<String>::new());
}
