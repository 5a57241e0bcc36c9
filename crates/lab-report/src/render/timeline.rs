//! From a trial's artifacts to the picture of its time axis.

use lab_core::{event::kind, outcome::Outcome, scenario::Phase};

use super::{
    marks::Mark,
    numbers,
    ranking::cell_title,
    timeline_plot::{RateBin, Series, TimelinePlot},
    view::TrialView,
};
use lab_core::artifact::summary::CellSummary;

/// Rates by outcome are drawn over at least this long: shorter bins show the noise of the
/// arrivals. Chosen.
const RATE_BIN_MS: u32 = 500;

/// The picture of one trial of `cell`.
pub(super) fn plot_of(cell: &CellSummary, trial: &TrialView) -> TimelinePlot {
    let timeline = &trial.timeline;
    let phases = &trial.manifest.phases;
    let window = trial.verdict.fault_window;
    let pool = &timeline.pool;
    let us_to_ms = |column: &[Option<u64>]| series(timeline.bin_ms, column, |us| f64_of(us) / 1e3);
    TimelinePlot {
        title: format!("{}: one trial, second by second", cell_title(cell)),
        circumstances: circumstances(cell, trial),
        end_s: phases.total().as_secs_f64(),
        warmup_end_s: phases.end(Phase::Warmup).as_secs_f64(),
        fault_s: (0.0 < window.length_ms()).then_some((window.start_ms / 1e3, window.end_ms / 1e3)),
        marks: marks_of(trial),
        outcomes: outcome_rates(trial),
        p50_ms: us_to_ms(&timeline.requests.product_response_time_us_p50),
        p99_ms: us_to_ms(&timeline.requests.product_response_time_us_p99),
        deadline_ms: trial.manifest.campaign.slo.deadline.as_secs_f64() * 1e3,
        demand_mean: series(timeline.bin_ms, &pool.connection_demand_mean, |it| it),
        demand_high_water: series(timeline.bin_ms, &pool.connection_demand_high_water, f64::from),
        pool_size: pool.size_max.map(f64::from),
    }
}

fn circumstances(cell: &CellSummary, trial: &TrialView) -> String {
    let number = trial.verdict.trial + 1;
    let which = match cell.n_valid() {
        0 => format!("trial {number}, not valid"),
        1 => format!("trial {number}"),
        n => format!("trial {number}, of {n} the one with the median goodput"),
    };
    let rate = numbers::three_digits(cell.arrival_rate_per_sec);
    let ratio = trial.verdict.figures.goodput_ratio_fault.map_or_else(
        || "no goodput ratio".to_owned(),
        |ratio| format!("goodput ratio {}", numbers::ratio(ratio)),
    );
    format!("{which} · {rate} requests/s offered · {ratio}")
}

/// Values of a column at the middle of their bins.
fn series<T: Copy>(bin_ms: u32, column: &[Option<T>], value: impl Fn(T) -> f64) -> Series {
    column
        .iter()
        .enumerate()
        .map(|(k, it)| {
            let at_s = (f64_of(k as u64) + 0.5) * f64::from(bin_ms) / 1e3;
            (at_s, it.map(&value).filter(|value| value.is_finite()))
        })
        .collect()
}

/// Requests per second by outcome, over bins of at least [`RATE_BIN_MS`].
fn outcome_rates(trial: &TrialView) -> Vec<RateBin> {
    let timeline = &trial.timeline;
    let n_joined = RATE_BIN_MS.div_ceil(timeline.bin_ms.max(1)).max(1) as usize;
    let bin_s = f64_of(n_joined as u64) * f64::from(timeline.bin_ms) / 1e3;
    let n_scheduled = &timeline.requests.scheduled;
    let n_bins = n_scheduled.iter().rposition(|n| 0 < *n).map_or(0, |last| last + 1);
    (0..n_bins / n_joined)
        .map(|k| {
            let per_sec = Outcome::ALL.map(|outcome| {
                let column = timeline.requests.outcomes.get(&outcome).map_or(&[][..], |it| it);
                let bins = column.iter().skip(k * n_joined).take(n_joined);
                f64::from(bins.sum::<u32>()) / bin_s
            });
            let start_s = f64_of(k as u64) * bin_s;
            RateBin { span_s: (start_s, start_s + bin_s), per_sec }
        })
        .collect()
}

/// What is worth a label: the fault, what the service did about it, and when users were well.
/// Something that happens again and again gets one label, at the first time, with its count.
fn marks_of(trial: &TrialView) -> Vec<Mark> {
    let first = |kind: &str| trial.events.iter().find(|it| it.kind == kind).map(|it| it.at_ms);
    let window = trial.verdict.fault_window;
    let figures = &trial.verdict.figures;
    let mut marks = Vec::new();
    let mut push = |at_ms: f64, label: &str| {
        marks.push(Mark { at_s: at_ms / 1e3, label: label.to_owned() });
    };
    if let Some(at_ms) = first(kind::FAULT_INJECTED) {
        push(at_ms, "injected");
    }
    if let Some(after_ms) = figures.time_to_detect_ms {
        push(window.start_ms + after_ms, &format!("detected ({})", detection(trial, after_ms)));
    }
    if let Some(after_ms) = figures.time_to_mitigate_ms.filter(|after_ms| 0.0 < *after_ms) {
        push(window.start_ms + after_ms, "mitigated");
    }
    for (kind, label) in
        [(kind::CIRCUIT_HALF_OPENED, "half-open"), (kind::RATE_LIMIT_REACHED, "rate limit")]
    {
        let times: Vec<f64> = times_of(trial, kind).collect();
        match times[..] {
            [] => {}
            [only] => push(only, label),
            [first, ..] => push(first, &format!("{label} ×{}", times.len())),
        }
    }
    if let Some(at_ms) = times_of(trial, kind::CIRCUIT_CLOSED).last() {
        push(at_ms, "circuit closed");
    }
    if let Some(at_ms) = first(kind::DEPENDENCY_READY) {
        push(at_ms, "dependency ready");
        if let Some(after_ms) = figures.time_to_recover_ms {
            push(at_ms + after_ms, "recovered");
        }
    }
    for at_ms in times_of(trial, kind::UNEXPECTED_DEATH) {
        push(at_ms, "unexpected death");
    }
    marks
}

fn times_of<'a>(trial: &'a TrialView, kind: &'a str) -> impl Iterator<Item = f64> + 'a {
    trial.events.iter().filter(move |it| it.kind == kind).map(|it| it.at_ms)
}

/// By which event the service showed that it had noticed.
fn detection(trial: &TrialView, after_ms: f64) -> &'static str {
    let at_ms = trial.verdict.fault_window.start_ms + after_ms;
    let nearest = trial
        .events
        .iter()
        .filter(|it| kind::DETECTIONS.contains(&it.kind.as_str()))
        .min_by(|a, b| (a.at_ms - at_ms).abs().total_cmp(&(b.at_ms - at_ms).abs()));
    match nearest.map(|it| it.kind.as_str()) {
        Some(kind::CIRCUIT_OPENED) => "circuit open",
        Some(kind::STALE_SERVED) => "stale served",
        Some(kind::RATE_LIMIT_REACHED) => "rate limit",
        Some(kind::MITIGATION_SWITCHED) => "operator",
        _ => "by the service",
    }
}

#[expect(clippy::cast_precision_loss, reason = "microseconds and bins are far below 2^53")]
fn f64_of(n: u64) -> f64 {
    n as f64
}
