//! `lab-report`: figures, tables, plots and pages from the artifacts of trials.

use std::{
    path::{Path, PathBuf},
    process::ExitCode,
};

use anyhow::{Context, Result};
use clap::{Parser, Subcommand};
use lab_core::artifact::summary::{self, Summary};
use lab_report::{
    commands::{Completeness, analyse_trial, report_files, verdict_line, view_campaign},
    load::{
        campaign_files::{first_difference, write_report},
        files::read_json,
    },
    render::{readme_table, terminal_table},
};

/// What stands differs from what was rebuilt.
const EXIT_DIFFERS: u8 = 1;
/// Artifacts cannot be read, or the report cannot be written.
const EXIT_BROKEN: u8 = 4;

/// Analyses trials and draws the report of a campaign.
///
/// Exit codes: 0 done, also for an invalid trial; 1 `--check` found a difference; 2 wrong usage;
/// 4 artifacts that cannot be read or a report that cannot be written.
#[derive(Debug, Parser)]
#[command(version)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Analyse one trial: writes verdict.json, timeline.json and phases.hlog into its folder and
    /// prints `valid`, or `invalid:` with the reasons
    Trial {
        /// Folder of the trial
        folder: PathBuf,
    },
    /// Rebuild summary.json, the plots and the pages of a campaign from its trials, and print the
    /// table
    Campaign {
        /// Folder of the campaign
        folder: PathBuf,
        /// Mark the report as that of a run that was cut short
        #[arg(long)]
        partial: bool,
        /// Write nothing: compare with what stands, and name the first file that differs
        #[arg(long)]
        check: bool,
    },
    /// Print the table of a campaign as Markdown, for README
    ReadmeTable {
        /// Folder of the campaign
        folder: PathBuf,
    },
}

fn main() -> ExitCode {
    match run(Arguments::parse().command) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("lab-report: failed to {error:#}");
            ExitCode::from(EXIT_BROKEN)
        }
    }
}

#[expect(clippy::print_stdout, reason = "the output of the commands")]
fn run(command: Command) -> Result<ExitCode> {
    match command {
        Command::Trial { folder } => println!("{}", verdict_line(&analyse_trial(&folder)?)),
        Command::Campaign { folder, partial, check } => {
            let completeness =
                if partial { Completeness::Partial } else { Completeness::AsRecorded };
            let view = view_campaign(&folder, completeness)?;
            let files = report_files(&view)?;
            if check {
                if let Some(path) = first_difference(&folder, &files)? {
                    println!("differs: {}", path.display());
                    return Ok(ExitCode::from(EXIT_DIFFERS));
                }
                return Ok(ExitCode::SUCCESS);
            }
            write_report(&folder, &files, Path::new(summary::FILE))?;
            println!("{}", terminal_table(&view));
        }
        Command::ReadmeTable { folder } => {
            let summary: Summary = read_json(&folder.join(summary::FILE))
                .context("read the summary of the campaign")?;
            println!("{}", readme_table(&summary));
        }
    }
    Ok(ExitCode::SUCCESS)
}
