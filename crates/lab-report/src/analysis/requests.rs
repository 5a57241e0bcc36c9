//! Requests of a trial, counted by phase, outcome, source and route.

use std::{collections::BTreeMap, time::Duration};

use lab_core::{
    artifact::verdict::{PerPhase, PhaseCounts},
    outcome::Outcome,
    route::Route,
    sample::RequestSample,
    scenario::Phase,
};

use super::{
    histograms::{Distribution, PhaseHistograms},
    pages::{ns_to_us, response_time_us},
    statistics::fraction,
    windows::{Windows, ns_to_ms},
};

/// Counts the requests of every phase. What the service and PostgreSQL said is still missing.
///
/// # Panics
/// When the outcomes of a phase do not sum to its scheduled requests: a wrong number would be worse.
pub fn count_requests(samples: &[RequestSample], windows: &Windows) -> PerPhase<PhaseCounts> {
    let mut phases = PerPhase::from_fn(|phase| PhaseCounts {
        duration_s: windows.phases.get(phase).map_or(0.0, |it| it.length_s()),
        outcomes: BTreeMap::from(Outcome::ALL.map(|it| (it, 0))),
        ..PhaseCounts::default()
    });
    let mut at =
        |ns: u64, add: &mut dyn FnMut(&mut PhaseCounts)| match windows.phase_at(ns_to_ms(ns)) {
            Some(Phase::Baseline) => add(&mut phases.baseline),
            Some(Phase::Fault) => add(&mut phases.fault),
            Some(Phase::Recovery) => add(&mut phases.recovery),
            Some(Phase::Warmup | Phase::Drain) | None => {}
        };
    for sample in samples {
        at(sample.intended_at_ns, &mut |counts| count_due(counts, sample));
        if sample.outcome != Outcome::Unsent {
            at(sample.sent_at_ns, &mut |counts| counts.n_sent += 1);
        }
        if sample.status != 0 {
            at(sample.completed_at_ns, &mut |counts| counts.n_answered += 1);
        }
    }
    for (phase, counts) in phases.iter() {
        let sum: u64 = counts.outcomes.values().sum();
        assert_eq!(sum, counts.n_scheduled, "every request due in {phase} has exactly one outcome");
    }
    phases
}

fn count_due(counts: &mut PhaseCounts, sample: &RequestSample) {
    counts.n_scheduled += 1;
    *counts.outcomes.entry(sample.outcome).or_default() += 1;
    if let Some(served_by) = sample.served_by {
        *counts.served_by.entry(served_by).or_default() += 1;
    }
    let route = counts.routes.entry(sample.route).or_default();
    route.n_scheduled += 1;
    route.n_success += u64::from(sample.outcome == Outcome::Success);
    route.n_served += u64::from(sample.outcome.is_served());
}

/// Puts the times of every request into the histograms of the phase in which it was due.
pub fn record_times(
    histograms: &mut PhaseHistograms,
    samples: &[RequestSample],
    windows: &Windows,
    deadline: Duration,
) {
    for sample in samples {
        let Some(phase) = windows.phase_at(ns_to_ms(sample.intended_at_ns)) else { continue };
        let response_time = response_time_us(sample, deadline);
        histograms.record(phase, Distribution::ResponseTime(sample.route), response_time, 1);
        histograms.record(phase, Distribution::SendLag, ns_to_us(sample.send_lag_ns()), 1);
        if sample.route == Route::Product && sample.outcome != Outcome::Unsent {
            let service_time = ns_to_us(sample.service_time_ns());
            histograms.record(phase, Distribution::ServiceTime, service_time, 1);
        }
    }
}

/// Success and degraded over scheduled, all routes. `None` when none was due.
pub fn served_ratio(counts: &PhaseCounts) -> Option<f64> {
    fraction(n_served(counts), counts.n_scheduled)
}

/// Requests due that ended in success or degraded.
pub fn n_served(counts: &PhaseCounts) -> u64 {
    counts.outcomes.iter().filter(|(it, _)| it.is_served()).map(|(_, n)| n).sum()
}

/// Requests due from the fault's origin to the last arrival that were neither success nor degraded;
/// the drain is when the last of them end.
pub fn lost_requests(samples: &[RequestSample], windows: &Windows) -> u64 {
    samples
        .iter()
        .filter(|it| windows.from_fault.contains(ns_to_ms(it.intended_at_ns)))
        .filter(|it| !it.outcome.is_served())
        .count() as u64
}

#[cfg(test)]
mod tests {
    use lab_core::outcome::ServedBy;
    use proptest::prelude::*;

    use super::*;
    use crate::analysis::testing::{request, smoke_windows};

    const DEADLINE: Duration = Duration::from_secs(1);

    /// Due at 4,990 ms in the baseline, sent and answered at 5,020 ms in the fault window.
    fn straddling() -> RequestSample {
        RequestSample {
            sent_at_ns: 5_020_000_000,
            completed_at_ns: 5_020_000_000,
            ..request(Route::Product, 4_990, Outcome::Success)
        }
    }

    #[test]
    fn a_request_belongs_to_the_phase_in_which_it_was_due() {
        let phases = count_requests(&[straddling()], &smoke_windows());
        assert_eq!(phases.baseline.n_scheduled, 1);
        assert_eq!(phases.baseline.outcomes[&Outcome::Success], 1);
        assert_eq!((phases.baseline.n_sent, phases.fault.n_sent), (0, 1));
        assert_eq!((phases.baseline.n_answered, phases.fault.n_answered), (0, 1));
        assert_eq!(phases.fault.n_scheduled, 0);
    }

    // Six due in the fault window: 3 success, 1 degraded, 1 shed, 1 timed out without a response.
    #[test]
    fn outcomes_sources_and_routes_are_counted_and_conserved() {
        let mut samples = vec![
            request(Route::Product, 6_000, Outcome::Success),
            request(Route::Product, 6_001, Outcome::Success),
            request(Route::Orders, 6_002, Outcome::Success),
            request(Route::Product, 6_003, Outcome::Degraded),
            request(Route::Product, 6_004, Outcome::Shed),
            request(Route::Product, 6_005, Outcome::TimedOut),
        ];
        samples[0].served_by = Some(ServedBy::Database);
        let fault = count_requests(&samples, &smoke_windows()).fault;
        assert_eq!(fault.n_scheduled, 6);
        assert_eq!(fault.outcomes[&Outcome::Success], 3);
        assert_eq!(fault.outcomes[&Outcome::Unsent], 0, "every outcome has its column");
        assert_eq!(fault.served_by[&ServedBy::Database], 1);
        let product = fault.routes[&Route::Product];
        assert_eq!((product.n_scheduled, product.n_success, product.n_served), (5, 2, 3));
        assert_eq!(fault.n_answered, 5, "a request without a response is not throughput");
        assert!((served_ratio(&fault).unwrap() - 4.0 / 6.0).abs() < 1e-12);
    }

    /// Any request of the 13 s of arrivals and some beyond, answered or not.
    fn any_request() -> impl Strategy<Value = RequestSample> {
        let route = (0..Route::ALL.len()).prop_map(|k| Route::ALL[k]);
        let outcome = (0..Outcome::ALL.len()).prop_map(|k| Outcome::ALL[k]);
        (route, outcome, 0..15_000_u64, 0..2_000_u64).prop_map(
            |(route, outcome, due_ms, took_ms)| {
                let request = request(route, due_ms, outcome);
                RequestSample {
                    completed_at_ns: request.sent_at_ns + took_ms * 1_000_000,
                    ..request
                }
            },
        )
    }

    proptest! {
        // Counted apart from the code under test, straight from the phases of `smoke_windows`.
        #[test]
        fn every_request_of_a_phase_is_counted_once_in_every_table(
            samples in prop::collection::vec(any_request(), 0..300)
        ) {
            let windows = smoke_windows();
            let phases = count_requests(&samples, &windows);
            let mut histograms = PhaseHistograms::default();
            record_times(&mut histograms, &samples, &windows, DEADLINE);
            let bounds = [(2_000, 5_000), (5_010, 9_100), (9_100, 13_000)];
            for ((phase, counts), (start_ms, end_ms)) in phases.iter().zip(bounds) {
                let is_due = |it: &&RequestSample| {
                    (start_ms..end_ms).contains(&(it.intended_at_ns / 1_000_000))
                };
                let n = samples.iter().filter(is_due).count() as u64;
                let n_served = samples.iter().filter(is_due).filter(|it| it.outcome.is_served());
                prop_assert_eq!(counts.n_scheduled, n);
                prop_assert_eq!(counts.outcomes.values().sum::<u64>(), n);
                let routes = counts.routes.values();
                prop_assert_eq!(routes.clone().map(|it| it.n_scheduled).sum::<u64>(), n);
                prop_assert_eq!(routes.map(|it| it.n_served).sum::<u64>(), n_served.count() as u64);
                let timed = Route::ALL
                    .iter()
                    .filter_map(|it| histograms.get(phase, Distribution::ResponseTime(*it)));
                prop_assert_eq!(timed.map(|it| it.len()).sum::<u64>(), n);
                let lags = histograms.get(phase, Distribution::SendLag);
                prop_assert_eq!(lags.map_or(0, |it| it.len()), n);
            }
        }
    }

    // Lost: the two failures after the fault's origin at 5,010 ms, in fault and in recovery.
    #[test]
    fn requests_lost_before_the_fault_are_not_lost_to_it() {
        let samples = [
            request(Route::Product, 4_000, Outcome::TimedOut),
            request(Route::Product, 5_010, Outcome::TimedOut),
            request(Route::Home, 12_999, Outcome::Shed),
            request(Route::Home, 12_999, Outcome::Degraded),
        ];
        assert_eq!(lost_requests(&samples, &smoke_windows()), 2);
    }

    #[test]
    fn times_go_to_the_histogram_of_their_phase_and_route() {
        let mut histograms = PhaseHistograms::default();
        let unsent = RequestSample { status: 0, ..request(Route::Home, 6_000, Outcome::Unsent) };
        record_times(&mut histograms, &[straddling(), unsent], &smoke_windows(), DEADLINE);
        let value = |phase, distribution| histograms.quantile(phase, distribution, 1.0);
        let product = Distribution::ResponseTime(Route::Product);
        assert_eq!(value(Phase::Baseline, product), Some(30_015), "30 ms, to three digits");
        assert_eq!(value(Phase::Fault, product), None);
        assert_eq!(value(Phase::Baseline, Distribution::ServiceTime), Some(0));
        let home = value(Phase::Fault, Distribution::ResponseTime(Route::Home)).unwrap();
        assert!((1_000_000..1_001_000).contains(&home), "an unsent request took the deadline");
        assert_eq!(value(Phase::Fault, Distribution::ServiceTime), None);
    }
}
