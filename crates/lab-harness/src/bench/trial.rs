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
    scenario::{Network, Phase, Registry, ResolvedVariant, ScaleOut},
    seed::Seed,
    target::{TargetConfig, TargetEvent},
    units::PerSec,
};
use serde::Serialize;
use tokio::sync::watch;

use super::{
    database::Admin,
    instances::{Instances, folder_of, name_of},
    joining::{keep_list, wait_until_listed},
    load::{self, Load, SAMPLES_FILE, TargetList},
    operator::operate,
    plan::PlannedTrial,
    progress::{Progress, TICK},
    results::{read_json, remove_if_there, write_json, write_whole},
    sampling::{Pids, sample_until, to_ms},
    selection::Selection,
    session::Session,
    target::{self, EVENTS_FILE, READY_TIMEOUT, TargetSetup, reached_over},
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
    wire::NarrowLink,
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
    audit(finished, &unfinished).await?;
    remove_if_there(&spec.folder)?;
    fs::rename(&unfinished, &spec.folder)
        .with_context(|| format!("move the trial to {}", spec.folder.display()))?;
    Ok(measured)
}

/// Service and generator at the start line.
struct Started<'a> {
    instances: Instances<'a>,
    load: Load,
    plan: LoadPlan,
    fault: ArmedFault,
    /// What the service's connections to PostgreSQL go through; `None`: they go straight.
    network: Option<NarrowLink>,
    /// The lab's own connections to every PostgreSQL of the trial.
    admin: Admin,
    /// Statements that the service sent while it started: not the trial's.
    queries_before: u64,
}

/// Brings stack and service to the known state and the generator to its start line.
async fn start<'a>(
    session: &'a Session,
    spec: &TrialSpec<'_>,
    folder: &Path,
) -> Result<Started<'a>> {
    let campaign = &spec.selection.campaign;
    let rate = spec.planned.params.arrival_rate_per_sec;
    let setup = TargetSetup {
        campaign,
        settings: spec.variant.settings.clone(),
        topology: spec.variant.topology,
        db_capacity_per_sec: spec.calibration.as_ref().map(|it| it.db_capacity_per_sec),
        arrival_rate_per_sec: rate,
        seed: spec.seed,
    };
    let servers = spec.variant.servers();
    let redis = session.stack.redis_location(servers.topology, spec.planned.fault);
    let network = narrow(session, spec.variant.network, spec.calibration.as_ref());
    let network = network.at_exit(ExitCode::Stack)?;
    let usual = TargetConfig { redis, ..setup.config(session)? };
    let config = TargetConfig {
        registers: keeps_list_in_redis(spec.variant.scale_out),
        ..reached_over(network.as_ref(), usual.clone())
    };
    let phases = spec.selection.campaign.lengths();
    let users = load::users_for(rate, campaign.give_up_after());
    let arrivals = (Arrivals::Poisson { rate: PerSec::new(rate)? }, users, phases.arrivals());
    session.reset(servers, &usual, folder).await.at_exit(ExitCode::Target)?;
    let admin = session.admin.beside(session.stack.replica_admin_url()).await;
    let admin = admin.at_exit(ExitCode::Stack)?;
    let fault = ArmedFault::arm(spec.planned.fault, &session.stack).await;
    let fault = fault.at_exit(ExitCode::Stack)?;
    let n_at_start = spec.variant.n_instances_at_start(spec.planned.params.n_instances);
    let instances = Instances::start(session, &config, folder, n_at_start).await;
    let instances = instances.at_exit(ExitCode::Target)?;
    let listed = wait_until_listed(spec.variant.scale_out, &instances, READY_TIMEOUT).await;
    listed.at_exit(ExitCode::Target)?;
    let plan = load::plan(campaign, &instances, arrivals, spec.seed);
    let load = Load::start(session, &plan, folder).await.at_exit(ExitCode::Generator)?;
    admin.start_counting().await?;
    let queries_before = instances.n_queries().await?;
    Ok(Started { instances, load, plan, fault, network, admin, queries_before })
}

fn narrow(
    session: &Session,
    network: Option<Network>,
    calibration: Option<&Calibration>,
) -> Result<Option<NarrowLink>> {
    let lay = |it: Network| {
        let at_capacity = calibration.and_then(Calibration::database_bytes_per_sec);
        let width = it.bytes_per_sec(at_capacity).context(
            "network.capacity_ratio needs the bytes of a request, which this run has not measured: \
             start it anew",
        )?;
        NarrowLink::start(session.stack.postgres_addr(), width)
            .context("narrow the network to PostgreSQL")
    };
    network.map(lay).transpose()
}

fn keeps_list_in_redis(scale_out: Option<ScaleOut>) -> bool {
    scale_out.is_some_and(|it| it.registry == Registry::Redis)
}

/// What is known when the load is over.
struct Finished<'a> {
    instances: Instances<'a>,
    /// The service may still have something to write.
    _network: Option<NarrowLink>,
    admin: Admin,
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

async fn measure<'a>(
    session: &Session,
    spec: &TrialSpec<'_>,
    started: Started<'a>,
    progress: &Progress,
    folder: &Path,
) -> Result<Finished<'a>> {
    let Started { instances, mut load, plan, fault, network, admin, queries_before } = started;
    let phases = spec.selection.campaign.lengths();
    let origin = Origin::in_future(LEAD);
    let launched = (instances.config(), &plan);
    write_json(&folder.join("manifest.json"), &manifest(session, spec, launched, origin))?;
    progress.trial(&spec.title(), &folder.join(SAMPLES_FILE));
    let list = load.start_at(origin.monotonic).await?;
    let pids = Pids {
        postgres: session.stack.postgres_pids(),
        redis: redis_pids(&session.stack),
        load: Some(load.child.pid()),
    };
    let (tell_pids, told_pids) = watch::channel(pids);
    let (tell_stop, told_stop) = watch::channel(false);
    let stalls = StallWatch::start(&session.cpus.others).context("watch the processors")?;
    let sources = (instances.watch(), admin.clone());
    let sampling = sample_until(told_stop, told_pids, origin.monotonic, sources, folder);
    let course = async {
        let watched = (progress, &tell_pids);
        let running = (&instances, &mut load, list, fault);
        let course = run_course(session, spec, running, origin, watched).await;
        // Whatever happened: the samplers must not wait for ever.
        tell_stop.send(true).ok();
        course
    };
    let (course, sampled) = tokio::join!(course, sampling);
    let measured = MonotonicNs::now().saturating_since(origin.monotonic);
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
        instances,
        _network: network,
        admin,
        plan,
        queries_before,
        n_scheduled,
        origin,
        measured,
        events,
        unexpected_deaths,
    })
}

/// Runs the phases and waits for the end of the load: events and number of arrivals, or who died.
async fn run_course(
    session: &Session,
    spec: &TrialSpec<'_>,
    running: (&Instances<'_>, &mut Load, TargetList, ArmedFault),
    origin: Origin,
    watched: (&Progress, &watch::Sender<Pids>),
) -> Result<std::result::Result<(Vec<Event>, u64), String>> {
    let ((instances, load, list, fault), (progress, pids)) = (running, watched);
    let phases = spec.selection.campaign.lengths();
    let on_phase = |phase: Phase| progress.phase(phase, &phases);
    let on_healed = |stack: &Stack| pids.send_modify(|pids| pids.redis = redis_pids(stack));
    let hooks = Hooks { on_phase: &on_phase, on_healed: &on_healed };
    let course = run_phases(&session.stack, fault, &phases, origin, hooks);
    let fault_start = phases.start(Phase::Fault);
    let switched = operate(&spec.variant.operator, instances, origin, fault_start);
    let wanted = (spec.variant.scale_out, spec.planned.params.n_instances);
    let joined = keep_list(instances, wanted, list, origin, &phases);
    let events = tokio::select! {
        all = async { tokio::try_join!(course, switched, joined) } => {
            let (mut events, switched, joined) = all?;
            events.extend(switched.into_iter().chain(joined));
            events
        }
        error = load.failed() => return Err(error).at_exit(ExitCode::Generator),
        died = instances.died() => {
            load.child.terminate(LOAD_GRACE).await?;
            return Ok(Err(died?));
        }
        () = tick_for_ever(progress, origin) => unreachable!("it never ends"),
    };
    let most = phases.drain + LOAD_GRACE;
    tokio::select! {
        n = load.finish(most) => Ok(Ok((events, n.at_exit(ExitCode::Generator)?))),
        died = instances.died() => Ok(Err(died?)),
    }
}

/// Empty while one of them is down.
fn redis_pids(stack: &Stack) -> Vec<u32> {
    stack.redis_group().pids().unwrap_or_default()
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
    (config, plan): (&TargetConfig, &LoadPlan),
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
        target: config.clone(),
        load: plan.clone(),
        environment: session.environment.clone(),
        calibration: spec.calibration.clone(),
    }
}

/// Counts what must add up, stops the service, and writes events and counts.
async fn audit(finished: Finished<'_>, folder: &Path) -> Result<()> {
    let Finished { instances, admin, plan, queries_before, n_scheduled, origin, .. } = finished;
    let Finished { mut events, unexpected_deaths, .. } = finished;
    let is_alive = unexpected_deaths.is_empty();
    admin.wait_until_quiet(QUIET_TIMEOUT).await?;
    let service_queries = match is_alive {
        true => Some(instances.n_queries().await?.saturating_sub(queries_before)),
        false => None,
    };
    let postgres_queries = Some(admin.n_queries().await?);
    instances.stop().await?;
    let samples = read_samples(&folder.join(SAMPLES_FILE))?;
    let acknowledged = acknowledged_orders(&samples, plan.seed);
    let n_views = samples.iter().filter(|it| is_success(it, Route::Views)).count() as u64;
    let counts = FinalCounts {
        requests_scheduled: n_scheduled,
        service_queries,
        postgres_queries,
        orders_acknowledged: acknowledged.len() as u64,
        orders_lost: admin.n_orders_missing(&acknowledged).await?,
        views_lost: Some(n_views.saturating_sub(admin.n_views().await?)),
        unexpected_deaths: unexpected_deaths.clone(),
    };
    write_json(&folder.join(COUNTS_FILE), &counts)?;
    for instance in instances.running() {
        let path = folder_of(folder, instance.number).join(EVENTS_FILE);
        let source = name_of(instance.number);
        let told = target::read_events(&path)?.into_iter();
        events.extend(told.map(|it| on_axis(it, &source, origin)));
    }
    events.extend(unexpected_deaths.into_iter().map(death));
    write_events(&folder.join("events.jsonl"), events)
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

fn on_axis(event: TargetEvent, source: &str, origin: Origin) -> Event {
    Event {
        at_ms: to_ms(event.at.since(origin.monotonic)),
        source: source.into(),
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
