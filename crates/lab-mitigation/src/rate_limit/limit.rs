//! The rate limit that many tasks share: governor's limiter, a mode and counts.

use std::{fmt, sync::Arc};

use governor::{
    RateLimiter,
    clock::Clock as GovernorClock,
    middleware::NoOpMiddleware,
    nanos::Nanos,
    state::{InMemoryState, NotKeyed},
};
use lab_core::settings::{Mode, RateLimitSettings};
use serde::Serialize;

use super::{Budget, RateLimitSettingsError, RateLimited};
use crate::{
    clock::{Clock, SystemClock},
    switch::{DecisionCounts, Decisions, Effect, Switch},
    timeline::Timeline,
};

type Limiter = RateLimiter<NotKeyed, InMemoryState, Timeline, NoOpMiddleware<Nanos>>;

/// A rate limit shared by every caller. Cloning is cheap and gives the same bucket.
#[derive(Debug, Clone)]
pub struct RateLimit {
    shared: Arc<Shared>,
}

struct Shared {
    switch: Switch,
    decisions: Decisions,
    /// `None` when the settings name no rate; the mode is off then, and stays so.
    limiter: Option<Limiter>,
}

/// What a rate limit tells about itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct RateLimitSnapshot {
    /// Off, observe or enforce.
    pub mode: Mode,
    /// What it decided so far.
    #[serde(flatten)]
    pub counts: DecisionCounts,
}

impl RateLimit {
    /// Starts with a full bucket, on the machine's clock.
    ///
    /// **Errors**: no rate although the mode is not off, or one out of range.
    pub fn new(settings: &RateLimitSettings) -> Result<Self, RateLimitSettingsError> {
        Self::with_clock(settings, SystemClock)
    }

    /// As [`RateLimit::new`], on another clock.
    pub fn with_clock(
        settings: &RateLimitSettings,
        clock: impl Clock,
    ) -> Result<Self, RateLimitSettingsError> {
        let limiter = Budget::from_settings(settings)?
            .map(|budget| Limiter::direct_with_clock(budget.quota(), Timeline::on(clock)));
        let limit = Self {
            shared: Arc::new(Shared {
                switch: Switch::new(Mode::Off),
                decisions: Decisions::default(),
                limiter,
            }),
        };
        limit.set_mode(settings.mode)?;
        Ok(limit)
    }

    /// Takes one permit, without waiting.
    ///
    /// Under observe a call that would have been refused passes and takes no permit, so that later
    /// decisions are those of enforce.
    ///
    /// **Errors**: there is none, and the mode is enforce.
    pub fn check(&self) -> Result<(), RateLimited> {
        let mode = self.mode();
        let Some(limiter) = self.shared.limiter.as_ref().filter(|_| mode != Mode::Off) else {
            return Ok(());
        };
        let decision = limiter.check().map_err(|not_until| RateLimited {
            retry_after: not_until.wait_time_from(limiter.clock().now()),
        });
        match self.shared.decisions.apply(mode, decision) {
            Effect::Permitted(()) | Effect::WouldReject => Ok(()),
            Effect::Rejected(refusal) => Err(refusal),
        }
    }

    /// Off, observe or enforce.
    pub fn mode(&self) -> Mode {
        self.shared.switch.mode()
    }

    /// Changes the mode from the next call on.
    ///
    /// **Errors**: anything but off when the settings named no rate; the mode stays as it was.
    pub fn set_mode(&self, mode: Mode) -> Result<(), RateLimitSettingsError> {
        if mode != Mode::Off && self.shared.limiter.is_none() {
            return Err(RateLimitSettingsError::NoRate);
        }
        self.shared.switch.set_mode(mode);
        Ok(())
    }

    /// Mode and counts, for the internal port and metrics.
    pub fn snapshot(&self) -> RateLimitSnapshot {
        RateLimitSnapshot { mode: self.mode(), counts: self.shared.decisions.counts() }
    }
}

impl fmt::Debug for Shared {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Shared")
            .field("switch", &self.switch)
            .field("decisions", &self.decisions)
            .finish_non_exhaustive()
    }
}

/// Governor counts in nanoseconds since the limiter was built.
impl GovernorClock for Timeline {
    type Instant = Nanos;

    fn now(&self) -> Nanos {
        self.now_ns().into()
    }
}

#[cfg(test)]
mod tests;
