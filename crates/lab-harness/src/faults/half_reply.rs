//! Half reply: a connection stops in the middle of an answer.

use lab_core::clock::MonotonicNs;

use super::{FaultError, Injection, PROBE_PATIENCE, wire};
use crate::{
    stack::{
        Stack,
        probe::{Seen, ping},
    },
    wire::Condition,
};

/// Of the next reply on each connection the first half arrives, and then nothing. Connections stay
/// open until the fault ends.
#[derive(Debug, Default)]
pub(super) struct HalfReply;

impl Injection for HalfReply {
    async fn inject(&mut self, stack: &Stack) -> Result<MonotonicNs, FaultError> {
        wire::set(stack, Condition::HalfReply)
    }

    async fn look(&mut self, stack: &Stack) -> Seen {
        ping(wire::address(stack), PROBE_PATIENCE).await
    }

    fn is_effect(&self, seen: &Seen) -> bool {
        *seen == Seen::Half
    }

    async fn heal(&mut self, stack: &Stack) -> Result<MonotonicNs, FaultError> {
        wire::set(stack, Condition::Clear)
    }
}
