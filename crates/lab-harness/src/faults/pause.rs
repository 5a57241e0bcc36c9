//! Pause: SIGSTOP, and SIGCONT.

use lab_core::clock::MonotonicNs;

use super::Injection;
use crate::stack::{Stack, StackError, probe::Seen};

/// SIGSTOP. The kernel goes on to complete handshakes up to the backlog, and nothing answers.
pub(super) struct Pause;

impl Injection for Pause {
    async fn inject(&self, stack: &Stack) -> Result<MonotonicNs, StackError> {
        stack.redis().pause().await
    }

    fn is_effect(&self, seen: &Seen) -> bool {
        *seen == Seen::Silent
    }

    async fn heal(&self, stack: &Stack) -> Result<MonotonicNs, StackError> {
        stack.redis().resume().await
    }
}
