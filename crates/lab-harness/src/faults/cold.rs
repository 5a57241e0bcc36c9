//! Cold: Redis is up, and everything in it is gone.

use lab_core::clock::MonotonicNs;

use super::{FaultError, Injection, PROBE_PATIENCE, admin};
use crate::stack::{
    Stack,
    probe::{Seen, ask},
};

/// A key that only the lab knows, so that nobody fills it again. Its slot is that of the view
/// counters, as [`crate::stack::redis_group::discovery::PROBE_KEY`] is.
const MARKER: &str = "outage-lab:marker{views}";

/// `FLUSHALL`. Connections stay open and every call is answered at once: not there.
#[derive(Debug, Default)]
pub(super) struct Cold;

impl Injection for Cold {
    async fn arm(&mut self, stack: &Stack) -> Result<(), FaultError> {
        admin::run(stack, &["SET", MARKER, "1"]).await?;
        Ok(())
    }

    async fn inject(&mut self, stack: &Stack) -> Result<MonotonicNs, FaultError> {
        admin::run(stack, &["FLUSHALL"]).await
    }

    async fn look(&mut self, stack: &Stack) -> Seen {
        ask(stack.redis_addr(), &["GET", MARKER], PROBE_PATIENCE).await
    }

    fn is_effect(&self, seen: &Seen) -> bool {
        matches!(seen, Seen::Replied(reply) if reply == "$-1")
    }

    /// It answers: what is gone comes back by itself.
    fn is_well(&self, seen: &Seen) -> bool {
        matches!(seen, Seen::Replied(reply) if reply.starts_with('$'))
    }

    /// Nothing to end: the fault is over when the cache is full again.
    async fn heal(&mut self, _stack: &Stack) -> Result<MonotonicNs, FaultError> {
        Ok(MonotonicNs::now())
    }
}
