//! Which stretch of the time axis belongs to which phase of the figures.

use lab_core::{
    artifact::verdict::{PerPhase, Window},
    event::{Event, kind},
    scenario::{Phase, PhaseLengths},
};

use super::statistics::float;

/// A duration in whole nanoseconds as milliseconds.
pub fn ns_to_ms(ns: u64) -> f64 {
    float(ns) / 1e6
}

/// Where the phases of a trial lie, in milliseconds from the start of the schedule.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Windows {
    /// The phases that figures are made of.
    pub phases: PerPhase<Window>,
    /// From the fault's origin to the last arrival: what is lost here is lost to the fault.
    pub from_fault: Window,
}

impl Windows {
    /// Baseline as scheduled; fault from the injection to the dependency's first answer; recovery
    /// from there to the last arrival. Without an injection the fault starts where the schedule
    /// says; without an answer it lasts until the last arrival and recovery is empty.
    pub fn new(lengths: &PhaseLengths, events: &[Event]) -> Self {
        let ms = |duration: std::time::Duration| duration.as_secs_f64() * 1_000.0;
        let baseline = Window {
            start_ms: ms(lengths.start(Phase::Baseline)),
            end_ms: ms(lengths.end(Phase::Baseline)),
        };
        let arrivals_end = ms(lengths.arrivals());
        let origin = first_event(events, kind::FAULT_INJECTED, f64::NEG_INFINITY)
            .unwrap_or_else(|| ms(lengths.start(Phase::Fault)));
        let ready = first_event(events, kind::DEPENDENCY_READY, origin)
            .map_or(arrivals_end, |it| it.min(arrivals_end));
        Self {
            phases: PerPhase {
                baseline,
                fault: Window { start_ms: origin, end_ms: ready },
                recovery: Window { start_ms: ready, end_ms: arrivals_end },
            },
            from_fault: Window { start_ms: origin, end_ms: arrivals_end },
        }
    }

    /// Everything that figures are made of: from the baseline to the last arrival.
    pub fn figured(&self) -> Window {
        Window { start_ms: self.phases.baseline.start_ms, end_ms: self.from_fault.end_ms }
    }

    /// The phase that `at_ms` lies in, among those that figures are made of.
    pub fn phase_at(&self, at_ms: f64) -> Option<Phase> {
        self.phases.iter().find(|(_, window)| window.contains(at_ms)).map(|(phase, _)| phase)
    }
}

/// When the first event of `kind` at or after `not_before_ms` happened. `events` are in order of
/// time.
pub fn first_event(events: &[Event], kind: &str, not_before_ms: f64) -> Option<f64> {
    events.iter().find(|it| it.kind == kind && not_before_ms <= it.at_ms).map(|it| it.at_ms)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::analysis::testing::{event, smoke_lengths};

    // Smoke is 2/3/4/4: baseline 2-5 s, fault scheduled 5-9 s, arrivals end at 13 s.
    #[test]
    fn the_fault_lasts_from_the_injection_to_the_first_answer() {
        let events = [
            event(5_012.0, kind::FAULT_INJECTED),
            event(9_003.0, kind::FAULT_HEALED),
            event(9_120.0, kind::DEPENDENCY_READY),
        ];
        let windows = Windows::new(&smoke_lengths(), &events);
        assert_eq!(windows.phases.baseline, Window { start_ms: 2_000.0, end_ms: 5_000.0 });
        assert_eq!(windows.phases.fault, Window { start_ms: 5_012.0, end_ms: 9_120.0 });
        assert_eq!(windows.phases.recovery, Window { start_ms: 9_120.0, end_ms: 13_000.0 });
        assert_eq!(windows.from_fault, Window { start_ms: 5_012.0, end_ms: 13_000.0 });
        assert_eq!(windows.phase_at(5_005.0), None, "between the schedule and the system call");
        assert_eq!(windows.phase_at(9_120.0), Some(Phase::Recovery));
        assert_eq!(windows.phase_at(500.0), None, "warmup is in no figure");
    }

    #[test]
    fn a_dependency_that_never_answers_leaves_no_recovery() {
        let windows = Windows::new(&smoke_lengths(), &[event(5_001.0, kind::FAULT_INJECTED)]);
        assert_eq!(windows.phases.fault, Window { start_ms: 5_001.0, end_ms: 13_000.0 });
        assert!(windows.phases.recovery.length_ms().abs() < 1e-9);
    }
}
