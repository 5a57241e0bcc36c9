//! The figures of one trial that two versions are compared in, and how much worse one of a pair is.

use std::collections::BTreeMap;

use lab_core::{
    artifact::{
        gate::{MachineSeen, PairFigures, SideFigures},
        verdict::{TrialFigures, TrialVerdict},
    },
    scenario::{GateFigure, MachineSpec},
};

use super::super::statistics::{float, ratio};

/// The figures of a trial; what does not exist is left out.
pub fn side_figures(trial: &TrialVerdict) -> SideFigures {
    let mut figures = BTreeMap::new();
    for figure in GateFigure::ALL {
        if let Some(value) = value(&trial.figures, figure) {
            figures.insert(figure, value);
        }
    }
    let p99_censored = trial.figures.p99_censored;
    SideFigures { figures, p99_censored, machine: machine_seen(trial) }
}

fn machine_seen(trial: &TrialVerdict) -> Option<MachineSeen> {
    let phases = &trial.figures.phases;
    let fault = &phases.fault;
    let figured_s = phases.baseline.duration_s + fault.duration_s + phases.recovery.duration_s;
    Some(MachineSeen {
        stalled_ratio: ratio(trial.machine_stalls.total_ms / 1_000.0, figured_s)?,
        load_cpu_cores: ratio(fault.cpu_s.load?, fault.duration_s)?,
    })
}

/// A figure of both versions at one speed of the machine, that between the two trials: of the version
/// that is judged, and of the other. `None` where one does not have it, or where the figure depends on
/// the machine's speed and the machine stood still for too long.
///
/// Turning the versions round turns the result round, so identical code is as likely to look worse
/// as to look better, whatever the exponent is: the test stays exact. A wrong exponent leaves noise.
/// **Source**: a control variate; Deng et al., *Improving the sensitivity of online controlled
/// experiments by utilizing pre-experiment data*, WSDM 2013.
pub fn at_one_speed(
    pair: &PairFigures,
    figure: GateFigure,
    spec: Option<MachineSpec>,
) -> Option<(f64, f64)> {
    let (head, reference) = pair.both(figure)?;
    let spec = spec.filter(|_| figure.depends_on_speed());
    let (Some(spec), Some(ours), Some(theirs)) = (spec, pair.head.machine, pair.reference.machine)
    else {
        return Some((head, reference));
    };
    if spec.stalled_ratio_max < ours.stalled_ratio.max(theirs.stalled_ratio) {
        return None;
    }
    let half = pair.load_cpu_factor()?.powf(spec.load_cpu_exponent / 2.0);
    Some((head / half, reference * half))
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

/// `figure` of one pair: above 0 is worse. `None` as with [`at_one_speed`].
pub fn worsening(
    pair: &PairFigures,
    figure: GateFigure,
    spec: Option<MachineSpec>,
) -> Option<Worsening> {
    let (head, reference) = at_one_speed(pair, figure, spec)?;
    let (more, less) =
        if figure.is_better_when_high() { (reference, head) } else { (head, reference) };
    let told = |value: f64| value.max(figure.resolution());
    Some(Worsening { log_factor: (told(more) / told(less)).ln(), by: more - less })
}

#[cfg(test)]
mod tests {
    use super::{super::testing::pair, *};

    fn of(figure: GateFigure, reference: f64, head: f64) -> Worsening {
        worsening(&pair(0, &[(figure, reference, head)]), figure, None).unwrap()
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
        assert_eq!(worsening(&half, GateFigure::TimeToRecoverMs, None), None);
    }

    /// A pair whose trials saw these stalls and generators, reference and head.
    fn on(machines: [Option<(f64, f64)>; 2]) -> PairFigures {
        let mut pair = pair(0, &[(GateFigure::ResponseTimeMsP99, 4.0, 4.0)]);
        let [reference, head] = machines.map(|it| {
            it.map(|(stalled_ratio, load_cpu_cores)| MachineSeen { stalled_ratio, load_cpu_cores })
        });
        (pair.reference.machine, pair.head.machine) = (reference, head);
        pair
    }

    const SPEC: MachineSpec = MachineSpec { stalled_ratio_max: 0.01, load_cpu_exponent: 2.0 };

    fn p99(machines: [Option<(f64, f64)>; 2]) -> Option<(f64, f64)> {
        at_one_speed(&on(machines), GateFigure::ResponseTimeMsP99, Some(SPEC))
    }

    // The head's generator took 1.21 times the processor time, so its machine was slower: 4 ms there
    // are 4/1.21 at the speed between, and 4 ms of the reference 4 x 1.21.
    #[test]
    fn what_depends_on_the_machines_speed_is_compared_at_one_speed() {
        let (head, reference) = p99([Some((0.0, 0.1)), Some((0.0, 0.121))]).unwrap();
        assert!((head - 4.0 / 1.21).abs() < 1e-9 && (reference - 4.0 * 1.21).abs() < 1e-9);
        let turned = p99([Some((0.0, 0.121)), Some((0.0, 0.1))]).unwrap();
        assert!((turned.0 - reference).abs() < 1e-9 && (turned.1 - head).abs() < 1e-9);
        let pair = on([Some((0.0, 0.1)), Some((0.0, 0.121))]);
        let as_measured = Some((4.0, 4.0));
        assert_eq!(at_one_speed(&pair, GateFigure::ResponseTimeMsP99, None), as_measured);
        let zero = MachineSpec { load_cpu_exponent: 0.0, ..SPEC };
        assert_eq!(at_one_speed(&pair, GateFigure::ResponseTimeMsP99, Some(zero)), as_measured);
        assert_eq!(p99([None, Some((0.0, 0.121))]), as_measured, "nobody recorded the machine");
    }

    #[test]
    fn where_the_machine_stood_still_for_too_long_no_time_is_compared() {
        let quiet = Some((0.0, 0.1));
        for (stalled, is_compared) in [(0.01, true), (0.011, false)] {
            let other = Some((stalled, 0.1));
            assert_eq!(p99([quiet, other]).is_some(), is_compared, "head {stalled}");
            assert_eq!(p99([other, quiet]).is_some(), is_compared, "reference {stalled}");
        }
        let mut unlike = on([quiet, Some((0.5, 0.7))]);
        for side in [&mut unlike.head, &mut unlike.reference] {
            side.figures.insert(GateFigure::ServedRatio, 0.9);
        }
        let served = at_one_speed(&unlike, GateFigure::ServedRatio, Some(SPEC));
        assert_eq!(served, Some((0.9, 0.9)), "no matter how fast the machine was");
    }
}
