//! The `lab` command: parses, dispatches, and turns the result into an exit code.

use std::{io::IsTerminal, process::ExitCode as ProcessExitCode};

use anyhow::{Context, Result};
use clap::Parser;
use lab_harness::{
    bench, clean,
    cli::{Cli, Command, ListArgs},
    doctor,
    exit::ExitCode,
    failure::{AtExit, exit_code},
    gate,
    list::Listing,
    machine::cpus::CpuPlan,
    stack::{InstallPolicy, install},
};

fn main() -> ProcessExitCode {
    tracing_subscriber::fmt()
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal())
        .with_env_filter(
            tracing_subscriber::EnvFilter::try_from_default_env()
                .unwrap_or_else(|_| tracing_subscriber::EnvFilter::new("warn")),
        )
        .init();
    let code = run(Cli::parse().command).unwrap_or_else(|error| {
        report(&error);
        exit_code(&error)
    });
    code.into()
}

fn run(command: Command) -> Result<ExitCode> {
    match command {
        Command::Bench(args) => {
            let cpus = pinned()?;
            runtime()?.block_on(bench::run(&args, cpus))
        }
        Command::Gate(args) => {
            let cpus = pinned()?;
            runtime()?.block_on(gate::run(&args, cpus))
        }
        Command::List(ListArgs { json }) => {
            let listing = Listing::read().at_exit(ExitCode::Usage)?;
            print(&if json { listing.json()? + "\n" } else { listing.text() });
            Ok(ExitCode::Done)
        }
        Command::Doctor => {
            let report = runtime()?.block_on(doctor::report());
            print(&report.to_string());
            Ok(report.exit_code())
        }
        Command::Prepare => {
            let found = runtime()?.block_on(install::find_or_install(InstallPolicy::Allowed));
            found.at_exit(ExitCode::Usage)?;
            Ok(ExitCode::Done)
        }
        Command::Clean => {
            let cleaned = runtime()?.block_on(clean::run());
            print(&format!("{cleaned}\n"));
            Ok(if cleaned.failures.is_empty() { ExitCode::Done } else { ExitCode::Internal })
        }
    }
}

/// Keeps the lab off the database's processor. To be called before the runtime starts its threads,
/// which inherit it.
fn pinned() -> Result<CpuPlan> {
    let cpus = CpuPlan::of_this_machine();
    cpus.pin_this_thread().context("keep the lab off the database's processor")?;
    Ok(cpus)
}

fn runtime() -> Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .context("start the runtime")
}

#[expect(clippy::print_stdout, reason = "the answer of the command")]
fn print(text: &str) {
    print!("{text}");
}

#[expect(clippy::print_stderr, reason = "the one line that says what went wrong")]
fn report(error: &anyhow::Error) {
    eprintln!("lab: {error:#}");
}
