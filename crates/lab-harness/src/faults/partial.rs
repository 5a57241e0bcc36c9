//! Partial: some commands fail, on every connection.

use lab_core::clock::MonotonicNs;

use super::{FaultError, Injection, PROBE_PATIENCE, wire};
use crate::{
    stack::{
        Stack,
        probe::{Seen, ping_often},
    },
    wire::Condition,
};

/// Share of commands that fail. Chosen: a breaker that opens after five failures in a row seldom
/// sees them, one that looks at a failure rate of a half never does.
const SHARE: f64 = 0.3;
/// What they are answered.
const ERROR: &str = "CLUSTERDOWN The cluster is down";
/// Commands of one probe. None of them failing has a chance of 10⁻¹⁰.
const N_PINGS: usize = 64;

/// Three commands of ten are answered with `CLUSTERDOWN`, whatever the connection; the others are
/// well.
#[derive(Debug, Default)]
pub(super) struct Partial;

impl Injection for Partial {
    async fn inject(&mut self, stack: &Stack) -> Result<MonotonicNs, FaultError> {
        wire::set(stack, Condition::Partial { share: SHARE, error: ERROR })
    }

    async fn look(&mut self, stack: &Stack) -> Seen {
        ping_often(wire::address(stack), N_PINGS, PROBE_PATIENCE).await
    }

    fn is_effect(&self, seen: &Seen) -> bool {
        matches!(seen, Seen::Some { n_failed, n } if 0 < *n_failed && n_failed < n)
    }

    fn is_well(&self, seen: &Seen) -> bool {
        matches!(seen, Seen::Some { n_failed: 0, .. })
    }

    async fn heal(&mut self, stack: &Stack) -> Result<MonotonicNs, FaultError> {
        wire::set(stack, Condition::Clear)
    }
}
