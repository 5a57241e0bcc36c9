//! The run itself: calibrate, then block after block of trials.

use std::path::Path;

use anyhow::{Context, Result};
use lab_core::{
    artifact::{
        manifest::{Calibration, Params},
        summary::Summary,
        verdict::{TrialVerdict, Verdict},
    },
    scenario::{ResolvedVariant, Topology, resolve_variant},
};
use tokio::time::Instant;

use super::{
    ScenarioFiles,
    calibration::{calibrate, check_reserve},
    load::users_for,
    plan::{Block, PlannedTrial, trial_seed},
    progress::Progress,
    record::Record,
    results::{Ending, ResultsFolder},
    selection::{OfferedLoad, Selection},
    session::{Binaries, Session},
    target::{TargetSetup, needs_capacity},
    trial::{self, TrialSpec},
};
use crate::{
    cli::BenchArgs,
    exit::ExitCode,
    failure::AtExit,
    machine::{
        facts::utc_now,
        limits::{TooFewFiles, require_nofile},
    },
};

/// The variant that calibration runs on, and most others stand on.
const CALIBRATION_BASE: &str = "bounded-timeouts";
/// Files that generator and service have open besides their connections, generously.
const OTHER_FILES: u64 = 100;
/// How often a block is run at most: once, and twice more when a trial of it is invalid.
pub(crate) const ATTEMPTS_MAX: u32 = 3;

/// A run in progress.
#[derive(Debug)]
pub(crate) struct Run<'a> {
    /// Servers and programs.
    pub(crate) session: &'a Session,
    /// What to run.
    pub(crate) selection: &'a Selection,
    /// The scenario files.
    pub(crate) files: &'a ScenarioFiles,
    /// When the run began, or this part of a resumed one.
    pub(crate) started: Instant,
    /// Wall time of the parts before this one, in seconds.
    pub(crate) earlier_s: f64,
}

impl Run<'_> {
    /// Runs everything that is not there yet, block by block.
    ///
    /// **Errors**: the harness failed; invalid trials are no error.
    /// **Cancellation**: finished trials stay.
    pub(crate) async fn run(
        &self,
        folder: &ResultsFolder,
        args: &BenchArgs,
        progress: &mut Progress,
    ) -> Result<()> {
        self.seed().await.at_exit(ExitCode::Target)?;
        let calibration =
            self.capacities(folder, args, progress).await.at_exit(ExitCode::Calibration)?;
        let capacity = calibration.as_ref().map_or(f64::NAN, |it| it.db_capacity_per_sec);
        let params = self.selection.params(capacity);
        self.check_open_files(&params).at_exit(ExitCode::Usage)?;
        if !Record::exists(folder.work()) {
            let plan = (calibration.clone(), params.as_slice());
            let environment = &self.session.environment;
            Record::open(folder.work(), self.selection, environment, plan, utc_now())
                .at_exit(ExitCode::Storage)?;
        }
        let blocks = self.selection.blocks(&params);
        let length = self.selection.campaign.lengths().total();
        let n: usize = blocks.iter().map(|block| block.trials.len()).sum();
        *progress = Progress::new(length * u32::try_from(n).context("count the trials")?);
        for block in &blocks {
            self.run_block(block, calibration.as_ref(), folder, progress).await?;
        }
        Ok(())
    }

    /// Every virtual user has a connection, and the service the other end of it.
    pub(crate) fn check_open_files(&self, params: &[Params]) -> Result<(), TooFewFiles> {
        let rate_max = params.iter().map(|it| it.arrival_rate_per_sec).fold(0.0, f64::max);
        let n_users = users_for(rate_max, self.selection.campaign.give_up_after());
        require_nofile(u64::from(n_users.get()) + OTHER_FILES)
    }

    /// Loads the data set. **Errors**: the service's `seed` command fails.
    pub(crate) async fn seed(&self) -> Result<()> {
        let folder = self.session.run_dir.path().join("seed");
        std::fs::create_dir_all(folder.join("raw")).context("create the seed folder")?;
        let setup = TargetSetup {
            campaign: &self.selection.campaign,
            settings: self.base()?.settings,
            topology: Topology::Single,
            db_capacity_per_sec: None,
            arrival_rate_per_sec: 1.0,
            seed: self.selection.campaign.seed,
        };
        self.session.seed(&setup.config(self.session)?, &folder).await
    }

    fn base(&self) -> Result<ResolvedVariant> {
        Ok(resolve_variant(CALIBRATION_BASE, &self.files.variants)?)
    }

    /// The capacities: those of the run that is resumed, else those of the machine. `None` when the
    /// rate is given outright and no variant needs them.
    ///
    /// **Errors**: they cannot be measured, or this machine cannot offer the load.
    pub(crate) async fn capacities(
        &self,
        folder: &ResultsFolder,
        args: &BenchArgs,
        progress: &Progress,
    ) -> Result<Option<Calibration>> {
        if Record::exists(folder.work()) {
            return Ok(Record::read(folder.work())?.calibration);
        }
        let is_rate = self.selection.load != OfferedLoad::Factors;
        let needs = |it: &ResolvedVariant| {
            needs_capacity(&it.settings) || it.network.is_some_and(|it| it.capacity_ratio.is_some())
        };
        let needed = self.selection.variants.iter().any(needs);
        if is_rate && !needed {
            return Ok(None);
        }
        let base = self.base()?;
        let calibration =
            calibrate(self.session, self.selection, &base, args.recalibrate, progress).await?;
        let params = self.selection.params(calibration.db_capacity_per_sec);
        let rate_max = params.iter().map(|it| it.arrival_rate_per_sec).fold(0.0, f64::max);
        if !is_rate {
            check_reserve(&calibration, rate_max)?;
        }
        Ok(Some(calibration))
    }

    /// Runs the trials of a block that are not there yet; all of them again while one is invalid.
    async fn run_block(
        &self,
        block: &Block,
        calibration: Option<&Calibration>,
        folder: &ResultsFolder,
        progress: &Progress,
    ) -> Result<()> {
        let length = self.selection.campaign.lengths().total();
        for attempt in 1..=ATTEMPTS_MAX {
            let mut invalid = Vec::new();
            for planned in &block.trials {
                let spec = self.spec(planned, calibration, folder, attempt);
                let title = spec.title();
                let finished = match attempt {
                    1 => trial::finished(&spec.folder).at_exit(ExitCode::Storage)?,
                    _ => None,
                };
                let verdict = match finished {
                    Some(verdict) => {
                        progress.trial_over(length);
                        verdict
                    }
                    None => self.run_trial(&spec, folder, progress).await?,
                };
                if !verdict.valid {
                    let reasons = verdict.reasons.iter().map(ToString::to_string);
                    let reasons = reasons.collect::<Vec<_>>().join("; ");
                    progress.say(&format!("{title}: invalid: {reasons}"));
                    invalid.push(title);
                }
            }
            if invalid.is_empty() || attempt == ATTEMPTS_MAX {
                break;
            }
            progress.say(&format!("{} invalid: running its block again", invalid.join(", ")));
            let n = u32::try_from(block.trials.len()).context("count the trials")?;
            progress.extend(length * n);
        }
        Ok(())
    }

    async fn run_trial(
        &self,
        spec: &TrialSpec<'_>,
        folder: &ResultsFolder,
        progress: &Progress,
    ) -> Result<TrialVerdict> {
        let measured = trial::run(self.session, spec, progress).await?;
        let wall_time_s = self.earlier_s + self.started.elapsed().as_secs_f64();
        Record::add_trial(folder.work(), measured, wall_time_s)?;
        trial::analyse(self.session, &spec.folder).await.at_exit(ExitCode::Internal)
    }

    /// One attempt at a planned trial.
    pub(crate) fn spec<'b>(
        &'b self,
        planned: &'b PlannedTrial,
        calibration: Option<&Calibration>,
        folder: &ResultsFolder,
        attempt: u32,
    ) -> TrialSpec<'b> {
        let variant = &self.selection.variants[planned.variant];
        let PlannedTrial { fault, params, trial, .. } = planned;
        TrialSpec {
            selection: self.selection,
            variant,
            planned,
            seed: trial_seed(self.selection.campaign.seed, *trial),
            calibration: calibration.cloned(),
            attempt,
            folder: folder.trial(&variant.name, *fault, params, *trial),
        }
    }
}

/// Has the campaign's tables, plots and page made. **Errors**: with the analysis's own words.
pub(crate) async fn report_campaign(folder: &Path) -> Result<()> {
    print(&Binaries::find()?.report("campaign", folder).await?);
    Ok(())
}

/// Says where the result stands.
pub(crate) fn announce(folder: &Path, ending: Ending) {
    let partial = if ending == Ending::Partial { " (partial; --resume goes on)" } else { "" };
    print(&format!("report: {}{partial}\n", folder.join("report.html").display()));
}

#[expect(clippy::print_stdout, reason = "the result is what was asked for")]
fn print(text: &str) {
    print!("{text}");
}

/// The exit code of a run that went to its end.
pub(crate) fn exit_code(summary: &Summary, require_met: bool) -> ExitCode {
    let is = |verdict: Verdict| summary.variants.iter().any(|it| it.verdict == verdict);
    if is(Verdict::Invalid) {
        ExitCode::Invalid
    } else if require_met && is(Verdict::Missed) {
        ExitCode::Regression
    } else {
        ExitCode::Done
    }
}
