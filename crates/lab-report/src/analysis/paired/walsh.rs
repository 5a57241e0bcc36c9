//! How large the differences of pairs are: the estimate of Hodges and Lehmann, and an interval for
//! it that belongs to Wilcoxon's signed-rank test.
//!
//! **Source**: Hodges, Lehmann, Annals of Mathematical Statistics 34, 1963; Hollander, Wolfe, Chicken,
//! *Nonparametric Statistical Methods*, 3.2 and 3.3.

use super::{
    super::statistics::{Interval, median},
    signed_rank::critical_rank_sum,
};

/// The means of each difference with itself and with every other: n·(n + 1)/2, sorted.
#[derive(Debug, Clone, PartialEq)]
pub struct WalshAverages {
    n: usize,
    sorted: Vec<f64>,
}

impl WalshAverages {
    /// Of these differences.
    pub fn of(differences: &[f64]) -> Self {
        let pairs = differences.iter().enumerate();
        let mut sorted: Vec<f64> = pairs
            .flat_map(|(k, a)| differences[k..].iter().map(|b| f64::midpoint(*a, *b)))
            .collect();
        sorted.sort_by(f64::total_cmp);
        Self { n: differences.len(), sorted }
    }

    /// The estimate of Hodges and Lehmann: their median. `None` without a difference.
    pub fn estimate(&self) -> Option<f64> {
        median(&self.sorted)
    }

    /// From the (k + 1)-th smallest to the (k + 1)-th largest, where k is the largest rank sum with
    /// P(W+ ≤ k) ≤ `level`: the values that the test does not refuse, at this level on either side.
    /// `None` when there are too few differences for such a k. With ties the level is at most this.
    ///
    /// W+ of the differences from a value θ is the number of averages above θ; so the test refuses
    /// every θ above which there are at most k of them.
    pub fn interval(&self, level: f64) -> Option<Interval> {
        let (k, attained) = critical_rank_sum(self.n, level)?;
        let low = *self.sorted.get(k)?;
        let high = *self.sorted.get(self.sorted.len().checked_sub(k + 1)?)?;
        Some(Interval { low, high, confidence: 1.0 - 2.0 * attained })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // By hand: of 1, 3 and 8 the averages are 1, 2, 3, 4.5, 5.5 and 8; the median 3.75.
    #[test]
    fn the_estimate_is_the_median_of_all_means_of_two() {
        let walsh = WalshAverages::of(&[3.0, 8.0, 1.0]);
        assert_eq!(walsh.sorted, [1.0, 2.0, 3.0, 4.5, 5.5, 8.0]);
        assert_eq!(walsh.estimate(), Some(3.75));
        assert_eq!(WalshAverages::of(&[]).estimate(), None);
    }

    // scipy 1.17.1, d as in the test of the signed-rank test: an average x is an end of the interval
    // when stats.wilcoxon(d - x, alternative="less" or "greater", method="exact") is above the level
    // there and at most the level beside it. Found so for every average of d.
    #[test]
    fn the_interval_is_what_scipys_test_does_not_refuse() {
        let differences = [0.21, -0.05, 0.33, 0.12, 0.48, -0.17, 0.29, 0.08, 0.02, 0.41];
        let walsh = WalshAverages::of(&differences);
        assert!((walsh.estimate().unwrap() - 0.175).abs() < 1e-12);
        for (level, low, high) in
            [(0.1, 0.08, 0.27), (0.05, 0.035, 0.31), (0.1 / 6.0, -0.015, 0.35)]
        {
            let interval = walsh.interval(level).unwrap();
            assert!((interval.low - low).abs() < 1e-12, "{level}: {interval:?}");
            assert!((interval.high - high).abs() < 1e-12, "{level}: {interval:?}");
            assert!(1.0 - 2.0 * level <= interval.confidence, "{level}: {interval:?}");
        }
    }

    // By hand: of five differences, all above θ or none are 2 of 2^5 ways; P(W+ ≤ 0) = 1/32 = 0.031.
    #[test]
    fn an_interval_needs_enough_pairs() {
        let five = WalshAverages::of(&[1.0, 2.0, 3.0, 4.0, 5.0]);
        let interval = five.interval(0.05).unwrap();
        assert_eq!((interval.low, interval.high), (1.0, 5.0));
        assert!((interval.confidence - 30.0 / 32.0).abs() < 1e-12);
        assert_eq!(five.interval(0.03), None);
        assert_eq!(WalshAverages::of(&[]).interval(0.05), None);
    }
}
