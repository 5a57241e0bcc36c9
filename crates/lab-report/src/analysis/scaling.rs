//! What more instances of the service bring, with Redis up and with Redis gone.

use lab_core::{
    artifact::{manifest::ControlPoint, verdict::TrialFigures},
    outcome::Outcome,
};

use super::statistics::{float, ratio};

/// Four instances must carry at least 2.5 times what one carries: this share of what four times
/// would be. Chosen: what is lost to a shared machine is less than that, what is lost to a machine
/// that is too small for four is more.
const SHARE_MIN: f64 = 2.5 / 4.0;
/// How many times as many instances are compared, where they were measured.
const TIMES: u32 = 4;

/// The positive control: with Redis up, more instances carry more. Without it a curve that stays
/// flat while Redis is gone could be the machine's.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct PositiveControl {
    /// The smallest number of instances.
    pub n_few: u32,
    /// The larger number that it is compared with: four times as many, or else the largest.
    pub n_many: u32,
    /// Warm capacity of the larger number over that of the smaller.
    pub ratio: f64,
    /// The least that shows that instances carry more.
    pub ratio_min: f64,
}

impl PositiveControl {
    /// From what was measured, in the order of the numbers; `None` for fewer than two numbers.
    pub fn of(points: &[ControlPoint]) -> Option<Self> {
        let (few, more) = points.split_first()?;
        let wanted = more.iter().find(|it| it.n_instances == TIMES * few.n_instances);
        let many = wanted.or(more.last())?;
        Some(Self {
            n_few: few.n_instances,
            n_many: many.n_instances,
            ratio: ratio(many.warm_capacity_per_sec, few.warm_capacity_per_sec)?,
            ratio_min: SHARE_MIN * f64::from(many.n_instances) / f64::from(few.n_instances),
        })
    }

    /// Whether more instances carry more on this machine.
    pub fn passed(&self) -> bool {
        self.ratio_min <= self.ratio
    }
}

/// Successes of all routes per second while the fault was on; `None` without a fault window.
pub fn goodput_per_sec(figures: &TrialFigures) -> Option<f64> {
    let fault = &figures.phases.fault;
    let n_success = fault.outcomes.get(&Outcome::Success).copied().unwrap_or(0);
    ratio(float(n_success), fault.duration_s)
}

/// Connections that PostgreSQL refused per second while the fault was on, because it had no more.
pub fn refused_per_sec(figures: &TrialFigures) -> Option<f64> {
    let fault = &figures.phases.fault;
    ratio(fault.n_connections_refused?, fault.duration_s)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use lab_core::artifact::verdict::PhaseCounts;

    use super::*;
    use crate::analysis::testing::trial_figures;

    fn points(warm: &[(u32, f64)]) -> Vec<ControlPoint> {
        let point = |&(n_instances, warm_capacity_per_sec): &(u32, f64)| ControlPoint {
            n_instances,
            warm_capacity_per_sec,
            db_capacity_per_sec: 200.0,
        };
        warm.iter().map(point).collect()
    }

    // 2.5 times 1,000 is 2,500. Whatever eight carry is not asked.
    #[test]
    fn four_instances_must_carry_two_and_a_half_times_what_one_does() {
        let control = |four| {
            PositiveControl::of(&points(&[(1, 1e3), (2, 1.9e3), (4, four), (8, 1e3)])).unwrap()
        };
        assert!(control(2_500.0).passed() && !control(2_499.0).passed());
        let PositiveControl { n_few, n_many, ratio, ratio_min } = control(3_000.0);
        assert_eq!((n_few, n_many), (1, 4));
        assert!((ratio - 3.0).abs() < 1e-12 && (ratio_min - 2.5).abs() < 1e-12);
    }

    // Three instead of four: 0.625 of three times is 1.875.
    #[test]
    fn without_four_times_as_many_the_largest_number_is_compared() {
        let control = PositiveControl::of(&points(&[(2, 1e3), (6, 1.9e3)])).unwrap();
        assert_eq!((control.n_few, control.n_many), (2, 6));
        assert!((control.ratio_min - 1.875).abs() < 1e-12 && control.passed());
        assert_eq!(PositiveControl::of(&points(&[(1, 1e3)])), None);
        assert_eq!(PositiveControl::of(&points(&[(1, 0.0), (4, 1e3)])), None);
        assert_eq!(PositiveControl::of(&[]), None);
    }

    // 500 good answers and 30 refused connections in 20 s.
    #[test]
    fn rates_are_those_of_the_fault_window() {
        let mut figures = trial_figures();
        assert_eq!((goodput_per_sec(&figures), refused_per_sec(&figures)), (None, None));
        figures.phases.fault = PhaseCounts {
            duration_s: 20.0,
            outcomes: BTreeMap::from([(Outcome::Success, 500), (Outcome::Degraded, 99)]),
            n_connections_refused: Some(30.0),
            ..PhaseCounts::default()
        };
        assert_eq!((goodput_per_sec(&figures), refused_per_sec(&figures)), (Some(25.0), Some(1.5)));
    }
}
