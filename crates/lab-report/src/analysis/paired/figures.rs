//! The figures of one trial that two versions are compared in, and how much worse one of a pair is.

use std::collections::BTreeMap;

use lab_core::{
    artifact::{
        gate::{MachineSeen, PairFigures, SideFigures},
        verdict::{TrialFigures, TrialVerdict},
    },
    scenario::{GateFigure, GateSpec, MachineAlike},
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

/// The pairs in which `figure` is compared: one that depends on the machine's speed only in those
/// whose trials had the same machine, as far as that is known.
pub fn comparable<'a>(
    pairs: impl IntoIterator<Item = &'a PairFigures>,
    figure: GateFigure,
    spec: &GateSpec,
) -> Vec<&'a PairFigures> {
    let alike = spec.alike.filter(|_| figure.depends_on_speed());
    let counts = |it: &&PairFigures| alike.is_none_or(|alike| is_alike(it, alike));
    pairs.into_iter().filter(counts).collect()
}

fn is_alike(pair: &PairFigures, alike: MachineAlike) -> bool {
    let (Some(head), Some(reference)) = (pair.head.machine, pair.reference.machine) else {
        return true;
    };
    let ran = |it: MachineSeen| it.stalled_ratio <= alike.stalled_ratio_max;
    let (one, other) = (head.load_cpu_cores, reference.load_cpu_cores);
    let is_as_fast = one.max(other) <= alike.load_cpu_factor_max * one.min(other);
    ran(head) && ran(reference) && is_as_fast
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
    use super::{
        super::testing::{pair, spec},
        *,
    };

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

    /// A pair whose trials saw these stalls and generators, reference and head.
    fn on(machines: [Option<(f64, f64)>; 2]) -> PairFigures {
        let mut pair = pair(0, &[(GateFigure::ResponseTimeMsP99, 4.0, 4.0)]);
        let [reference, head] = machines.map(|it| {
            it.map(|(stalled_ratio, load_cpu_cores)| MachineSeen { stalled_ratio, load_cpu_cores })
        });
        (pair.reference.machine, pair.head.machine) = (reference, head);
        pair
    }

    // At most 1 % of the time, at most 1.08 times the processor time: 0.0756 is 1.08 times 0.07.
    #[test]
    fn only_pairs_with_the_same_machine_are_compared_in_what_its_speed_changes() {
        let spec = GateSpec {
            alike: Some(MachineAlike { stalled_ratio_max: 0.01, load_cpu_factor_max: 1.08 }),
            ..spec()
        };
        let n = |machines, figure| comparable(&[on(machines)], figure, &spec).len();
        let p99 = |machines| n(machines, GateFigure::ResponseTimeMsP99);
        let quiet = Some((0.0, 0.07));
        for (other, counts) in [
            (Some((0.01, 0.07)), 1),
            (Some((0.011, 0.07)), 0),
            (Some((0.0, 0.0755)), 1),
            (Some((0.0, 0.0757)), 0),
            (None, 1),
        ] {
            assert_eq!(p99([quiet, other]), counts, "head {other:?}");
            assert_eq!(p99([other, quiet]), counts, "reference {other:?}");
        }
        let unlike = [quiet, Some((0.5, 0.7))];
        assert_eq!(n(unlike, GateFigure::ServedRatio), 1, "no matter how fast the machine was");
        let always = GateSpec { alike: None, ..spec };
        assert_eq!(comparable(&[on(unlike)], GateFigure::ResponseTimeMsP99, &always).len(), 1);
    }
}
