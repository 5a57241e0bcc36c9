//! The figures of one trial that two versions are compared in, and how much worse one of a pair is.

use std::collections::BTreeMap;

use lab_core::{
    artifact::{
        gate::{PairFigures, SideFigures},
        verdict::TrialFigures,
    },
    scenario::GateFigure,
};

use super::super::statistics::{float, ratio};

/// The figures of a trial; what does not exist is left out.
pub fn side_figures(trial: &TrialFigures) -> SideFigures {
    let mut figures = BTreeMap::new();
    for figure in GateFigure::ALL {
        if let Some(value) = value(trial, figure) {
            figures.insert(figure, value);
        }
    }
    SideFigures { figures, p99_censored: trial.p99_censored }
}

fn value(trial: &TrialFigures, figure: GateFigure) -> Option<f64> {
    let ms = |us: Option<u64>| us.map(|it| float(it) / 1_000.0);
    let fault = &trial.phases.fault;
    match figure {
        GateFigure::ResponseTimeMsP99 => ms(trial.response_time_p99_us.fault),
        GateFigure::ServedRatio => trial.served_ratio_fault,
        GateFigure::QueriesPerRequest => ratio(fault.n_queries?, float(fault.n_scheduled)),
        GateFigure::GoodputRatio => trial.goodput_ratio_fault,
        GateFigure::ResponseTimeMsP99Baseline => ms(trial.response_time_p99_us.baseline),
        GateFigure::QueriesPerRequestBaseline => {
            trial.db_amplification.queries_per_request_baseline
        }
        GateFigure::ConnectionDemand => trial.connection_demand.mean_fault,
        GateFigure::TimeToMitigateMs => trial.time_to_mitigate_ms,
        GateFigure::TimeToRecoverMs => trial.time_to_recover_ms,
    }
}

/// How much worse the judged version of a pair is.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Worsening {
    /// ln of how many times as bad. Values below the figure's resolution count as that.
    pub log_factor: f64,
    /// By how much, in the figure's own unit.
    pub by: f64,
}

/// `figure` of one pair: above 0 is worse. `None` where one version does not have it.
pub fn worsening(pair: &PairFigures, figure: GateFigure) -> Option<Worsening> {
    let (head, reference) = pair.both(figure)?;
    let (more, less) =
        if figure.is_better_when_high() { (reference, head) } else { (head, reference) };
    let told = |value: f64| value.max(figure.resolution());
    Some(Worsening { log_factor: (told(more) / told(less)).ln(), by: more - less })
}

#[cfg(test)]
mod tests {
    use super::{super::testing::pair, *};

    fn of(figure: GateFigure, reference: f64, head: f64) -> Worsening {
        worsening(&pair(0, &[(figure, reference, head)]), figure).unwrap()
    }

    #[test]
    fn worse_is_above_0_whichever_way_the_figure_is_good() {
        let p99 = of(GateFigure::ResponseTimeMsP99, 4.0, 8.0);
        assert!((p99.log_factor - 2.0_f64.ln()).abs() < 1e-12 && (p99.by - 4.0).abs() < 1e-12);
        let served = of(GateFigure::ServedRatio, 0.9, 0.45);
        assert!((served.log_factor - 2.0_f64.ln()).abs() < 1e-12);
        assert!((served.by - 0.45).abs() < 1e-12);
        assert!(of(GateFigure::ServedRatio, 0.45, 0.9).by < 0.0);
    }

    // From nothing to half a percent is nothing; from 0.9 to nothing is a factor to one in a thousand.
    #[test]
    fn what_cannot_be_told_from_0_is_no_factor() {
        let noise = of(GateFigure::QueriesPerRequest, 0.0, 0.005);
        assert!(noise.log_factor.abs() < 1e-12, "{noise:?}");
        let gone = of(GateFigure::ServedRatio, 0.9, 0.0);
        assert!((gone.log_factor - 900.0_f64.ln()).abs() < 1e-9, "{gone:?}");
    }

    #[test]
    fn a_figure_that_one_version_does_not_have_is_no_pair() {
        let mut half = pair(0, &[(GateFigure::TimeToRecoverMs, 300.0, 300.0)]);
        half.head.figures.clear();
        assert_eq!(worsening(&half, GateFigure::TimeToRecoverMs), None);
    }
}
