//! Reset: connections are torn down, and every new one as well.

use lab_core::clock::MonotonicNs;

use super::{FaultError, Injection, PROBE_PATIENCE, wire};
use crate::{
    stack::{
        Stack,
        probe::{Seen, ping},
    },
    wire::Condition,
};

/// RST on every open connection, and on every new one right after its handshake.
#[derive(Debug, Default)]
pub(super) struct Reset;

impl Injection for Reset {
    async fn inject(&mut self, stack: &Stack) -> Result<MonotonicNs, FaultError> {
        wire::set(stack, Condition::Reset)
    }

    async fn look(&mut self, stack: &Stack) -> Seen {
        ping(wire::address(stack), PROBE_PATIENCE).await
    }

    fn is_effect(&self, seen: &Seen) -> bool {
        *seen == Seen::Broken
    }

    async fn heal(&mut self, stack: &Stack) -> Result<MonotonicNs, FaultError> {
        wire::set(stack, Condition::Clear)
    }
}
