//! `lab-report`: figures, tables, plots and pages from the artifacts of trials.

use std::{
    path::{Path, PathBuf},
    process::ExitCode,
};

use anyhow::{Context, Result};
use clap::{Parser, Subcommand};
use lab_core::{
    artifact::{
        gate::{GateVerdict, KnownChange, RULES_FILE},
        summary::{self, Summary},
    },
    scenario::GateSpec,
    seed::Seed,
};
use lab_report::{
    analysis::gate::{Judgement, judge},
    commands::{
        Completeness, add_known_gates, add_known_results, analyse_trial, compare_identical,
        compare_known_results, judge_pairs, prove_known_gates, report_files, verdict_line,
        view_campaign,
    },
    load::{
        campaign_files::{first_difference, write_report},
        files::{pretty_json, read_json, write_whole},
        gate_files::{read_known, read_rules},
        summary_file::read_summary,
    },
    render::{
        CampaignView, GateFormat, gate_report, known_gates_report, known_gates_table,
        known_results_report, known_results_tables, paired_report, playbook, readme_table,
        stored_false_alarm_line, terminal_table,
    },
};

/// What stands differs from what was rebuilt.
const EXIT_DIFFERS: u8 = 1;
/// `gate` or `pairs` found a regression.
const EXIT_REGRESSION: u8 = 1;
/// `gate` was given two results that mean nothing side by side.
const EXIT_NOT_COMPARABLE: u8 = 2;
/// `gate` or `pairs` cannot tell.
const EXIT_INCONCLUSIVE: u8 = 3;
/// Artifacts cannot be read, or the report cannot be written.
const EXIT_BROKEN: u8 = 4;

/// Analyses trials and draws the report of a campaign.
///
/// Exit codes: 0 done, also for an invalid trial; 1 `--check` found a difference, or `gate` or
/// `pairs` a regression; 2 wrong usage; 3 `gate` or `pairs` cannot tell; 4 artifacts that cannot be
/// read or a report that cannot be written.
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
    /// Judge a result against a stored one, figure by figure, and print what is worse
    Gate {
        /// The stored result: a summary.json, or the folder of a campaign
        #[arg(long, value_name = "FILE")]
        baseline: PathBuf,
        /// The result to judge, in the same form
        #[arg(long, value_name = "FILE")]
        result: PathBuf,
        /// Record of results on identical code
        #[arg(long, value_name = "FILE")]
        identical: Option<PathBuf>,
        /// How to write it
        #[arg(long, value_enum, default_value_t = Format::Text)]
        format: Format,
    },
    /// Judge two versions of the service by the pairs of trials that there are so far: writes
    /// pairs.json, judgement.json, gate.md and the plots of what moved, and prints the judgement
    Pairs {
        /// Folder of the comparison
        folder: PathBuf,
        /// Record of gates on identical code
        #[arg(long, value_name = "FILE")]
        identical: Option<PathBuf>,
        /// How to write it
        #[arg(long, value_enum, default_value_t = Format::Text)]
        format: Format,
    },
    /// Say what gates said of a change that is known: those that were run, and others made up from
    /// their pairs
    Known {
        /// What differs between the versions
        #[arg(value_parser = KnownChange::ALL.map(KnownChange::name))]
        change: String,
        /// The pairs.json, or the folder, of each comparison
        comparisons: Vec<PathBuf>,
        /// How many gates to make up
        #[arg(long, value_name = "N", default_value_t = 10_000)]
        gates: u32,
        /// Seed of the gates that are made up
        #[arg(long, value_name = "N", default_value_t = 1)]
        seed: u64,
        /// The campaign by whose gate all are judged, whatever they were run under
        #[arg(long, value_name = "FILE")]
        rules: PathBuf,
        /// The record that they are put together with
        #[arg(long, value_name = "FILE")]
        record: PathBuf,
        /// Write that record anew
        #[arg(long)]
        write: bool,
    },
    /// Prove that the records of gates on known changes follow from the pairs that they hold by the
    /// rules of scenarios/gate.toml, and print them as Markdown
    KnownTable {
        /// Root of the repository
        root: PathBuf,
    },
    /// Say what comparisons with a stored result say of a change that is known
    KnownResults {
        /// How the service differed when they were run
        #[arg(value_parser = KnownChange::ALL.map(KnownChange::name))]
        change: String,
        /// Folders of campaigns
        folders: Vec<PathBuf>,
        /// The record that they are put together with
        #[arg(long, value_name = "FILE")]
        record: PathBuf,
        /// The record of results on identical code, which they are compared with
        #[arg(long, value_name = "FILE")]
        identical: PathBuf,
        /// Write the former anew
        #[arg(long)]
        write: bool,
    },
    /// Print what comparisons with a stored result say of known changes, as Markdown
    KnownResultsTable {
        /// Root of the repository
        root: PathBuf,
    },
    /// Print what the results say of each row of the strategy, as Markdown
    Playbook {
        /// Folders of campaigns
        folders: Vec<PathBuf>,
    },
    /// Print the table of a campaign as Markdown, for README
    ReadmeTable {
        /// Folder of the campaign
        folder: PathBuf,
    },
}

/// `--format` of `gate`.
#[derive(Debug, Clone, Copy, clap::ValueEnum)]
enum Format {
    Text,
    Markdown,
    Json,
    Github,
}

impl From<Format> for GateFormat {
    fn from(format: Format) -> Self {
        match format {
            Format::Text => Self::Text,
            Format::Markdown => Self::Markdown,
            Format::Json => Self::Json,
            Format::Github => Self::Github,
        }
    }
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
        Command::Gate { baseline, result, identical, format } => {
            return gate(&baseline, &result, identical.as_deref(), format);
        }
        Command::Pairs { folder, identical, format } => {
            return pairs(&folder, identical.as_deref(), format);
        }
        Command::Known { change, comparisons, gates, seed, rules, record, write } => {
            let change = KnownChange::from_name(&change).context("the parser knows the names")?;
            let known = (change, &rules_of(&rules)?);
            let seen = add_known_gates(known, &record, &comparisons, (gates, Seed(seed)))?;
            if write {
                write_whole(&record, &pretty_json(&seen))?;
            }
            print!("{}", known_gates_report(&seen));
        }
        Command::KnownTable { root } => {
            let records = KnownChange::ALL.map(|it| root.join(it.record_file()));
            let rules = rules_of(&root.join(RULES_FILE))?;
            println!("{}", known_gates_table(&prove_known_gates(&records, &rules)?));
        }
        Command::KnownResults { change, folders, record, identical, write } => {
            let change = KnownChange::from_name(&change).context("the parser knows the names")?;
            let (known, seen) = add_known_results(change, (&record, &identical), &folders)?;
            if write {
                write_whole(&record, &pretty_json(&known))?;
            }
            print!("{}", known_results_report(change, &seen));
        }
        Command::KnownResultsTable { root } => {
            let (seen, identical) = compare_known_results(&root)?;
            println!("{}", known_results_tables(&seen, identical.as_ref()));
        }
        Command::Playbook { folders } => {
            let view = |it: &PathBuf| view_campaign(it, Completeness::AsRecorded);
            let views: Vec<CampaignView> = folders.iter().map(view).collect::<Result<_, _>>()?;
            print!("{}", playbook(&views));
        }
        Command::ReadmeTable { folder } => {
            let summary: Summary = read_json(&folder.join(summary::FILE))
                .context("read the summary of the campaign")?;
            println!("{}", readme_table(&summary));
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// What `campaign` judges, and how.
fn rules_of(campaign: &Path) -> Result<GateSpec> {
    read_rules(campaign)?.with_context(|| format!("use {}: it has no [gate]", campaign.display()))
}

#[expect(clippy::print_stdout, reason = "the output of the command")]
fn gate(
    baseline: &Path,
    result: &Path,
    identical: Option<&Path>,
    format: Format,
) -> Result<ExitCode> {
    // A record that cannot be used is no reason not to judge.
    let alarms = stored_false_alarm_line(&identical.map_or(Ok(Vec::new()), compare_identical));
    let (then, now) = (read_summary(baseline)?, read_summary(result)?);
    let comparison = match judge(&(&then).into(), &(&now).into()) {
        Ok(comparison) => comparison,
        Err(differs) => {
            eprintln!("lab-report: {differs}");
            return Ok(ExitCode::from(EXIT_NOT_COMPARABLE));
        }
    };
    print!("{}", gate_report(&comparison, (&now, &alarms), format.into()));
    Ok(match comparison.verdict() {
        Judgement::Pass => ExitCode::SUCCESS,
        Judgement::Inconclusive => ExitCode::from(EXIT_INCONCLUSIVE),
        Judgement::Regression => ExitCode::from(EXIT_REGRESSION),
    })
}

#[expect(clippy::print_stdout, reason = "the output of the command")]
fn pairs(folder: &Path, identical: Option<&Path>, format: Format) -> Result<ExitCode> {
    let record = identical.map(read_known).transpose()?.flatten();
    let (pairs, judgement) = judge_pairs(folder, record.as_ref())?;
    print!("{}", paired_report(&pairs, &judgement, record.as_ref(), format.into()));
    Ok(match judgement.verdict {
        GateVerdict::Pass => ExitCode::SUCCESS,
        GateVerdict::Inconclusive | GateVerdict::Undecided => ExitCode::from(EXIT_INCONCLUSIVE),
        GateVerdict::Regression => ExitCode::from(EXIT_REGRESSION),
    })
}
