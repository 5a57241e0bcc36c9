//! Bandwidth: the wire is narrow, and what is long takes long.

use std::time::Duration;

use lab_core::clock::MonotonicNs;

use super::{FaultError, Injection, admin, timed, wire};
use crate::{
    stack::{
        Stack,
        probe::{Seen, fetch},
    },
    wire::Condition,
};

/// What arrives per second on a connection.
const BYTES_PER_SEC: f64 = 256e3;
/// A key that only the lab knows.
const MARKER: &str = "outage-lab:long";
/// Length of its value: 128 ms on the narrow wire, and nothing on a wide one.
const MARKER_LENGTH: usize = 32 << 10;
/// A value that took as long came over a narrow wire: half of that time.
const LATE: Duration = Duration::from_millis(64);
/// How long the probe waits for it.
const PATIENCE: Duration = Duration::from_secs(1);

/// 256 KB/s for all replies of a connection together, less than the pages need: replies queue, and
/// each is later than the one before.
#[derive(Debug, Default)]
pub(super) struct Bandwidth;

impl Injection for Bandwidth {
    async fn arm(&mut self, stack: &Stack) -> Result<(), FaultError> {
        admin::run(stack, &["SET", MARKER, &"x".repeat(MARKER_LENGTH)]).await?;
        Ok(())
    }

    async fn inject(&mut self, stack: &Stack) -> Result<MonotonicNs, FaultError> {
        wire::set(stack, Condition::Bandwidth { bytes_per_sec: BYTES_PER_SEC })
    }

    async fn look(&mut self, stack: &Stack) -> Seen {
        timed(LATE, async || fetch(wire::address(stack), MARKER, PATIENCE).await).await
    }

    fn is_effect(&self, seen: &Seen) -> bool {
        matches!(seen, Seen::Late { .. })
    }

    async fn heal(&mut self, stack: &Stack) -> Result<MonotonicNs, FaultError> {
        wire::set(stack, Condition::Clear)
    }
}
