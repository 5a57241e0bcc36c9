//! Newtypes for bare numbers that would otherwise carry their unit or range in a comment.

use serde::{Deserialize, Serialize};

/// A number outside the range that its type allows.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[error("{what} must be {allowed}, got {got}")]
pub struct OutOfRange {
    /// What the number is, in the words of the glossary.
    pub what: &'static str,
    /// The allowed range, for people.
    pub allowed: &'static str,
    /// The offending value.
    pub got: f64,
}

/// A share of a whole. **Range**: 0 to 1, both included; never a percentage.
#[derive(Debug, Clone, Copy, PartialEq, PartialOrd, Serialize, Deserialize)]
#[serde(try_from = "f64", into = "f64")]
pub struct Ratio(f64);

impl Ratio {
    /// Checks the range. **Errors**: anything outside 0 to 1, NaN included.
    pub fn new(value: f64) -> Result<Self, OutOfRange> {
        if (0.0..=1.0).contains(&value) {
            Ok(Self(value))
        } else {
            Err(OutOfRange { what: "a ratio", allowed: "from 0 to 1", got: value })
        }
    }

    /// The bare number, 0 to 1.
    pub fn get(self) -> f64 {
        self.0
    }
}

impl TryFrom<f64> for Ratio {
    type Error = OutOfRange;
    fn try_from(value: f64) -> Result<Self, OutOfRange> {
        Self::new(value)
    }
}

impl From<Ratio> for f64 {
    fn from(value: Ratio) -> f64 {
        value.0
    }
}

/// Events per second. **Range**: above 0, finite.
#[derive(Debug, Clone, Copy, PartialEq, PartialOrd, Serialize, Deserialize)]
#[serde(try_from = "f64", into = "f64")]
pub struct PerSec(f64);

impl PerSec {
    /// Checks the range. **Errors**: zero, negative, infinite or NaN.
    pub fn new(value: f64) -> Result<Self, OutOfRange> {
        if value.is_finite() && 0.0 < value {
            Ok(Self(value))
        } else {
            Err(OutOfRange { what: "a rate per second", allowed: "above 0", got: value })
        }
    }

    /// The bare number of events per second.
    pub fn get(self) -> f64 {
        self.0
    }
}

impl TryFrom<f64> for PerSec {
    type Error = OutOfRange;
    fn try_from(value: f64) -> Result<Self, OutOfRange> {
        Self::new(value)
    }
}

impl From<PerSec> for f64 {
    fn from(value: PerSec) -> f64 {
        value.0
    }
}

/// Offered load as a multiple of the database's capacity with the cache gone.
/// **Range**: above 0, at most 100.
#[derive(Debug, Clone, Copy, PartialEq, PartialOrd, Serialize, Deserialize)]
#[serde(try_from = "f64", into = "f64")]
pub struct LoadFactor(f64);

impl LoadFactor {
    /// Checks the range. **Errors**: zero, negative, above 100 or NaN.
    pub fn new(value: f64) -> Result<Self, OutOfRange> {
        if 0.0 < value && value <= 100.0 {
            Ok(Self(value))
        } else {
            Err(OutOfRange {
                what: "a load factor",
                allowed: "above 0 and at most 100",
                got: value,
            })
        }
    }

    /// The bare multiple.
    pub fn get(self) -> f64 {
        self.0
    }
}

impl TryFrom<f64> for LoadFactor {
    type Error = OutOfRange;
    fn try_from(value: f64) -> Result<Self, OutOfRange> {
        Self::new(value)
    }
}

impl From<LoadFactor> for f64 {
    fn from(value: LoadFactor) -> f64 {
        value.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ratio_outside_zero_to_one_is_refused_with_its_value() {
        assert!(Ratio::new(0.0).is_ok() && Ratio::new(1.0).is_ok());
        let error = Ratio::new(1.5).unwrap_err();
        assert_eq!(error.to_string(), "a ratio must be from 0 to 1, got 1.5");
        assert!(Ratio::new(f64::NAN).is_err());
    }

    #[test]
    fn a_load_factor_of_zero_is_refused() {
        assert!(LoadFactor::new(0.0).is_err());
        assert!(LoadFactor::new(1.5).is_ok());
    }

    #[test]
    fn a_rate_of_infinity_is_refused() {
        assert!(PerSec::new(f64::INFINITY).is_err());
        assert!(PerSec::new(-1.0).is_err());
    }
}
