//! A made-up trial on disk, simple enough that every figure can be worked out by hand.
//!
//! 400 requests/s, one every 2.5 ms. Of every 20 requests 14 are product pages, 3 recommendations,
//! 1 a view, 1 the home page and 1 an order. With the phases of the profile smoke: baseline 2 to
//! 5 s, Redis gone from 5,000 to 9,000 ms, arrivals until 13 s, measured until 15 s.

use std::{collections::BTreeMap, fs, path::Path, time::Duration};

use lab_core::{
    artifact::{
        campaign_run::{self, CampaignRun, PlannedCell},
        manifest::{self, Environment, Host, Manifest, Params},
        raw::{self, BackendGroup, CpuLine, DatabaseLine, FinalCounts, ServiceLine, StallLine},
    },
    clock::MonotonicNs,
    event::{Event, kind},
    load_plan::{Arrivals, LoadPlan, Shard},
    outcome::{Outcome, ServedBy},
    route::Route,
    sample::{FILE_HEADER, RequestSample},
    scenario::{Campaign, Fault, Profile, Topology, VariantFile, resolve_variant},
    settings::Settings,
    target::{RedisLocation, TargetConfig, TargetSample},
    units::PerSec,
};
use serde::Serialize;

/// Arrivals per second.
const RATE: f64 = 400.0;
/// Requests in the schedule of a smoke trial: 13 s at 400/s.
pub(crate) const N_REQUESTS: u32 = 5_200;
/// Queries per second, and how many more while the fault is on.
const QUERIES_PER_SEC: [u32; 2] = [200, 1_800];

/// How long the phases of a trial are.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Shape {
    profile: Profile,
    /// The fault's origin and the dependency's first answer, in seconds.
    fault_s: [u32; 2],
    /// The end of the last phase, in seconds; the last arrival is due 2 s before it.
    end_s: u32,
}

impl Shape {
    /// The shortest phases there are.
    pub(crate) const SMOKE: Self = Self { profile: Profile::Smoke, fault_s: [5, 9], end_s: 15 };
    /// The phases of a bench that nobody asked to be shorter or longer.
    pub(crate) const QUICK: Self = Self { profile: Profile::Quick, fault_s: [13, 25], end_s: 39 };

    fn n_requests(self) -> u32 {
        (self.end_s - 2) * 400
    }

    fn fault_ms(self) -> [f64; 2] {
        self.fault_s.map(|it| f64::from(it) * 1_000.0)
    }

    fn n_queries(self) -> u64 {
        let [always, while_down] = QUERIES_PER_SEC.map(u64::from);
        let [start, end] = self.fault_s.map(u64::from);
        always * u64::from(self.end_s) + while_down * (end - start)
    }
}

/// What goes wrong in a trial beside the fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Defect {
    /// Nothing.
    None,
    /// The probe never sees the fault, and a tenth of the queries is left uncounted.
    FaultUnseenAndQueriesUncounted,
}

/// The cell that the trials belong to.
pub(crate) fn cell() -> PlannedCell {
    PlannedCell {
        variant: "none".into(),
        base: None,
        fault: Fault::Crash,
        topology: Topology::Single,
        params: Params { load_factor: Some(1.5), arrival_rate_per_sec: RATE, n_instances: 1 },
    }
}

/// Writes everything that harness and generator leave of one smoke trial of [`cell`].
pub(crate) fn write_trial(folder: &Path, trial: u32, defect: Defect) {
    write_trial_of(folder, (&cell(), trial), Shape::SMOKE, defect);
}

/// Writes everything that harness and generator leave of one trial of a cell.
pub(crate) fn write_trial_of(
    folder: &Path,
    (cell, trial): (&PlannedCell, u32),
    shape: Shape,
    defect: Defect,
) {
    fs::create_dir_all(folder.join("raw")).unwrap();
    write_json(&folder.join("manifest.json"), &manifest(cell, trial, shape.profile));
    write_lines(&folder.join("events.jsonl"), &events(shape, defect));
    write_lines(&folder.join(raw::SERVICE_FILE), &service(shape));
    write_lines(&folder.join(raw::DATABASE_FILE), &database(shape));
    write_lines(&folder.join(raw::CPU_FILE), &cpu(shape));
    write_lines(&folder.join(raw::STALLS_FILE), &STALLS);
    write_json(&folder.join(raw::COUNTS_FILE), &counts(shape, defect));
    let mut samples = FILE_HEADER.to_vec();
    // Written in another order than that of the schedule, as requests end.
    for arrival in (0..shape.n_requests()).rev() {
        samples.extend(sample(shape, arrival).encode());
    }
    fs::write(folder.join("samples.bin"), samples).unwrap();
}

/// Writes `campaign.json` for one cell of `n_trials` smoke trials.
pub(crate) fn write_campaign(folder: &Path, n_trials: u32) {
    write_campaign_of(folder, vec![cell()], n_trials, Shape::SMOKE);
}

/// Writes `campaign.json` for `cells` of `n_trials` trials each.
pub(crate) fn write_campaign_of(
    folder: &Path,
    cells: Vec<PlannedCell>,
    n_trials: u32,
    shape: Shape,
) {
    fs::create_dir_all(folder).unwrap();
    let campaign = scenario();
    let run = CampaignRun {
        schema: campaign_run::SCHEMA.into(),
        campaign: "redis-outage".into(),
        profile: shape.profile,
        seed: campaign.seed,
        partial: false,
        started_at: "2026-11-23T03:00:00Z".into(),
        wall_time_s: 40.0,
        measuring_time_s: 30.0,
        backend: "process".into(),
        backend_reason: "asked for".into(),
        host: host(),
        versions: BTreeMap::from([("redis".into(), "7.0.15".into())]),
        calibration: None,
        slo: campaign.slo,
        n_trials,
        n_trials_of_load: BTreeMap::new(),
        cells,
    };
    write_json(&folder.join(campaign_run::FILE), &run);
}

/// Request `arrival`. Product pages fail (the client gives up after 1 s) for the first second of
/// the fault and again never; recommendations are left out while the fault is on.
fn sample(shape: Shape, arrival: u32) -> RequestSample {
    let due_us = u64::from(arrival) * 2_500;
    let [down_us, up_us] = shape.fault_s.map(|it| u64::from(it) * 1_000_000);
    let route = match arrival % 20 {
        0..14 => Route::Product,
        14..17 => Route::Recommendations,
        17 => Route::Views,
        18 => Route::Home,
        _ => Route::Orders,
    };
    let is_down = (down_us..up_us).contains(&due_us);
    // Of every 20 groups of 20 requests one misses the cache: a hit ratio of 0.95.
    let is_miss = route.is_cached() && (arrival / 20) % 20 == 7;
    let (outcome, served_by, took_us) = match route {
        Route::Product if is_down && due_us < down_us + 1_000_000 => {
            (Outcome::TimedOut, None, 1_000_000)
        }
        Route::Recommendations if is_down => (Outcome::Degraded, Some(ServedBy::Degraded), 1_000),
        _ if route.is_cached() && is_down => (Outcome::Success, Some(ServedBy::Database), 4_000),
        _ if is_miss => (Outcome::Success, Some(ServedBy::Database), 2_000),
        _ if route.is_cached() => (Outcome::Success, Some(ServedBy::Redis), 2_000),
        _ => (Outcome::Success, Some(ServedBy::Database), 2_000),
    };
    RequestSample {
        arrival,
        key: arrival,
        route,
        outcome,
        served_by,
        status: if served_by.is_some() { 200 } else { 0 },
        intended_at_ns: due_us * 1_000,
        sent_at_ns: due_us * 1_000 + 100_000,
        completed_at_ns: (due_us + took_us) * 1_000,
    }
}

fn events(shape: Shape, defect: Defect) -> Vec<Event> {
    let [down_ms, up_ms] = shape.fault_ms();
    let event = |at_ms, kind: &str| Event {
        at_ms,
        source: "lab".into(),
        kind: kind.into(),
        detail: BTreeMap::new(),
    };
    let seen = match defect {
        Defect::None => kind::FAULT_CONFIRMED,
        Defect::FaultUnseenAndQueriesUncounted => kind::FAULT_NOT_CONFIRMED,
    };
    vec![
        event(down_ms, kind::FAULT_INJECTED),
        event(down_ms + 30.0, seen),
        event(down_ms + 950.0, kind::CIRCUIT_OPENED),
        event(up_ms - 10.0, kind::FAULT_HEALED),
        event(up_ms, kind::DEPENDENCY_READY),
    ]
}

/// 200 queries/s, 2,000/s while the fault is on; demand 0.5, then 30 with a high-water mark of 77.
fn service(shape: Shape) -> Vec<ServiceLine> {
    let [down_ms, up_ms] = shape.fault_ms();
    let [always, while_down] = QUERIES_PER_SEC.map(f64::from);
    (0..=shape.end_s * 10)
        .map(|k| {
            let at_ms = f64::from(k) * 100.0;
            let during = |from: f64, to: f64| (at_ms.min(to) - from).max(0.0) / 1_000.0;
            let queries = always * during(0.0, f64::from(shape.end_s) * 1_000.0)
                + while_down * during(down_ms, up_ms);
            let was_down = down_ms < at_ms && at_ms <= up_ms;
            #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "whole")]
            let queries_total = queries.round() as u64;
            let sample = TargetSample {
                pool_size_max: 20,
                pool_in_use_high_water: if was_down { 20 } else { 2 },
                pool_pending_high_water: if was_down { 57 } else { 0 },
                connection_demand_mean: if was_down { 30.0 } else { 0.5 },
                connection_demand_high_water: if was_down { 77 } else { 2 },
                acquire_waits_us: vec![(if was_down { 9_000 } else { 10 }, 10)],
                queries_total,
                cache_hits_total: u64::from(k) * 19,
                cache_misses_total: u64::from(k),
                ..TargetSample::default()
            };
            ServiceLine { at_ms, instance: 1, sample }
        })
        .collect()
}

fn database(shape: Shape) -> Vec<DatabaseLine> {
    let group = |state: &str, n| BackendGroup {
        state: state.into(),
        wait_event_type: None,
        wait_event: None,
        n,
    };
    (0..shape.end_s * 4)
        .map(|k| DatabaseLine {
            at_ms: f64::from(k) * 250.0,
            backends: vec![group("active", 1 + k / 20), group("idle", 17)],
            replication_lag: None,
        })
        .collect()
}

/// The machine stands still once in the warmup and once for 12 ms in the baseline.
const STALLS: [StallLine; 2] = [
    StallLine { at_ms: 1_000.0, for_ms: 30.0, cpu: Some(0) },
    StallLine { at_ms: 3_000.0, for_ms: 12.0, cpu: Some(0) },
];

/// PostgreSQL uses 0.2 cores; Redis starts anew when it is back and uses 0.1.
fn cpu(shape: Shape) -> Vec<CpuLine> {
    let [down_ms, up_ms] = shape.fault_ms();
    (0..=shape.end_s * 2)
        .map(|k| {
            let at_ms = f64::from(k) * 500.0;
            let redis_s = if at_ms < up_ms { at_ms.min(down_ms) } else { at_ms - up_ms } / 1e4;
            CpuLine {
                at_ms,
                storefront_cpu_s: None,
                postgres_cpu_s: Some(at_ms / 5_000.0),
                redis_cpu_s: (!(down_ms..up_ms).contains(&at_ms)).then_some(redis_s),
                load_cpu_s: Some(at_ms / 10_000.0),
            }
        })
        .collect()
}

fn counts(shape: Shape, defect: Defect) -> FinalCounts {
    let n_queries = shape.n_queries();
    let service_queries = match defect {
        Defect::None => n_queries,
        Defect::FaultUnseenAndQueriesUncounted => n_queries - n_queries / 10,
    };
    FinalCounts {
        requests_scheduled: u64::from(shape.n_requests()),
        service_queries: Some(service_queries),
        postgres_queries: Some(n_queries),
        orders_acknowledged: u64::from(shape.n_requests() / 20),
        orders_lost: 0,
        views_lost: Some(3),
        unexpected_deaths: vec![],
    }
}

fn scenario() -> Campaign {
    toml::from_str(include_str!("../../../../scenarios/redis-outage.toml")).unwrap()
}

fn host() -> Host {
    Host {
        n_cpus: 2,
        cpu_model: "Example CPU".into(),
        memory_bytes: 8 << 30,
        os: "Example OS".into(),
        kernel: "6.1".into(),
    }
}

fn manifest(cell: &PlannedCell, trial: u32, profile: Profile) -> Manifest {
    let campaign = scenario();
    let control: VariantFile =
        toml::from_str("title = \"t\"\nstrategy = []\nhypothesis = \"h\"").unwrap();
    let files = BTreeMap::from([("none".to_owned(), control)]);
    let mut variant = resolve_variant("none", &files).unwrap();
    variant.name.clone_from(&cell.variant);
    variant.base.clone_from(&cell.base);
    let phases = profile.lengths(Duration::from_secs(1));
    Manifest {
        schema: manifest::SCHEMA.into(),
        campaign_name: "redis-outage".into(),
        variant,
        fault: cell.fault,
        topology: cell.topology,
        params: cell.params.clone(),
        trial,
        attempt: 1,
        seed: campaign.seed,
        profile,
        phases,
        origin: MonotonicNs(1),
        started_at: "2026-11-23T03:00:00Z".into(),
        target: target(&campaign),
        load: load(&campaign, phases.arrivals()),
        environment: Environment {
            backend: "process".into(),
            backend_reason: "asked for".into(),
            host: host(),
            versions: BTreeMap::new(),
            commit: Some("0123456789ab".into()),
            servers: BTreeMap::new(),
            cpu_sets: BTreeMap::new(),
        },
        calibration: None,
        campaign,
    }
}

fn target(campaign: &Campaign) -> TargetConfig {
    TargetConfig {
        listen: "127.0.0.1:20001".parse().unwrap(),
        internal_listen: "127.0.0.1:20002".parse().unwrap(),
        internal_token: "token".into(),
        redis: RedisLocation::Single("127.0.0.1:20003".parse().unwrap()),
        registers: false,
        database_url: "host=127.0.0.1".into(),
        replica_url: None,
        pool_size: campaign.database.pool_size,
        worker_threads: campaign.service.worker_threads,
        catalogue: campaign.catalogue.clone(),
        cache: campaign.cache.clone(),
        seed: campaign.seed,
        settings: Settings::default(),
        events_path: "events".into(),
        state_path: "raw/state".into(),
        cached_reads_per_sec: 348.0,
        zipf_exponent: campaign.zipf_exponent,
    }
}

fn load(campaign: &Campaign, duration: Duration) -> LoadPlan {
    LoadPlan {
        target: "127.0.0.1:20001".parse().unwrap(),
        further_targets: Vec::new(),
        seed: campaign.seed,
        arrivals: Arrivals::Poisson { rate: PerSec::new(RATE).unwrap() },
        duration,
        deadline: campaign.slo.deadline,
        give_up_after: campaign.give_up_after(),
        users: std::num::NonZeroU32::new(600).unwrap(),
        mix: campaign.mix,
        zipf_exponent: campaign.zipf_exponent,
        session_users: campaign.session_users,
        catalogue: campaign.catalogue.clone(),
        shard: Shard::WHOLE,
        samples_path: "samples.bin".into(),
    }
}

fn write_json(path: &Path, value: &impl Serialize) {
    fs::write(path, serde_json::to_vec(value).unwrap()).unwrap();
}

fn write_lines(path: &Path, lines: &[impl Serialize]) {
    let text: String = lines.iter().map(|it| serde_json::to_string(it).unwrap() + "\n").collect();
    fs::write(path, text).unwrap();
}
