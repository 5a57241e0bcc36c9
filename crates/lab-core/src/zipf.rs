//! Zipf popularity of keys, as a table of cumulative weights.

use rand::{Rng, RngExt};

/// Popularity of `n` keys in which the k-th most popular has weight k^-exponent.
///
/// Rank 0 is the most popular. Ranks are spread over ids by the caller.
/// **Source**: Breslau et al., INFOCOM 1999, on the popularity of web pages.
#[derive(Debug, Clone)]
pub struct Zipf {
    /// `cumulative[k]` is the share of ranks 0 to k; the last one is 1.
    cumulative: Vec<f64>,
}

impl Zipf {
    /// Popularity over `n` ranks (at least 1) with the given exponent (0 is uniform).
    pub fn new(n: u32, exponent: f64) -> Self {
        assert!(0 < n, "a popularity needs at least one rank");
        let mut total = 0.0;
        let mut cumulative: Vec<f64> = (1..=n)
            .map(|rank| {
                total += f64::from(rank).powf(-exponent);
                total
            })
            .collect();
        for share in &mut cumulative {
            *share /= total;
        }
        Self { cumulative }
    }

    /// Draws one rank.
    pub fn draw(&self, rng: &mut impl Rng) -> u32 {
        let point: f64 = rng.random();
        let rank = self.cumulative.partition_point(|share| *share <= point);
        u32::try_from(rank.min(self.cumulative.len() - 1))
            .expect("there are at most u32::MAX ranks")
    }

    /// Share of all draws that fall on the `n` most popular ranks, 0 to 1.
    pub fn share_of_top(&self, n: u32) -> f64 {
        match n {
            0 => 0.0,
            n => self.cumulative[(n as usize).min(self.cumulative.len()) - 1],
        }
    }

    /// Share of all draws that fall on `rank`, 0 to 1.
    pub fn share_of(&self, rank: u32) -> f64 {
        self.share_of_top(rank + 1) - self.share_of_top(rank)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::seed::Seed;

    // Worked by hand: weights 1, 1/2, 1/3, 1/4 sum to 25/12.
    #[test]
    fn shares_are_those_of_the_harmonic_series() {
        let zipf = Zipf::new(4, 1.0);
        assert!((zipf.share_of_top(1) - 12.0 / 25.0).abs() < 1e-12);
        assert!((zipf.share_of_top(2) - 18.0 / 25.0).abs() < 1e-12);
        assert!((zipf.share_of(3) - 3.0 / 25.0).abs() < 1e-12);
        assert!((zipf.share_of_top(9) - 1.0).abs() < 1e-12);
    }

    // 100,000 draws: the standard error of a share p is at most 0.0016, so 0.01 is six of them.
    #[test]
    fn draws_follow_the_shares() {
        let zipf = Zipf::new(10, 1.0);
        let mut rng = Seed(1).stream("zipf");
        let mut counts = [0_u32; 10];
        for _ in 0..100_000 {
            counts[zipf.draw(&mut rng) as usize] += 1;
        }
        for (rank, count) in (0..).zip(counts) {
            let share = f64::from(count) / 100_000.0;
            assert!((share - zipf.share_of(rank)).abs() < 0.01, "rank {rank}: {share}");
        }
    }
}
