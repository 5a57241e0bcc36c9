//! Small pieces that the tests of the analysis are built from.

use std::{collections::BTreeMap, time::Duration};

use lab_core::{
    artifact::{
        campaign_run::{CampaignRun, PlannedCell},
        manifest::{Host, Params},
        raw::FinalCounts,
        stored_result::{KnownResult, StoredCell, StoredResult},
        verdict::{
            ConnectionDemand, DbAmplification, MachineStalls, PerPhase, TrialFigures, TrialVerdict,
            Verdict,
        },
    },
    event::{Event, kind},
    outcome::Outcome,
    route::Route,
    sample::RequestSample,
    scenario::{Fault, PhaseLengths, Profile, Slo, Topology},
    seed::Seed,
    units::Ratio,
};

use super::{pages::Page, windows::Windows};

/// An event without detail.
pub(crate) fn event(at_ms: f64, kind: &str) -> Event {
    Event { at_ms, source: "lab".into(), kind: kind.into(), detail: BTreeMap::new() }
}

/// A request due at `due_ms`, sent on time and ended at once, with a response unless the client
/// gave up.
pub(crate) fn request(route: Route, due_ms: u64, outcome: Outcome) -> RequestSample {
    let due_ns = due_ms * 1_000_000;
    RequestSample {
        arrival: u32::try_from(due_ms).unwrap(),
        key: 0,
        route,
        outcome,
        served_by: None,
        status: if outcome == Outcome::TimedOut { 0 } else { 200 },
        intended_at_ns: due_ns,
        sent_at_ns: due_ns,
        completed_at_ns: due_ns,
    }
}

/// A product page with a response time of 1 ms.
pub(crate) fn page(due_ms: f64, success: bool) -> Page {
    Page { due_ms, success, response_time_us: 1_000 }
}

/// Smoke phases: baseline 2 to 5 s, fault scheduled 5 to 9 s, arrivals end at 13 s.
pub(crate) fn smoke_lengths() -> PhaseLengths {
    Profile::Smoke.lengths(Duration::from_secs(1))
}

/// Smoke phases with a fault from 5,010 to 9,100 ms.
pub(crate) fn smoke_windows() -> Windows {
    let events = [event(5_010.0, kind::FAULT_INJECTED), event(9_100.0, kind::DEPENDENCY_READY)];
    Windows::new(&smoke_lengths(), &events)
}

/// Totals of a trial in which nothing went wrong.
pub(crate) fn final_counts(requests_scheduled: u64) -> FinalCounts {
    FinalCounts {
        requests_scheduled,
        service_queries: Some(1_000),
        postgres_queries: Some(1_000),
        orders_acknowledged: 20,
        orders_lost: 0,
        views_lost: Some(0),
        unexpected_deaths: vec![],
    }
}

/// The cell of the trials below.
pub(crate) fn planned_cell() -> PlannedCell {
    PlannedCell {
        variant: "circuit-breaker".into(),
        base: Some("bounded-timeouts".into()),
        fault: Fault::Crash,
        topology: Topology::Single,
        params: Params { load_factor: Some(1.5), arrival_rate_per_sec: 600.0, n_instances: 1 },
    }
}

/// A campaign of these cells, three trials each.
pub(crate) fn campaign_run(cells: Vec<PlannedCell>) -> CampaignRun {
    CampaignRun {
        schema: lab_core::artifact::campaign_run::SCHEMA.into(),
        campaign: "redis-outage".into(),
        profile: Profile::Smoke,
        seed: Seed(1),
        partial: false,
        started_at: "2026-11-23T03:00:00Z".into(),
        wall_time_s: 1.0,
        measuring_time_s: 1.0,
        backend: "process".into(),
        backend_reason: "no container engine answers".into(),
        host: host(),
        versions: BTreeMap::new(),
        calibration: None,
        slo: Slo { deadline: Duration::from_secs(1), served_ratio_min: Ratio::new(0.95).unwrap() },
        n_trials: 3,
        n_trials_of_load: BTreeMap::new(),
        cells,
    }
}

fn host() -> Host {
    Host {
        n_cpus: 2,
        cpu_model: "Example CPU".into(),
        memory_bytes: 1,
        os: "Debian".into(),
        kernel: "6.1.0".into(),
    }
}

/// A result of `commit` with one trial of one cell, which had this goodput ratio. Its `number` makes it
/// another run.
pub(crate) fn known_result(number: u32, commit: &str, goodput_ratio: f64) -> KnownResult {
    let PlannedCell { variant, fault, params, .. } = planned_cell();
    let cell = StoredCell {
        variant,
        fault,
        params,
        n_trials: 1,
        n_invalid: 0,
        goodput_ratio_fault_trials: vec![Some(goodput_ratio)],
        served_ratio_fault_trials: vec![Some(0.9)],
        n_recovered: 1,
        queries_per_request_baseline: Some(0.5),
        queries_per_request_fault_peak: None,
    };
    let result = StoredResult {
        campaign: "redis-outage".into(),
        profile: Profile::Quick,
        seed: Seed(1),
        deadline_ms: 1_000.0,
        partial: false,
        started_at: format!("2026-11-29T0{number}:00:00Z"),
        host: host(),
        db_capacity_per_sec: Some(100.0),
        cells: vec![cell],
    };
    KnownResult { commit: commit.into(), result }
}

/// A valid trial with these figures.
pub(crate) fn trial_verdict(figures: TrialFigures) -> TrialVerdict {
    TrialVerdict {
        schema: lab_core::artifact::verdict::SCHEMA.into(),
        cell: planned_cell(),
        trial: 0,
        attempt: 1,
        seed: Seed(1),
        valid: true,
        reasons: vec![],
        verdict: Verdict::Met,
        fault_window: smoke_windows().phases.fault,
        machine_stalls: MachineStalls::default(),
        figures,
    }
}

/// Figures of which none exists.
pub(crate) fn trial_figures() -> TrialFigures {
    TrialFigures {
        requests_scheduled: 0,
        goodput_fraction: PerPhase::default(),
        goodput_ratio_fault: None,
        served_ratio_fault: None,
        response_time_p99_us: PerPhase::default(),
        response_time_p99_ratio_fault: None,
        p99_censored: false,
        db_amplification: DbAmplification::default(),
        connection_demand: ConnectionDemand::default(),
        time_to_detect_ms: None,
        time_to_mitigate_ms: None,
        time_to_recover_ms: None,
        recovered: false,
        lost_requests: 0,
        orders_acknowledged: 0,
        orders_lost: 0,
        views_lost: None,
        phases: PerPhase::default(),
    }
}
