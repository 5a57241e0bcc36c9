//! Statistics over trials and over requests. Each names its method and has a known-answer test.

/// The value of rank ⌈q·n⌉ of `sorted` (Hyndman–Fan type 1): the smallest value that at least the
/// share `q` of all values does not exceed. `None` when there is no value. **Range** of `q`: 0 to 1.
///
/// HdrHistogram uses the same definition, so figures from requests and from histograms agree.
/// **Source**: Hyndman, Fan, *Sample Quantiles in Statistical Packages*, 1996.
pub fn nearest_rank(sorted: &[u64], q: f64) -> Option<u64> {
    let rank = rank_of(sorted.len(), q)?;
    Some(sorted[rank - 1])
}

/// ⌈q·n⌉, at least 1; `None` for n = 0. A product that lies above a whole number only by the error
/// of its rounding counts as that number.
pub fn rank_of(n: usize, q: f64) -> Option<usize> {
    if n == 0 {
        return None;
    }
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        clippy::cast_precision_loss,
        reason = "q·n is between 0 and n, which is far below 2^52"
    )]
    let rank = (q * n as f64 - 1e-9).ceil() as usize;
    Some(rank.clamp(1, n))
}

/// 90 % of the standard normal distribution lie below this.
const Z_90: f64 = 1.281_552;

/// Two values of `sorted` between which the true quantile `q` lies: each bound fails in one sample
/// of ten, so both together in one of five. `None` when there are too few values for either bound.
///
/// The number of values below the true quantile is binomial, n·q ± z·√(n·q·(1 − q)) in its normal
/// approximation; the values of those ranks are the bounds, whatever the distribution.
/// **Source**: David, Nagaraja, *Order Statistics*.
pub fn quantile_bounds(sorted: &[u64], q: f64) -> Option<(u64, u64)> {
    let n = count(sorted.len());
    let reach = Z_90 * (n * q * (1.0 - q)).sqrt();
    let (low, high) = (floor(n * q - reach), floor((n * q + reach).ceil()));
    let at = |rank: usize| rank.checked_sub(1).and_then(|place| sorted.get(place)).copied();
    Some((at(low)?, at(high)?))
}

/// The quantile `q` by linear interpolation between order statistics (Hyndman–Fan type 7, the
/// default of R and NumPy): position (n − 1)·q. `None` when there is no value.
///
/// **Source**: Hyndman, Fan, 1996.
pub fn quantile(values: &[f64], q: f64) -> Option<f64> {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let last = sorted.len().checked_sub(1)?;
    let position = q * count(last);
    let below = floor(position).min(last);
    let above = (below + 1).min(last);
    let share = position - count(below);
    Some(sorted[below] + share * (sorted[above] - sorted[below]))
}

/// The median: the quantile 0.5.
pub fn median(values: &[f64]) -> Option<f64> {
    quantile(values, 0.5)
}

/// The median of times of which some were never reached. A time that was never reached is longer
/// than any that was. `None` when most are `None`; when exactly half are, the longest time that
/// was reached stands.
pub fn median_time(times: &[Option<f64>]) -> Option<f64> {
    let mut reached: Vec<f64> = times.iter().copied().flatten().collect();
    reached.sort_by(f64::total_cmp);
    let lower = times.len().checked_sub(1)? / 2;
    let upper = times.len() / 2;
    let low = *reached.get(lower)?;
    Some(reached.get(upper).map_or(low, |high| f64::midpoint(low, *high)))
}

/// The median of the values that exist; `None` when most do not.
pub fn median_of_existing(values: &[Option<f64>]) -> Option<f64> {
    let existing: Vec<f64> = values.iter().copied().flatten().collect();
    if existing.len() * 2 < values.len() { None } else { median(&existing) }
}

/// A value that may be only a lower bound of the true one.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Bound {
    /// The value.
    pub value: f64,
    /// Whether the true value is at least as large rather than the same.
    pub censored: bool,
}

/// The median, which is a lower bound when a value that it rests on is one. `None` when there is
/// no value.
pub fn median_bound(values: &[Bound]) -> Option<Bound> {
    let mut sorted = values.to_vec();
    sorted.sort_by(|a, b| a.value.total_cmp(&b.value));
    let middle = sorted.len().checked_sub(1)? / 2..=sorted.len() / 2;
    let middle = &sorted[middle];
    let value = f64::midpoint(middle[0].value, middle[middle.len() - 1].value);
    Some(Bound { value, censored: middle.iter().any(|it| it.censored) })
}

/// An interval and how sure one can be of it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Interval {
    /// Lower end.
    pub low: f64,
    /// Upper end.
    pub high: f64,
    /// Probability with which such an interval holds the true value, 0 to 1.
    pub confidence: f64,
}

/// Smallest to largest value as an interval for the median. It misses only when all n values lie on
/// the same side, so its confidence is 1 − 2·(1/2)^n, whatever the distribution. `None` below two
/// values. **Source**: order statistics; David, Nagaraja, *Order Statistics*, 7.1.
pub fn median_interval(values: &[f64]) -> Option<Interval> {
    if values.len() < 2 {
        return None;
    }
    let low = values.iter().copied().min_by(f64::total_cmp)?;
    let high = values.iter().copied().max_by(f64::total_cmp)?;
    Some(Interval { low, high, confidence: 1.0 - 2.0 * 0.5_f64.powf(count(values.len())) })
}

/// Wilson's interval of 95 % for a proportion of `n_yes` in `n`. `None` for n = 0.
///
/// With p = n_yes / n and z = 1.96: (p + z²/2n ± z·√(p(1−p)/n + z²/4n²)) / (1 + z²/n).
/// **Source**: Wilson, JASA 22, 1927.
pub fn wilson_interval(n_yes: usize, n: usize) -> Option<Interval> {
    if n == 0 {
        return None;
    }
    let z = 1.959_963_984_540_054_f64;
    let (yes, n) = (count(n_yes), count(n));
    let p = yes / n;
    let scale = 1.0 + z * z / n;
    let centre = (p + z * z / (2.0 * n)) / scale;
    let half = z * (p * (1.0 - p) / n + z * z / (4.0 * n * n)).sqrt() / scale;
    Some(Interval {
        low: (centre - half).max(0.0),
        high: (centre + half).min(1.0),
        confidence: 0.95,
    })
}

/// n / d, or `None` when d is 0: 0/0 is not zero.
pub fn ratio(n: f64, d: f64) -> Option<f64> {
    (0.0 < d).then(|| n / d)
}

/// n / d of two counts, or `None` when d is 0.
pub fn fraction(n: u64, d: u64) -> Option<f64> {
    ratio(float(n), float(d))
}

/// A count as a float. Exact up to 2^53, which no count here comes near.
#[expect(clippy::cast_precision_loss, reason = "counts here are far below 2^53")]
pub fn float(n: u64) -> f64 {
    n as f64
}

/// Standard deviation of a sample, with n - 1 in the denominator; `None` for fewer than two values.
pub fn standard_deviation(values: &[f64]) -> Option<f64> {
    let n = count(values.len());
    let mean = ratio(values.iter().sum(), n)?;
    let squares: f64 = values.iter().map(|it| (it - mean).powi(2)).sum();
    ratio(squares, n - 1.0).map(f64::sqrt)
}

/// A length as a float.
#[expect(clippy::cast_precision_loss, reason = "lengths here are far below 2^53")]
pub fn count(n: usize) -> f64 {
    n as f64
}

/// The largest whole number not above `value`; 0 for a negative one.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "floored, not negative"
)]
pub fn floor(value: f64) -> usize {
    value.max(0.0).floor() as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    fn close(got: Option<f64>, want: f64) {
        let got = got.expect("there is a value");
        assert!((got - want).abs() < 1e-9, "got {got}, want {want}");
    }

    // Worked by hand: of 1,000 values 990 ± 1.2816 · √9.9 = 985.97 and 994.03, so ranks 985 and 995.
    // Of 100, 99 + 1.28 is above 100: there is no upper bound.
    #[test]
    fn the_bounds_of_a_quantile_are_ranks_of_the_binomial() {
        let values: Vec<u64> = (1..=1_000).collect();
        assert_eq!(quantile_bounds(&values, 0.99), Some((985, 995)));
        assert_eq!(quantile_bounds(&values[..100], 0.99), None);
        assert_eq!(quantile_bounds(&[], 0.99), None);
    }

    // Worked by hand: the mean is 5, the squares add up to 32, and √(32 / 7) = 2.1380899353.
    #[test]
    fn a_standard_deviation_is_that_of_a_sample() {
        let values = [2.0, 4.0, 4.0, 4.0, 5.0, 5.0, 7.0, 9.0];
        close(standard_deviation(&values), 2.138_089_935_299_395);
        assert_eq!(standard_deviation(&values[..1]), None);
        assert_eq!(standard_deviation(&[]), None);
    }

    // ⌈0.5·4⌉ = 2, ⌈0.99·4⌉ = 4, ⌈0.99·100⌉ = 99.
    #[test]
    fn the_nearest_rank_is_a_value_that_was_seen() {
        assert_eq!(nearest_rank(&[1, 2, 3, 4], 0.5), Some(2));
        assert_eq!(nearest_rank(&[1, 2, 3, 4], 0.99), Some(4));
        let hundred: Vec<u64> = (1..=100).collect();
        assert_eq!(nearest_rank(&hundred, 0.99), Some(99));
        assert_eq!(nearest_rank(&[7], 0.0), Some(7));
        assert_eq!(nearest_rank(&[], 0.5), None);
    }

    // R: quantile(c(1, 2, 4, 8), c(.25, .5, .75, .9), type = 7) is 1.75, 3, 5, 6.8.
    #[test]
    fn the_quantile_interpolates_as_type_7() {
        let values = [8.0, 1.0, 4.0, 2.0];
        close(quantile(&values, 0.25), 1.75);
        close(quantile(&values, 0.5), 3.0);
        close(quantile(&values, 0.75), 5.0);
        close(quantile(&values, 0.9), 6.8);
        close(quantile(&values, 1.0), 8.0);
        close(quantile(&[5.0], 0.9), 5.0);
        assert_eq!(quantile(&[], 0.5), None);
    }

    #[test]
    fn the_median_of_an_even_number_lies_between_the_middle_two() {
        close(median(&[1.0, 9.0, 3.0]), 3.0);
        close(median(&[1.0, 9.0, 3.0, 4.0]), 3.5);
        assert_eq!(median(&[]), None);
    }

    // A trial that never recovered ranks last: the median of 1, 5 and never is 5, not 3.
    #[test]
    fn a_time_that_was_never_reached_ranks_last_and_most_of_them_make_none() {
        close(median_time(&[Some(1.0), None, Some(5.0)]), 5.0);
        close(median_time(&[Some(5.0), Some(1.0)]), 3.0);
        close(median_time(&[None, Some(5.0)]), 5.0);
        assert_eq!(median_time(&[None, Some(5.0), None]), None);
        assert_eq!(median_time(&[]), None);
    }

    #[test]
    fn a_median_needs_at_least_half_of_its_values() {
        close(median_of_existing(&[Some(2.0), None, Some(4.0)]), 3.0);
        assert_eq!(median_of_existing(&[Some(2.0), None, None]), None);
    }

    // Of 1, 3 and ≥ 9 the median 3 is exact; of 1 and ≥ 9 it rests on both.
    #[test]
    fn a_median_is_a_lower_bound_when_it_rests_on_one() {
        let bound = |value: f64| Bound { value, censored: 9.0 <= value };
        let exact = Bound { value: 3.0, censored: false };
        assert_eq!(median_bound(&[bound(9.0), bound(1.0), bound(3.0)]), Some(exact));
        let at_least = Bound { value: 5.0, censored: true };
        assert_eq!(median_bound(&[bound(9.0), bound(1.0)]), Some(at_least));
        assert_eq!(median_bound(&[bound(3.0)]), Some(exact));
        assert_eq!(median_bound(&[]), None);
    }

    // 1 − 2/8 = 0.75 for three trials.
    #[test]
    fn the_range_of_three_trials_holds_the_median_with_three_quarters() {
        let interval = median_interval(&[0.9, 0.7, 0.8]).unwrap();
        assert_eq!((interval.low, interval.high), (0.7, 0.9));
        close(Some(interval.confidence), 0.75);
        assert_eq!(median_interval(&[0.9]), None);
    }

    // Wilson for 8 of 10, from R's prop.test(8, 10, correct = FALSE): 0.4901625, 0.9433178.
    #[test]
    fn wilsons_interval_is_that_of_r() {
        let interval = wilson_interval(8, 10).unwrap();
        assert!((interval.low - 0.490_162_5).abs() < 1e-6, "{interval:?}");
        assert!((interval.high - 0.943_317_8).abs() < 1e-6, "{interval:?}");
        assert_eq!(wilson_interval(0, 0), None);
        let all = wilson_interval(3, 3).unwrap();
        assert!((all.high - 1.0).abs() < 1e-12 && 0.43 < all.low && all.low < 0.44, "{all:?}");
    }

    #[test]
    fn nothing_over_nothing_is_no_ratio() {
        assert_eq!(fraction(0, 0), None);
        close(fraction(1, 4), 0.25);
    }
}
