//! A small campaign, made up but true to life, for the tests of tables, page and plots.

use std::collections::BTreeMap;

use hdrhistogram::Histogram;
use lab_core::{
    artifact::{
        campaign_run::{self, CampaignRun, PlannedCell},
        manifest::{self, Calibration, Environment, Host, Manifest, Params},
        summary::{self, CalibrationSummary, CellSummary, SloSummary, Summary, Versions},
        timeline::{self, CpuColumn, DatabaseColumns, PoolColumns, RequestColumns, Timeline},
        verdict::{
            self, ConnectionDemand, DbAmplification, InvalidReason, MachineStalls, PerPhase,
            PhaseCounts, RouteCounts, TrialFigures, TrialVerdict, Verdict, Window,
        },
    },
    clock::MonotonicNs,
    event::{Event, kind},
    load_plan::{Arrivals, LoadPlan, Shard},
    outcome::Outcome,
    route::Route,
    scenario::{Campaign, Fault, Phase, Profile, Topology, VariantFile, resolve_variant},
    target::{CacheSpec, RedisLocation, TargetConfig},
    units::PerSec,
};

mod variations;

pub(super) use variations::{
    campaign_at_two_loads, campaign_of, campaign_under_faults, campaign_under_five_faults,
    campaign_with_failovers, campaign_with_instances, campaign_with_replica,
    campaign_with_snapshots,
};

use super::view::{CampaignView, CellView, TrialView};
use crate::analysis::effect::{Effect, effects};

/// How one variant behaves while the fault is on.
#[derive(Clone, Copy)]
struct Behaviour {
    variant: &'static str,
    /// Share of product pages answered rightly.
    goodput: f64,
    /// Share of all requests that are degraded.
    degraded: f64,
    /// How the others end.
    failure: Outcome,
    /// Product response time in ms.
    p50_ms: f64,
    p99_ms: f64,
    /// Connections in use + pending.
    demand: f64,
    has_breaker: bool,
    mitigate_ms: Option<f64>,
    recover_ms: Option<f64>,
}

const NONE: Behaviour = Behaviour {
    variant: "none",
    goodput: 0.002,
    degraded: 0.0,
    failure: Outcome::TimedOut,
    p50_ms: 1_000.0,
    p99_ms: 1_000.0,
    demand: 0.1,
    has_breaker: false,
    mitigate_ms: None,
    recover_ms: Some(7_430.0),
};
const BOUNDED: Behaviour = Behaviour {
    variant: "bounded-timeouts",
    goodput: 0.61,
    p50_ms: 640.0,
    p99_ms: 1_000.0,
    demand: 412.0,
    failure: Outcome::DependencyFailed,
    recover_ms: Some(2_100.0),
    ..NONE
};
const BREAKER: Behaviour = Behaviour {
    variant: "circuit-breaker",
    goodput: 0.66,
    has_breaker: true,
    p50_ms: 520.0,
    ..BOUNDED
};
const PLAYBOOK: Behaviour = Behaviour {
    variant: "playbook-one-minute",
    goodput: 0.997,
    degraded: 0.012,
    failure: Outcome::RateLimited,
    p50_ms: 1.9,
    p99_ms: 9.4,
    demand: 3.2,
    has_breaker: true,
    mitigate_ms: Some(0.0),
    recover_ms: Some(300.0),
};

const RATE: f64 = 612.0;
const BASELINE_MS: [f64; 2] = [1.4, 6.2];
const BIN_MS: u32 = 100;

/// Four variants under a crash at load factor 1.5, `none` with three trials of which one is
/// invalid, and `none` under a pause without any trial.
pub(super) fn campaign() -> CampaignView {
    let run = run();
    let mut variants = Vec::new();
    let mut cells = Vec::new();
    for behaviour in [NONE, BOUNDED, BREAKER, PLAYBOOK] {
        let trials: Vec<TrialView> = (0..3).map(|number| trial(&run, behaviour, number)).collect();
        variants.push(cell_summary(behaviour, &trials));
        cells.push(CellView {
            response_times_us: histograms(behaviour, &trials),
            trials,
            effect: Effect::Control,
        });
    }
    let mut untried = cell_summary(NONE, &[]);
    untried.fault = Fault::Pause;
    variants.push(untried);
    cells.push(CellView {
        trials: Vec::new(),
        response_times_us: PerPhase::from_fn(|_| empty()),
        effect: Effect::Control,
    });
    compare(&variants, &mut cells);
    let summary = Summary {
        schema: summary::SCHEMA.into(),
        campaign: run.campaign.clone(),
        profile: run.profile,
        seed: run.seed,
        partial: true,
        started_at: run.started_at.clone(),
        wall_time_s: run.wall_time_s,
        measuring_time_s: run.measuring_time_s,
        backend: run.backend.clone(),
        host: run.host.clone(),
        versions: Versions {
            outage_lab: Some("0.1.0".into()),
            redis: Some("7.0.15".into()),
            postgres: Some("15.10".into()),
            rustc: None,
        },
        calibration: CalibrationSummary {
            db_capacity_per_sec: Some(408.0),
            warm_capacity_per_sec: Some(2_310.0),
            control: Vec::new(),
            topologies: Vec::new(),
        },
        slo: SloSummary { deadline_ms: 1_000.0, served_ratio_min: 0.95 },
        variants,
    };
    CampaignView { run, summary, cells }
}

/// Fills in the effect of every cell.
fn compare(variants: &[CellSummary], cells: &mut [CellView]) {
    let verdicts = |it: &CellView| it.trials.iter().map(|it| it.verdict.clone()).collect();
    let trials: Vec<Vec<TrialVerdict>> = cells.iter().map(verdicts).collect();
    let trials: Vec<Vec<&TrialVerdict>> = trials.iter().map(|it| it.iter().collect()).collect();
    for (cell, effect) in cells.iter_mut().zip(effects(variants, &trials)) {
        cell.effect = effect;
    }
}

fn scenario() -> Campaign {
    toml::from_str(include_str!("../../../../scenarios/redis-outage.toml")).unwrap()
}

fn run() -> CampaignRun {
    CampaignRun {
        schema: campaign_run::SCHEMA.into(),
        campaign: "redis-outage".into(),
        profile: Profile::Quick,
        seed: scenario().seed,
        partial: true,
        started_at: "2026-11-23T03:00:00Z".into(),
        wall_time_s: 561.0,
        measuring_time_s: 468.0,
        backend: "process".into(),
        backend_reason: "no container engine answers".into(),
        host: Host {
            n_cpus: 2,
            cpu_model: "Example CPU <2.0 GHz>".into(),
            memory_bytes: 8 << 30,
            os: "Debian GNU/Linux 12".into(),
            kernel: "6.1.0".into(),
        },
        versions: BTreeMap::new(),
        calibration: Some(calibration()),
        slo: scenario().slo,
        n_trials: 3,
        n_trials_of_load: BTreeMap::new(),
        cells: Vec::new(),
    }
}

fn calibration() -> Calibration {
    Calibration {
        db_capacity_per_sec: 408.0,
        warm_capacity_per_sec: 2_310.0,
        probe_per_sec: 415.0,
        control: Vec::new(),
        topologies: Vec::new(),
        database_bytes_per_request: None,
    }
}

fn params() -> Params {
    Params { load_factor: Some(1.5), arrival_rate_per_sec: RATE, n_instances: 1 }
}

fn cell_summary(behaviour: Behaviour, trials: &[TrialView]) -> CellSummary {
    let valid: Vec<&TrialFigures> =
        trials.iter().filter(|it| it.verdict.valid).map(|it| &it.verdict.figures).collect();
    let middle = valid.get(valid.len().saturating_sub(1) / 2);
    let all =
        |figure: fn(&TrialFigures) -> Option<f64>| valid.iter().map(|it| figure(it)).collect();
    let ratio = middle.and_then(|it| it.goodput_ratio_fault);
    CellSummary {
        variant: behaviour.variant.into(),
        base: match behaviour.variant {
            "none" => None,
            "bounded-timeouts" => Some("none".into()),
            _ => Some("bounded-timeouts".into()),
        },
        fault: Fault::Crash,
        topology: Topology::Single,
        params: params(),
        arrival_rate_per_sec: RATE,
        n_trials: u32::try_from(trials.len()).unwrap(),
        n_invalid: u32::try_from(trials.len() - valid.len()).unwrap(),
        verdict: match ratio {
            None => Verdict::Invalid,
            Some(ratio) if ratio < 0.9 => Verdict::Missed,
            Some(_) => Verdict::Met,
        },
        goodput_ratio_fault: ratio,
        goodput_ratio_fault_trials: all(|it| it.goodput_ratio_fault),
        served_ratio_fault: middle.and_then(|it| it.served_ratio_fault),
        served_ratio_fault_trials: all(|it| it.served_ratio_fault),
        response_time_p99_ratio_fault: middle.and_then(|it| it.response_time_p99_ratio_fault),
        response_time_p99_ratio_fault_trials: all(|it| it.response_time_p99_ratio_fault),
        p99_censored: middle.is_some_and(|it| it.p99_censored),
        db_amplification: DbAmplification::default(),
        connection_demand: middle.map(|it| it.connection_demand).unwrap_or_default(),
        time_to_detect_ms: middle.and_then(|it| it.time_to_detect_ms),
        time_to_mitigate_ms: middle.and_then(|it| it.time_to_mitigate_ms),
        time_to_recover_ms: middle.and_then(|it| it.time_to_recover_ms),
        n_recovered: u32::try_from(valid.iter().filter(|it| it.recovered).count()).unwrap(),
        recovered: (!valid.is_empty()).then(|| valid.iter().all(|it| it.recovered)),
        lost_requests: (!valid.is_empty()).then(|| valid.iter().map(|it| it.lost_requests).sum()),
        orders_acknowledged: Some(0),
        orders_lost: Some(0),
        views_lost: Some(0),
        phases: PerPhase::default(),
    }
}

fn trial(run: &CampaignRun, behaviour: Behaviour, number: u32) -> TrialView {
    let ready_ms = 25_140.0;
    let reasons = if behaviour.variant == "none" && number == 2 {
        vec![InvalidReason::SendLag { phase: Phase::Fault, got_us: 4_100, allowed_us: 1_550 }]
    } else {
        Vec::new()
    };
    let verdict = TrialVerdict {
        schema: verdict::SCHEMA.into(),
        cell: PlannedCell {
            variant: behaviour.variant.into(),
            base: None,
            fault: Fault::Crash,
            topology: Topology::Single,
            params: params(),
        },
        trial: number,
        attempt: 1,
        seed: run.seed,
        valid: reasons.is_empty(),
        reasons,
        verdict: Verdict::Missed,
        fault_window: Window { start_ms: 13_002.0, end_ms: ready_ms },
        machine_stalls: MachineStalls { n: 40, total_ms: 160.0, longest_ms: 9.2 },
        figures: figures(behaviour, number),
    };
    TrialView {
        manifest: manifest(run, behaviour, number),
        timeline: timeline(behaviour, number),
        events: events(behaviour, ready_ms),
        verdict,
    }
}

fn figures(behaviour: Behaviour, number: u32) -> TrialFigures {
    let goodput = (behaviour.goodput * (1.0 + 0.01 * f64::from(number))).min(1.0);
    let failing = 1.0 - behaviour.goodput - behaviour.degraded;
    let lost = (failing.max(0.0) * RATE * 12.0).round();
    TrialFigures {
        requests_scheduled: 22_000,
        goodput_fraction: PerPhase::default(),
        goodput_ratio_fault: Some(goodput),
        served_ratio_fault: Some((goodput + behaviour.degraded).min(0.98)),
        response_time_p99_us: PerPhase {
            fault: Some(u64::from(whole(behaviour.p99_ms * 1e3))),
            ..PerPhase::default()
        },
        response_time_p99_ratio_fault: Some(
            behaviour.p99_ms / BASELINE_MS[1] * (1.0 + 0.2 * f64::from(number)),
        ),
        p99_censored: 1_000.0 <= behaviour.p99_ms,
        db_amplification: DbAmplification::default(),
        connection_demand: ConnectionDemand {
            mean_baseline: Some(0.62),
            mean_fault: Some(behaviour.demand),
            high_water_fault: None,
        },
        time_to_detect_ms: behaviour.has_breaker.then_some(61.0),
        time_to_mitigate_ms: behaviour.mitigate_ms,
        time_to_recover_ms: behaviour.recover_ms,
        recovered: behaviour.recover_ms.is_some(),
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a count")]
        lost_requests: lost as u64,
        orders_acknowledged: 400,
        orders_lost: 0,
        views_lost: Some(0),
        phases: PerPhase { fault: fault_counts(goodput), ..PerPhase::default() },
    }
}

/// 70 % product pages, of which the share `goodput` succeeds.
fn fault_counts(goodput: f64) -> PhaseCounts {
    let n_scheduled = RATE * 12.0 * 0.7;
    let product = RouteCounts {
        n_scheduled: u64::from(whole(n_scheduled)),
        n_success: u64::from(whole(n_scheduled * goodput)),
        n_served: u64::from(whole(n_scheduled * goodput)),
    };
    PhaseCounts {
        duration_s: 12.0,
        routes: BTreeMap::from([(Route::Product, product)]),
        ..PhaseCounts::default()
    }
}

fn event(at_ms: f64, kind: &str) -> Event {
    Event { at_ms, source: "lab".into(), kind: kind.into(), detail: BTreeMap::new() }
}

fn events(behaviour: Behaviour, ready_ms: f64) -> Vec<Event> {
    let mut events =
        vec![event(13_002.0, kind::FAULT_INJECTED), event(13_040.0, kind::FAULT_CONFIRMED)];
    if behaviour.has_breaker {
        events.push(event(13_063.0, kind::CIRCUIT_OPENED));
        for k in 1..=12 {
            events.push(event(13_063.0 + 1_010.0 * f64::from(k), kind::CIRCUIT_HALF_OPENED));
        }
        events.push(event(ready_ms + 720.0, kind::CIRCUIT_CLOSED));
    }
    events.push(event(ready_ms, kind::DEPENDENCY_READY));
    events.sort_by(|a, b| a.at_ms.total_cmp(&b.at_ms));
    events
}

/// A value between −1 and 1 that looks like noise and is always the same.
fn wobble(k: usize, salt: u32) -> f64 {
    let x = f64::from(u32::try_from(k).unwrap()) * 12.989_8 + f64::from(salt) * 78.233;
    (x.sin() * 43_758.545_3).fract()
}

fn timeline(behaviour: Behaviour, number: u32) -> Timeline {
    let n_bins = 390;
    let at_s = |k: usize| f64::from(u32::try_from(k).unwrap()) * 0.1;
    let is_down = |k: usize| {
        let end = 25.1 + behaviour.recover_ms.unwrap_or(12_000.0) / 1e3 * 0.9;
        13.0 <= at_s(k) && at_s(k) < end
    };
    let mut requests = RequestColumns::default();
    let mut demand = Vec::new();
    for k in 0..n_bins {
        let noise = wobble(k, number);
        let due = if at_s(k) < 37.0 { RATE / 10.0 + 7.0 * noise } else { 0.0 };
        let [p50, p99] = match is_down(k) {
            true => [behaviour.p50_ms, behaviour.p99_ms],
            false => BASELINE_MS,
        };
        let [good, degraded] = match is_down(k) {
            true => [behaviour.goodput * (1.0 - behaviour.degraded), behaviour.degraded],
            false => [1.0, 0.0],
        };
        let mut rest = whole(due);
        requests.scheduled.push(rest);
        let shares =
            [(Outcome::Success, good), (Outcome::Degraded, degraded), (behaviour.failure, 1.0)];
        let mut row = BTreeMap::from(Outcome::ALL.map(|outcome| (outcome, 0)));
        for (outcome, share) in shares {
            let n = whole(due * share).min(rest);
            rest -= n;
            row.insert(outcome, n);
        }
        for (outcome, n) in row {
            requests.outcomes.entry(outcome).or_default().push(n);
        }
        let us = |ms: f64| (0.0 < due).then(|| u64::from(whole(ms * 1e3 * (1.0 + 0.25 * noise))));
        requests.product_response_time_us_p50.push(us(p50));
        requests.product_response_time_us_p99.push(us(p99));
        demand.push(if is_down(k) { behaviour.demand } else { 0.62 } * (1.0 + 0.2 * noise));
    }
    Timeline {
        schema: timeline::SCHEMA.into(),
        bin_ms: BIN_MS,
        n_bins,
        requests,
        pool: PoolColumns {
            size_max: Some(20),
            connection_demand_high_water: demand.iter().map(|it| Some(whole(it * 1.6))).collect(),
            connection_demand_mean: demand.into_iter().map(Some).collect(),
            ..PoolColumns::default()
        },
        database: DatabaseColumns::default(),
        cpu_cores: CpuColumn::default(),
    }
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "small and positive")]
fn whole(value: f64) -> u32 {
    value.max(0.0).round() as u32
}

fn empty() -> Histogram<u64> {
    Histogram::new_with_bounds(1, 120_000_000, 3).unwrap()
}

/// Response times of as many product pages as the valid trials scheduled; those that were served
/// are shorter than the deadline of 1 s, and no others.
fn histograms(behaviour: Behaviour, trials: &[TrialView]) -> PerPhase<Histogram<u64>> {
    let valid = trials.iter().filter(|it| it.verdict.valid);
    let pages = valid.map(|it| it.verdict.figures.phases.fault.routes[&Route::Product]);
    let (n, n_served) = pages.fold((0, 0), |(n, n_served), it| {
        (n + u32::try_from(it.n_scheduled).unwrap(), n_served + u32::try_from(it.n_served).unwrap())
    });
    PerPhase::from_fn(|phase| {
        let [p50, p99] = match phase {
            Phase::Fault => [behaviour.p50_ms, behaviour.p99_ms],
            _ => BASELINE_MS,
        };
        let mut histogram = empty();
        // Log-linear between the two quantiles: nothing more is asked of it.
        for k in 0..n {
            let nines = -(1.0 - (f64::from(k) + 0.5) / f64::from(n)).log10();
            let ms = p50 * (p99 / p50).powf((nines - 0.3) / 1.7);
            let ms = match phase {
                Phase::Fault if k < n_served => ms.min(999.0),
                Phase::Fault => ms.max(1_000.0),
                _ => ms,
            };
            histogram.record(u64::from(whole(ms * 1e3)).max(1)).unwrap();
        }
        histogram
    })
}

fn variant_files() -> BTreeMap<String, VariantFile> {
    [
        ("none", include_str!("../../../../scenarios/variants/none.toml")),
        ("bounded-timeouts", include_str!("../../../../scenarios/variants/bounded-timeouts.toml")),
        ("circuit-breaker", include_str!("../../../../scenarios/variants/circuit-breaker.toml")),
        (
            "playbook-one-minute",
            include_str!("../../../../scenarios/variants/playbook-one-minute.toml"),
        ),
    ]
    .map(|(name, file)| (name.to_owned(), toml::from_str(file).unwrap()))
    .into()
}

fn manifest(run: &CampaignRun, behaviour: Behaviour, number: u32) -> Manifest {
    let campaign = scenario();
    let variant = resolve_variant(behaviour.variant, &variant_files()).unwrap();
    let phases = Profile::Quick.lengths(campaign.give_up_after());
    let address = "127.0.0.1:20000".parse().unwrap();
    let target = TargetConfig {
        listen: address,
        internal_listen: address,
        internal_token: "t".into(),
        redis: RedisLocation::Single(address),
        registers: false,
        database_url: "host=127.0.0.1".into(),
        replica_url: None,
        pool_size: campaign.database.pool_size,
        worker_threads: campaign.service.worker_threads,
        catalogue: campaign.catalogue.clone(),
        cache: CacheSpec { ttl: campaign.cache.ttl, hit_ratio: campaign.cache.hit_ratio },
        seed: run.seed,
        settings: variant.settings.clone(),
        events_path: "events".into(),
        state_path: "raw/state".into(),
        cached_reads_per_sec: 500.0,
        zipf_exponent: campaign.zipf_exponent,
    };
    let load = LoadPlan {
        target: address,
        further_targets: Vec::new(),
        seed: run.seed,
        arrivals: Arrivals::Poisson { rate: PerSec::new(RATE).unwrap() },
        duration: phases.arrivals(),
        deadline: campaign.slo.deadline,
        give_up_after: campaign.give_up_after(),
        users: campaign.session_users,
        mix: campaign.mix,
        zipf_exponent: campaign.zipf_exponent,
        session_users: campaign.session_users,
        catalogue: campaign.catalogue.clone(),
        shard: Shard::WHOLE,
        samples_path: "samples.bin".into(),
    };
    Manifest {
        schema: manifest::SCHEMA.into(),
        campaign_name: run.campaign.clone(),
        campaign,
        variant,
        fault: Fault::Crash,
        topology: Topology::Single,
        params: params(),
        trial: number,
        attempt: 1,
        seed: run.seed,
        profile: Profile::Quick,
        phases,
        origin: MonotonicNs(0),
        started_at: run.started_at.clone(),
        target,
        load,
        environment: Environment {
            backend: run.backend.clone(),
            backend_reason: run.backend_reason.clone(),
            host: run.host.clone(),
            versions: BTreeMap::new(),
            commit: None,
            servers: BTreeMap::new(),
            cpu_sets: BTreeMap::new(),
        },
        calibration: Some(calibration()),
    }
}
