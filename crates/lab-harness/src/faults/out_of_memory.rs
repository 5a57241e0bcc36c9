//! Out of memory: Redis answers reads and refuses whatever would need more room.

use lab_core::clock::MonotonicNs;

use super::{FaultError, Injection, admin, write_probe};
use crate::stack::{Stack, probe::Seen};

/// `maxmemory` far below what is in use, and `noeviction`. Far below, so that entries which expire
/// make no room for new ones.
#[derive(Debug, Default)]
pub(super) struct OutOfMemory;

impl Injection for OutOfMemory {
    async fn inject(&mut self, stack: &Stack) -> Result<MonotonicNs, FaultError> {
        admin::run(stack, &["CONFIG", "SET", "maxmemory-policy", "noeviction"]).await?;
        admin::run(stack, &["CONFIG", "SET", "maxmemory", "1mb"]).await
    }

    async fn look(&mut self, stack: &Stack) -> Seen {
        write_probe(stack).await
    }

    fn is_effect(&self, seen: &Seen) -> bool {
        matches!(seen, Seen::Replied(reply) if reply.starts_with("-OOM"))
    }

    fn is_well(&self, seen: &Seen) -> bool {
        matches!(seen, Seen::Replied(reply) if reply == "+OK")
    }

    async fn heal(&mut self, stack: &Stack) -> Result<MonotonicNs, FaultError> {
        admin::run(stack, &["CONFIG", "SET", "maxmemory", "0"]).await
    }
}
