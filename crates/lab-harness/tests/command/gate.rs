//! Two versions of the service in real pairs of trials: end to end, and every way of being cut short.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use lab_core::artifact::{
    gate::{GateJudgement, GatePairs, GateRun, GateVerdict, RanPair, Side},
    manifest::Manifest,
};
use nix::sys::signal::Signal;
use tempfile::TempDir;

use crate::{
    lab::{Lab, leftovers, one_at_a_time, read},
    scenarios,
};

/// Two pairs of short trials, of which nothing can be judged: what is tested is that they are run.
const TWO_PAIRS: &str = r#"
[gate]
looks = [2]
false_alarm_ratio_max = 0.4
miss_ratio_max = 0.4

[[gate.figures]]
figure = "served_ratio"
factor = 1000.0
floor = 1.0

"#;

/// A repository's scenarios in `scratch`, with a gate of two short pairs.
fn short_gate(scratch: &TempDir) -> PathBuf {
    let root = scratch.path().join("repository");
    fs::create_dir(&root).unwrap();
    scenarios::copy_to(&root);
    scenarios::edit(&root, "gate.toml", |text| {
        let text = scenarios::small_shop(text);
        let (head, rest) = text.split_once("[phases]").unwrap();
        let (_, tail) = rest.split_once("[slo]").unwrap();
        let head = head.replace("playbook-one-minute", "bounded-timeouts");
        format!("{head}{}{TWO_PAIRS}[slo]{tail}", scenarios::short_phases())
    });
    root
}

/// The gate of `root` against `storefront`, at a rate that a debug build carries.
fn gate(root: &Path, storefront: &Path, out: &Path) -> Lab {
    let args = ["gate", "--against", "v1", "--against-commit", "0123456789ab", "--rate", "60"];
    let lab = Lab::new(&args).args(&["--backend", "process", "--out"]).arg(out);
    lab.arg("--against-storefront").arg(storefront).within(root)
}

/// The service beside the lab.
fn storefront() -> PathBuf {
    Path::new(env!("CARGO_BIN_EXE_lab")).with_file_name("storefront")
}

#[test]
fn two_versions_meet_the_same_arrivals_in_turns_and_are_judged() {
    let _guard = one_at_a_time();
    let scratch = tempfile::tempdir().unwrap();
    let (root, out) = (short_gate(&scratch), scratch.path().join("out"));
    let end = gate(&root, &storefront(), &out).run();
    // With two pairs nothing can pass, and no factor of 1,000 is found in the same code.
    assert_eq!(end.code, 3, "{}", end.stderr);
    assert!(end.stdout.starts_with("inconclusive: "), "{}", end.stdout);
    assert!(end.stdout.contains("false alarms on identical code: not measured yet"));
    let judgement: GateJudgement = read(&out.join("judgement.json"));
    assert_eq!(judgement.verdict, GateVerdict::Inconclusive);
    let run: GateRun = read(&out.join("gate.json"));
    let pairs: GatePairs = read(&out.join("pairs.json"));
    assert_eq!(pairs.pairs.len(), run.pairs.len());
    assert_eq!(run.subject.reference.commit.as_deref(), Some("0123456789ab"));
    if let [one, two] = run.pairs[..] {
        assert_eq!(one.first, two.first.other(), "each version goes first once");
    } else {
        assert!(run.given_up.is_some(), "{run:?}");
    }
    for pair in &run.pairs {
        let manifest = |side| -> Manifest {
            read(&out.join(RanPair::trial_folder(pair.pair, side)).join("manifest.json"))
        };
        let (head, reference) = (manifest(Side::Head), manifest(Side::Reference));
        assert_eq!(head.load.seed, reference.load.seed);
        assert_eq!(head.params, reference.params);
        assert_eq!(reference.environment.commit.as_deref(), Some("0123456789ab"));
        assert_ne!(head.environment.commit, reference.environment.commit);
    }
    assert!(!out.join("programs").exists(), "the copies of the service are gone");
    assert_eq!(leftovers(&scratch), Vec::<String>::new());
}

#[test]
fn a_version_that_does_not_know_a_setting_is_one_line_with_its_own_words() {
    let _guard = one_at_a_time();
    let scratch = tempfile::tempdir().unwrap();
    let (root, out) = (short_gate(&scratch), scratch.path().join("out"));
    let old = scratch.path().join("old-storefront");
    let text = "#!/bin/sh\necho 'storefront: unknown field `stampede_guard`' >&2\nexit 1\n";
    // Another process writes it, so that no fork of this one holds it open (`ETXTBSY`).
    let status = Command::new("sh")
        .args(["-c", r#"printf '%s' "$2" >"$1" && chmod 755 "$1""#, "sh"])
        .args([old.as_os_str(), text.as_ref()])
        .status();
    assert!(status.unwrap().success());
    let end = gate(&root, &old, &out).run();
    assert_eq!(end.code, 2, "{}", end.stderr);
    let last = end.stderr.trim().lines().last().unwrap_or_default();
    let start = "lab: --against v1: that version cannot be run under scenarios/gate.toml: ";
    assert!(last.starts_with(start), "{}", end.stderr);
    assert!(last.contains("unknown field `stampede_guard`"), "{}", end.stderr);
    assert!(!out.exists() && !out.with_extension("partial").exists(), "something was left");
    assert_eq!(leftovers(&scratch), Vec::<String>::new());
}

#[test]
fn an_interrupted_gate_judges_nothing_and_leaves_the_earlier_result_alone() {
    let _guard = one_at_a_time();
    let scratch = tempfile::tempdir().unwrap();
    let (root, out) = (short_gate(&scratch), scratch.path().join("out"));
    fs::create_dir(&out).unwrap();
    fs::write(out.join("judgement.json"), "earlier").unwrap();
    let mut running = gate(&root, &storefront(), &out).start();
    running.wait_for("pair 0 of at most 2");
    running.wait_for(": baseline");
    running.signal(Signal::SIGTERM);
    let (status, said) = running.end();
    assert_eq!(status.code(), Some(130), "{said}");
    assert!(said.trim().ends_with("lab: interrupted; nothing is judged"), "{said}");
    assert_eq!(fs::read_to_string(out.join("judgement.json")).unwrap(), "earlier");
    assert!(!scratch.path().join("out.partial").exists(), "no trial had been finished");
    assert_eq!(leftovers(&scratch), Vec::<String>::new());
}
