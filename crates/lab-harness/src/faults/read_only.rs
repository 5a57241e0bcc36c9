//! Read-only: Redis answers reads and refuses writes, as a replica that a failover left behind.

use lab_core::clock::MonotonicNs;

use super::{FaultError, Injection, admin, write_probe};
use crate::stack::{Stack, probe::Seen};

/// `REPLICAOF` a primary that is not there. Clients that were connected to a primary are connected
/// to a replica now, without having been told.
#[derive(Debug, Default)]
pub(super) struct ReadOnly;

impl Injection for ReadOnly {
    async fn inject(&mut self, stack: &Stack) -> Result<MonotonicNs, FaultError> {
        // Nobody listens on the first port, and the lab gives out only ports above 20000.
        admin::run(stack, &["REPLICAOF", "127.0.0.1", "1"]).await
    }

    async fn look(&mut self, stack: &Stack) -> Seen {
        write_probe(stack).await
    }

    fn is_effect(&self, seen: &Seen) -> bool {
        matches!(seen, Seen::Replied(reply) if reply.starts_with("-READONLY"))
    }

    fn is_well(&self, seen: &Seen) -> bool {
        matches!(seen, Seen::Replied(reply) if reply == "+OK")
    }

    async fn heal(&mut self, stack: &Stack) -> Result<MonotonicNs, FaultError> {
        admin::run(stack, &["REPLICAOF", "NO", "ONE"]).await
    }
}
