//! What more instances of the service bring while Redis is gone.

use lab_core::{artifact::verdict::TrialFigures, outcome::Outcome};

use super::statistics::{float, ratio};

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
