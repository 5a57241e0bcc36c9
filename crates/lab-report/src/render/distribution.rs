//! From histograms to the picture of how response times are spread.

use hdrhistogram::Histogram;
use lab_core::artifact::summary::{CellSummary, SloSummary};

use super::{
    distribution_plot::{DistributionPlot, LAST_QUANTILE},
    ranking::cell_title,
    view::CellView,
};

/// Steps in which the plot walks towards the last quantile. Chosen: a step is 4 pixels.
const N_STEPS: u32 = 160;

/// The picture of one cell; `None` when no phase of it holds a request.
pub(super) fn plot_of(
    cell: &CellSummary,
    view: &CellView,
    slo: &SloSummary,
) -> Option<DistributionPlot> {
    let phases: Vec<_> = view
        .response_times_us
        .iter()
        .map(|(phase, histogram)| (phase, quantiles_ms(histogram)))
        .filter(|(_, points)| !points.is_empty())
        .collect();
    let n_valid = cell.n_valid();
    let trials = if n_valid == 1 { "1 trial".into() } else { format!("{n_valid} trials together") };
    (!phases.is_empty()).then(|| DistributionPlot {
        title: format!("{}: response times by phase", cell_title(cell)),
        circumstances: format!(
            "{trials}; a request that was not served counts at the deadline or longer"
        ),
        phases,
        deadline_ms: slo.deadline_ms,
    })
}

/// Pairs of quantile and milliseconds, as far out as the histogram has a request beyond.
fn quantiles_ms(histogram: &Histogram<u64>) -> Vec<(f64, f64)> {
    if histogram.is_empty() {
        return Vec::new();
    }
    let beyond_one = 1.0 / to_f64(histogram.len());
    let last_nines = -(1.0 - LAST_QUANTILE).log10();
    (0..=N_STEPS)
        .map(|step| 1.0 - 10f64.powf(-last_nines * f64::from(step) / f64::from(N_STEPS)))
        .take_while(|q| beyond_one <= 1.0 - q + 1e-12)
        .map(|q| (q, to_f64(histogram.value_at_quantile(q)) / 1e3))
        .collect()
}

#[expect(clippy::cast_precision_loss, reason = "counts and microseconds are far below 2^53")]
fn to_f64(n: u64) -> f64 {
    n as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    // Worked by hand; the histogram keeps three digits, so 100 ms may read 100.1. 1 ms to 100 ms, once each: half of them take at most 50 ms, and beyond 99 % there is only
    // one request, so the line ends there.
    #[test]
    fn the_line_passes_through_the_quantiles_and_ends_with_the_requests() {
        let mut histogram = Histogram::new_with_bounds(1, 120_000_000, 3).unwrap();
        for ms in 1..=100 {
            histogram.record(ms * 1_000).unwrap();
        }
        let points = quantiles_ms(&histogram);
        let (last_q, last_ms) = points[points.len() - 1];
        assert!(0.985 < last_q && last_q <= 0.99 + 1e-9, "{last_q}");
        assert!((98.0..=100.1).contains(&last_ms), "{last_ms}");
        let half = points.iter().find(|(q, _)| 0.5 <= *q).unwrap();
        assert!((50.0..=53.1).contains(&half.1), "{half:?}");
    }

    #[test]
    fn no_requests_give_no_line() {
        assert_eq!(quantiles_ms(&Histogram::new(3).unwrap()), []);
    }
}
