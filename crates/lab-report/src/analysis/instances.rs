//! Figures of a service that has several instances: sums of what each of them said of itself.
//!
//! Before an instance began it had nothing, and counts as 0. Where an instance that ran said
//! nothing, there is no sum.

use std::collections::BTreeMap;

use lab_core::artifact::{raw::ServiceLine, verdict::Window};

use super::{
    series::{increase, time_weighted_mean},
    statistics::float,
};

/// The lines of one instance, in order of time.
#[derive(Debug, Default)]
pub struct InstanceLines<'a>(Vec<&'a ServiceLine>);

impl InstanceLines<'_> {
    /// When it was started; `None`: before its first line, and before the schedule.
    pub fn began_at_ms(&self) -> Option<f64> {
        self.0.first().filter(|it| it.is_begin()).map(|it| it.at_ms)
    }

    /// How many lines it has in `window`.
    pub fn n_in(&self, window: Window) -> usize {
        self.0.iter().filter(|it| window.contains(it.at_ms)).count()
    }

    fn began_after(&self, window: Window) -> bool {
        self.began_at_ms().is_some_and(|it| window.end_ms <= it)
    }

    /// Readings taken in `window`, each of which stands for the time since the one before.
    fn marks(&self, window: Window, mark: impl Fn(&ServiceLine) -> u32) -> Vec<(f64, u32)> {
        let taken = |it: &&&ServiceLine| window.start_ms < it.at_ms && it.at_ms <= window.end_ms;
        self.0.iter().filter(taken).map(|it| (it.at_ms, mark(it))).collect()
    }
}

/// The lines of each instance, by its number. `service` is in order of time.
pub fn by_instance(service: &[ServiceLine]) -> BTreeMap<u32, InstanceLines<'_>> {
    let mut instances = BTreeMap::new();
    for line in service {
        let lines = instances.entry(line.instance).or_insert_with(InstanceLines::default);
        lines.0.push(line);
    }
    instances
}

/// How much a running total of all instances grew within `window`.
pub fn increase_of_all(
    service: &[ServiceLine],
    window: Window,
    total: impl Fn(&ServiceLine) -> u64,
) -> Option<f64> {
    sum_of_each(service, window, |lines| {
        increase(lines.0.iter().map(|it| (it.at_ms, Some(float(total(it))))), window)
    })
}

/// Sum over instances of the mean over the time of `window` of a figure that is a mean since the
/// line before.
pub fn mean_of_all(
    service: &[ServiceLine],
    window: Window,
    mean: impl Fn(&ServiceLine) -> f64,
) -> Option<f64> {
    sum_of_each(service, window, |lines| {
        // All the time before its first line an instance that joined had nothing.
        let before = lines.began_at_ms().map(|_| (f64::NEG_INFINITY, 0.0));
        let readings = lines.0.iter().map(|it| (it.at_ms, mean(it)));
        time_weighted_mean(before.into_iter().chain(readings), window)
    })
}

/// The highest sum, at any time of `window`, of the marks that instances kept for that time.
///
/// An instance's mark is the highest of a tenth of a second, and those of two instances need not
/// have been at the same moment of it: the sum is at least the true one, and closer to it than the
/// sum of each instance's highest of the whole window.
pub fn highest_of_all(
    service: &[ServiceLine],
    window: Window,
    mark: impl Fn(&ServiceLine) -> u32,
) -> Option<u32> {
    let mut marks = Vec::new();
    for lines in by_instance(service).values().filter(|it| !it.began_after(window)) {
        let of_instance = lines.marks(window, &mark);
        if of_instance.is_empty() {
            return None;
        }
        marks.push(of_instance);
    }
    let times = marks.iter().flatten().map(|(at_ms, _)| *at_ms);
    times.map(|at_ms| marks.iter().map(|it| mark_at(it, at_ms)).sum()).max()
}

/// The mark that stands for the time `at_ms`: that of the next reading, or of the last one.
fn mark_at(marks: &[(f64, u32)], at_ms: f64) -> u32 {
    let next = marks.partition_point(|(it, _)| *it < at_ms);
    marks.get(next).or(marks.last()).map_or(0, |(_, mark)| *mark)
}

fn sum_of_each(
    service: &[ServiceLine],
    window: Window,
    figure: impl Fn(&InstanceLines<'_>) -> Option<f64>,
) -> Option<f64> {
    let mut sum = None;
    for lines in by_instance(service).values().filter(|it| !it.began_after(window)) {
        *sum.get_or_insert(0.0) += figure(lines)?;
    }
    sum
}

#[cfg(test)]
mod tests {
    use lab_core::target::TargetSample;

    use super::*;

    const WINDOW: Window = Window { start_ms: 100.0, end_ms: 300.0 };

    fn line(instance: u32, at_ms: f64, figure: u32) -> ServiceLine {
        let sample = TargetSample {
            pool_size_max: 20,
            queries_total: figure.into(),
            connection_demand_mean: figure.into(),
            connection_demand_high_water: figure,
            ..TargetSample::default()
        };
        ServiceLine { at_ms, instance, sample }
    }

    fn queries(service: &[ServiceLine], window: Window) -> Option<f64> {
        increase_of_all(service, window, |it| it.sample.queries_total)
    }

    fn demand(service: &[ServiceLine], window: Window) -> Option<f64> {
        mean_of_all(service, window, |it| it.sample.connection_demand_mean)
    }

    fn highest(service: &[ServiceLine], window: Window) -> Option<u32> {
        highest_of_all(service, window, |it| it.sample.connection_demand_high_water)
    }

    // Instance 1 grows by 10 and 20 in the window. Instance 2 was started at 150 ms, has sent 8 at
    // 250 ms and 16 at 350 ms: 8 + 4 in the window.
    #[test]
    fn an_instance_that_joins_adds_what_it_did_since_it_began() {
        let service = [
            line(1, 100.0, 0),
            ServiceLine::began(150.0, 2),
            line(1, 200.0, 10),
            line(2, 250.0, 8),
            line(1, 300.0, 30),
            line(2, 350.0, 16),
        ];
        assert_eq!(queries(&service, WINDOW), Some(42.0));
        let before = Window { start_ms: 100.0, end_ms: 150.0 };
        assert_eq!(queries(&service, before), Some(5.0), "it had not begun");
    }

    // Instance 1 has 4 all the time. Instance 2 has nothing for 50 of 200 ms, 8 for 100 and 20 for
    // 50: 4 + (800 + 1,000) / 200 = 13.
    #[test]
    fn mean_demand_is_that_of_all_and_nothing_before_an_instance_began() {
        let service = [
            line(1, 100.0, 4),
            ServiceLine::began(150.0, 2),
            line(1, 200.0, 4),
            line(2, 250.0, 8),
            line(1, 300.0, 4),
            line(2, 350.0, 20),
        ];
        assert_eq!(demand(&service, WINDOW), Some(13.0));
        let before = Window { start_ms: 100.0, end_ms: 150.0 };
        assert_eq!(demand(&service, before), Some(4.0));
    }

    // At 200 ms 9 and 1 (of 210 ms), at 300 ms 2 and 7: ten at the most. Each instance's highest
    // together would be 16.
    #[test]
    fn high_water_marks_are_added_that_belong_to_the_same_time() {
        let service = [
            line(2, 110.0, 0),
            line(1, 200.0, 9),
            line(2, 210.0, 1),
            line(2, 290.0, 7),
            line(1, 300.0, 2),
        ];
        assert_eq!(highest(&service, WINDOW), Some(10));
        assert_eq!(highest(&service[1..2], WINDOW), Some(9), "of one instance it is its own");
    }

    #[test]
    fn where_an_instance_that_ran_said_nothing_there_is_no_sum() {
        let service = [
            line(2, 0.0, 0),
            line(2, 50.0, 5),
            line(1, 100.0, 0),
            line(1, 200.0, 10),
            line(1, 300.0, 30),
        ];
        assert_eq!(queries(&service, WINDOW), None);
        assert_eq!(demand(&service, WINDOW), None);
        assert_eq!(highest(&service, WINDOW), None);
        assert_eq!(queries(&[], WINDOW), None);
        assert_eq!(highest(&[], WINDOW), None);
    }
}
