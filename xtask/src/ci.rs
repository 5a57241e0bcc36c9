//! `cargo xtask ci`: every check a change must pass, one after another, each timed.
//!
//! A failed step does not hide the next one: all run, and the end says which failed. Everything
//! uses the dev profile and the same selection of crates, so that dependencies are compiled once
//! for clippy and docs and once for tests and smoke.

use std::{
    process::{Command, ExitCode, Stdio},
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use crate::{
    CHECK_FAILED,
    generated::{self, Generated},
    lab::{Lab, Tool},
    test_run, tidy,
    workspace::{Workspace, read_json, succeed},
};

/// What a step came to.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Verdict {
    Passed,
    /// Could not run here, and why.
    Skipped(String),
    Failed(String),
}

/// A check, and what it came to.
struct Step {
    name: &'static str,
    verdict: Verdict,
    took: Duration,
}

/// Runs every step. The exit code is 1 when one failed.
pub(crate) fn run(workspace: &Workspace) -> Result<ExitCode> {
    let lab = Lab::dev(workspace);
    let clippy = ["clippy", "--workspace", "--all-targets", "--", "-D", "warnings"];
    let benches = [
        "clippy",
        "--package",
        "lab-mitigation",
        "--package",
        "lab-load",
        "--package",
        "lab-report",
        "--features",
        "overhead",
        "--benches",
        "--",
        "-D",
        "warnings",
    ];
    let steps = [
        step("fmt", || cargo(workspace, &["fmt", "--all", "--check"])),
        step("tidy", || tidy::run(workspace).map(|()| Verdict::Passed)),
        step("lint", || cargo(workspace, &clippy).and_then(|_| cargo(workspace, &benches))),
        // Without tests, whose dependencies switch on features that a user's build does not have.
        step("binaries", || cargo(workspace, &["check", "--workspace", "--bins"])),
        step("test", || test(workspace)),
        step("docs", || docs(workspace)),
        step("generated files", || {
            generated::run(&lab, Generated::Check).map(|()| Verdict::Passed)
        }),
        step("committed results", || committed_results(&lab)),
        step("smoke", || smoke(&lab)),
        step("dependencies", || dependencies(workspace)),
    ];
    eprintln!();
    for step in &steps {
        eprintln!("{}", line(step));
    }
    let failed = steps.iter().any(|it| matches!(it.verdict, Verdict::Failed(_)));
    Ok(if failed { ExitCode::from(CHECK_FAILED) } else { ExitCode::SUCCESS })
}

#[expect(clippy::disallowed_methods, reason = "says how long a step took; nothing depends on it")]
fn step(name: &'static str, check: impl FnOnce() -> Result<Verdict>) -> Step {
    eprintln!("== {name}");
    let started_at = Instant::now();
    let verdict = check().unwrap_or_else(|error| Verdict::Failed(format!("{error:#}")));
    let step = Step { name, verdict, took: started_at.elapsed() };
    eprintln!("{}", line(&step));
    step
}

fn line(step: &Step) -> String {
    let (word, reason) = match &step.verdict {
        Verdict::Passed => ("ok", ""),
        Verdict::Skipped(reason) => ("skipped", reason.as_str()),
        Verdict::Failed(reason) => ("FAILED", reason.as_str()),
    };
    let took = step.took.as_secs();
    format!("{word:<8}{:<18}{took:>5} s  {reason}", step.name).trim_end().to_owned()
}

fn cargo(workspace: &Workspace, args: &[&str]) -> Result<Verdict> {
    succeed(&mut workspace.cargo(args))?;
    Ok(Verdict::Passed)
}

fn test(workspace: &Workspace) -> Result<Verdict> {
    let report = test_run::run(workspace)?;
    let skipped = docker_skips(&report.skipped);
    ensure!(
        skipped.is_empty() || !docker_answers(),
        "a Docker engine answers, but tests against it were skipped: {}",
        skipped.join("; ")
    );
    Ok(Verdict::Passed)
}

/// The skipped lines that are about Docker.
fn docker_skips(skipped: &[String]) -> Vec<&str> {
    let is_about_docker = |it: &&str| it.to_lowercase().contains("docker");
    skipped.iter().map(String::as_str).filter(is_about_docker).collect()
}

fn docker_answers() -> bool {
    Command::new("docker")
        .arg("info")
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|it| it.success())
}

fn docs(workspace: &Workspace) -> Result<Verdict> {
    let mut command = workspace.cargo(&["doc", "--workspace", "--no-deps"]);
    succeed(command.env("RUSTDOCFLAGS", "-D warnings"))?;
    Ok(Verdict::Passed)
}

/// Whether every committed report is the one its artifacts give.
fn committed_results(lab: &Lab<'_>) -> Result<Verdict> {
    let campaigns = lab.workspace.campaigns_with_results();
    if campaigns.is_empty() {
        return Ok(Verdict::Skipped("results/ holds no summary yet".to_owned()));
    }
    let code = lab.report_campaigns(&campaigns, Generated::Check)?;
    ensure!(code == ExitCode::SUCCESS, "results differ from what their artifacts give");
    Ok(Verdict::Passed)
}

/// Why a trial may be invalid on a machine that is busy with something else, in the words of
/// `verdict.json`: the machine stood still, the generator was late, or the baseline drifted. Any
/// other reason is a fault of the lab.
const BUSY_REASONS: [&str; 4] = ["machine_stalled", "sent_late", "send_lag", "baseline_drifting"];
/// Exit code of a bench with an invalid cell.
const EXIT_INVALID: i32 = 3;
/// Exit code of a bench on a machine that cannot show the effect.
const EXIT_CALIBRATION: i32 = 10;

/// One short trial from end to end, calibration included, at a load below the database's capacity.
fn smoke(lab: &Lab<'_>) -> Result<Verdict> {
    let out = lab.workspace.target_dir.join("smoke");
    if out.exists() {
        std::fs::remove_dir_all(&out).with_context(|| format!("remove {}", out.display()))?;
    }
    let args = ["bench", "redis-outage", "--profile", "smoke", "--variant", "circuit-breaker"];
    let mut command = lab.tool(Tool::Lab);
    command.current_dir(&lab.workspace.root).args(args);
    command.args(["--load-factor", "0.5", "--recalibrate", "--out"]).arg(&out);
    let status = command.status().context("start the smoke run")?;
    match status.code() {
        Some(EXIT_INVALID) => {
            let cell = out.join("trials/circuit-breaker/crash/load-factor-0.5");
            return busy_or_broken(&read_json(&cell.join("trial-000/verdict.json"))?);
        }
        Some(EXIT_CALIBRATION) => {
            let reason = "this machine cannot show the effect: see the line above";
            return Ok(Verdict::Skipped(reason.to_owned()));
        }
        Some(_) | None => {}
    }
    ensure!(status.success(), "the smoke run ended with {status}");
    check_smoke_summary(&read_json(&out.join("summary.json"))?)?;
    Ok(Verdict::Passed)
}

/// What an invalid smoke trial says about the lab: nothing, when the machine was merely busy.
fn busy_or_broken(verdict: &Value) -> Result<Verdict> {
    let reasons = verdict["reasons"].as_array().context("a verdict without reasons")?;
    let names: Vec<_> = reasons.iter().filter_map(|it| it["reason"].as_str()).collect();
    let is_busy = |name: &&str| BUSY_REASONS.contains(name);
    ensure!(
        !names.is_empty() && names.len() == reasons.len() && names.iter().all(is_busy),
        "the smoke run's trial is invalid: {}",
        names.join(", ")
    );
    Ok(Verdict::Skipped(format!(
        "this machine is too busy for a valid trial: {}",
        names.join(", ")
    )))
}

/// Whether a smoke run measured what it was asked to.
fn check_smoke_summary(summary: &Value) -> Result<()> {
    ensure!(summary["schema"] == "outage-lab/summary/1", "unknown schema {}", summary["schema"]);
    ensure!(summary["partial"] == false, "the smoke run is partial");
    let cells = summary["variants"].as_array().context("a summary without variants")?;
    ensure!(cells.len() == 1, "the smoke run asked for 1 cell and got {}", cells.len());
    ensure!(cells[0]["verdict"] != "invalid", "the smoke run's cell is invalid");
    Ok(())
}

/// Licences, advisories and bans, where cargo-deny is installed.
fn dependencies(workspace: &Workspace) -> Result<Verdict> {
    let version = workspace.cargo(&["deny", "--version"]).output().context("start cargo deny")?;
    if !version.status.success() {
        return Ok(Verdict::Skipped(
            "cargo-deny is not installed (cargo install cargo-deny --locked)".to_owned(),
        ));
    }
    cargo(workspace, &["deny", "check"])
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn an_error_in_a_step_is_its_verdict_and_not_the_end() {
        let step = step("x", || anyhow::bail!("broken"));
        assert_eq!(step.verdict, Verdict::Failed("broken".to_owned()));
        assert_eq!(line(&step), "FAILED  x                     0 s  broken");
    }

    #[test]
    fn a_step_that_could_not_run_is_not_called_ok() {
        let step = step("x", || Ok(Verdict::Skipped("no tool".to_owned())));
        assert_eq!(line(&step), "skipped x                     0 s  no tool");
    }

    #[test]
    fn only_skips_about_docker_count_against_an_engine() {
        let skipped =
            ["SKIPPED docker: no images".to_owned(), "SKIPPED redis: not found".to_owned()];
        assert_eq!(docker_skips(&skipped), ["SKIPPED docker: no images"]);
    }

    #[test]
    fn only_a_busy_machine_excuses_an_invalid_smoke_run() {
        let verdict = |names: &[&str]| {
            let reasons: Vec<_> = names.iter().map(|it| json!({ "reason": it })).collect();
            busy_or_broken(&json!({ "reasons": reasons }))
        };
        assert!(matches!(verdict(&["sent_late", "send_lag"]), Ok(Verdict::Skipped(_))));
        assert!(verdict(&["sent_late", "orders_lost"]).is_err());
        assert!(verdict(&[]).is_err());
        assert!(busy_or_broken(&json!({})).is_err());
    }

    #[test]
    fn a_smoke_run_must_have_measured_its_one_cell() {
        let summary = |partial, cells| json!({ "schema": "outage-lab/summary/1", "partial": partial, "variants": cells });
        let met = json!([{ "verdict": "met" }]);
        check_smoke_summary(&summary(false, met.clone())).unwrap();
        check_smoke_summary(&summary(false, json!([{ "verdict": "missed" }]))).unwrap();
        assert!(check_smoke_summary(&summary(true, met)).is_err());
        assert!(check_smoke_summary(&summary(false, json!([]))).is_err());
        assert!(check_smoke_summary(&summary(false, json!([{ "verdict": "invalid" }]))).is_err());
        assert!(check_smoke_summary(&json!({ "schema": "other" })).is_err());
    }
}
