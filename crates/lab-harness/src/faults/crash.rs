//! Crash: SIGKILL, and a restart with an empty memory.

use lab_core::clock::MonotonicNs;

use super::Injection;
use crate::stack::{Stack, StackError, probe::Seen};

/// SIGKILL. The kernel closes all sockets at once, and nobody listens any more.
pub(super) struct Crash;

impl Injection for Crash {
    async fn inject(&self, stack: &Stack) -> Result<MonotonicNs, StackError> {
        stack.redis().kill().await
    }

    fn is_effect(&self, seen: &Seen) -> bool {
        *seen == Seen::Refused
    }

    async fn heal(&self, stack: &Stack) -> Result<MonotonicNs, StackError> {
        stack.redis().start().await
    }
}
