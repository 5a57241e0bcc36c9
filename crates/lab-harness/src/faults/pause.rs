//! Pause: SIGSTOP, and SIGCONT.

use lab_core::clock::MonotonicNs;

use super::{FaultError, Injection};
use crate::stack::{Stack, probe::Seen};

/// SIGSTOP. The kernel goes on to complete handshakes up to the backlog, and nothing answers.
#[derive(Debug, Default)]
pub(super) struct Pause;

impl Injection for Pause {
    async fn inject(&mut self, stack: &Stack) -> Result<MonotonicNs, FaultError> {
        Ok(stack.redis().pause().await?)
    }

    fn is_effect(&self, seen: &Seen) -> bool {
        *seen == Seen::Silent
    }

    async fn heal(&mut self, stack: &Stack) -> Result<MonotonicNs, FaultError> {
        Ok(stack.redis().resume().await?)
    }
}
