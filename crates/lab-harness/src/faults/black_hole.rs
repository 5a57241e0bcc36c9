//! Black hole: what is sent is never heard of again, as when a host is gone or a network is cut.

use lab_core::clock::MonotonicNs;

use super::{FaultError, Injection, PROBE_PATIENCE, wire};
use crate::{
    stack::{
        Stack,
        probe::{Seen, ping},
    },
    wire::Condition,
};

/// Open connections stay open and carry nothing. The handshake of a new one is never completed.
#[derive(Debug, Default)]
pub(super) struct BlackHole;

impl Injection for BlackHole {
    async fn inject(&mut self, stack: &Stack) -> Result<MonotonicNs, FaultError> {
        wire::set(stack, Condition::BlackHole)
    }

    async fn look(&mut self, stack: &Stack) -> Seen {
        ping(wire::address(stack), PROBE_PATIENCE).await
    }

    fn is_effect(&self, seen: &Seen) -> bool {
        *seen == Seen::NoHandshake
    }

    async fn heal(&mut self, stack: &Stack) -> Result<MonotonicNs, FaultError> {
        wire::set(stack, Condition::Clear)
    }
}
