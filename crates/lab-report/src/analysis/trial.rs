//! One trial: from what was recorded to its verdict, its time axis and its histograms.

use lab_core::{
    artifact::{
        campaign_run::PlannedCell,
        timeline::Timeline,
        verdict::{PerPhase, PhaseCounts, SCHEMA, TrialFigures, TrialVerdict, Verdict},
    },
    route::Route,
    scenario::Phase,
};

use super::{
    amplification::db_amplification,
    histograms::{Distribution, PhaseHistograms},
    pages::{Page, goodput_fraction, p99_is_censored, product_pages, within},
    recovery::{time_to_detect_ms, time_to_mitigate_ms, time_to_recover_ms},
    requests::{count_requests, lost_requests, record_times, served_ratio},
    service::{add_samples, connection_demand, record_acquire_waits},
    stalls::Stalls,
    statistics::{float, ratio},
    timeline::timeline,
    validity::{self, Judged},
    windows::Windows,
};
use crate::load::trial_files::TrialRecord;

/// What the analysis leaves of one trial.
#[derive(Debug, Clone, PartialEq)]
pub struct TrialAnalysis {
    /// `verdict.json`.
    pub verdict: TrialVerdict,
    /// `timeline.json`.
    pub timeline: Timeline,
    /// `phases.hlog`.
    pub histograms: PhaseHistograms,
    /// Where the phases lie.
    pub windows: Windows,
}

/// Analyses one trial. Pure: the same record gives the same analysis.
pub fn analyse(record: &TrialRecord) -> TrialAnalysis {
    let manifest = &record.manifest;
    let slo = &manifest.campaign.slo;
    let windows = Windows::new(&manifest.phases, &record.events);
    let pages = product_pages(&record.samples, slo.deadline);
    let histograms = histograms(record, &windows);
    let phases = count_phases(record, &windows);
    let stalls = Stalls::new(&record.stalls, windows.figured());
    let judged = Judged {
        phases: &phases,
        windows: &windows,
        pages: &pages,
        histograms: &histograms,
        stalls: &stalls,
    };
    let reasons = validity::reasons(record, &judged);
    let figures = figures(record, &windows, &pages, phases, &histograms);
    let verdict = TrialVerdict {
        schema: SCHEMA.to_owned(),
        cell: cell(record),
        trial: manifest.trial,
        attempt: manifest.attempt,
        seed: manifest.seed,
        valid: reasons.is_empty(),
        verdict: verdict(
            reasons.is_empty(),
            figures.served_ratio_fault,
            slo.served_ratio_min.get(),
        ),
        reasons,
        fault_window: windows.phases.fault,
        machine_stalls: stalls.summary(),
        figures,
    };
    TrialAnalysis { verdict, timeline: timeline(record, &pages), histograms, windows }
}

/// Judges validity first, then the objective: the share of requests served while the fault was on.
pub fn verdict(valid: bool, served_ratio_fault: Option<f64>, served_ratio_min: f64) -> Verdict {
    match served_ratio_fault {
        Some(served) if valid && served_ratio_min <= served => Verdict::Met,
        Some(_) if valid => Verdict::Missed,
        Some(_) | None => Verdict::Invalid,
    }
}

fn cell(record: &TrialRecord) -> PlannedCell {
    let manifest = &record.manifest;
    PlannedCell {
        variant: manifest.variant.name.clone(),
        base: manifest.variant.base.clone(),
        fault: manifest.fault,
        topology: manifest.topology,
        params: manifest.params.clone(),
    }
}

fn histograms(record: &TrialRecord, windows: &Windows) -> PhaseHistograms {
    let mut histograms = PhaseHistograms::default();
    let deadline = record.manifest.campaign.slo.deadline;
    record_times(&mut histograms, &record.samples, windows, deadline);
    record_acquire_waits(&mut histograms, &record.service, windows);
    histograms
}

fn count_phases(record: &TrialRecord, windows: &Windows) -> PerPhase<PhaseCounts> {
    let mut phases = count_requests(&record.samples, windows);
    add_samples(&mut phases.baseline, record, windows.phases.baseline);
    add_samples(&mut phases.fault, record, windows.phases.fault);
    add_samples(&mut phases.recovery, record, windows.phases.recovery);
    phases
}

fn figures(
    record: &TrialRecord,
    windows: &Windows,
    pages: &[Page],
    phases: PerPhase<PhaseCounts>,
    histograms: &PhaseHistograms,
) -> TrialFigures {
    let spans = &windows.phases;
    let product = Distribution::ResponseTime(Route::Product);
    let p99 = PerPhase::from_fn(|phase: Phase| histograms.quantile(phase, product, 0.99));
    let goodput = PerPhase {
        baseline: goodput_fraction(within(pages, spans.baseline)),
        fault: goodput_fraction(within(pages, spans.fault)),
        recovery: goodput_fraction(within(pages, spans.recovery)),
    };
    let time_to_recover_ms = goodput
        .baseline
        .zip(p99.baseline)
        .and_then(|(fraction, p99_us)| time_to_recover_ms(pages, spans.recovery, fraction, p99_us));
    TrialFigures {
        requests_scheduled: record.counts.requests_scheduled,
        goodput_fraction: goodput,
        goodput_ratio_fault: ratio_of(goodput.fault, goodput.baseline),
        served_ratio_fault: served_ratio(&phases.fault),
        response_time_p99_us: p99,
        response_time_p99_ratio_fault: ratio_of(p99.fault.map(float), p99.baseline.map(float)),
        p99_censored: product_p99_is_censored(&phases.fault),
        db_amplification: db_amplification(&record.service, &record.samples, windows),
        connection_demand: connection_demand(&record.service, windows),
        time_to_detect_ms: time_to_detect_ms(&record.events, spans.fault),
        time_to_mitigate_ms: goodput
            .baseline
            .and_then(|fraction| time_to_mitigate_ms(pages, spans.fault, fraction)),
        time_to_recover_ms,
        recovered: time_to_recover_ms.is_some(),
        lost_requests: lost_requests(&record.samples, windows),
        orders_acknowledged: record.counts.orders_acknowledged,
        orders_lost: record.counts.orders_lost,
        views_lost: record.counts.views_lost,
        phases,
    }
}

/// Whether the p99 of the product response time in this phase is that of a request not served.
fn product_p99_is_censored(counts: &PhaseCounts) -> bool {
    let product = counts.routes.get(&Route::Product).copied().unwrap_or_default();
    let size = |n: u64| usize::try_from(n).unwrap_or(usize::MAX);
    p99_is_censored(size(product.n_served), size(product.n_scheduled))
}

fn ratio_of(fault: Option<f64>, baseline: Option<f64>) -> Option<f64> {
    ratio(fault?, baseline?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_invalid_trial_is_neither_met_nor_missed_however_good_its_figures() {
        assert_eq!(verdict(true, Some(0.95), 0.95), Verdict::Met);
        assert_eq!(verdict(true, Some(0.949), 0.95), Verdict::Missed);
        assert_eq!(verdict(false, Some(1.0), 0.95), Verdict::Invalid);
        assert_eq!(verdict(true, None, 0.95), Verdict::Invalid);
    }

    #[test]
    fn a_ratio_to_a_baseline_of_zero_does_not_exist() {
        assert_eq!(ratio_of(Some(0.5), Some(0.0)), None);
        assert_eq!(ratio_of(None, Some(1.0)), None);
        assert_eq!(ratio_of(Some(0.5), Some(1.0)), Some(0.5));
    }
}
