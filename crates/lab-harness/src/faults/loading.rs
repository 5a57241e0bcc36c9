//! Loading: Redis is killed, and comes back with a snapshot that takes it long to read.

use lab_core::clock::MonotonicNs;

use super::{FaultError, Injection, admin};
use crate::stack::{Stack, probe::Seen};

/// Settings of the start that is slow: as if each key took 5 ms to read, which makes more than a
/// minute of the lab's data set, and an answer to clients after each of them. Redis has these
/// settings for its own tests.
const SLOW_START: &str = "key-load-delay 5000\nloading-process-events-interval-bytes 1024\n";

/// SIGKILL, and a start that answers everything with `LOADING` until it has read its snapshot. What
/// was in the snapshot, from before the load, is there again afterwards.
#[derive(Debug, Default)]
pub(super) struct Loading;

impl Injection for Loading {
    async fn arm(&mut self, stack: &Stack) -> Result<(), FaultError> {
        admin::run(stack, &["SAVE"]).await?;
        Ok(())
    }

    async fn inject(&mut self, stack: &Stack) -> Result<MonotonicNs, FaultError> {
        let redis = stack.redis();
        redis.set_start_settings(SLOW_START)?;
        let at = redis.kill().await?;
        redis.launch().await?;
        Ok(at)
    }

    fn is_effect(&self, seen: &Seen) -> bool {
        matches!(seen, Seen::Replied(reply) if reply.starts_with("-LOADING"))
    }

    /// The rest is read at full speed.
    async fn heal(&mut self, stack: &Stack) -> Result<MonotonicNs, FaultError> {
        stack.redis().set_start_settings("")?;
        admin::run(stack, &["CONFIG", "SET", "key-load-delay", "0"]).await
    }
}
