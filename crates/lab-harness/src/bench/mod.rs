//! `lab bench`: from scenario files to a report.
//!
//! In: `scenarios/`, the command line, the machine. Out: a results folder. The harness computes no
//! metric: it starts, stops, samples and counts, and has every figure made from the artifacts.

mod calibration;
mod control;
mod database;
pub(crate) mod instances;
mod joining;
mod live;
mod load;
mod operator;
pub(crate) mod plan;
pub(crate) mod progress;
mod record;
mod registry;
pub(crate) mod results;
pub(crate) mod run;
mod sampling;
mod scenario_files;
pub(crate) mod selection;
pub(crate) mod session;
pub(crate) mod target;
mod timeline;
pub(crate) mod trial;

use std::{
    env,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, anyhow};
use lab_core::artifact::summary::{self, Summary};

pub(crate) use self::scenario_files::ScenarioFiles;
use self::{
    plan::expected_time,
    progress::Progress,
    record::{Record, holds_complete, is_partial},
    results::{Ending, ResultsFolder, read_json},
    run::Run,
    selection::Selection,
    session::{Seating, Session},
};
use crate::{
    clean,
    cli::{BackendArg, BenchArgs},
    exit::ExitCode,
    failure::AtExit,
    machine::{cpus::CpuPlan, disk, lock::MachineLock},
    stack::{BackendChoice, InstallPolicy, StackError, StackOptions},
};

/// Runs the campaign that `args` select and returns the exit code of a run that went to its end.
///
/// **Errors**: carry the exit code that says which part failed ([`AtExit`]).
/// **Cancellation**: on `SIGINT` or `SIGTERM` the servers are taken down and the cells that
/// finished are reported.
pub async fn run(args: &BenchArgs, cpus: CpuPlan) -> Result<ExitCode> {
    let here = env::current_dir().context("find the current folder")?;
    let files = ScenarioFiles::open(&here).at_exit(ExitCode::Usage)?;
    let selection = Selection::new(&files, args).at_exit(ExitCode::Usage)?;
    if args.plan {
        print_plan(&selection);
        return Ok(ExitCode::Done);
    }
    let _lock = take_machine(&selection.out).await?;
    let folder = open_results(&selection, args)?;
    let started = tokio::time::Instant::now();
    let mut interrupt = std::pin::pin!(interrupted());
    let mut progress = Progress::new(std::time::Duration::ZERO);
    let session = tokio::select! {
        session = start_session(&selection, args, cpus, &files.root) => session,
        () = &mut interrupt => Err(anyhow!("interrupted before the first trial"))
            .at_exit(ExitCode::Interrupted),
    };
    let session = session.inspect_err(|_| folder.discard_if_empty())?;
    progress.say(&backend_line(&session));
    let earlier_s = Record::wall_time_s(folder.work());
    let bench = Run { session: &session, selection: &selection, files: &files, started, earlier_s };
    let ran = tokio::select! {
        ran = bench.run(&folder, args, &mut progress) => ran.map(|()| Ending::Complete),
        () = &mut interrupt => Ok(Ending::Partial),
    };
    progress.close();
    let stopped = session.stop().await.at_exit(ExitCode::Stack);
    let code = report(folder, ran, args).await?;
    stopped?;
    Ok(code)
}

/// Makes sure that this is the machine's only bench, that nothing is left of an earlier one, and that
/// there is room at `out`. The machine is given back when the lock is dropped.
///
/// **Errors**: another bench runs, or there is no room.
pub(crate) async fn take_machine(out: &Path) -> Result<MachineLock> {
    let lock = MachineLock::acquire().at_exit(ExitCode::Busy)?;
    clean::run().await;
    disk::require_free(out, disk::FREE_BYTES_MIN).at_exit(ExitCode::Storage)?;
    Ok(lock)
}

/// Brings up what the trials of `selection` need. **Errors**: as [`Session::start`].
pub(crate) async fn start_session(
    selection: &Selection,
    args: &BenchArgs,
    cpus: CpuPlan,
    root: &Path,
) -> Result<Session> {
    let options = stack_options(selection, args, cpus);
    let started =
        Session::start(&options, &selection.campaign.faults, seating(selection), root).await;
    started.or_else(at_its_exit)
}

/// Which backend it is, and why.
pub(crate) fn backend_line(session: &Session) -> String {
    format!("backend {}: {}", session.environment.backend, session.environment.backend_reason)
}

/// The figures of a campaign, from its `summary.json` or its folder. **Errors**: missing or damaged.
pub(crate) fn read_summary(path: &Path) -> Result<Summary> {
    if path.is_dir() { read_json(&path.join(summary::FILE)) } else { read_json(path) }
}

/// The analysis, which stands beside the lab. **Errors**: a program of the lab is not built.
pub(crate) fn report_program() -> Result<PathBuf> {
    Ok(session::Binaries::find()?.lab_report)
}

/// What cannot be had is for the user to change; what does not start is a failure of the stack.
fn at_its_exit<T>(error: anyhow::Error) -> Result<T> {
    let code = error.downcast_ref().map_or(ExitCode::Stack, StackError::exit_code);
    Err(error).at_exit(code)
}

/// Reports what there is, even after a failure: finished cells are never lost.
async fn report(folder: ResultsFolder, ran: Result<Ending>, args: &BenchArgs) -> Result<ExitCode> {
    let ending = *ran.as_ref().unwrap_or(&Ending::Partial);
    if Record::exists(folder.work()) && folder.has_finished_trial() {
        Record::close(folder.work(), ending)?;
        run::report_campaign(folder.work()).await.at_exit(ExitCode::Internal)?;
        let stands = folder.finish(ending, holds_complete).at_exit(ExitCode::Storage)?;
        run::announce(&stands, ending);
        ran?;
        let summary = read_summary(&stands)?;
        return Ok(match ending {
            Ending::Partial => ExitCode::Interrupted,
            Ending::Complete => run::exit_code(&summary, args.require_met),
        });
    }
    // After a failure the logs of the trial that was begun stay where --resume looks.
    let failed_in_trial = ran.is_err() && folder.work().join("trials").exists();
    if !failed_in_trial {
        folder.discard_if_empty();
    }
    ran?;
    Ok(ExitCode::Interrupted)
}

fn open_results(selection: &Selection, args: &BenchArgs) -> Result<ResultsFolder> {
    if !args.resume {
        return ResultsFolder::create(&selection.out).at_exit(ExitCode::Storage);
    }
    let folder = ResultsFolder::resume(&selection.out, is_partial).at_exit(ExitCode::Usage)?;
    Record::check_same_campaign(folder.work(), selection).at_exit(ExitCode::Usage)?;
    Ok(folder)
}

fn stack_options(selection: &Selection, args: &BenchArgs, cpus: CpuPlan) -> StackOptions {
    StackOptions {
        choice: match args.backend {
            BackendArg::Auto => BackendChoice::Auto,
            BackendArg::Docker => BackendChoice::Docker,
            BackendArg::Process => BackendChoice::Process,
        },
        max_connections: selection.campaign.database.max_connections,
        postgres_cpu_quota: selection.campaign.database.cpu_quota,
        install: match args.no_install {
            true => InstallPolicy::Forbidden,
            false => InstallPolicy::Allowed,
        },
        cpus,
    }
}

fn seating(selection: &Selection) -> Seating {
    Seating {
        n_instances: selection.campaign.n_instances_max(),
        cpu_quota: selection.campaign.service.cpu_quota,
    }
}

/// Waits for `SIGINT` or `SIGTERM`.
pub(crate) async fn interrupted() {
    use tokio::signal::unix::{SignalKind, signal};
    let (Ok(mut interrupt), Ok(mut terminate)) =
        (signal(SignalKind::interrupt()), signal(SignalKind::terminate()))
    else {
        return std::future::pending().await;
    };
    tokio::select! {
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
    }
}

#[expect(clippy::print_stdout, reason = "the plan is what was asked for")]
fn print_plan(selection: &Selection) {
    let campaign = &selection.campaign;
    // The rates are not known before calibration; the number and order of cells are.
    let params = selection.params(f64::NAN);
    let blocks = selection.blocks(&params);
    for block in &blocks {
        for trial in &block.trials {
            let variant = &selection.variants[trial.variant].name;
            println!("{variant} {} {} trial {}", trial.fault, trial.params.folder(), trial.trial);
        }
    }
    let n = blocks.iter().map(|block| block.trials.len()).sum();
    let time = humantime::format_duration(expected_time(n, &selection.campaign.lengths()));
    println!("{n} trials, profile {}, about {time}", campaign.profile.name());
}
