//! Crash: SIGKILL, and a restart with an empty memory, or with the snapshot that was kept.

use lab_core::clock::MonotonicNs;

use super::{FaultError, Injection};
use crate::stack::{Stack, probe::Seen};

/// SIGKILL. The kernel closes all sockets at once, and nobody listens any more.
#[derive(Debug, Default)]
pub(super) struct Crash;

impl Injection for Crash {
    async fn inject(&mut self, stack: &Stack) -> Result<MonotonicNs, FaultError> {
        Ok(stack.redis().kill().await?)
    }

    fn is_effect(&self, seen: &Seen) -> bool {
        *seen == Seen::Refused
    }

    /// A server that reads a snapshot says `LOADING` and has not answered before it is through.
    async fn heal(&mut self, stack: &Stack) -> Result<MonotonicNs, FaultError> {
        Ok(stack.redis().start().await?)
    }
}
