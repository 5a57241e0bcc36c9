//! How a scheduled request ended, and what served it.

use serde::{Deserialize, Serialize};

/// How a scheduled request ended, as the user saw it. Every scheduled request has exactly one
/// outcome, and every table and plot has a column for each.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// The right answer within the deadline.
    Success,
    /// A usable answer that is not the full or fresh one, within the deadline.
    Degraded,
    /// Refused because the service is overloaded (503 with `x-served-by: shed`).
    Shed,
    /// Refused because a quota is spent (429).
    RateLimited,
    /// Refused because a circuit is open and nothing else could answer.
    NotPermitted,
    /// The client gave up, or the service said that time ran out (504).
    TimedOut,
    /// Any other error: connection refused or reset, 5xx, a wrong or empty body, a lost session.
    DependencyFailed,
    /// Never sent: no virtual user was free before the client would have given up.
    Unsent,
}

impl Outcome {
    /// Every outcome, in the order in which tables and plots show them.
    pub const ALL: [Self; 8] = [
        Self::Success,
        Self::Degraded,
        Self::Shed,
        Self::RateLimited,
        Self::NotPermitted,
        Self::TimedOut,
        Self::DependencyFailed,
        Self::Unsent,
    ];

    /// The name used in artifacts.
    pub fn name(self) -> &'static str {
        match self {
            Self::Success => "success",
            Self::Degraded => "degraded",
            Self::Shed => "shed",
            Self::RateLimited => "rate_limited",
            Self::NotPermitted => "not_permitted",
            Self::TimedOut => "timed_out",
            Self::DependencyFailed => "dependency_failed",
            Self::Unsent => "unsent",
        }
    }

    /// Whether the user was served: `Success` or `Degraded`.
    pub fn is_served(self) -> bool {
        matches!(self, Self::Success | Self::Degraded)
    }

    /// The byte that stands for this outcome in a sample file.
    pub fn code(self) -> u8 {
        match self {
            Self::Success => 0,
            Self::Degraded => 1,
            Self::Shed => 2,
            Self::RateLimited => 3,
            Self::NotPermitted => 4,
            Self::TimedOut => 5,
            Self::DependencyFailed => 6,
            Self::Unsent => 7,
        }
    }

    /// The outcome of a byte in a sample file, or `None` for an unknown byte.
    pub fn from_code(code: u8) -> Option<Self> {
        Self::ALL.get(usize::from(code)).copied()
    }
}

/// What produced a response: the value of its `x-served-by` header.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ServedBy {
    /// A fresh entry of the shared cache.
    Redis,
    /// A fresh entry of the cache inside the service.
    Local,
    /// An entry older than its time to live.
    Stale,
    /// A query.
    Database,
    /// Another caller's query for the same key.
    Coalesced,
    /// A query on a read replica.
    Replica,
    /// A page rendered ahead.
    Static,
    /// A page with an optional part left out on purpose.
    Degraded,
    /// Nothing: the work was refused.
    Shed,
}

impl ServedBy {
    /// Every value, in the order of their codes.
    pub const ALL: [Self; 9] = [
        Self::Redis,
        Self::Local,
        Self::Stale,
        Self::Database,
        Self::Coalesced,
        Self::Replica,
        Self::Static,
        Self::Degraded,
        Self::Shed,
    ];

    /// The value of the `x-served-by` header, and the name used in artifacts.
    pub fn name(self) -> &'static str {
        match self {
            Self::Redis => "redis",
            Self::Local => "local",
            Self::Stale => "stale",
            Self::Database => "database",
            Self::Coalesced => "coalesced",
            Self::Replica => "replica",
            Self::Static => "static",
            Self::Degraded => "degraded",
            Self::Shed => "shed",
        }
    }

    /// Parses a header value.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|it| it.name() == name)
    }

    /// Whether an answer from here counts as `Degraded` rather than `Success`.
    pub fn is_degraded(self) -> bool {
        matches!(self, Self::Stale | Self::Static | Self::Degraded)
    }

    /// The byte that stands for this value in a sample file.
    pub fn code(self) -> u8 {
        u8::try_from(Self::ALL.iter().position(|it| *it == self).expect("ALL is complete"))
            .expect("there are fewer than 256 values")
    }

    /// The value of a byte in a sample file, or `None` for an unknown byte.
    pub fn from_code(code: u8) -> Option<Self> {
        Self::ALL.get(usize::from(code)).copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_outcome_survives_its_code() {
        for outcome in Outcome::ALL {
            assert_eq!(Outcome::from_code(outcome.code()), Some(outcome));
        }
        assert_eq!(Outcome::from_code(8), None);
    }

    #[test]
    fn every_source_survives_its_name_and_code() {
        for served_by in ServedBy::ALL {
            assert_eq!(ServedBy::from_name(served_by.name()), Some(served_by));
            assert_eq!(ServedBy::from_code(served_by.code()), Some(served_by));
        }
        assert_eq!(ServedBy::from_name("nobody"), None);
    }

    #[test]
    fn names_in_json_are_the_names_in_artifacts() {
        for outcome in Outcome::ALL {
            let json = serde_json::to_string(&outcome).unwrap();
            assert_eq!(json, format!("\"{}\"", outcome.name()));
        }
    }
}
