//! Latency: every reply of Redis arrives later.

use std::time::Duration;

use lab_core::clock::MonotonicNs;

use super::{FaultError, Injection, timed, wire};
use crate::{
    stack::{
        Stack,
        probe::{Seen, ping},
    },
    wire::Condition,
};

/// Least time that is added.
const DELAY: Duration = Duration::from_millis(40);
/// Most time beyond that.
const JITTER: Duration = Duration::from_millis(20);
/// How long a PING waits: more than any reply is late.
const PATIENCE: Duration = Duration::from_millis(200);

/// Replies 40 to 60 ms later. The bound of `bounded-timeouts` on a call is 50 ms, so that calls
/// fail and succeed in about equal parts.
#[derive(Debug, Default)]
pub(super) struct Latency;

impl Injection for Latency {
    async fn inject(&mut self, stack: &Stack) -> Result<MonotonicNs, FaultError> {
        wire::set(stack, Condition::Latency { delay: DELAY, jitter: JITTER })
    }

    async fn look(&mut self, stack: &Stack) -> Seen {
        timed(DELAY, async || ping(wire::address(stack), PATIENCE).await).await
    }

    fn is_effect(&self, seen: &Seen) -> bool {
        matches!(seen, Seen::Late { after, .. } if DELAY <= *after)
    }

    async fn heal(&mut self, stack: &Stack) -> Result<MonotonicNs, FaultError> {
        wire::set(stack, Condition::Clear)
    }
}
