//! Max clients: somebody else has all of Redis' connections.

use lab_core::clock::MonotonicNs;
use redis::aio::MultiplexedConnection;

use super::{FaultError, Injection, admin};
use crate::stack::{Stack, probe::Seen};

/// Redis' own default, which the lab starts it with.
const DEFAULT: &str = "10000";

/// `maxclients 1`, the one being the lab's own, and every other connection closed. A new one is
/// accepted, told that there are too many, and closed.
#[derive(Debug, Default)]
pub(super) struct MaxClients {
    /// Has the only place.
    holder: Option<MultiplexedConnection>,
}

impl Injection for MaxClients {
    async fn inject(&mut self, stack: &Stack) -> Result<MonotonicNs, FaultError> {
        let mut holder = admin::connect(stack).await?;
        admin::send(&mut holder, &["CONFIG", "SET", "maxclients", "1"]).await?;
        let kill = ["CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes"];
        let at = admin::send(&mut holder, &kill).await?;
        self.holder = Some(holder);
        Ok(at)
    }

    fn is_effect(&self, seen: &Seen) -> bool {
        matches!(seen, Seen::Replied(reply) if reply.contains("max number of clients"))
    }

    async fn heal(&mut self, stack: &Stack) -> Result<MonotonicNs, FaultError> {
        let set = ["CONFIG", "SET", "maxclients", DEFAULT];
        match &mut self.holder {
            Some(holder) => admin::send(holder, &set).await,
            None => admin::run(stack, &set).await,
        }
    }
}
