//! Positive controls: whether this machine can show at all what a campaign is about.

use lab_core::{
    artifact::manifest::{ControlPoint, TopologyPoint},
    scenario::Topology,
};

use super::statistics::ratio;

/// Four instances must carry at least 2.5 times what one carries: this share of what four times
/// would be. Chosen: what is lost to a shared machine is less than that, what is lost to a machine
/// that is too small for four is more.
const SHARE_MIN: f64 = 2.5 / 4.0;
/// How many times as many instances are compared, where they were measured.
const TIMES: u32 = 4;
/// A primary and its replica must carry at least this many times what the primary alone carries.
/// Chosen: two equal servers would carry twice as much; on a machine where they take turns they carry
/// the same.
const REPLICA_RATIO_MIN: f64 = 1.3;

/// What is expected to carry more does carry more where nothing is broken. Without that, a fault
/// under which it brings nothing could be the machine's doing.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct PositiveControl<T> {
    /// What is expected to carry less.
    pub few: T,
    /// What is expected to carry more.
    pub many: T,
    /// Capacity of `many` over that of `few`.
    pub ratio: f64,
    /// The least that shows that `many` carries more.
    pub ratio_min: f64,
}

impl<T> PositiveControl<T> {
    /// Whether `many` carries more on this machine.
    pub fn passed(&self) -> bool {
        self.ratio_min <= self.ratio
    }
}

impl PositiveControl<u32> {
    /// Numbers of instances with a warm cache: the smallest, and four times as many or else the
    /// largest. From what was measured, in the order of the numbers; `None` for fewer than two.
    pub fn of_instances(points: &[ControlPoint]) -> Option<Self> {
        let (few, more) = points.split_first()?;
        let wanted = more.iter().find(|it| it.n_instances == TIMES * few.n_instances);
        let many = wanted.or(more.last())?;
        Some(Self {
            few: few.n_instances,
            many: many.n_instances,
            ratio: ratio(many.warm_capacity_per_sec, few.warm_capacity_per_sec)?,
            ratio_min: SHARE_MIN * f64::from(many.n_instances) / f64::from(few.n_instances),
        })
    }
}

impl PositiveControl<Topology> {
    /// The database without a replica and with one, with the cache bypassed; `None` where not both
    /// were measured.
    pub fn of_replica(points: &[TopologyPoint]) -> Option<Self> {
        let with = |has_replica| {
            points.iter().find(|it| it.topology.has_database_replica() == has_replica)
        };
        let (few, many) = (with(false)?, with(true)?);
        Some(Self {
            few: few.topology,
            many: many.topology,
            ratio: ratio(many.db_capacity_per_sec, few.db_capacity_per_sec)?,
            ratio_min: REPLICA_RATIO_MIN,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
            let points = points(&[(1, 1e3), (2, 1.9e3), (4, four), (8, 1e3)]);
            PositiveControl::of_instances(&points).unwrap()
        };
        assert!(control(2_500.0).passed() && !control(2_499.0).passed());
        let PositiveControl { few, many, ratio, ratio_min } = control(3_000.0);
        assert_eq!((few, many), (1, 4));
        assert!((ratio - 3.0).abs() < 1e-12 && (ratio_min - 2.5).abs() < 1e-12);
    }

    // Three instead of four: 0.625 of three times is 1.875.
    #[test]
    fn without_four_times_as_many_the_largest_number_is_compared() {
        let control = PositiveControl::of_instances(&points(&[(2, 1e3), (6, 1.9e3)])).unwrap();
        assert_eq!((control.few, control.many), (2, 6));
        assert!((control.ratio_min - 1.875).abs() < 1e-12 && control.passed());
        assert_eq!(PositiveControl::of_instances(&points(&[(1, 1e3)])), None);
        assert_eq!(PositiveControl::of_instances(&points(&[(1, 0.0), (4, 1e3)])), None);
        assert_eq!(PositiveControl::of_instances(&[]), None);
    }

    // 1.3 times 100 is 130.
    #[test]
    fn a_replica_must_add_nearly_a_third() {
        let point = |topology, db_capacity_per_sec| TopologyPoint { topology, db_capacity_per_sec };
        let control = |both| {
            let points = [point(Topology::Single, 100.0), point(Topology::Replica, both)];
            PositiveControl::of_replica(&points).unwrap()
        };
        assert!(control(130.0).passed() && !control(129.0).passed());
        assert_eq!(
            (control(180.0).few, control(180.0).many),
            (Topology::Single, Topology::Replica)
        );
        assert!((control(180.0).ratio - 1.8).abs() < 1e-12);
        assert_eq!(PositiveControl::of_replica(&[point(Topology::Single, 100.0)]), None);
        assert_eq!(PositiveControl::of_replica(&[]), None);
    }
}
