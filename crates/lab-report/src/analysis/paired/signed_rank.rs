//! Wilcoxon's signed-rank test, exact: are the differences of pairs above 0?
//!
//! **Source**: Wilcoxon, Biometrics Bulletin 1, 1945; Hollander, Wolfe, Chicken, *Nonparametric
//! Statistical Methods*, 3.1.

use super::super::statistics::count;

/// What the test says.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct SignedRank {
    /// Differences that are not 0: those that say something.
    pub n: usize,
    /// W+: the sum of the ranks of the differences above 0.
    pub rank_sum: f64,
    /// Probability of such a sum or a larger one when every difference is as likely to be above 0 as
    /// below.
    pub p_above: f64,
}

/// Tests whether `differences` are above 0.
///
/// Differences of 0 are left out; equal sizes share the mean of their ranks. The distribution is that
/// of all 2^n ways to give signs to the ranks that are there, so it is exact with ties too, and needs
/// nothing of the differences but that their signs are a coin's when the versions are the same. The
/// order of the versions within a pair is drawn, so they are.
pub fn signed_rank(differences: &[f64]) -> SignedRank {
    let mut sorted: Vec<f64> = differences.iter().copied().filter(|it| 0.0 < it.abs()).collect();
    sorted.sort_by(|a, b| a.abs().total_cmp(&b.abs()));
    let ranks = doubled_ranks(&sorted);
    let doubled_sum: usize =
        ranks.iter().zip(&sorted).filter(|(_, it)| 0.0 < **it).map(|(rank, _)| rank).sum();
    let distribution = doubled_sums(&ranks);
    SignedRank {
        n: sorted.len(),
        rank_sum: count(doubled_sum) / 2.0,
        p_above: distribution[doubled_sum..].iter().sum(),
    }
}

/// Twice the rank of each value of `sorted` by its size, from 1: the mean of two ranks is half a
/// number.
fn doubled_ranks(sorted: &[f64]) -> Vec<usize> {
    let mut ranks = Vec::with_capacity(sorted.len());
    for equal in sorted.chunk_by(|a, b| a.abs().total_cmp(&b.abs()).is_eq()) {
        let (first, last) = (ranks.len() + 1, ranks.len() + equal.len());
        ranks.extend(equal.iter().map(|_| first + last));
    }
    ranks
}

/// Probability of each sum of those `ranks` that a coin chooses, from 0 on.
fn doubled_sums(ranks: &[usize]) -> Vec<f64> {
    let mut distribution = vec![0.0; ranks.iter().sum::<usize>() + 1];
    distribution[0] = 1.0;
    let mut reach = 0;
    for rank in ranks {
        reach += rank;
        for sum in (0..=reach).rev() {
            let without = distribution[sum];
            let with = sum.checked_sub(*rank).map_or(0.0, |it| distribution[it]);
            distribution[sum] = f64::midpoint(without, with);
        }
    }
    distribution
}

/// The distribution of W+ for `n` differences without ties: probability of each sum from 0 on.
fn rank_sums(n: usize) -> Vec<f64> {
    doubled_sums(&(1..=n).collect::<Vec<_>>())
}

/// The largest k with P(W+ ≤ k) ≤ `level` for `n` differences without ties, and that probability.
/// `None` when even P(W+ ≤ 0) = 2^−n is more.
pub fn critical_rank_sum(n: usize, level: f64) -> Option<(usize, f64)> {
    let mut attained = 0.0;
    let mut critical = None;
    for (sum, probability) in rank_sums(n).into_iter().enumerate() {
        attained += probability;
        if level < attained {
            break;
        }
        critical = Some((sum, attained));
    }
    critical
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn close(got: f64, want: f64) {
        assert!((got - want).abs() < 1e-12, "got {got}, want {want}");
    }

    // All eight above 0: one of 2^8 ways. All below: every way is at least as large.
    #[test]
    fn eight_of_eight_is_one_in_256() {
        let above: Vec<f64> = (1..=8).map(f64::from).collect();
        let test = signed_rank(&above);
        assert_eq!((test.n, test.rank_sum), (8, 36.0));
        close(test.p_above, 1.0 / 256.0);
        let below: Vec<f64> = above.iter().map(|it| -it).collect();
        close(signed_rank(&below).p_above, 1.0);
    }

    // scipy 1.17.1: d = [.21, -.05, .33, .12, .48, -.17, .29, .08, .02, .41];
    // stats.wilcoxon(d, alternative="greater", method="exact") is 48, 0.0185546875, and of -d it is
    // 7, 0.986328125.
    #[test]
    fn without_ties_the_test_is_scipys() {
        let differences = [0.21, -0.05, 0.33, 0.12, 0.48, -0.17, 0.29, 0.08, 0.02, 0.41];
        let test = signed_rank(&differences);
        close(test.rank_sum, 48.0);
        close(test.p_above, 0.018_554_687_5);
        let test = signed_rank(&differences.map(|it| -it));
        close(test.rank_sum, 7.0);
        close(test.p_above, 0.986_328_125);
    }

    // scipy 1.17.1: stats.wilcoxon([1, 1, 2, -1, 3, 0, -2, 2, 4, 3, 0, 1], alternative="greater",
    // zero_method="wilcox", method=stats.PermutationMethod(n_resamples=10**6)), which enumerates all
    // 2^10 ways, is 46.5, 0.03125.
    #[test]
    fn with_ties_and_zeros_the_test_is_scipys_of_all_permutations() {
        let differences = [1, 1, 2, -1, 3, 0, -2, 2, 4, 3, 0, 1].map(f64::from);
        let test = signed_rank(&differences);
        assert_eq!(test.n, 10);
        close(test.rank_sum, 46.5);
        close(test.p_above, 0.031_25);
    }

    // scipy 1.17.1: stats.wilcoxon(…, alternative="greater", method="exact") of 12 differences with
    // a rank sum of 78 - 7 = 71 is 0.004638671875, of 16 with 136 - 20 = 116 0.0054931640625, of 20
    // with 210 - 38 = 172 0.005344390869140625; with one rank less all are above 0.05 / 9.
    #[test]
    fn the_critical_sums_of_looks_are_scipys() {
        for (n, k, p) in [
            (8, 0, 0.003_906_25),
            (12, 7, 0.004_638_671_875),
            (16, 20, 0.005_493_164_062_5),
            (20, 38, 0.005_344_390_869_140_625),
        ] {
            let (critical, attained) = critical_rank_sum(n, 0.05 / 9.0).unwrap();
            assert_eq!(critical, k, "{n} pairs");
            close(attained, p);
        }
        assert_eq!(critical_rank_sum(7, 0.05 / 9.0), None, "2^-7 is 0.0078");
    }

    #[test]
    fn without_a_difference_nothing_is_said() {
        for none in [&[][..], &[0.0, -0.0]] {
            assert_eq!(signed_rank(none), SignedRank { n: 0, rank_sum: 0.0, p_above: 1.0 });
        }
    }

    proptest! {
        #[test]
        fn the_distribution_sums_to_1_and_is_symmetrical(n in 1_usize..40) {
            let sums = rank_sums(n);
            prop_assert!((sums.iter().sum::<f64>() - 1.0).abs() < 1e-12);
            for (a, b) in sums.iter().zip(sums.iter().rev()) {
                prop_assert!((a - b).abs() < 1e-15);
            }
        }

        // Of a sum and its mirror image, one is at least as large as the other: their p overlap in
        // the probability of the sum itself.
        #[test]
        fn what_is_worse_one_way_is_better_the_other(
            differences in prop::collection::vec(-5_i32..=5, 1..20)
        ) {
            let forth: Vec<f64> = differences.iter().map(|it| f64::from(*it)).collect();
            let back: Vec<f64> = forth.iter().map(|it| -it).collect();
            let (forth, back) = (signed_rank(&forth), signed_rank(&back));
            let n = forth.n;
            prop_assert!((forth.rank_sum + back.rank_sum - count(n * (n + 1)) / 2.0).abs() < 1e-9);
            prop_assert!(1.0 - 1e-12 <= forth.p_above + back.p_above);
        }
    }
}
