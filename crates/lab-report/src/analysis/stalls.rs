//! When the machine itself stood still, as the harness's witness saw it.

use lab_core::artifact::{
    raw::StallLine,
    verdict::{MachineStalls, Window},
};

/// Stalls of all processors of the generator, merged: its threads may run on any of them.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Stalls {
    /// In order of time; none touches the next.
    merged: Vec<Window>,
    longest_ms: f64,
    n: u64,
}

impl Stalls {
    /// The stalls that reach into `figured`; what lies outside of it is in no figure.
    /// `lines` are in order of their beginning.
    pub fn new(lines: &[StallLine], figured: Window) -> Self {
        let mut stalls = Self::default();
        for line in lines {
            let (start_ms, end_ms) = (line.at_ms, line.at_ms + line.for_ms);
            if end_ms <= figured.start_ms || figured.end_ms <= start_ms {
                continue;
            }
            stalls.n += 1;
            stalls.longest_ms = stalls.longest_ms.max(line.for_ms);
            match stalls.merged.last_mut() {
                Some(last) if start_ms <= last.end_ms => last.end_ms = last.end_ms.max(end_ms),
                _ => stalls.merged.push(Window { start_ms, end_ms }),
            }
        }
        stalls
    }

    /// How many milliseconds of `window` the machine stood still.
    pub fn within_ms(&self, window: Window) -> f64 {
        let first = self.merged.partition_point(|it| it.end_ms <= window.start_ms);
        self.merged[first..]
            .iter()
            .take_while(|it| it.start_ms < window.end_ms)
            .map(|it| it.end_ms.min(window.end_ms) - it.start_ms.max(window.start_ms))
            .sum()
    }

    /// Their number, time and the longest, for the verdict.
    pub fn summary(&self) -> MachineStalls {
        let total_ms = self.merged.iter().map(|it| it.length_ms()).sum();
        MachineStalls { n: self.n, total_ms, longest_ms: self.longest_ms }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FIGURED: Window = Window { start_ms: 100.0, end_ms: 200.0 };

    fn line(at_ms: f64, for_ms: f64, cpu: usize) -> StallLine {
        StallLine { at_ms, for_ms, cpu: Some(cpu) }
    }

    // 90-95 is before, 200-205 after; 98-103 reaches in; 120-130 on one processor and 125-132 on the
    // other are one stretch of 12 ms.
    #[test]
    fn stalls_of_two_processors_count_once_where_they_overlap() {
        let lines = [
            line(90.0, 5.0, 0),
            line(98.0, 5.0, 0),
            line(120.0, 10.0, 0),
            line(125.0, 7.0, 1),
            line(200.0, 5.0, 0),
        ];
        let stalls = Stalls::new(&lines, FIGURED);
        assert_eq!(stalls.summary(), MachineStalls { n: 3, total_ms: 17.0, longest_ms: 10.0 });
        let within = |start_ms, end_ms| stalls.within_ms(Window { start_ms, end_ms });
        for (got, expected) in [
            (within(100.0, 200.0), 3.0 + 12.0),
            (within(103.0, 120.0), 0.0),
            (within(121.0, 131.0), 10.0),
            (within(131.0, 140.0), 1.0),
            (within(140.0, 150.0), 0.0),
        ] {
            assert!((got - expected).abs() < 1e-9, "{got} instead of {expected}");
        }
    }

    #[test]
    fn a_machine_that_never_stood_still_has_none() {
        assert_eq!(Stalls::new(&[], FIGURED).summary(), MachineStalls::default());
    }
}
