//! The pairs of a comparison: trials of two versions by turns, judged after each pair.

use std::{
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::{Context, Result, bail};
use lab_core::{
    artifact::{
        campaign_run::PlannedCell,
        gate::{
            GateJudgement, GateRun, GateSubject, GateVerdict, GivenUp, JUDGEMENT_FILE, KnownChange,
            RUN_FILE, RUN_SCHEMA, RanPair, Side, Version,
        },
        manifest::{Calibration, Params},
        verdict::TrialVerdict,
    },
    target::TargetConfig,
};
use tokio::{process::Command, time::Instant};

use super::{
    order::first_sides,
    paired::{Other, Plan},
};
use crate::{
    bench::{
        self,
        instances::Instances,
        plan::PlannedTrial,
        progress::Progress,
        results::{ResultsFolder, read_json, remove_if_there, write_json},
        run::{ATTEMPTS_MAX, Run},
        session::Session,
        target::TargetSetup,
        trial::{self, TrialSpec},
    },
    exit::ExitCode,
    failure::AtExit,
    machine::facts::utc_now,
};

/// What a version is told when it is only to be seen whether it starts: any rate and capacity will do.
const ANY_RATE: f64 = 100.0;

/// A comparison that goes on.
pub(super) struct Comparison<'a> {
    plan: &'a Plan<'a>,
    session: Session,
    folder: &'a ResultsFolder,
    progress: Progress,
    started: Instant,
}

/// Both versions of the service, where no later build changes them.
struct Versions {
    head: UnderTest,
    reference: UnderTest,
}

/// One version of the service.
struct UnderTest {
    version: Version,
    storefront: PathBuf,
}

impl Versions {
    fn of(&self, side: Side) -> &UnderTest {
        match side {
            Side::Head => &self.head,
            Side::Reference => &self.reference,
        }
    }
}

/// How much load all trials are offered, and where that comes from.
struct Offered {
    calibration: Option<Calibration>,
    params: Params,
}

impl<'a> Comparison<'a> {
    /// Of what `plan` says, on the stack of `session`, into the working folder of `folder`.
    pub(super) fn new(
        plan: &'a Plan<'a>,
        session: Session,
        folder: &'a ResultsFolder,
        progress: Progress,
    ) -> Self {
        Self { plan, session, folder, progress, started: Instant::now() }
    }

    /// Runs pairs until the judgement stands.
    ///
    /// **Errors**: a version that does not start, a machine that cannot offer the load, a trial that
    /// fails. Trials that are merely not valid are no error.
    /// **Cancellation**: pairs that were finished stay in the working folder.
    pub(super) async fn run(&mut self, other: &Other) -> Result<()> {
        let versions = self.keep(other).at_exit(ExitCode::Storage)?;
        self.put_under_test(versions.of(Side::Head));
        self.bench().seed().await.at_exit(ExitCode::Target)?;
        self.put_under_test(versions.of(Side::Reference));
        self.check_starts()
            .await
            .with_context(|| self.cannot_run(other))
            .at_exit(ExitCode::Usage)?;
        let offered = self.calibrate().await?;
        self.put_under_test(versions.of(Side::Head));
        self.check_starts().await.context("start this version").at_exit(ExitCode::Target)?;
        self.run_pairs(&versions, &offered).await
    }

    /// Takes everything down. **Errors**: a server that cannot be stopped, a copy that cannot be
    /// removed.
    pub(super) async fn stop(self) -> Result<()> {
        self.progress.close();
        let removed = remove_if_there(&self.programs());
        self.session.stop().await?;
        removed
    }

    /// Where both services are kept while the comparison goes on.
    fn programs(&self) -> PathBuf {
        self.folder.work().join("programs")
    }

    fn cannot_run(&self, other: &Other) -> String {
        let (label, campaign) = (&other.version.label, &self.plan.selection.name);
        format!("--against {label}: that version cannot be run under scenarios/{campaign}.toml")
    }

    /// Copies both services: somebody may build again while the comparison goes on.
    fn keep(&self, other: &Other) -> Result<Versions> {
        let keep = |side: Side, from: &Path| -> Result<PathBuf> {
            let folder = self.programs().join(side.name());
            let to = folder.join("storefront");
            let copy = || {
                fs::create_dir_all(&folder)?;
                fs::copy(from, &to)
            };
            copy().with_context(|| format!("copy {} to {}", from.display(), to.display()))?;
            // The service is started in the folder of its trial.
            to.canonicalize().with_context(|| format!("find {}", to.display()))
        };
        let commit = self.session.environment.commit.clone();
        Ok(Versions {
            head: UnderTest {
                version: Version { label: "work tree".into(), commit },
                storefront: keep(Side::Head, &self.session.binaries.storefront)?,
            },
            reference: UnderTest {
                version: other.version.clone(),
                storefront: keep(Side::Reference, &other.storefront)?,
            },
        })
    }

    fn put_under_test(&mut self, it: &UnderTest) {
        self.session.put_under_test(&it.storefront, it.version.commit.clone());
    }

    /// What a bench of the same cell does with the version that is under test.
    fn bench(&self) -> Run<'_> {
        let Plan { selection, files, .. } = self.plan;
        Run { session: &self.session, selection, files, started: self.started, earlier_s: 0.0 }
    }

    /// Whether the version that is under test knows the settings of the variant, and answers.
    ///
    /// **Errors**: it does not reset its data, does not start, or does not say how it is.
    async fn check_starts(&self) -> Result<()> {
        let folder = self.session.run_dir.path().join("start");
        remove_if_there(&folder)?;
        fs::create_dir_all(folder.join("raw")).context("create a folder to start in")?;
        let Plan { selection, .. } = self.plan;
        let variant = &selection.variants[0];
        let setup = TargetSetup {
            campaign: &selection.campaign,
            settings: variant.settings.clone(),
            topology: variant.topology,
            db_capacity_per_sec: Some(ANY_RATE),
            arrival_rate_per_sec: ANY_RATE,
            seed: selection.campaign.seed,
        };
        let servers = variant.servers();
        let redis =
            self.session.stack.redis_location(servers.topology, selection.campaign.faults[0]);
        let config = TargetConfig { redis, ..setup.config(&self.session)? };
        self.session.reset(servers, &config, &folder).await?;
        let instances = Instances::start(&self.session, &config, &folder, 1).await?;
        let answered = instances.n_queries().await;
        instances.stop().await?;
        answered.map(|_| ())
    }

    /// The load of all trials: a multiple of the capacity with the version that is under test, which
    /// is the other one.
    async fn calibrate(&self) -> Result<Offered> {
        let bench = self.bench();
        let calibration = bench.capacities(self.folder, &self.plan.bench, &self.progress).await;
        let calibration = calibration.at_exit(ExitCode::Calibration)?;
        let capacity = calibration.as_ref().map_or(f64::NAN, |it| it.db_capacity_per_sec);
        let params = self.plan.selection.params(capacity);
        bench.check_open_files(&params).at_exit(ExitCode::Usage)?;
        let params = params.into_iter().next().context("the campaign has one load")?;
        Ok(Offered { calibration, params })
    }

    async fn run_pairs(&mut self, versions: &Versions, offered: &Offered) -> Result<()> {
        let n_pairs_max = self.plan.spec.pairs_max();
        self.progress = Progress::new(self.trial_length() * (2 * n_pairs_max));
        let mut record = self.record(versions, offered);
        let firsts = first_sides(self.plan.selection.campaign.seed, n_pairs_max);
        for (pair, first) in (0..).zip(firsts) {
            self.progress.say(&format!("pair {pair} of at most {n_pairs_max}: {first} first"));
            match self.run_pair((pair, first), versions, offered).await? {
                Ended::Valid { attempt } => record.pairs.push(RanPair { pair, first, attempt }),
                Ended::NeverValid { reasons } => {
                    record.given_up = Some(GivenUp { pair, reasons });
                }
            }
            let path = self.folder.work().join(RUN_FILE);
            write_json(&path, &record).at_exit(ExitCode::Storage)?;
            let verdict = self.judge().await.at_exit(ExitCode::Internal)?;
            let is_decided = verdict != GateVerdict::Undecided && !self.plan.args.all_pairs;
            if is_decided || record.given_up.is_some() {
                break;
            }
        }
        Ok(())
    }

    fn trial_length(&self) -> Duration {
        self.plan.selection.campaign.lengths().total()
    }

    fn record(&self, versions: &Versions, offered: &Offered) -> GateRun {
        let Plan { selection, spec, .. } = self.plan;
        let (variant, environment) = (&selection.variants[0], &self.session.environment);
        let subject = GateSubject {
            campaign: selection.name.clone(),
            cell: PlannedCell {
                variant: variant.name.clone(),
                base: variant.base.clone(),
                fault: selection.campaign.faults[0],
                topology: variant.topology,
                params: offered.params.clone(),
            },
            seed: selection.campaign.seed,
            head: versions.head.version.clone(),
            reference: versions.reference.version.clone(),
            gate: spec.clone(),
            calibration: offered.calibration.clone(),
            backend: environment.backend.clone(),
            host: environment.host.clone(),
            started_at: utc_now(),
        };
        GateRun { schema: RUN_SCHEMA.into(), subject, pairs: Vec::new(), given_up: None }
    }

    /// Runs both trials of a pair, and both again while one is not valid: pairs stay pairs.
    async fn run_pair(
        &mut self,
        (pair, first): (u32, Side),
        versions: &Versions,
        offered: &Offered,
    ) -> Result<Ended> {
        let mut reasons = Vec::new();
        for attempt in 1..=ATTEMPTS_MAX {
            reasons.clear();
            for side in [first, first.other()] {
                self.put_under_test(versions.of(side));
                let verdict = self.run_trial((pair, side), attempt, offered).await?;
                let of_side = verdict.reasons.iter().map(|it| format!("{side}: {it}"));
                reasons.extend(of_side);
            }
            if reasons.is_empty() {
                return Ok(Ended::Valid { attempt });
            }
            self.progress.say(&format!("pair {pair} is not valid: {}", reasons.join("; ")));
            if attempt < ATTEMPTS_MAX {
                self.progress.extend(self.trial_length() * 2);
            }
        }
        Ok(Ended::NeverValid { reasons })
    }

    async fn run_trial(
        &self,
        (pair, side): (u32, Side),
        attempt: u32,
        offered: &Offered,
    ) -> Result<TrialVerdict> {
        let Offered { calibration, params } = offered;
        let fault = self.plan.selection.campaign.faults[0];
        let planned = PlannedTrial { variant: 0, fault, params: params.clone(), trial: pair };
        let bench = self.bench();
        let spec = TrialSpec {
            folder: self.folder.work().join(RanPair::trial_folder(pair, side)),
            ..bench.spec(&planned, calibration.as_ref(), self.folder, attempt)
        };
        trial::run(&self.session, &spec, &self.progress).await?;
        trial::analyse(&self.session, &spec.folder).await.at_exit(ExitCode::Internal)
    }

    /// What the pairs so far come to.
    async fn judge(&self) -> Result<GateVerdict> {
        let folder = self.folder.work();
        let output = judge_command(folder, &self.plan.files.root)?.output().await;
        let output = output.context("run lab-report")?;
        if !matches!(output.status.code(), Some(0 | 1 | 3)) {
            bail!("{}", String::from_utf8_lossy(&output.stderr).trim());
        }
        let judgement: GateJudgement = read_json(&folder.join(JUDGEMENT_FILE))?;
        Ok(judgement.verdict)
    }
}

/// How a pair ended.
enum Ended {
    /// Both trials are valid.
    Valid { attempt: u32 },
    /// In no attempt were they; why not in the last.
    NeverValid { reasons: Vec<String> },
}

/// Has the comparison in `folder` judged; `root` is the repository's.
///
/// **Errors**: the analysis is not built.
pub(super) fn judge_command(folder: &Path, root: &Path) -> Result<Command> {
    let mut command = Command::new(bench::report_program()?);
    let identical = root.join(KnownChange::IdenticalCode.record_file());
    command.arg("pairs").arg(folder).arg("--identical").arg(identical);
    command.kill_on_drop(true);
    Ok(command)
}
