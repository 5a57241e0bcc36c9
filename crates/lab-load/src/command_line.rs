//! The command line of the generator. Talks to the lab over standard input and output.

use std::{
    fs,
    io::{self, BufRead, Write},
    panic,
    path::{Path, PathBuf},
    process::{self, ExitCode},
    sync::Arc,
    thread,
};

use clap::{Parser, Subcommand};
use lab_core::{catalogue::Catalogue, clock::MonotonicNs, load_plan::LoadPlan};

use crate::{LoadError, Recorder, run::run, schedule::Schedule, signals, targets::Targets};

/// Open-loop load on the target service of the lab.
///
/// Exit codes: 0 when every arrival has its outcome in the samples; 2 wrong usage or plan; 4 the
/// generator itself failed; 143 or 130 when stopped by SIGTERM or SIGINT.
#[derive(Debug, Parser)]
#[command(version)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Carry out a plan: print `ready`, read `start <CLOCK_MONOTONIC ns>`, write the samples, print
    /// `scheduled <number of arrivals>`. Each line `targets <address>,<address>…` read meanwhile is
    /// the list of instances from then on.
    Run {
        /// The plan, as JSON.
        #[arg(long)]
        plan: PathBuf,
    },
    /// Print what a plan's schedule holds and a fingerprint of it, and send nothing.
    Schedule {
        /// The plan, as JSON.
        #[arg(long)]
        plan: PathBuf,
    },
}

/// Does what the arguments of this process say, and gives its exit code.
pub fn main() -> ExitCode {
    exit_on_panic();
    let result = match Arguments::parse().command {
        Command::Run { plan } => run_plan(&plan),
        Command::Schedule { plan } => print_schedule(&plan),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("lab-load: {error}");
            ExitCode::from(error.exit_code())
        }
    }
}

/// A panic in one user would leave its arrival without an outcome and the others waiting for it.
fn exit_on_panic() {
    let print = panic::take_hook();
    panic::set_hook(Box::new(move |panic| {
        print(panic);
        process::exit(4);
    }));
}

fn run_plan(path: &Path) -> Result<(), LoadError> {
    let signals = signals::block()?;
    let plan = read_plan(path)?;
    let recorder = Recorder::create(&plan.samples_path)?;
    signals::flush_and_exit_on(signals, recorder.clone())?;
    // One thread: requests are many and small, and waking a second one costs more than it does.
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|source| LoadError::Spawn { what: "the runtime", source })?;
    let targets = Targets::of(&plan);
    let followed = Arc::clone(&targets);
    let start = || {
        let start = await_start()?;
        follow(followed)?;
        Ok(start)
    };
    let scheduled = runtime.block_on(run(&plan, targets, recorder, start))?;
    print(&format!("scheduled {scheduled}\n"))
}

fn print_schedule(path: &Path) -> Result<(), LoadError> {
    let plan = read_plan(path)?;
    let schedule = Schedule::generate(&plan, &Catalogue::generate(&plan.catalogue))?;
    let mut lines = format!("{:>10} arrivals\n", schedule.arrivals.len());
    for (route, count) in schedule.count_by_route() {
        lines += &format!("{count:>10} {}\n", route.name());
    }
    lines += &format!("fingerprint {:016x}\n", schedule.fingerprint());
    print(&lines)
}

fn read_plan(path: &Path) -> Result<LoadPlan, LoadError> {
    let text =
        fs::read(path).map_err(|source| LoadError::ReadPlan { path: path.to_owned(), source })?;
    serde_json::from_slice(&text)
        .map_err(|source| LoadError::ParsePlan { path: path.to_owned(), source })
}

/// Says `ready` and reads the instant at which to start.
fn await_start() -> Result<MonotonicNs, LoadError> {
    print("ready\n")?;
    let mut line = String::new();
    io::stdin().lock().read_line(&mut line).map_err(LoadError::Handshake)?;
    let start = parse_start(&line)?;
    let away_s = start.since(MonotonicNs::now()).unsigned_abs() / 1_000_000_000;
    if START_AWAY_S_MAX < away_s {
        return Err(LoadError::StartFarAway { away_s, allowed_s: START_AWAY_S_MAX });
    }
    Ok(start)
}

/// Starts the thread that hears of changes of the list. It ends with standard input, or with the
/// process.
fn follow(targets: Arc<Targets>) -> Result<(), LoadError> {
    let follow = move || {
        if let Err(error) = targets.follow(io::stdin().lock()) {
            // Arrivals would go on to instances that the lab did not mean.
            eprintln!("lab-load: {error}");
            process::exit(error.exit_code().into());
        }
    };
    let started = thread::Builder::new().name("targets".into()).spawn(follow);
    started.map(drop).map_err(|source| LoadError::Spawn { what: "the thread of targets", source })
}

/// A start further from now was surely read from another clock.
const START_AWAY_S_MAX: u64 = 60;

fn parse_start(line: &str) -> Result<MonotonicNs, LoadError> {
    line.trim_end()
        .strip_prefix("start ")
        .and_then(|number| number.parse().ok())
        .filter(|number| i64::try_from(*number).is_ok())
        .map(MonotonicNs)
        .ok_or_else(|| LoadError::StartLine { got: line.trim_end().to_owned() })
}

fn print(text: &str) -> Result<(), LoadError> {
    let mut stdout = io::stdout().lock();
    stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()).map_err(LoadError::Handshake)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_start_line_is_a_word_and_a_number() {
        assert_eq!(parse_start("start 12345\n").unwrap(), MonotonicNs(12_345));
        for line in ["", "start", "start x", "12345", "start -1", "start 18446744073709551615"] {
            assert!(parse_start(line).is_err(), "{line}");
        }
    }

    #[test]
    fn the_command_line_is_consistent() {
        use clap::CommandFactory;
        Arguments::command().debug_assert();
    }
}
