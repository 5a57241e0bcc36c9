//! `lab gate`: is the outage worse than it was? The judgement is `lab-report`'s; the harness runs
//! what has to be run for it.
//!
//! `stored` compares with a stored result, `paired` with another version of the service.

mod comparison;
mod order;
mod paired;
mod stored;

use std::{
    env,
    path::{Path, PathBuf},
    process::ExitStatus,
};

use anyhow::{Context, Result};
use lab_core::artifact::gate::{KnownChange, RULES_FILE};
use tokio::process::Command;

use crate::{
    bench::{self, ScenarioFiles},
    cli::{BenchArgs, GateArgs, GateBy},
    exit::ExitCode,
    failure::AtExit,
    machine::cpus::CpuPlan,
};

/// Judges and prints; the exit code is the judgement.
///
/// **Errors**: something that cannot be compared, before anything is run; a run that fails.
/// **Cancellation**: on `SIGINT` or `SIGTERM` the run is taken down and nothing is judged.
pub async fn run(args: &GateArgs, cpus: CpuPlan) -> Result<ExitCode> {
    match args.by().at_exit(ExitCode::Usage)? {
        GateBy::Baseline(baseline) => stored::run(args, baseline, cpus).await,
        GateBy::Version(reference) => paired::run(args, reference, cpus).await,
        GateBy::Known(change) => known(args, change).await,
    }
}

/// Says what gates said of a change that is known, and records what is new: gates of the kind that is
/// given something; where nothing is given, of each kind that has a record.
async fn known(args: &GateArgs, change: KnownChange) -> Result<ExitCode> {
    let here = env::current_dir().context("find the current folder")?;
    let files = ScenarioFiles::open(&here).at_exit(ExitCode::Usage)?;
    let (has_comparisons, has_results) = (!args.comparisons.is_empty(), !args.results.is_empty());
    let is_recorded = |it: String| files.root.join(it).exists();
    let is_any_given = has_comparisons || has_results;
    let mut commands = Vec::new();
    if has_results || (!is_any_given && is_recorded(change.results_file())) {
        commands.push(known_results(args, change, &files)?);
    }
    let has_gates = has_comparisons || (!is_any_given && is_recorded(change.record_file()));
    // Without anything to tell, it says that there is nothing.
    if has_gates || commands.is_empty() {
        commands.push(known_gates(args, change, &files)?);
    }
    for mut command in commands {
        command.args(args.record.then_some("--write"));
        let status = command.kill_on_drop(true).status().await.context("run lab-report")?;
        if !status.success() {
            return Ok(ExitCode::Usage);
        }
    }
    Ok(ExitCode::Done)
}

/// What says what comparisons of two versions said.
fn known_gates(args: &GateArgs, change: KnownChange, files: &ScenarioFiles) -> Result<Command> {
    // Checked here, where what is wrong with a campaign is said with its line.
    files.campaign(paired::CAMPAIGN).at_exit(ExitCode::Usage)?;
    let mut command = Command::new(bench::report_program()?);
    command.args(["known", change.name()]).args(&args.comparisons);
    command.arg("--rules").arg(files.root.join(RULES_FILE));
    command.arg("--record").arg(files.root.join(change.record_file()));
    Ok(command)
}

/// What says what comparisons with a stored result said.
fn known_results(args: &GateArgs, change: KnownChange, files: &ScenarioFiles) -> Result<Command> {
    let mut command = Command::new(bench::report_program()?);
    command.args(["known-results", change.name()]).args(&args.results);
    command.arg("--record").arg(files.root.join(change.results_file()));
    let identical = KnownChange::IdenticalCode.results_file();
    command.arg("--identical").arg(files.root.join(identical));
    Ok(command)
}

/// What the judgement of `lab-report` means for the lab.
fn exit_code(status: ExitStatus) -> ExitCode {
    match status.code() {
        Some(0) => ExitCode::Done,
        Some(1) => ExitCode::Regression,
        Some(3) => ExitCode::Invalid,
        Some(2) => ExitCode::Usage,
        _ => ExitCode::Internal,
    }
}

/// The command line of a bench of `campaign` into `out`, which asks for nothing that the campaign does
/// not say and installs what the gate may.
fn bench_args(args: &GateArgs, campaign: String, out: PathBuf) -> BenchArgs {
    BenchArgs {
        campaign,
        variant: Vec::new(),
        fault: Vec::new(),
        trials: Vec::new(),
        seed: None,
        out: Some(out),
        resume: false,
        profile: None,
        load_factor: Vec::new(),
        rate: None,
        deadline: None,
        hit_ratio: None,
        recalibrate: false,
        backend: args.backend,
        no_install: args.no_install,
        require_met: false,
        plan: false,
    }
}

/// Where a new run goes: beside what was built, and never over a result.
fn run_folder(campaign: &str) -> Result<PathBuf> {
    let own = env::current_exe().context("find the lab's own program")?;
    let target = own.parent().and_then(Path::parent).context("find the build folder")?;
    Ok(target.join("gate").join(campaign))
}
