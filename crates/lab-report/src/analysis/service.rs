//! What the service, PostgreSQL and the kernel said, by phase.

use lab_core::{
    artifact::{
        raw::{CpuLine, DatabaseLine, ReplicationLag, ServiceLine},
        timeline::CpuColumn,
        verdict::{ConnectionDemand, PhaseCounts, Window},
    },
    scenario::Phase,
};

use super::{
    histograms::{Distribution, PhaseHistograms},
    instances::{highest_of_all, increase_of_all, mean_of_all},
    series::increase,
    windows::Windows,
};
use crate::load::trial_files::TrialRecord;

/// Statements that the service, all its instances, sent in `window`.
pub fn queries_in(service: &[ServiceLine], window: Window) -> Option<f64> {
    increase_of_all(service, window, |it| it.sample.queries_total)
}

/// Connections that PostgreSQL refused in `window` because it had no more.
pub fn refused_in(service: &[ServiceLine], window: Window) -> Option<f64> {
    increase_of_all(service, window, |it| it.sample.connections_refused_total)
}

/// Mean over the time of `window` of connections in use + callers waiting for one, of all instances
/// together.
pub fn connection_demand_mean(service: &[ServiceLine], window: Window) -> Option<f64> {
    mean_of_all(service, window, |it| it.sample.connection_demand_mean)
}

/// Highest value in `window` of one of the service's high-water marks, of all instances together: at
/// least the true one, see [`highest_of_all`].
pub fn high_water(
    service: &[ServiceLine],
    window: Window,
    mark: impl Fn(&ServiceLine) -> u32,
) -> Option<u32> {
    highest_of_all(service, window, mark)
}

/// Connection demand of a trial.
pub fn connection_demand(service: &[ServiceLine], windows: &Windows) -> ConnectionDemand {
    let fault = windows.phases.fault;
    ConnectionDemand {
        mean_baseline: connection_demand_mean(service, windows.phases.baseline),
        mean_fault: connection_demand_mean(service, fault),
        high_water_fault: high_water(service, fault, |it| it.sample.connection_demand_high_water),
    }
}

/// Backends of PostgreSQL for which `counts` holds, the most of any reading in `window`.
pub fn backends_max(
    database: &[DatabaseLine],
    window: Window,
    counts: impl Fn(&str) -> bool,
) -> Option<u32> {
    database
        .iter()
        .filter(|it| window.contains(it.at_ms))
        .map(|it| it.backends.iter().filter(|it| counts(&it.state)).map(|it| it.n).sum())
        .max()
}

/// Whether a backend in this state is executing a statement.
pub fn is_active(state: &str) -> bool {
    state == "active"
}

/// The most of any reading in `window` of how far a replica was behind; `None`: nobody read it.
pub fn replication_lag_max(
    database: &[DatabaseLine],
    window: Window,
    of: impl Fn(&ReplicationLag) -> Option<u64>,
) -> Option<u64> {
    let inside = database.iter().filter(|it| window.contains(it.at_ms));
    inside.filter_map(|it| of(it.replication_lag.as_ref()?)).max()
}

/// CPU time used in `window`, in seconds of one core, by component.
pub fn cpu_seconds(cpu: &[CpuLine], window: Window) -> CpuColumn<Option<f64>> {
    let used = |total: fn(&CpuLine) -> Option<f64>| {
        increase(cpu.iter().map(|it| (it.at_ms, total(it))), window)
    };
    CpuColumn {
        storefront: used(|it| it.storefront_cpu_s),
        postgres: used(|it| it.postgres_cpu_s),
        redis: used(|it| it.redis_cpu_s),
        load: used(|it| it.load_cpu_s),
    }
}

/// Adds to the counts of a phase what was sampled in `window`.
pub fn add_samples(counts: &mut PhaseCounts, record: &TrialRecord, window: Window) {
    let service = &record.service;
    counts.n_queries = queries_in(service, window);
    counts.backends_active_max = backends_max(&record.database, window, is_active);
    counts.backends_total_max = backends_max(&record.database, window, |_| true);
    let lag =
        |of: fn(&ReplicationLag) -> Option<u64>| replication_lag_max(&record.database, window, of);
    counts.replication_lag_bytes_max = lag(|it| Some(it.bytes));
    counts.replication_lag_us_max = lag(|it| it.replay_us);
    counts.pool_in_use_max = high_water(service, window, |it| it.sample.pool_in_use_high_water);
    counts.pool_pending_max = high_water(service, window, |it| it.sample.pool_pending_high_water);
    let grown = |total: fn(&ServiceLine) -> u64| increase_of_all(service, window, total);
    counts.n_pool_timeouts = grown(|it| it.sample.acquire_timeouts_total);
    counts.n_connections_refused = refused_in(service, window);
    counts.n_cache_hits = grown(|it| it.sample.cache_hits_total);
    counts.n_cache_misses = grown(|it| it.sample.cache_misses_total);
    counts.cpu_s = cpu_seconds(&record.cpu, window);
}

/// Puts the waits for a connection into the histograms of the phase in which they were read.
pub fn record_acquire_waits(
    histograms: &mut PhaseHistograms,
    service: &[ServiceLine],
    windows: &Windows,
) {
    for line in service {
        let Some(phase): Option<Phase> = windows.phase_at(line.at_ms) else { continue };
        for (wait_us, n) in &line.sample.acquire_waits_us {
            histograms.record(phase, Distribution::PoolAcquireWait, *wait_us, *n);
        }
    }
}

#[cfg(test)]
mod tests {
    use lab_core::{artifact::raw::BackendGroup, target::TargetSample};

    use super::*;
    use crate::analysis::testing::smoke_windows;

    const FAULT: Window = Window { start_ms: 5_010.0, end_ms: 9_100.0 };

    fn line(at_ms: f64, sample: TargetSample) -> ServiceLine {
        ServiceLine { at_ms, instance: 1, sample }
    }

    // Fault is 5,010 to 9,100 ms. Means: 4 until 6,010 (1,000 ms inside), 20 until 9,100 (3,090 ms):
    // (4,000 + 61,800) / 4,090.
    #[test]
    fn connection_demand_is_weighted_by_time_and_its_high_water_kept_between_samples() {
        let demand = |mean, high_water| TargetSample {
            connection_demand_mean: mean,
            connection_demand_high_water: high_water,
            ..TargetSample::default()
        };
        let service = [
            line(2_000.0, demand(99.0, 99)),
            line(5_000.0, demand(1.0, 2)),
            line(6_010.0, demand(4.0, 50)),
            line(9_100.0, demand(20.0, 41)),
            line(9_200.0, demand(30.0, 60)),
        ];
        let demand = connection_demand(&service, &smoke_windows());
        assert!((demand.mean_baseline.unwrap() - 1.0).abs() < 1e-9, "2,000 to 5,000 ms is 1");
        assert!((demand.mean_fault.unwrap() - 65_800.0 / 4_090.0).abs() < 1e-9);
        assert_eq!(demand.high_water_fault, Some(50));
    }

    #[test]
    fn backends_are_counted_by_state_at_their_worst() {
        let group = |state: &str, n| BackendGroup {
            state: state.into(),
            wait_event_type: None,
            wait_event: None,
            n,
        };
        let line = |at_ms, backends| DatabaseLine { at_ms, backends, replication_lag: None };
        let database = [
            line(5_000.0, vec![group("active", 90)]),
            line(6_000.0, vec![group("active", 3), group("idle", 7), group("active", 2)]),
            line(7_000.0, vec![group("active", 4), group("idle", 16)]),
        ];
        assert_eq!(backends_max(&database, FAULT, is_active), Some(5));
        assert_eq!(backends_max(&database, FAULT, |_| true), Some(20));
        assert_eq!(backends_max(&[], FAULT, is_active), None);
    }

    // Within 5,010 to 9,100 ms the largest readings are 300 bytes and 70 µs, at different times.
    #[test]
    fn a_replica_is_behind_by_the_most_that_was_read_in_the_window() {
        let line = |at_ms, lag: Option<(u64, Option<u64>)>| DatabaseLine {
            at_ms,
            backends: vec![],
            replication_lag: lag.map(|(bytes, replay_us)| ReplicationLag { bytes, replay_us }),
        };
        let database = [
            line(5_000.0, Some((9_000, Some(9_000)))),
            line(6_000.0, Some((300, None))),
            line(7_000.0, None),
            line(8_000.0, Some((0, Some(70)))),
        ];
        assert_eq!(replication_lag_max(&database, FAULT, |it| Some(it.bytes)), Some(300));
        assert_eq!(replication_lag_max(&database, FAULT, |it| it.replay_us), Some(70));
        assert_eq!(replication_lag_max(&database[2..3], FAULT, |it| Some(it.bytes)), None);
    }

    #[test]
    fn waits_for_a_connection_are_counted_in_their_phase() {
        let waits = TargetSample {
            acquire_waits_us: vec![(100, 98), (5_000, 2)],
            ..TargetSample::default()
        };
        let mut histograms = PhaseHistograms::default();
        record_acquire_waits(&mut histograms, &[line(6_000.0, waits)], &smoke_windows());
        let p99 = histograms.quantile(Phase::Fault, Distribution::PoolAcquireWait, 0.99).unwrap();
        assert!((5_000..5_004).contains(&p99), "{p99}");
    }

    #[test]
    fn cpu_is_read_by_component_and_missing_where_it_was_not() {
        let cpu = |at_ms, postgres| CpuLine {
            at_ms,
            storefront_cpu_s: None,
            postgres_cpu_s: Some(postgres),
            redis_cpu_s: None,
            load_cpu_s: None,
        };
        let used = cpu_seconds(&[cpu(5_010.0, 1.0), cpu(9_100.0, 5.0)], FAULT);
        assert!((used.postgres.unwrap() - 4.0).abs() < 1e-9);
        assert_eq!(used.storefront, None);
    }
}
