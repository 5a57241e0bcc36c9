//! Numbers as people read them: three significant digits and a unit, never NaN.

/// What stands where a figure does not exist.
pub(super) const MISSING: &str = "–";

/// At most three significant digits, no trailing zeros, thousands apart: `1,230`, `12.3`, `0.05`.
pub(super) fn three_digits(value: f64) -> String {
    if !value.is_finite() {
        return MISSING.into();
    }
    let rounded = round_to_three_digits(value);
    let n_decimals = decimals_for(rounded);
    let text = format!("{rounded:.n_decimals$}");
    let text = match text.split_once('.') {
        Some((whole, fraction)) => match fraction.trim_end_matches('0') {
            "" => group_thousands(whole),
            fraction => format!("{}.{fraction}", group_thousands(whole)),
        },
        None => group_thousands(&text),
    };
    if text == "-0" { "0".into() } else { text }
}

/// Rounds to three significant digits.
fn round_to_three_digits(value: f64) -> f64 {
    let factor = 10f64.powi(2 - magnitude(value));
    (value * factor).round() / factor
}

/// Decimals that three significant digits of `value` have, at most 6.
fn decimals_for(value: f64) -> usize {
    usize::try_from((2 - magnitude(value)).clamp(0, 6)).expect("clamped to 0 to 6")
}

/// The power of ten of the first digit; 0 for 0.
fn magnitude(value: f64) -> i32 {
    if value == 0.0 {
        return 0;
    }
    #[expect(clippy::cast_possible_truncation, reason = "powers of ten of an f64 are within ±324")]
    let magnitude = value.abs().log10().floor() as i32;
    magnitude
}

fn group_thousands(digits: &str) -> String {
    let (sign, digits) = digits.strip_prefix('-').map_or(("", digits), |rest| ("-", rest));
    let mut grouped = String::from(sign);
    for (k, digit) in digits.chars().enumerate() {
        if 0 < k && (digits.len() - k).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    grouped
}

/// A whole number, exact, thousands apart.
pub(super) fn count(n: u64) -> String {
    group_thousands(&n.to_string())
}

/// A share of a whole, three decimals, so that a column of them lines up.
pub(super) fn ratio(value: f64) -> String {
    if value.is_finite() { format!("{value:.3}") } else { MISSING.into() }
}

/// A difference of two ratios, with its sign.
pub(super) fn signed_ratio(value: f64) -> String {
    if !value.is_finite() {
        return MISSING.into();
    }
    let text = format!("{value:+.3}").replace('-', "−");
    if text == "−0.000" || text == "+0.000" { "±0.000".into() } else { text }
}

/// A factor between two values: `12.3×`.
pub(super) fn factor(value: f64) -> String {
    format!("{}×", three_digits(value))
}

/// A length of time given in milliseconds: `0.4 ms`, `250 ms`, `1.2 s`.
pub(super) fn milliseconds(ms: f64) -> String {
    if ms.abs() < 1_000.0 && round_to_three_digits(ms) < 1_000.0 {
        format!("{} ms", three_digits(ms))
    } else {
        format!("{} s", three_digits(ms / 1_000.0))
    }
}

/// A length of time given in seconds: `39 s`, `5 min 12 s`.
pub(super) fn seconds(s: f64) -> String {
    let whole = s.round();
    if whole < 120.0 {
        return format!("{} s", three_digits(whole));
    }
    let minutes = (whole / 60.0).floor();
    format!("{minutes:.0} min {:.0} s", whole - minutes * 60.0)
}

/// Bytes: `3.8 GiB`.
#[expect(clippy::cast_precision_loss, reason = "three digits of it are shown")]
pub(super) fn gibibytes(bytes: u64) -> String {
    format!("{} GiB", three_digits(bytes as f64 / f64::from(1u32 << 30)))
}

/// Bytes: `0.4 KB`, `12.3 KB`, `1,230 KB`.
#[expect(clippy::cast_precision_loss, reason = "three digits of it are shown")]
pub(super) fn kilobytes(bytes: u64) -> String {
    format!("{} KB", three_digits(bytes as f64 / 1e3))
}

/// A name from an artifact, in words: `timed_out` is `timed out`.
pub(super) fn words(name: &str) -> String {
    name.replace('_', " ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_have_three_digits_and_no_trailing_zeros() {
        for (value, want) in [
            (0.0, "0"),
            (1234.0, "1,230"),
            (1_234_567.0, "1,230,000"),
            (12.34, "12.3"),
            (999.6, "1,000"),
            (100.0, "100"),
            (0.5, "0.5"),
            (0.012_345, "0.0123"),
            (-2.345, "-2.35"),
            (f64::NAN, "–"),
            (f64::INFINITY, "–"),
        ] {
            assert_eq!(three_digits(value), want);
        }
    }

    #[test]
    fn times_take_the_unit_that_reads_best() {
        assert_eq!(milliseconds(0.4), "0.4 ms");
        assert_eq!(milliseconds(999.0), "999 ms");
        assert_eq!(milliseconds(999.9), "1 s");
        assert_eq!(milliseconds(1_240.0), "1.24 s");
        assert_eq!(seconds(38.6), "39 s");
        assert_eq!(seconds(312.0), "5 min 12 s");
    }

    #[test]
    fn ratios_line_up_and_differences_show_their_sign() {
        assert_eq!(ratio(0.998_4), "0.998");
        assert_eq!(ratio(f64::NAN), "–");
        assert_eq!(signed_ratio(0.25), "+0.250");
        assert_eq!(signed_ratio(-0.25), "−0.250");
        assert_eq!(signed_ratio(-0.0001), "±0.000");
        assert_eq!(factor(12.34), "12.3×");
    }

    #[test]
    fn counts_are_exact() {
        assert_eq!(count(0), "0");
        assert_eq!(count(1_234_567), "1,234,567");
        assert_eq!(gibibytes(4_294_967_296), "4 GiB");
    }
}
