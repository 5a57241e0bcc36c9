//! How many more queries each request costs while the cache is away.

use lab_core::{
    artifact::{
        raw::ServiceLine,
        verdict::{DbAmplification, Window},
    },
    sample::RequestSample,
};

use super::{
    recovery::sliding_windows,
    service::queries_in,
    statistics::{float, ratio},
    windows::{Windows, ns_to_ms},
};

/// Bins of the window of which the peak is taken: 1 s.
const PEAK_BINS: usize = 10;
/// Least baseline mean: a service that hardly asks its database in normal days would otherwise
/// look infinitely amplified.
const BASELINE_MIN: f64 = 0.1;

/// Peak one-second value of queries for each scheduled request in the fault window, over the mean
/// of the baseline, the latter at least 0.1. `samples` are in order of their intended time.
pub fn db_amplification(
    service: &[ServiceLine],
    samples: &[RequestSample],
    windows: &Windows,
) -> DbAmplification {
    let per_request = |window| queries_per_request(service, samples, window);
    let baseline = per_request(windows.phases.baseline);
    let peak = sliding_windows(windows.phases.fault, PEAK_BINS)
        .filter_map(per_request)
        .max_by(f64::total_cmp);
    DbAmplification {
        ratio: peak.zip(baseline).map(|(peak, baseline)| peak / baseline.max(BASELINE_MIN)),
        queries_per_request_fault_peak: peak,
        queries_per_request_baseline: baseline,
    }
}

fn queries_per_request(
    service: &[ServiceLine],
    samples: &[RequestSample],
    window: Window,
) -> Option<f64> {
    let before = |ms: f64| samples.partition_point(|it| ns_to_ms(it.intended_at_ns) < ms) as u64;
    let n_scheduled = before(window.end_ms) - before(window.start_ms);
    ratio(queries_in(service, window)?, float(n_scheduled))
}

#[cfg(test)]
mod tests {
    use lab_core::{outcome::Outcome, route::Route, target::TargetSample};

    use super::*;
    use crate::analysis::testing::{request, smoke_windows};

    fn line(at_ms: f64, queries_total: u64) -> ServiceLine {
        let sample = TargetSample { queries_total, pool_size_max: 20, ..TargetSample::default() };
        ServiceLine { at_ms, instance: 1, sample }
    }

    /// One request every 10 ms over the whole schedule.
    fn steady() -> Vec<RequestSample> {
        (0..1_300).map(|k| request(Route::Product, k * 10, Outcome::Success)).collect()
    }

    // 100 requests/s. Baseline 2-5 s: 150 queries, 0.5 a request. Fault: 200 queries in
    // 6.01-7.01 s, which is a window of whole bins from 5.01 s: 2 a request. Ratio 4.
    #[test]
    fn the_peak_second_over_the_baselines_mean() {
        let service = [
            line(2_000.0, 0),
            line(5_000.0, 150),
            line(6_010.0, 200),
            line(7_010.0, 400),
            line(9_100.0, 410),
        ];
        let got = db_amplification(&service, &steady(), &smoke_windows());
        assert!((got.queries_per_request_baseline.unwrap() - 0.5).abs() < 1e-9);
        assert!((got.queries_per_request_fault_peak.unwrap() - 2.0).abs() < 1e-9);
        assert!((got.ratio.unwrap() - 4.0).abs() < 1e-9);
    }

    // 3 queries for 300 requests are 0.01 each, taken as 0.1: 2 / 0.1 = 20.
    #[test]
    fn a_baseline_near_zero_is_taken_as_a_tenth() {
        let service = [
            line(2_000.0, 0),
            line(5_000.0, 3),
            line(5_010.0, 3),
            line(6_010.0, 203),
            line(9_100.0, 203),
        ];
        let got = db_amplification(&service, &steady(), &smoke_windows());
        assert!((got.queries_per_request_baseline.unwrap() - 0.01).abs() < 1e-9);
        assert!((got.ratio.unwrap() - 20.0).abs() < 1e-9);
    }

    #[test]
    fn a_service_that_never_answered_has_no_amplification() {
        assert_eq!(db_amplification(&[], &steady(), &smoke_windows()), DbAmplification::default());
    }
}
