//! Wrong input: one clear line that names the flag or key, the right exit code, nothing started.

use crate::lab::{Lab, one_at_a_time};

#[test]
fn wrong_usage_is_one_line_that_names_what_to_change() {
    // What can be seen only when there is a results folder is looked at with the machine taken.
    let _guard = one_at_a_time();
    let scratch = tempfile::tempdir().unwrap();
    for (args, part) in [
        (&["bench", "--variant", "circut-breaker"][..], "unknown variant `circut-breaker`"),
        (&["bench", "--fault", "outage"], "--fault: unknown fault `outage`"),
        (&["bench", "nightly"], "unknown campaign `nightly`"),
        (&["bench", "--deadline", "2h"], "slo.deadline"),
        (
            &["bench", "--variant", "redis-sentinel", "--profile", "quick"],
            "variant `redis-sentinel` needs a fault phase of 60s (least_fault_phase), this one has 12s",
        ),
        (
            &["bench", "failover", "--variant", "redis-cluster", "--fault", "reset"],
            "variant `redis-cluster` runs on topology `cluster`, which does not have fault `reset`",
        ),
        (
            &["bench", "--variant", "bounded-timeouts", "--fault", "failover"],
            "runs on topology `single`, which does not have fault `failover`",
        ),
        (
            &["bench", "--variant", "warm-restore", "--fault", "crash,pause"],
            "variant `warm-restore` restarts Redis from a snapshot (restore), and fault `pause` does not",
        ),
        (&["bench", "--resume"], "--resume: no unfinished run"),
        (
            &["bench", "scale-out", "--profile", "smoke"],
            "variant `scale-out`: its instances join 10s into the fault, which lasts 4s",
        ),
        (
            &["gate", "--against", "HEAD", "--allow-dirty", "--campaign", "redis-outage"],
            "--campaign redis-outage: it has no [gate]",
        ),
        (
            &["gate", "--against", "HEAD", "--allow-dirty", "--variant", "circut-breaker"],
            "unknown variant `circut-breaker`",
        ),
        (&["gate", "--against", "HEAD", "--allow-dirty"], "cargo xtask gate --against HEAD"),
        (
            &["gate", "--against", "v1", "--allow-dirty", "--against-storefront", "no-such-file"],
            "--against-storefront: no file no-such-file",
        ),
    ] {
        let out = scratch.path().join("out");
        let end = Lab::new(args).arg("--out").arg(&out).run();
        assert_eq!(end.code, 2, "{args:?}: {}", end.stderr);
        assert!(end.stderr.contains(part), "{args:?}: {}", end.stderr);
        assert_eq!(end.stderr.trim().lines().count(), 1, "{args:?}: {}", end.stderr);
        assert!(!out.exists(), "{args:?} left something behind");
    }
}

#[test]
fn wrong_values_are_refused_by_the_flag() {
    for (args, part) in [
        (&["bench", "--load-factor", "0"][..], "--load-factor"),
        (&["bench", "--deadline", "250"], "needs a unit"),
        (&["bench", "--trials", "0"], "--trials"),
        (&["bench", "--profile", "quickly"], "--profile"),
        (&["gate"], "--baseline <FILE>|--against <REF>"),
        (&["gate", "--against", "HEAD", "--baseline", "b.json"], "cannot be used with"),
        (&["gate", "--against", "HEAD", "--rate", "0"], "--rate"),
        (&["gate", "--baseline", "b.json", "--all-pairs"], "cannot be used with"),
    ] {
        let end = Lab::new(args).run();
        assert_eq!(end.code, 2, "{args:?}: {}", end.stderr);
        assert!(end.stderr.contains(part), "{args:?}: {}", end.stderr);
    }
}

#[test]
fn results_that_cannot_be_written_are_refused_before_anything_starts() {
    let _guard = one_at_a_time();
    let scratch = tempfile::tempdir().unwrap();
    std::fs::write(scratch.path().join("file"), "").unwrap();
    let out = scratch.path().join("file/out");
    let end = Lab::new(&["bench", "--plan"]).arg("--out").arg(&out).run();
    assert_eq!(end.code, 0, "a plan writes nothing: {}", end.stderr);
    let end = Lab::new(&["bench"]).arg("--out").arg(&out).run();
    assert_eq!(end.code, 9, "{}", end.stderr);
    assert!(end.stderr.contains("--out"), "{}", end.stderr);
}

#[test]
fn a_machine_that_has_the_servers_needs_no_preparation() {
    let end = Lab::new(&["prepare"]).run();
    assert_eq!((end.code, end.stderr.as_str()), (0, ""));
}

#[test]
fn a_plan_names_every_trial_and_runs_none() {
    let end = Lab::new(&["bench", "--plan", "--fault", "crash,pause", "--trials", "2"]).run();
    assert_eq!(end.code, 0, "{}", end.stderr);
    let n_trials = end.stdout.lines().filter(|line| line.contains("load-factor-1.5")).count();
    assert_eq!(n_trials, 6 * 2 * 2);
    assert!(end.stdout.contains("24 trials"), "{}", end.stdout);
}

#[test]
fn a_plan_of_a_gate_names_its_looks_and_runs_none() {
    let end = Lab::new(&["gate", "--against", "v1", "--allow-dirty", "--plan"]).run();
    assert_eq!(end.code, 0, "{}", end.stderr);
    let lines: Vec<&str> = end.stdout.lines().collect();
    assert_eq!(
        lines[0],
        "the work tree against v1: playbook-one-minute under crash, profile quick"
    );
    // 45 s to start and 16 trials of 39 + 2 s.
    assert_eq!(lines[1], "look after 8 pairs, about 11m 41s");
    assert_eq!(lines.len(), 1 + 3);
}

#[test]
fn comparisons_and_results_that_are_not_there_say_so() {
    for flag in ["--comparisons", "--results"] {
        let end = Lab::new(&["gate", "--known", "identical-code", flag, "no-such-folder"]).run();
        assert_eq!(end.code, 2, "{}", end.stderr);
        assert!(end.stderr.contains("read no-such-folder"), "{}", end.stderr);
        assert_eq!(end.stderr.trim().lines().count(), 1, "{}", end.stderr);
    }
}

#[test]
fn what_gates_said_of_a_known_change_is_told_from_the_records() {
    for (change, said) in [
        (
            "identical-code",
            &["false alarms on identical code: ", "identical code, compared with"][..],
        ),
        ("breaker-off", &["breaker-off: caught by ", "the circuit breaker is off, compared with"]),
        ("local-cache-off", &["the cache inside the service is off, compared with"]),
    ] {
        let end = Lab::new(&["gate", "--known", change]).run();
        assert_eq!(end.code, 0, "{change}: {}", end.stderr);
        for said in said {
            assert!(end.stdout.contains(said), "{change}: {}", end.stdout);
        }
    }
}
