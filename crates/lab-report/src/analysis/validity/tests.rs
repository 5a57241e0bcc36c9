//! The negative control of every check: the defect it is there to find, beside the case it passes.

use std::collections::BTreeMap;

use lab_core::{artifact::raw::StallLine, outcome::Outcome::Success, route::Route};

use super::*;
use crate::analysis::testing::{event, final_counts, page, request, smoke_windows};

const BASELINE: Window = Window { start_ms: 2_000.0, end_ms: 5_000.0 };
const PRODUCT: Distribution = Distribution::ResponseTime(Route::Product);

#[test]
fn a_fault_that_was_not_injected_or_not_seen_in_time_is_found() {
    let injected = event(5_000.0, kind::FAULT_INJECTED);
    let confirmed = |at_ms| [injected.clone(), event(at_ms, kind::FAULT_CONFIRMED)];
    assert_eq!(fault_confirmed(&confirmed(5_250.0)), None);
    assert_eq!(
        fault_confirmed(&confirmed(5_251.0)),
        Some(InvalidReason::FaultNotConfirmed { after_ms: Some(251.0), allowed_ms: 250.0 })
    );
    let never = [injected.clone(), event(5_250.0, kind::FAULT_NOT_CONFIRMED)];
    assert_eq!(
        fault_confirmed(&never),
        Some(InvalidReason::FaultNotConfirmed { after_ms: None, allowed_ms: 250.0 })
    );
    assert_eq!(fault_confirmed(&[]), Some(InvalidReason::FaultNotInjected {}));
}

#[test]
fn a_dependency_that_stays_away_is_found() {
    let arrivals = Window { start_ms: 5_000.0, end_ms: 13_000.0 };
    assert_eq!(dependency_ready(&[event(9_000.0, kind::DEPENDENCY_READY)], arrivals), None);
    for events in [vec![], vec![event(13_000.0, kind::DEPENDENCY_READY)]] {
        assert_eq!(dependency_ready(&events, arrivals), Some(InvalidReason::DependencyNotReady {}));
    }
}

#[test]
fn a_request_that_was_never_sent_is_found() {
    let sent = request(Route::Product, 10, Success);
    assert_eq!(nothing_unsent(&[sent]), None);
    let unsent = request(Route::Product, 10, Outcome::Unsent);
    assert_eq!(nothing_unsent(&[sent, unsent]), Some(InvalidReason::Unsent { n: 1 }));
}

/// One request a millisecond, each served in 2 ms; the generator does nothing from 500 to 520 ms
/// and then sends what is due.
fn stalled_generator() -> Vec<RequestSample> {
    (0..1_000)
        .map(|due_ms| {
            let sent_ms = if (500..520).contains(&due_ms) { 520 } else { due_ms };
            RequestSample {
                sent_at_ns: sent_ms * 1_000_000,
                completed_at_ns: (sent_ms + 2) * 1_000_000,
                ..request(Route::Product, due_ms, Success)
            }
        })
        .collect()
}

// Due at 500 to 509 ms and sent at 520: ten requests more than 10 ms late, the worst 20 ms.
#[test]
fn a_generator_that_stalls_for_20_ms_is_found() {
    assert_eq!(
        sent_in_time(&stalled_generator(), 1_500, ALL, &never()),
        Some(InvalidReason::SentLate { n: 10, worst_ms: 20.0, allowed_ms: 10.0 })
    );
}

// The same stall, once before the figures begin and once half of it after: due at 505 to 509.
#[test]
fn a_stall_in_the_warmup_is_in_no_figure() {
    let from = |start_ms| Window { start_ms, end_ms: 1_000.0 };
    assert_eq!(sent_in_time(&stalled_generator(), 1_500, from(520.0), &never()), None);
    assert_eq!(
        sent_in_time(&stalled_generator(), 1_500, from(505.0), &never()),
        Some(InvalidReason::SentLate { n: 5, worst_ms: 15.0, allowed_ms: 10.0 })
    );
}

const ALL: Window = Window { start_ms: 0.0, end_ms: 1_000.0 };

/// A machine that never stood still.
fn never() -> Stalls {
    Stalls::default()
}

fn stood_still(at_ms: f64, for_ms: f64) -> Stalls {
    Stalls::new(&[StallLine { at_ms, for_ms, cpu: Some(0) }], ALL)
}

// Of the 20 ms, 11 are the machine's: 9 ms are left at most. With 9 of the machine's, those due at
// 500 are 11 ms late by the generator's doing, and nobody else: due at 501, sent at 520, 9 off is 10.
#[test]
fn the_generator_is_not_blamed_for_the_time_in_which_the_machine_stood_still() {
    let late = |stalls: &Stalls| sent_in_time(&stalled_generator(), 1_500, ALL, stalls);
    assert_eq!(late(&stood_still(509.0, 11.0)), None);
    assert_eq!(
        late(&stood_still(511.0, 9.0)),
        Some(InvalidReason::SentLate { n: 1, worst_ms: 11.0, allowed_ms: 10.0 })
    );
    let elsewhere = Some(InvalidReason::SentLate { n: 10, worst_ms: 20.0, allowed_ms: 10.0 });
    assert_eq!(late(&stood_still(480.0, 20.0)), elsewhere, "before it");
    assert_eq!(late(&stood_still(520.0, 20.0)), elsewhere, "after it");
}

#[test]
fn a_machine_that_stands_still_for_long_is_found() {
    assert_eq!(machine_ran(&stood_still(500.0, 100.0)), None);
    assert_eq!(
        machine_ran(&stood_still(500.0, 101.0)),
        Some(InvalidReason::MachineStalled { longest_ms: 101.0, allowed_ms: 100.0 })
    );
}

#[test]
fn a_request_that_waited_for_a_busy_user_is_not_the_generators_fault() {
    // Two users, both busy until 100 ms; the third request is due at 10 ms.
    let sample = |due_ms: u64, sent_ms: u64| RequestSample {
        sent_at_ns: sent_ms * 1_000_000,
        completed_at_ns: (sent_ms + 100) * 1_000_000,
        ..request(Route::Product, due_ms, Success)
    };
    let samples = [sample(0, 0), sample(0, 0), sample(10, 100)];
    assert_eq!(sent_in_time(&samples, 2, ALL, &never()), None);
    assert!(sent_in_time(&samples, 4, ALL, &never()).is_some(), "with four users one was free");
}

#[test]
fn a_phase_without_product_pages_is_found() {
    let mut histograms = PhaseHistograms::default();
    histograms.record(Phase::Baseline, PRODUCT, 1_000, 1);
    histograms.record(Phase::Recovery, PRODUCT, 1_000, 1);
    assert_eq!(phases_not_empty(&histograms), [InvalidReason::EmptyPhase { phase: Phase::Fault }]);
}

#[test]
fn a_baseline_that_fails_is_found() {
    let counts = |n_success| PhaseCounts {
        n_scheduled: 1_000,
        outcomes: BTreeMap::from([(Success, n_success), (Outcome::Degraded, 1_000 - n_success)]),
        ..PhaseCounts::default()
    };
    assert_eq!(baseline_succeeds(&counts(999)), None);
    assert_eq!(
        baseline_succeeds(&counts(998)),
        Some(InvalidReason::BaselineFailing { got: 0.998, allowed: 0.999 })
    );
}

/// 1,000 pages in each half of the baseline, of which 20 are as slow as said, in microseconds.
fn halves(first_us: u64, second_us: u64, n_half: u32) -> Vec<Page> {
    (0..2 * n_half)
        .map(|k| {
            let slow = if k < n_half { first_us } else { second_us };
            Page {
                response_time_us: if k % 50 == 0 { slow } else { 500 },
                ..page(2_000.0 + 1_500.0 * f64::from(k) / f64::from(n_half), true)
            }
        })
        .collect()
}

#[test]
fn a_baseline_that_drifts_is_found_in_either_direction() {
    assert_eq!(baseline_is_steady(&halves(2_000, 3_000, 1_000), BASELINE), None);
    for (first_half_us, second_half_us) in [(2_000, 3_001), (3_001, 2_000)] {
        assert_eq!(
            baseline_is_steady(&halves(first_half_us, second_half_us, 1_000), BASELINE),
            Some(InvalidReason::BaselineDrifting { first_half_us, second_half_us, allowed: 1.5 })
        );
    }
    let few = halves(2_000, 9_000, 100);
    assert_eq!(baseline_is_steady(&few, BASELINE), None, "of 100 pages the p99 has no upper bound");
}

// Of 1,000 pages the p99 is that of rank 990, give or take 5. With 6 slow pages in one half and 14 in
// the other the p99 differ tenfold, and nothing has drifted; with 4 and 20 it has.
#[test]
fn halves_that_differ_by_the_noise_of_their_slowest_pages_do_not_drift() {
    let slow = |n_first: u32, n_second: u32| -> Vec<Page> {
        (0..2_000)
            .map(|k| {
                let (place, n_slow) = if k < 1_000 { (k, n_first) } else { (k - 1_000, n_second) };
                let response_time_us = if place < n_slow { 5_000 } else { 500 };
                Page { response_time_us, ..page(2_000.0 + 1.5 * f64::from(k), true) }
            })
            .collect()
    };
    assert_eq!(response_time_quantile(&slow(6, 14)[..1_000], 0.99), Some(500));
    assert_eq!(response_time_quantile(&slow(6, 14)[1_000..], 0.99), Some(5_000));
    assert_eq!(baseline_is_steady(&slow(6, 14), BASELINE), None);
    assert!(baseline_is_steady(&slow(4, 20), BASELINE).is_some());
}

/// 100 cached reads in the baseline of which `n_hits` were answered by `cache`, and a read of
/// another phase and a request of another route that must not count.
fn reads(n_hits: u64, cache: ServedBy) -> Vec<RequestSample> {
    let served = |due_ms, route, served_by| RequestSample {
        served_by: Some(served_by),
        ..request(route, due_ms, Success)
    };
    let database = ServedBy::Database;
    (0..100)
        .map(|k| served(2_000 + k, Route::Product, if k < n_hits { cache } else { database }))
        .chain([served(100, Route::Product, database), served(2_500, Route::Orders, database)])
        .collect()
}

#[test]
fn a_cache_that_is_emptier_or_fuller_than_stated_is_found() {
    let check = |n_hits, local_cache| {
        hit_ratio_as_stated(&reads(n_hits, ServedBy::Redis), BASELINE, 0.95, local_cache)
    };
    let off = |got| InvalidReason::HitRatioOff { got, stated: 0.95, tolerance: 0.02 };
    assert_eq!(check(94, LocalCache::Absent), None);
    assert_eq!(check(92, LocalCache::Absent), Some(off(0.92)));
    assert_eq!(check(98, LocalCache::Absent), Some(off(0.98)));
    assert_eq!(check(98, LocalCache::Present), None, "a local cache may answer more");
    assert_eq!(check(92, LocalCache::Present), Some(off(0.92)));
    let local = reads(95, ServedBy::Local);
    assert_eq!(hit_ratio_as_stated(&local, BASELINE, 0.95, LocalCache::Present), None);
}

#[test]
fn a_generator_that_is_always_late_is_found_in_its_phase() {
    let lag = |lag_us: u64, p99_us, stalls: &Stalls| {
        let samples: Vec<_> = (0..100)
            .map(|k| request(Route::Product, 6_000 + k * 10, Success))
            .map(|it| RequestSample { sent_at_ns: it.sent_at_ns + lag_us * 1_000, ..it })
            .collect();
        let mut histograms = PhaseHistograms::default();
        histograms.record(Phase::Fault, PRODUCT, p99_us, 100);
        send_lag_small(&samples, &smoke_windows(), &histograms, stalls)
    };
    assert_eq!(lag(1_000, 900, &never()), []);
    let late = |got_us| InvalidReason::SendLag { phase: Phase::Fault, got_us, allowed_us: 1_000 };
    assert_eq!(lag(1_500, 1_600, &never()), [late(1_500)]);
    assert_eq!(lag(1_500, 8_000, &never()), [], "a quarter of 8 ms is 2 ms");
    // Two of the hundred were late because the machine stood still: the p99 is of one that was not.
    let line = |at_ms, for_ms| StallLine { at_ms, for_ms, cpu: None };
    let two = Stalls::new(&[line(6_000.0, 1.0), line(6_010.0, 1.0)], smoke_windows().figured());
    assert_eq!(lag(1_500, 1_600, &two), [late(1_500)]);
    let all = Stalls::new(&[line(5_990.0, 2_000.0)], smoke_windows().figured());
    assert_eq!(lag(1_500, 1_600, &all), []);
}

#[test]
fn queries_left_uncounted_are_found() {
    let counts = |service, postgres| FinalCounts {
        service_queries: service,
        postgres_queries: postgres,
        ..final_counts(1)
    };
    assert_eq!(queries_reconciled(&counts(Some(990), Some(1_000))), None);
    assert_eq!(
        queries_reconciled(&counts(Some(989), Some(1_000))),
        Some(InvalidReason::QueriesNotReconciled {
            service: 989,
            postgres: 1_000,
            tolerance: 0.01
        })
    );
    assert!(queries_reconciled(&counts(Some(1_000), Some(989))).is_some());
    assert_eq!(
        queries_reconciled(&counts(None, Some(1_000))),
        Some(InvalidReason::QueriesNotCounted {})
    );
    assert_eq!(queries_reconciled(&counts(Some(0), Some(0))), None);
}

#[test]
fn a_request_without_outcome_with_two_or_from_nowhere_is_found() {
    let samples = |arrivals: &[u32]| -> Vec<RequestSample> {
        arrivals
            .iter()
            .map(|arrival| RequestSample {
                arrival: *arrival,
                ..request(Route::Product, 1, Success)
            })
            .collect()
    };
    let reason = |missing, repeated, foreign| {
        Some(InvalidReason::OutcomesNotOneEach { scheduled: 3, missing, repeated, foreign })
    };
    assert_eq!(one_outcome_each(&samples(&[2, 0, 1]), 3), None);
    assert_eq!(one_outcome_each(&samples(&[0, 2]), 3), reason(1, 0, 0));
    assert_eq!(one_outcome_each(&samples(&[0, 1, 1, 2]), 3), reason(0, 1, 0));
    assert_eq!(one_outcome_each(&samples(&[0, 1, 2, 3]), 3), reason(0, 0, 1));
    assert_eq!(one_outcome_each(&samples(&[0, 0, 9]), 3), reason(2, 1, 1));
}

#[test]
fn a_process_that_died_is_named_once() {
    let mut death = event(6_000.0, kind::UNEXPECTED_DEATH);
    death.detail.insert("who".into(), "storefront".into());
    let counts = FinalCounts { unexpected_deaths: vec!["storefront".into()], ..final_counts(1) };
    assert_eq!(
        nobody_died(&counts, &[death]),
        [InvalidReason::UnexpectedDeath { process: "storefront".into() }]
    );
    assert_eq!(nobody_died(&final_counts(1), &[]), []);
}

#[test]
fn an_acknowledged_order_that_is_gone_is_found() {
    assert_eq!(no_order_lost(&final_counts(1)), None);
    let lost = FinalCounts { orders_lost: 2, ..final_counts(1) };
    assert_eq!(no_order_lost(&lost), Some(InvalidReason::OrdersLost { n: 2 }));
}
