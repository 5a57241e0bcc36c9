//! Connection demand: how many callers hold a connection or wait for one.
//!
//! Peak connections alone say nothing, because they end at the size of the pool; demand goes on
//! growing. Pure: every change takes `now`.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

/// Keeps demand between two samples.
#[derive(Debug)]
pub(crate) struct Demand {
    pending: u32,
    in_use: u32,
    /// When the current sample began.
    sample_began_at: Instant,
    /// When `pending` or `in_use` last changed.
    changed_at: Instant,
    /// Integral of demand over time since the sample began, in callers × seconds.
    caller_seconds: f64,
    pending_high_water: u32,
    in_use_high_water: u32,
    demand_high_water: u32,
    /// Lower edge of a bucket of waits in microseconds → waits in it.
    waits_us: BTreeMap<u64, u64>,
}

/// What happened since the last sample.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct DemandSample {
    /// Callers waiting now.
    pub(crate) pending: u32,
    /// Connections handed out now.
    pub(crate) in_use: u32,
    /// Most callers waiting at once.
    pub(crate) pending_high_water: u32,
    /// Most connections handed out at once.
    pub(crate) in_use_high_water: u32,
    /// Mean over time of waiting and handed out together.
    pub(crate) demand_mean: f64,
    /// Most of both together.
    pub(crate) demand_high_water: u32,
    /// Finished waits: microseconds (lower edge of a bucket) and count, shortest first.
    pub(crate) waits_us: Vec<(u64, u64)>,
}

impl DemandSample {
    /// What happened at two pools together. High-water marks are added as well, although the two
    /// need not have been reached at the same moment: the sum is at least the true mark.
    pub(crate) fn and(self, other: Self) -> Self {
        let mut waits_us: BTreeMap<u64, u64> = self.waits_us.into_iter().collect();
        for (wait_us, n) in other.waits_us {
            *waits_us.entry(wait_us).or_default() += n;
        }
        Self {
            pending: self.pending + other.pending,
            in_use: self.in_use + other.in_use,
            pending_high_water: self.pending_high_water + other.pending_high_water,
            in_use_high_water: self.in_use_high_water + other.in_use_high_water,
            demand_mean: self.demand_mean + other.demand_mean,
            demand_high_water: self.demand_high_water + other.demand_high_water,
            waits_us: waits_us.into_iter().collect(),
        }
    }
}

impl Demand {
    pub(crate) fn new(now: Instant) -> Self {
        Self {
            pending: 0,
            in_use: 0,
            sample_began_at: now,
            changed_at: now,
            caller_seconds: 0.0,
            pending_high_water: 0,
            in_use_high_water: 0,
            demand_high_water: 0,
            waits_us: BTreeMap::new(),
        }
    }

    /// A caller asks for a connection.
    pub(crate) fn asked(&mut self, now: Instant) {
        self.advance(now);
        self.pending += 1;
        self.raise_high_water();
    }

    /// A caller that asked stopped waiting without a connection.
    pub(crate) fn left(&mut self, now: Instant) {
        self.advance(now);
        self.pending -= 1;
    }

    /// A caller that asked got a connection after `waited`.
    pub(crate) fn acquired(&mut self, now: Instant, waited: Duration) {
        self.advance(now);
        self.pending -= 1;
        self.in_use += 1;
        self.raise_high_water();
        let waited_us = u64::try_from(waited.as_micros()).unwrap_or(u64::MAX);
        *self.waits_us.entry(bucket(waited_us)).or_default() += 1;
    }

    /// A caller gave its connection back.
    pub(crate) fn released(&mut self, now: Instant) {
        self.advance(now);
        self.in_use -= 1;
    }

    /// Callers waiting, and connections handed out, now.
    pub(crate) fn now(&self) -> (u32, u32) {
        (self.pending, self.in_use)
    }

    /// Returns the sample that ends at `now`, and begins the next one.
    pub(crate) fn drain(&mut self, now: Instant) -> DemandSample {
        self.advance(now);
        let length = now.saturating_duration_since(self.sample_began_at).as_secs_f64();
        let demand = self.pending + self.in_use;
        let demand_mean =
            if 0.0 < length { self.caller_seconds / length } else { f64::from(demand) };
        let sample = DemandSample {
            pending: self.pending,
            in_use: self.in_use,
            pending_high_water: self.pending_high_water,
            in_use_high_water: self.in_use_high_water,
            demand_mean,
            demand_high_water: self.demand_high_water,
            waits_us: std::mem::take(&mut self.waits_us).into_iter().collect(),
        };
        self.sample_began_at = now;
        self.caller_seconds = 0.0;
        self.pending_high_water = self.pending;
        self.in_use_high_water = self.in_use;
        self.demand_high_water = demand;
        sample
    }

    fn advance(&mut self, now: Instant) {
        let elapsed = now.saturating_duration_since(self.changed_at).as_secs_f64();
        self.caller_seconds += elapsed * f64::from(self.pending + self.in_use);
        self.changed_at = self.changed_at.max(now);
    }

    fn raise_high_water(&mut self) {
        self.pending_high_water = self.pending_high_water.max(self.pending);
        self.in_use_high_water = self.in_use_high_water.max(self.in_use);
        self.demand_high_water = self.demand_high_water.max(self.pending + self.in_use);
    }
}

/// The lower edge of the bucket of `value`: its four highest bits, so at most 1/8 below it.
fn bucket(value: u64) -> u64 {
    let n_dropped = 60_u32.saturating_sub(value.leading_zeros());
    value >> n_dropped << n_dropped
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(start: Instant, ms: u64) -> Instant {
        start + Duration::from_millis(ms)
    }

    // Worked by hand: demand is 0 for 100 ms, 1 for 100 ms (pending), 2 for 100 ms (one of each),
    // 1 for 200 ms (in use): (100 + 200 + 200) / 500 = 1.0; the second sample is 1 for 50 ms of
    // 100 ms.
    #[test]
    fn mean_demand_is_weighted_by_time() {
        let start = tokio::time::Instant::now().into_std();
        let mut demand = Demand::new(start);
        demand.asked(at(start, 100));
        demand.acquired(at(start, 200), Duration::from_millis(100));
        demand.asked(at(start, 200));
        demand.left(at(start, 300));
        let sample = demand.drain(at(start, 500));
        assert!((sample.demand_mean - 1.0).abs() < 1e-9, "{sample:?}");
        assert_eq!((sample.pending, sample.in_use), (0, 1));
        assert_eq!((sample.pending_high_water, sample.in_use_high_water), (1, 1));
        assert_eq!(sample.demand_high_water, 2);
        assert_eq!(sample.waits_us, [(bucket(100_000), 1)]);

        demand.released(at(start, 550));
        let sample = demand.drain(at(start, 600));
        assert!((sample.demand_mean - 0.5).abs() < 1e-9, "{sample:?}");
        assert_eq!(sample.demand_high_water, 1, "what was held when the sample began counts");
        assert!(sample.waits_us.is_empty());
    }

    // Worked by hand, field by field.
    #[test]
    fn demand_of_two_pools_is_added() {
        let sample = |n: u32, waits_us: &[(u64, u64)]| DemandSample {
            pending: n,
            in_use: 2 * n,
            pending_high_water: 3 * n,
            in_use_high_water: 4 * n,
            demand_mean: f64::from(n) / 2.0,
            demand_high_water: 7 * n,
            waits_us: waits_us.to_vec(),
        };
        let both = sample(1, &[(10, 1), (30, 2)]).and(sample(2, &[(10, 4), (20, 8)]));
        assert_eq!(both, sample(3, &[(10, 5), (20, 8), (30, 2)]));
    }

    #[test]
    fn a_bucket_is_at_most_an_eighth_below_its_values() {
        for (value, want) in [(0, 0), (1, 1), (15, 15), (16, 16), (17, 16), (1_000, 960)] {
            assert_eq!(bucket(value), want);
        }
        for value in [1_u64, 99, 12_345, 500_000, u64::MAX] {
            assert!(bucket(value) <= value && value - bucket(value) <= value / 8);
        }
    }
}
