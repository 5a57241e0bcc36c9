//! One trial: reset, start, phases, end, audit, analysis.

use std::{
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::{Context, Result};
use lab_core::{
    artifact::{
        manifest::{Calibration, Manifest, SCHEMA},
        raw::{COUNTS_FILE, FinalCounts, STALLS_FILE, StallLine},
        verdict::{self, TrialVerdict},
    },
    clock::MonotonicNs,
    event::{Event, kind},
    load_plan::{Arrivals, LoadPlan, order_key},
    outcome::Outcome,
    route::Route,
    sample::{self, RequestSample},
    scenario::{Phase, ResolvedVariant},
    seed::Seed,
    target::{TargetConfig, TargetEvent},
    units::PerSec,
};
use serde::Serialize;
use tokio::sync::watch;

use super::{
    load::{self, Load, SAMPLES_FILE},
    operator::operate,
    plan::PlannedTrial,
    progress::{Progress, TICK},
    results::{read_json, remove_if_there, write_json, write_whole},
    sampling::{Pids, sample_until, to_ms},
    selection::Selection,
    session::Session,
    target::{self, EVENTS_FILE, Target, TargetSetup},
    timeline::{Hooks, Origin, run_phases},
};
use crate::{
    exit::ExitCode,
    failure::AtExit,
    faults::ArmedFault,
    machine::{
        facts::utc_now,
        stalls::{Stall, StallWatch},
    },
    stack::Stack,
};

/// Time between the start signal and the first arrival.
const LEAD: Duration = Duration::from_millis(300);
/// Time the generator may take beyond the drain to end.
const LOAD_GRACE: Duration = Duration::from_secs(10);
/// Time the database may take after the load to finish what it was asked.
const QUIET_TIMEOUT: Duration = Duration::from_secs(15);

/// Everything about one trial that is known before it starts.
#[derive(Debug)]
pub(crate) struct TrialSpec<'a> {
    /// What the campaign is.
    pub(crate) selection: &'a Selection,
    /// The variant.
    pub(crate) variant: &'a ResolvedVariant,
    /// Fault, load and repetition.
    pub(crate) planned: &'a PlannedTrial,
    /// The seed of the repetition.
    pub(crate) seed: Seed,
    /// What the machine can carry.
    pub(crate) calibration: Option<Calibration>,
    /// Which attempt, from 1.
    pub(crate) attempt: u32,
    /// The trial's folder when it is done.
    pub(crate) folder: PathBuf,
}

impl TrialSpec<'_> {
    /// The cell and the repetition, for people.
    pub(crate) fn title(&self) -> String {
        let PlannedTrial { fault, params, trial, .. } = self.planned;
        format!("{} {fault} {} trial {trial}", self.variant.name, params.folder())
    }
}

/// Runs one trial and leaves its artifacts in `spec.folder`, all of them or none. Returns how long
/// it measured: from the first arrival of the warmup to the end of the drain.
///
/// **Errors**: the harness itself failed; a trial that is merely invalid is no error.
/// **Cancellation**: dropping the future kills the trial's processes; the folder does not appear.
pub(crate) async fn run(
    session: &Session,
    spec: &TrialSpec<'_>,
    progress: &Progress,
) -> Result<Duration> {
    let unfinished = spec.folder.with_extension("tmp");
    remove_if_there(&unfinished)?;
    fs::create_dir_all(unfinished.join("raw"))
        .with_context(|| format!("create {}", unfinished.display()))?;
    let started = start(session, spec, &unfinished).await?;
    let finished = measure(session, spec, started, progress, &unfinished).await?;
    let measured = finished.measured;
    audit(session, finished, &unfinished).await?;
    remove_if_there(&spec.folder)?;
    fs::rename(&unfinished, &spec.folder)
        .with_context(|| format!("move the trial to {}", spec.folder.display()))?;
    Ok(measured)
}

/// Service and generator at the start line.
struct Started {
    target: Target,
    load: Load,
    plan: LoadPlan,
    fault: ArmedFault,
    /// Statements that the service sent while it started: not the trial's.
    queries_before: u64,
}

/// Brings stack and service to the known state and the generator to its start line.
async fn start(session: &Session, spec: &TrialSpec<'_>, folder: &Path) -> Result<Started> {
    let campaign = &spec.selection.campaign;
    let rate = spec.planned.params.arrival_rate_per_sec;
    let setup = TargetSetup {
        campaign,
        settings: spec.variant.settings.clone(),
        db_capacity_per_sec: spec.calibration.map(|it| it.db_capacity_per_sec),
        arrival_rate_per_sec: rate,
        seed: spec.seed,
    };
    let redis = session.stack.redis_addr_under(spec.planned.fault);
    let config = TargetConfig { redis, ..setup.config(session)? };
    let phases = spec.selection.campaign.lengths();
    let users = load::users_for(rate, campaign.give_up_after());
    let arrivals = (Arrivals::Poisson { rate: PerSec::new(rate)? }, users, phases.arrivals());
    let plan = load::plan(campaign, &config, arrivals, spec.seed);
    session.reset(&config, folder).await.at_exit(ExitCode::Target)?;
    let fault = ArmedFault::arm(spec.planned.fault, &session.stack).await;
    let fault = fault.at_exit(ExitCode::Stack)?;
    let target = Target::start(session, &config, folder).await.at_exit(ExitCode::Target)?;
    let load = Load::start(session, &plan, folder).await.at_exit(ExitCode::Generator)?;
    session.admin.start_counting().await?;
    let queries_before = n_queries(&target).await?;
    Ok(Started { target, load, plan, fault, queries_before })
}

/// What is known when the load is over.
struct Finished {
    target: Target,
    plan: LoadPlan,
    queries_before: u64,
    /// Arrivals in the schedule; 0 when the trial was cut short.
    n_scheduled: u64,
    origin: Origin,
    /// From the first arrival of the warmup to the end of the drain.
    measured: Duration,
    events: Vec<Event>,
    unexpected_deaths: Vec<String>,
}

async fn measure(
    session: &Session,
    spec: &TrialSpec<'_>,
    started: Started,
    progress: &Progress,
    folder: &Path,
) -> Result<Finished> {
    let Started { target, mut load, plan, fault, queries_before } = started;
    let phases = spec.selection.campaign.lengths();
    let origin = Origin::in_future(LEAD);
    write_json(&folder.join("manifest.json"), &manifest(session, spec, &target, &plan, origin))?;
    progress.trial(&spec.title(), &folder.join(SAMPLES_FILE));
    load.start_at(origin.monotonic).await?;
    let pids = Pids {
        storefront: Some(target.child.pid()),
        postgres: session.stack.postgres_pid(),
        redis: session.stack.redis_pid(),
        load: Some(load.child.pid()),
    };
    let (tell_pids, told_pids) = watch::channel(pids);
    let (tell_stop, told_stop) = watch::channel(false);
    let stalls = StallWatch::start(&session.cpus.others).context("watch the processors")?;
    let sources = (target.control.clone(), session.admin.clone());
    let sampling = sample_until(told_stop, told_pids, origin.monotonic, sources, folder);
    let course = async {
        let watched = (progress, &tell_pids);
        let course = run_course(session, spec, (&target, &mut load, fault), origin, watched).await;
        // Whatever happened: the samplers must not wait for ever.
        tell_stop.send(true).ok();
        course
    };
    let (course, sampled) = tokio::join!(course, sampling);
    let measured_ns = MonotonicNs::now().since(origin.monotonic).max(0).unsigned_abs();
    let ((events, n_scheduled), mut unexpected_deaths) = match course? {
        Ok(whole) => (whole, Vec::new()),
        Err(death) => ((Vec::new(), 0), vec![death]),
    };
    sampled?;
    let stalls = stalls.finish().into_iter().map(|it| stall_on_axis(it, origin));
    write_lines(&folder.join(STALLS_FILE), stalls)?;
    unexpected_deaths.extend(session.stack.unexpected_deaths());
    progress.trial_over(phases.total());
    Ok(Finished {
        target,
        plan,
        queries_before,
        n_scheduled,
        origin,
        measured: Duration::from_nanos(measured_ns),
        events,
        unexpected_deaths,
    })
}

/// Runs the phases and waits for the end of the load: events and number of arrivals, or who died.
async fn run_course(
    session: &Session,
    spec: &TrialSpec<'_>,
    running: (&Target, &mut Load, ArmedFault),
    origin: Origin,
    watched: (&Progress, &watch::Sender<Pids>),
) -> Result<std::result::Result<(Vec<Event>, u64), String>> {
    let ((target, load, fault), (progress, pids)) = (running, watched);
    let phases = spec.selection.campaign.lengths();
    let on_phase = |phase: Phase| progress.phase(phase, &phases);
    let on_healed = |stack: &Stack| pids.send_modify(|pids| pids.redis = stack.redis_pid());
    let hooks = Hooks { on_phase: &on_phase, on_healed: &on_healed };
    let course = run_phases(&session.stack, fault, &phases, origin, hooks);
    let fault_start = phases.start(Phase::Fault);
    let switched = operate(&spec.variant.operator, &target.control, origin, fault_start);
    let events = tokio::select! {
        both = async { tokio::try_join!(course, switched) } => {
            let (mut events, switched) = both?;
            events.extend(switched);
            events
        }
        error = load.failed() => return Err(error).at_exit(ExitCode::Generator),
        died = target.child.wait() => {
            load.child.terminate(LOAD_GRACE).await?;
            return Ok(Err(format!("storefront: {}", died?)));
        }
        () = tick_for_ever(progress, origin) => unreachable!("it never ends"),
    };
    let most = phases.drain + LOAD_GRACE;
    tokio::select! {
        n = load.finish(most) => Ok(Ok((events, n.at_exit(ExitCode::Generator)?))),
        died = target.child.wait() => Ok(Err(format!("storefront: {}", died?))),
    }
}

async fn tick_for_ever(progress: &Progress, origin: Origin) {
    for n in 1.. {
        let elapsed = TICK * n;
        origin.wait(elapsed).await;
        progress.tick(elapsed);
    }
}

fn manifest(
    session: &Session,
    spec: &TrialSpec<'_>,
    target: &Target,
    plan: &LoadPlan,
    origin: Origin,
) -> Manifest {
    let campaign = &spec.selection.campaign;
    Manifest {
        schema: SCHEMA.into(),
        campaign_name: spec.selection.name.clone(),
        campaign: campaign.clone(),
        variant: spec.variant.clone(),
        fault: spec.planned.fault,
        topology: spec.variant.topology,
        params: spec.planned.params.clone(),
        trial: spec.planned.trial,
        attempt: spec.attempt,
        seed: spec.seed,
        profile: campaign.profile,
        phases: spec.selection.campaign.lengths(),
        origin: origin.monotonic,
        started_at: utc_now(),
        target: target.config().clone(),
        load: plan.clone(),
        environment: session.environment.clone(),
        calibration: spec.calibration,
    }
}

/// Counts what must add up, stops the service, and writes events and counts.
async fn audit(session: &Session, finished: Finished, folder: &Path) -> Result<()> {
    let Finished { target, plan, queries_before, n_scheduled, origin, .. } = finished;
    let Finished { mut events, unexpected_deaths, .. } = finished;
    let is_alive = unexpected_deaths.is_empty();
    session.admin.wait_until_quiet(QUIET_TIMEOUT).await?;
    let service_queries = match is_alive {
        true => Some(n_queries(&target).await?.saturating_sub(queries_before)),
        false => None,
    };
    let postgres_queries = Some(session.admin.n_queries().await?);
    target.stop().await?;
    let samples = read_samples(&folder.join(SAMPLES_FILE))?;
    let acknowledged = acknowledged_orders(&samples, plan.seed);
    let n_views = samples.iter().filter(|it| is_success(it, Route::Views)).count() as u64;
    let counts = FinalCounts {
        requests_scheduled: n_scheduled,
        service_queries,
        postgres_queries,
        orders_acknowledged: acknowledged.len() as u64,
        orders_lost: session.admin.n_orders_missing(&acknowledged).await?,
        views_lost: Some(n_views.saturating_sub(session.admin.n_views().await?)),
        unexpected_deaths: unexpected_deaths.clone(),
    };
    write_json(&folder.join(COUNTS_FILE), &counts)?;
    events.extend(
        target::read_events(&folder.join(EVENTS_FILE))?.into_iter().map(|it| on_axis(it, origin)),
    );
    events.extend(unexpected_deaths.into_iter().map(death));
    write_events(&folder.join("events.jsonl"), events)
}

/// Statements that the service sent and PostgreSQL carried out: those that it counts too.
async fn n_queries(target: &Target) -> Result<u64> {
    let sample = target.control.sample().await?;
    Ok(sample.queries_total.saturating_sub(sample.queries_failed_total))
}

fn read_samples(path: &Path) -> Result<Vec<RequestSample>> {
    let bytes = fs::read(path).with_context(|| format!("read {}", path.display()))?;
    sample::decode_file(&bytes).with_context(|| format!("decode {}", path.display()))
}

fn is_success(sample: &RequestSample, route: Route) -> bool {
    sample.route == route && sample.outcome == Outcome::Success
}

fn acknowledged_orders(samples: &[RequestSample], seed: Seed) -> Vec<String> {
    let orders = samples.iter().filter(|it| is_success(it, Route::Orders));
    orders.map(|it| order_key(seed, it.arrival)).collect()
}

fn on_axis(event: TargetEvent, origin: Origin) -> Event {
    Event {
        at_ms: to_ms(event.at.since(origin.monotonic)),
        source: "storefront".into(),
        kind: event.kind,
        detail: event.detail,
    }
}

fn stall_on_axis(stall: Stall, origin: Origin) -> StallLine {
    let for_ms = stall.length_ns as f64 / 1e6;
    let until_ms = to_ms(stall.until.since(origin.monotonic));
    StallLine { at_ms: until_ms - for_ms, for_ms, cpu: stall.cpu }
}

fn death(who: String) -> Event {
    Event {
        at_ms: 0.0,
        source: "lab".into(),
        kind: kind::UNEXPECTED_DEATH.into(),
        detail: [("who".to_owned(), who)].into(),
    }
}

fn write_events(path: &Path, mut events: Vec<Event>) -> Result<()> {
    events.sort_by(|a, b| a.at_ms.total_cmp(&b.at_ms));
    write_lines(path, events)
}

/// Writes one JSON line for each of `lines`.
fn write_lines(path: &Path, lines: impl IntoIterator<Item: Serialize>) -> Result<()> {
    let mut text = String::new();
    for line in lines {
        text.push_str(&serde_json::to_string(&line).context("encode a line")?);
        text.push('\n');
    }
    write_whole(path, text.as_bytes())
}

/// Has the trial analysed.
///
/// **Errors**: the analysis could not read the artifacts.
pub(crate) async fn analyse(session: &Session, folder: &Path) -> Result<TrialVerdict> {
    session
        .binaries
        .report("trial", folder)
        .await
        .with_context(|| format!("analyse {}", folder.display()))?;
    read_json(&folder.join(verdict::FILE))
}

/// The verdict of a trial that an earlier part of the run has finished; `None`: it did not.
///
/// **Errors**: its verdict is damaged.
pub(crate) fn finished(folder: &Path) -> Result<Option<TrialVerdict>> {
    let path = folder.join(verdict::FILE);
    path.exists().then(|| read_json(&path)).transpose()
}
