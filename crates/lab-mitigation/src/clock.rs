//! The clock at the edge of the mitigations.
//!
//! Policies take `now`. Only what happens where no caller can hand one in (a permit that is
//! dropped, governor's look at the time) reads a [`Clock`], and tests give it one they hold still.

use std::{fmt, time::Instant};

/// Tells the time to the edge of a mitigation. Monotonic, shared between threads.
///
/// Any `Fn() -> Instant` is one, so a test passes a closure over a clock that it moves by hand.
pub trait Clock: Send + Sync + 'static {
    /// The time now.
    fn now(&self) -> Instant;
}

impl<F: Fn() -> Instant + Send + Sync + 'static> Clock for F {
    fn now(&self) -> Instant {
        self()
    }
}

/// The clock that tokio's timers run on: the machine's, unless a test has paused tokio's time.
///
/// The breaker and the timeouts inside it must not run on different clocks.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> Instant {
        tokio::time::Instant::now().into_std()
    }
}

/// A clock behind a pointer, with a name for `Debug`.
pub(crate) struct BoxedClock(Box<dyn Clock>);

impl BoxedClock {
    pub(crate) fn new(clock: impl Clock) -> Self {
        Self(Box::new(clock))
    }

    pub(crate) fn now(&self) -> Instant {
        self.0.now()
    }
}

impl fmt::Debug for BoxedClock {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Clock")
    }
}
