//! `cargo xtask`: a thin front that builds and calls the lab, and runs the repository's own checks.
//!
//! There is no experiment logic here: whatever a campaign, a report or a diagnosis is, the lab's
//! own binaries decide it and their exit codes pass through unchanged.

mod ci;
mod gate;
mod generated;
mod lab;
mod other_version;
mod overhead;
mod test_run;
mod tidy;
mod workspace;

use std::{ffi::OsString, path::PathBuf, process::ExitCode};

use anyhow::Result;
use clap::{Parser, Subcommand};

use crate::{
    generated::Generated,
    lab::{Lab, Tool},
    workspace::Workspace,
};

/// A check of the repository failed.
const CHECK_FAILED: u8 = 1;
/// The lab could not be built or started: the first of the lab's own numbers for a broken harness.
const NOT_STARTED: u8 = 4;

/// Runs outage-lab and the repository's own checks.
#[derive(Debug, Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask", version)]
struct Cli {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Runs a campaign and reports it: every argument goes on to `lab bench`.
    #[command(disable_help_flag = true)]
    Bench(Passed),
    /// Judges against a stored result, or against another version, which is built first: arguments
    /// go on to `lab gate`.
    #[command(disable_help_flag = true)]
    Gate(Passed),
    /// Rebuilds summary, tables, plots and page of one results folder, or of all.
    Report {
        /// Folder of a campaign, such as `results/redis-outage`.
        dir: Option<PathBuf>,
        /// Compares with what stands there instead of writing.
        #[arg(long)]
        check: bool,
    },
    /// Lists variants, faults, topologies and campaigns: arguments go on to `lab list`.
    #[command(disable_help_flag = true)]
    List(Passed),
    /// Says what this machine has, what is missing, and the command that mends it.
    #[command(disable_help_flag = true)]
    Doctor(Passed),
    /// Stops and removes whatever an earlier run left.
    #[command(disable_help_flag = true)]
    Clean(Passed),
    /// Runs every test, real Redis and PostgreSQL included, and lists those that were skipped.
    Test,
    /// Runs all that a change must pass: fmt, lint, test, docs, tidy, generated files, smoke.
    Ci,
    /// Measures what the mitigations cost a call, beside their peers, and what the lab itself costs,
    /// and writes docs/overhead.md.
    Overhead {
        /// Measures one of the two, and leaves the figures of the other as they stand.
        #[arg(long, value_enum)]
        only: Option<overhead::Part>,
    },
    /// Checks the repository's own rules: sizes, words, crate arrows, links, results.
    Tidy,
    /// Writes the generated parts of README.md and README.ko.md.
    Gen {
        /// Compares instead of writing.
        #[arg(long)]
        check: bool,
    },
}

/// Arguments that are the lab's to understand.
#[derive(Debug, clap::Args)]
struct Passed {
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    args: Vec<OsString>,
}

fn main() -> ExitCode {
    let verb = Cli::parse().verb;
    let failed = if verb.is_check() { CHECK_FAILED } else { NOT_STARTED };
    run(verb).unwrap_or_else(|error| {
        eprintln!("cargo xtask failed: {error:#}");
        ExitCode::from(gate::exit_code(&error).unwrap_or(failed))
    })
}

fn run(verb: Verb) -> Result<ExitCode> {
    let workspace = Workspace::find()?;
    let lab = Lab::release(&workspace);
    match verb {
        Verb::Bench(Passed { args }) => become_bench(&lab, &args),
        Verb::Gate(Passed { args }) => gate::run(&workspace, &lab, &args),
        Verb::List(Passed { args }) => become_lab(&lab, "list", &args),
        Verb::Doctor(Passed { args }) => become_lab(&lab, "doctor", &args),
        Verb::Clean(Passed { args }) => {
            other_version::remove_leftover(&workspace)?;
            become_lab(&lab, "clean", &args)
        }
        Verb::Report { dir, check } => {
            let campaigns = dir.map_or_else(|| workspace.campaigns_with_results(), |it| vec![it]);
            if !campaigns.is_empty() {
                lab.build(&[Tool::Report])?;
            }
            lab.report_campaigns(&campaigns, checked_or_written(check))
        }
        Verb::Test => {
            test_run::run(&workspace)?;
            Ok(ExitCode::SUCCESS)
        }
        Verb::Ci => ci::run(&workspace),
        Verb::Overhead { only } => {
            overhead::run(&workspace, only)?;
            Ok(ExitCode::SUCCESS)
        }
        Verb::Tidy => {
            tidy::run(&workspace)?;
            Ok(ExitCode::SUCCESS)
        }
        Verb::Gen { check } => {
            if !workspace.campaigns_with_results().is_empty() {
                lab.build(&[Tool::Report])?;
            }
            generated::run(&lab, checked_or_written(check))?;
            Ok(ExitCode::SUCCESS)
        }
    }
}

/// What `--check` asks for.
fn checked_or_written(check: bool) -> Generated {
    if check { Generated::Check } else { Generated::Write }
}

/// A bench runs trials, and needs every program for that.
fn become_bench(lab: &Lab<'_>, args: &[OsString]) -> Result<ExitCode> {
    lab.build(if asks_for_help(args) { &[Tool::Lab] } else { &Tool::ALL })?;
    lab.become_tool(Tool::Lab, "bench", args)
}

/// Whether the lab will only say what it can do.
fn asks_for_help(args: &[OsString]) -> bool {
    args.iter().any(|it| it == "--help" || it == "-h")
}

/// Verbs that only `lab` answers: nothing else is built for them.
fn become_lab(lab: &Lab<'_>, verb: &str, args: &[OsString]) -> Result<ExitCode> {
    lab.build(&[Tool::Lab])?;
    lab.become_tool(Tool::Lab, verb, args)
}

impl Verb {
    /// Whether a failure says something about the repository, not about the lab.
    fn is_check(&self) -> bool {
        matches!(self, Self::Test | Self::Ci | Self::Tidy | Self::Gen { .. })
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn what_follows_bench_goes_on_unchanged() {
        let cli = Cli::parse_from([
            "xtask",
            "bench",
            "redis-outage",
            "--variant",
            "none,circuit-breaker",
            "--help",
            "-h",
        ]);
        let Verb::Bench(Passed { args }) = cli.verb else { panic!("not bench: {cli:?}") };
        assert_eq!(args, ["redis-outage", "--variant", "none,circuit-breaker", "--help", "-h"]);
    }

    #[test]
    fn flags_first_are_the_labs_too() {
        let cli = Cli::parse_from(["xtask", "list", "--json"]);
        let Verb::List(Passed { args }) = cli.verb else { panic!("not list: {cli:?}") };
        assert_eq!(args, ["--json"]);
    }
}
