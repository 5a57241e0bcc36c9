//! One phase over several trials: counts are added, maxima compared, histograms merged.

use std::collections::BTreeMap;

use lab_core::{
    artifact::{
        summary::{CacheSummary, CpuSummary, DbSummary, PhaseSummary, RouteSummary},
        timeline::CpuColumn,
        verdict::{PhaseCounts, RouteCounts},
    },
    outcome::Outcome,
    route::Route,
    scenario::Phase,
};

use super::{
    histograms::{Distribution, PhaseHistograms},
    requests::served_ratio,
    statistics::{float, fraction, ratio},
};

/// Adds the counts of several trials. A sampled figure that one trial lacks is lacking in the sum.
pub fn merge_counts<'a>(trials: impl IntoIterator<Item = &'a PhaseCounts>) -> PhaseCounts {
    trials.into_iter().cloned().reduce(add).unwrap_or_default()
}

fn add(mut sum: PhaseCounts, more: PhaseCounts) -> PhaseCounts {
    add_each(&mut sum.outcomes, more.outcomes, |a, b| a + b);
    add_each(&mut sum.served_by, more.served_by, |a, b| a + b);
    add_each(&mut sum.routes, more.routes, |a, b| RouteCounts {
        n_scheduled: a.n_scheduled + b.n_scheduled,
        n_success: a.n_success + b.n_success,
        n_served: a.n_served + b.n_served,
    });
    let both = |a: Option<f64>, b: Option<f64>| a.zip(b).map(|(a, b)| a + b);
    PhaseCounts {
        duration_s: sum.duration_s + more.duration_s,
        n_scheduled: sum.n_scheduled + more.n_scheduled,
        n_sent: sum.n_sent + more.n_sent,
        n_answered: sum.n_answered + more.n_answered,
        n_queries: both(sum.n_queries, more.n_queries),
        backends_active_max: sum.backends_active_max.max(more.backends_active_max),
        backends_total_max: sum.backends_total_max.max(more.backends_total_max),
        pool_in_use_max: sum.pool_in_use_max.max(more.pool_in_use_max),
        pool_pending_max: sum.pool_pending_max.max(more.pool_pending_max),
        n_pool_timeouts: both(sum.n_pool_timeouts, more.n_pool_timeouts),
        n_connections_refused: both(sum.n_connections_refused, more.n_connections_refused),
        replication_lag_bytes_max: sum
            .replication_lag_bytes_max
            .max(more.replication_lag_bytes_max),
        replication_lag_us_max: sum.replication_lag_us_max.max(more.replication_lag_us_max),
        n_cache_hits: both(sum.n_cache_hits, more.n_cache_hits),
        n_cache_misses: both(sum.n_cache_misses, more.n_cache_misses),
        cpu_s: CpuColumn {
            storefront: both(sum.cpu_s.storefront, more.cpu_s.storefront),
            postgres: both(sum.cpu_s.postgres, more.cpu_s.postgres),
            redis: both(sum.cpu_s.redis, more.cpu_s.redis),
            load: both(sum.cpu_s.load, more.cpu_s.load),
        },
        ..sum
    }
}

fn add_each<K: Ord, V: Default + Copy>(
    sum: &mut BTreeMap<K, V>,
    more: BTreeMap<K, V>,
    add: impl Fn(V, V) -> V,
) {
    for (key, value) in more {
        let entry = sum.entry(key).or_default();
        *entry = add(*entry, value);
    }
}

/// The figures of one phase from its counts and histograms over all valid trials.
pub fn phase_summary(
    counts: &PhaseCounts,
    histograms: &PhaseHistograms,
    phase: Phase,
) -> PhaseSummary {
    let per_sec = |n: u64| ratio(float(n), counts.duration_s);
    let product = Distribution::ResponseTime(Route::Product);
    PhaseSummary {
        offered_per_sec: per_sec(counts.n_scheduled),
        achieved_per_sec: per_sec(counts.n_sent),
        throughput_per_sec: per_sec(counts.n_answered),
        goodput_per_sec: counts.outcomes.get(&Outcome::Success).and_then(|it| per_sec(*it)),
        served_ratio: served_ratio(counts),
        outcomes: BTreeMap::from(
            Outcome::ALL.map(|it| (it, counts.outcomes.get(&it).copied().unwrap_or(0))),
        ),
        served_by: counts.served_by.clone(),
        routes: counts
            .routes
            .iter()
            .map(|(route, it)| {
                let summary = RouteSummary {
                    goodput_per_sec: per_sec(it.n_success),
                    served_ratio: fraction(it.n_served, it.n_scheduled),
                    response_time_us: histograms
                        .quantiles(phase, Distribution::ResponseTime(*route)),
                };
                (*route, summary)
            })
            .collect(),
        response_time_us: histograms.quantiles(phase, product),
        service_time_us: histograms.quantiles(phase, Distribution::ServiceTime),
        send_lag_us: histograms.lag_quantiles(phase),
        db: db_summary(counts, histograms, phase),
        cache: CacheSummary { hit_ratio: hit_ratio(counts) },
        cpu: cpu_summary(counts),
    }
}

fn db_summary(counts: &PhaseCounts, histograms: &PhaseHistograms, phase: Phase) -> DbSummary {
    DbSummary {
        queries_per_sec: counts.n_queries.and_then(|it| ratio(it, counts.duration_s)),
        queries_per_request: counts.n_queries.and_then(|it| ratio(it, float(counts.n_scheduled))),
        backends_active_max: counts.backends_active_max,
        backends_total_max: counts.backends_total_max,
        pool_in_use_max: counts.pool_in_use_max,
        pool_pending_max: counts.pool_pending_max,
        pool_acquire_wait_us_p99: histograms.quantile(phase, Distribution::PoolAcquireWait, 0.99),
        pool_timeouts: counts.n_pool_timeouts.map(whole),
        connections_refused: counts.n_connections_refused.map(whole),
        replication_lag_bytes_max: counts.replication_lag_bytes_max,
        replication_lag_us_max: counts.replication_lag_us_max,
    }
}

/// Reads answered by Redis over reads that reached it.
fn hit_ratio(counts: &PhaseCounts) -> Option<f64> {
    let (hits, misses) = counts.n_cache_hits.zip(counts.n_cache_misses)?;
    ratio(hits, hits + misses)
}

fn cpu_summary(counts: &PhaseCounts) -> CpuSummary {
    let cores = |seconds: Option<f64>| seconds.and_then(|it| ratio(it, counts.duration_s));
    CpuSummary {
        storefront_cores: cores(counts.cpu_s.storefront),
        postgres_cores: cores(counts.cpu_s.postgres),
        redis_cores: cores(counts.cpu_s.redis),
        load_cores: cores(counts.cpu_s.load),
    }
}

/// A count that was divided between the phases at their border, as a whole number again.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a rounded count")]
fn whole(count: f64) -> u64 {
    count.max(0.0).round() as u64
}

#[cfg(test)]
mod tests {
    use lab_core::outcome::ServedBy;

    use super::*;

    fn counts(n_success: u64, n_timed_out: u64, n_queries: Option<f64>) -> PhaseCounts {
        let n = n_success + n_timed_out;
        PhaseCounts {
            duration_s: 10.0,
            n_scheduled: n,
            n_sent: n,
            n_answered: n_success,
            outcomes: BTreeMap::from([
                (Outcome::Success, n_success),
                (Outcome::TimedOut, n_timed_out),
            ]),
            served_by: BTreeMap::from([(ServedBy::Redis, n_success)]),
            routes: BTreeMap::from([(
                Route::Product,
                RouteCounts { n_scheduled: n, n_success, n_served: n_success },
            )]),
            n_queries,
            n_connections_refused: n_queries.map(|it| it / 100.0),
            pool_in_use_max: Some(u32::try_from(n_timed_out).unwrap()),
            replication_lag_bytes_max: Some(n_timed_out),
            n_cache_hits: Some(90.0),
            n_cache_misses: Some(10.0),
            cpu_s: CpuColumn { postgres: Some(5.0), ..CpuColumn::default() },
            ..PhaseCounts::default()
        }
    }

    // Two trials of 10 s: 90 of 100 and 60 of 100 are good. 150 in 20 s are 7.5 a second, 150 of
    // 200 are 0.75; 1,000 + 2,000 queries are 150 a second and 15 a request.
    #[test]
    fn counts_are_added_and_divided_once() {
        let merged = merge_counts([&counts(90, 10, Some(1_000.0)), &counts(60, 40, Some(2_000.0))]);
        let phase = phase_summary(&merged, &PhaseHistograms::default(), Phase::Fault);
        assert_eq!(phase.offered_per_sec, Some(10.0));
        assert_eq!(phase.throughput_per_sec, Some(7.5));
        assert_eq!(phase.goodput_per_sec, Some(7.5));
        assert_eq!(phase.served_ratio, Some(0.75));
        assert_eq!(phase.outcomes[&Outcome::TimedOut], 50);
        assert_eq!(phase.outcomes[&Outcome::Unsent], 0, "every outcome is there");
        assert_eq!(phase.served_by[&ServedBy::Redis], 150);
        assert_eq!(phase.routes[&Route::Product].served_ratio, Some(0.75));
        assert_eq!(phase.db.queries_per_sec, Some(150.0));
        assert_eq!(phase.db.queries_per_request, Some(15.0));
        assert_eq!(phase.db.pool_in_use_max, Some(40));
        assert_eq!(phase.db.connections_refused, Some(30));
        assert_eq!(phase.db.replication_lag_bytes_max, Some(40));
        assert_eq!(phase.db.replication_lag_us_max, None);
        assert_eq!(phase.cache.hit_ratio, Some(0.9));
        assert_eq!(phase.cpu.postgres_cores, Some(0.5));
        assert_eq!(phase.cpu.redis_cores, None);
    }

    #[test]
    fn a_figure_that_one_trial_lacks_is_lacking() {
        let merged = merge_counts([&counts(90, 10, Some(1_000.0)), &counts(60, 40, None)]);
        assert_eq!((merged.n_queries, merged.n_connections_refused), (None, None));
        assert_eq!(merge_counts([]), PhaseCounts::default());
    }

    #[test]
    fn reads_that_never_reached_redis_have_no_hit_ratio() {
        let unreached = PhaseCounts {
            n_cache_hits: Some(0.0),
            n_cache_misses: Some(0.0),
            ..PhaseCounts::default()
        };
        assert_eq!(hit_ratio(&unreached), None);
    }
}
