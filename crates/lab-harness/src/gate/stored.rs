//! `lab gate --baseline`: is a result worse than a stored one? Runs the stored result's cells again
//! where no result is given.

use std::{
    env,
    num::NonZeroU32,
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::{Context, Result, anyhow, bail};
use lab_core::{
    artifact::{
        gate::KnownChange,
        summary::{CellSummary, Summary},
    },
    units::{LoadFactor, PerSec},
};
use tokio::process::Command;

use super::{bench_args, exit_code, run_folder};
use crate::{
    bench::{self, ScenarioFiles},
    cli::{BenchArgs, GateArgs},
    exit::ExitCode,
    failure::AtExit,
    machine::cpus::CpuPlan,
};

/// Judges and prints; the exit code is the judgement.
///
/// **Errors**: a baseline that cannot be used, before anything is run; a run that fails.
/// **Cancellation**: on `SIGINT` or `SIGTERM` the run is taken down and nothing is judged.
pub(crate) async fn run(args: &GateArgs, baseline: &Path, cpus: CpuPlan) -> Result<ExitCode> {
    let here = env::current_dir().context("find the current folder")?;
    let files = ScenarioFiles::open(&here).at_exit(ExitCode::Usage);
    // Judging alone needs no checkout; outside one there is no record of how often it is wrong.
    let root = files.as_ref().ok().map(|it| it.root.as_path());
    let identical = root.map(|it| it.join(KnownChange::IdenticalCode.results_file()));
    let by = Baseline { report: bench::report_program()?, path: baseline, identical, args };
    if let Some(result) = &args.result {
        return by.judge(result).await;
    }
    // Against itself it passes, or it cannot be judged by.
    let itself = by.command(baseline).output().await;
    let itself = itself.context("run lab-report")?;
    if matches!(itself.status.code(), Some(2 | 4..) | None) {
        let said = String::from_utf8_lossy(&itself.stderr);
        let why = said.trim().trim_start_matches("lab-report: ");
        return Err(anyhow!("--baseline: {why}")).at_exit(ExitCode::Usage);
    }
    let baseline = bench::read_summary(baseline).at_exit(ExitCode::Usage)?;
    let out = run_folder(&baseline.campaign)?;
    let campaign = files?.campaign(&baseline.campaign).at_exit(ExitCode::Usage)?;
    let mut bench = bench_of(&baseline, args, out.clone()).at_exit(ExitCode::Usage)?;
    // Where it is the campaign's own, phases that the campaign has longer stay as they are.
    bench.profile = bench.profile.filter(|it| *it != campaign.profile);
    match bench::run(&bench, cpus).await? {
        ExitCode::Done | ExitCode::Invalid => by.judge(&out).await,
        other => Ok(other),
    }
}

/// A stored result to judge by.
struct Baseline<'a> {
    report: PathBuf,
    path: &'a Path,
    /// Record of results on identical code.
    identical: Option<PathBuf>,
    args: &'a GateArgs,
}

impl Baseline<'_> {
    async fn judge(&self, result: &Path) -> Result<ExitCode> {
        let status = self.command(result).status().await.context("run lab-report")?;
        Ok(exit_code(status))
    }

    fn command(&self, result: &Path) -> Command {
        let mut command = Command::new(&self.report);
        command.arg("gate").arg("--baseline").arg(self.path).arg("--result").arg(result);
        if let Some(identical) = &self.identical {
            command.arg("--identical").arg(identical);
        }
        command.args(["--format", &self.args.format]).kill_on_drop(true);
        command
    }
}

/// The command line that runs the baseline's cells again.
///
/// **Errors**: it has no cell, or a mixture of loads that no command line gives.
fn bench_of(baseline: &Summary, args: &GateArgs, out: PathBuf) -> Result<BenchArgs> {
    let cells = &baseline.variants;
    let rates = each(cells, |it| match it.params.load_factor {
        Some(_) => None,
        None => Some(it.arrival_rate_per_sec),
    });
    let factors = each(cells, |it| it.params.load_factor);
    let rate = match (rates.as_slice(), factors.is_empty()) {
        ([], false) => None,
        ([rate], true) => Some(PerSec::new(*rate)?),
        _ => bail!("--baseline: its cells have no load that one run can offer; give --result"),
    };
    let trials = trials_of(cells, &factors);
    let factors: Result<Vec<_>, _> = factors.into_iter().map(LoadFactor::new).collect();
    Ok(BenchArgs {
        variant: each(cells, |it| Some(it.variant.clone())),
        fault: each(cells, |it| Some(it.fault.name().to_owned())),
        trials,
        seed: Some(baseline.seed.0),
        profile: Some(baseline.profile),
        load_factor: factors?,
        rate,
        deadline: Some(Duration::from_secs_f64(baseline.slo.deadline_ms / 1_000.0)),
        ..bench_args(args, baseline.campaign.clone(), out)
    })
}

/// How often the cells of each load factor were run; one number where all were as often, or have no
/// load factor.
fn trials_of(cells: &[CellSummary], factors: &[f64]) -> Vec<NonZeroU32> {
    let most = |factor: Option<f64>| {
        let is_of =
            |it: &&CellSummary| factor.is_none_or(|factor| it.params.load_factor == Some(factor));
        cells.iter().filter(is_of).filter_map(|it| NonZeroU32::new(it.n_trials)).max()
    };
    let of_each: Vec<NonZeroU32> = factors.iter().filter_map(|it| most(Some(*it))).collect();
    let are_all_there = of_each.len() == factors.len();
    let differ = of_each.iter().any(|it| *it != of_each[0]);
    if are_all_there && differ { of_each } else { most(None).into_iter().collect() }
}

/// What the cells have of one kind, each once, in their order.
fn each<T: PartialEq>(cells: &[CellSummary], of: impl Fn(&CellSummary) -> Option<T>) -> Vec<T> {
    let mut all = Vec::new();
    for one in cells.iter().filter_map(of) {
        if !all.contains(&one) {
            all.push(one);
        }
    }
    all
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::cli::{Cli, Command as Verb};

    fn args() -> GateArgs {
        let all = ["lab", "gate", "--baseline", "b.json", "--no-install"];
        let Verb::Gate(args) = Cli::parse_from(all).command else { panic!("not a gate") };
        args
    }

    fn committed() -> Summary {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../results/redis-outage");
        bench::read_summary(&folder).unwrap()
    }

    #[test]
    fn the_cells_of_the_baseline_are_run_again() {
        let bench = bench_of(&committed(), &args(), "out".into()).unwrap();
        assert_eq!((bench.campaign.as_str(), bench.variant.len()), ("redis-outage", 5));
        assert_eq!(bench.fault, ["crash", "pause"]);
        let factors: Vec<f64> = bench.load_factor.iter().map(|it| it.get()).collect();
        assert_eq!((factors, bench.rate), (vec![0.7, 1.5], None));
        assert_eq!(bench.deadline, Some(Duration::from_secs(1)));
        assert!(bench.no_install && !bench.resume);
    }

    #[test]
    fn each_load_factor_is_run_as_often_as_it_was() {
        let trials = |baseline: &Summary| {
            let bench = bench_of(baseline, &args(), "out".into()).unwrap();
            bench.trials.iter().map(|it| it.get()).collect::<Vec<_>>()
        };
        let mut baseline = committed();
        let mut with = |hardest: u32| {
            for cell in &mut baseline.variants {
                cell.n_trials = if cell.params.load_factor == Some(1.5) { hardest } else { 3 };
            }
            trials(&baseline)
        };
        assert_eq!(with(5), [3, 5], "of load factors 0.7 and 1.5");
        assert_eq!(with(3), [3]);
    }

    #[test]
    fn a_rate_that_was_given_outright_is_offered_again() {
        let mut baseline = committed();
        for cell in &mut baseline.variants {
            cell.params.load_factor = None;
            cell.arrival_rate_per_sec = 90.0;
        }
        let bench = bench_of(&baseline, &args(), "out".into()).unwrap();
        assert_eq!(bench.rate.map(PerSec::get), Some(90.0));
        baseline.variants[0].arrival_rate_per_sec = 91.0;
        let error = bench_of(&baseline, &args(), "out".into()).unwrap_err().to_string();
        assert!(error.contains("--result"), "{error}");
    }
}
