//! The paced refill that many tasks share: the policy behind a lock, a mode, counts and a listener.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Instant,
};

use lab_core::settings::{Mode, PacedRefillSettings};
use serde::Serialize;

use super::{Deferred, PacedRefillSettingsError, RefillEvent, RefillPace};
use crate::{
    listener::Listener,
    switch::{DecisionCounts, Decisions, Effect, Switch},
};

/// A paced refill shared by everybody who reads the database for the cache. Cloning is cheap and
/// gives the same refill.
///
/// The lock is held for a few lines of arithmetic, never across an `await`.
#[derive(Debug, Clone)]
pub struct PacedRefill {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    switch: Switch,
    decisions: Decisions,
    /// `None` when the settings name no rate; the mode is off then, and stays so.
    pace: Option<Mutex<RefillPace>>,
    listener: Listener<RefillEvent>,
}

/// What a paced refill tells about itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct PacedRefillSnapshot {
    /// Off, observe or enforce.
    pub mode: Mode,
    /// Whether a refill goes on, as of the last call.
    pub is_refilling: bool,
    /// What it decided so far, idle times included.
    #[serde(flatten)]
    pub counts: DecisionCounts,
}

impl PacedRefill {
    /// Starts idle.
    ///
    /// `listener` hears when a refill began and ended, and the mode it happened under: under
    /// observe the service's behaviour did not change. It is called with the refill locked, so
    /// that events arrive in the order in which they happened: it must return at once and must not
    /// call the refill.
    ///
    /// **Errors**: no rate although the mode is not off.
    pub fn new(
        settings: &PacedRefillSettings,
        listener: impl Fn(Mode, RefillEvent) + Send + Sync + 'static,
    ) -> Result<Self, PacedRefillSettingsError> {
        let refill = Self {
            shared: Arc::new(Shared {
                switch: Switch::new(Mode::Off),
                decisions: Decisions::default(),
                pace: RefillPace::from_settings(settings).map(Mutex::new),
                listener: Listener::new(listener),
            }),
        };
        refill.set_mode(settings.mode)?;
        Ok(refill)
    }

    /// The shared cache is back at `now`, and is taken to be empty: the refill begins, or starts
    /// over. Nothing while the mode is off. A breaker's listener may call this.
    pub fn on_recovered(&self, now: Instant) {
        if self.mode() == Mode::Off {
            return;
        }
        if let Some(mut pace) = self.shared.lock() {
            self.shared.tell(pace.on_recovered(now));
        }
    }

    /// Asks to read the database at `now` for one miss, without waiting.
    ///
    /// Under observe a miss that would have been deferred passes and takes no permit, so that
    /// later decisions are those of enforce.
    ///
    /// **Errors**: a refill goes on, its permits are spent, and the mode is enforce.
    pub fn try_acquire(&self, now: Instant) -> Result<(), Deferred> {
        let mode = self.mode();
        if mode == Mode::Off {
            return Ok(());
        }
        let decision = match self.shared.lock() {
            None => return Ok(()),
            Some(mut pace) => {
                self.shared.tell(pace.on_time(now));
                pace.try_acquire(now)
            }
        };
        match self.shared.decisions.apply(mode, decision) {
            Effect::Permitted(()) | Effect::WouldReject => Ok(()),
            Effect::Rejected(deferred) => Err(deferred),
        }
    }

    /// Off, observe or enforce.
    pub fn mode(&self) -> Mode {
        self.shared.switch.mode()
    }

    /// Changes the mode from the next call on. Switching off ends a refill; switching between
    /// observe and enforce keeps it.
    ///
    /// **Errors**: anything but off when the settings named no rate; the mode stays as it was.
    pub fn set_mode(&self, mode: Mode) -> Result<(), PacedRefillSettingsError> {
        let pace = self.shared.lock();
        match (pace, mode) {
            (Some(mut pace), Mode::Off) => self.shared.tell(pace.reset()),
            (Some(_), _) | (None, Mode::Off) => {}
            (None, _) => return Err(PacedRefillSettingsError::NoRate),
        }
        self.shared.switch.set_mode(mode);
        Ok(())
    }

    /// Mode, counts and whether a refill goes on, for the internal port and metrics.
    pub fn snapshot(&self) -> PacedRefillSnapshot {
        PacedRefillSnapshot {
            mode: self.mode(),
            is_refilling: self.shared.lock().is_some_and(|pace| pace.is_refilling()),
            counts: self.shared.decisions.counts(),
        }
    }
}

impl Shared {
    /// The policy is whole between any two statements, so a panic elsewhere does not spoil it.
    fn lock(&self) -> Option<MutexGuard<'_, RefillPace>> {
        self.pace.as_ref().map(|pace| pace.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn tell(&self, event: Option<RefillEvent>) {
        self.listener.tell(self.switch.mode(), event);
    }
}

#[cfg(test)]
mod tests;
