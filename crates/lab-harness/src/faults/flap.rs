//! Flap: Redis goes away and comes back, over and over.

use std::time::Duration;

use lab_core::clock::MonotonicNs;
use tokio::time::{Instant, interval_at};

use super::{Background, FaultError, Injection, PROBE_PATIENCE, wire};
use crate::{
    stack::{
        Stack,
        probe::{Seen, ping},
    },
    wire::{Condition, Switch},
};

/// Length of a stretch without Redis, and of one with it. Chosen: longer than any call, and as long
/// as the breaker of the campaigns stays open, which then asks at the worst moment or at the best.
const HALF_PERIOD: Duration = Duration::from_secs(1);

/// A second in which every connection is reset, a second in which all is well, and so on, beginning
/// with the former.
#[derive(Debug, Default)]
pub(super) struct Flap {
    switching: Option<Background<()>>,
}

impl Injection for Flap {
    async fn inject(&mut self, stack: &Stack) -> Result<MonotonicNs, FaultError> {
        let switch = wire::of(stack)?.switch();
        let at = wire::set(stack, Condition::Reset)?;
        self.switching = Some(Background(tokio::spawn(to_and_fro(switch))));
        Ok(at)
    }

    async fn look(&mut self, stack: &Stack) -> Seen {
        ping(wire::address(stack), PROBE_PATIENCE).await
    }

    fn is_effect(&self, seen: &Seen) -> bool {
        *seen == Seen::Broken
    }

    async fn heal(&mut self, stack: &Stack) -> Result<MonotonicNs, FaultError> {
        self.switching = None;
        wire::set(stack, Condition::Clear)
    }
}

async fn to_and_fro(switch: Switch) {
    let mut times = interval_at(Instant::now() + HALF_PERIOD, HALF_PERIOD);
    for next in [Condition::Clear, Condition::Reset].into_iter().cycle() {
        times.tick().await;
        switch.set(next);
    }
}
