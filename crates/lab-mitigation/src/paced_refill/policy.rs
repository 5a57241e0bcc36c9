//! When a miss may read the database while the cache refills: pure, told the time by its caller.
//!
//! The permitted rate t seconds after the recovery is r(t) = R · (r₀ + (1 − r₀) · t / D), with
//! R fills per second, r₀ the initial ratio and D the duration in seconds. Permits that have come
//! in by t are its integral, A(t) = R · (r₀ · t + (1 − r₀) · t² / (2 · D)). A bucket holds what
//! came in and was not taken, a tenth of a second's worth of R at most and at least 1.

use std::time::{Duration, Instant};

use lab_core::settings::PacedRefillSettings;

use super::{Deferred, RefillEvent};

/// What the bucket holds at most, in seconds of the whole rate.
const BURST_SECS: f64 = 0.1;

/// Paces the misses after a recovery. Reads no clock and spawns no task.
#[derive(Debug, Clone)]
pub struct RefillPace {
    fills_per_sec: f64,
    initial_ratio: f64,
    duration: Duration,
    refill: Option<Refill>,
}

#[derive(Debug, Clone, Copy)]
struct Refill {
    recovered_at: Instant,
    /// Permits in the bucket.
    level: f64,
    /// Time since the recovery at which the level was true.
    level_at: Duration,
}

impl RefillPace {
    /// Starts idle; `None` when `settings` name no rate.
    ///
    /// A `capacity_ratio` is no rate: whoever knows the capacity has resolved it into
    /// `fills_per_sec` before.
    pub fn from_settings(settings: &PacedRefillSettings) -> Option<Self> {
        settings.fills_per_sec.map(|rate| Self {
            fills_per_sec: rate.get(),
            initial_ratio: settings.initial_ratio.get(),
            duration: settings.duration,
            refill: None,
        })
    }

    /// Whether a refill goes on, as of the last call.
    pub fn is_refilling(&self) -> bool {
        self.refill.is_some()
    }

    /// The shared cache is back since `recovered_at`. The first miss has a permit at once. A refill
    /// that goes on starts over, and is still the same one to the listener.
    pub fn on_recovered(&mut self, recovered_at: Instant) -> Option<RefillEvent> {
        let was_refilling = self.is_refilling();
        self.refill = Some(Refill { recovered_at, level: 1.0, level_at: Duration::ZERO });
        (!was_refilling).then_some(RefillEvent::Began)
    }

    /// Ends the refill when its time is over at `now`. To be asked before [`Self::try_acquire`].
    pub fn on_time(&mut self, now: Instant) -> Option<RefillEvent> {
        let refill = self.refill?;
        if now.saturating_duration_since(refill.recovered_at) < self.duration {
            return None;
        }
        self.reset()
    }

    /// Forgets the refill.
    pub fn reset(&mut self) -> Option<RefillEvent> {
        self.refill.take().map(|_refill| RefillEvent::Ended)
    }

    /// Asks to read the database at `now` for one miss.
    ///
    /// **Errors**: a refill goes on, and its permits are spent. Nothing is taken then.
    pub fn try_acquire(&mut self, now: Instant) -> Result<(), Deferred> {
        let Some(mut refill) = self.refill else { return Ok(()) };
        // Threads may come in another order than that in which they read the clock.
        let elapsed = now.saturating_duration_since(refill.recovered_at).max(refill.level_at);
        let Some(remaining) = self.duration.checked_sub(elapsed).filter(|it| !it.is_zero()) else {
            return Ok(());
        };
        let came_in = self.came_in_by(elapsed) - self.came_in_by(refill.level_at);
        refill.level = (refill.level + came_in).min(self.burst());
        refill.level_at = elapsed;
        let decision = if 1.0 <= refill.level {
            refill.level -= 1.0;
            Ok(())
        } else {
            let wait = self.time_for(1.0 - refill.level, elapsed).min(remaining);
            Err(Deferred { retry_after: wait })
        };
        self.refill = Some(refill);
        decision
    }

    /// A(t).
    fn came_in_by(&self, elapsed: Duration) -> f64 {
        let t = elapsed.as_secs_f64();
        self.fills_per_sec * self.initial_ratio * t + self.half_slope() * t * t
    }

    /// R · (1 − r₀) / (2 · D): what t² is multiplied by in A(t).
    fn half_slope(&self) -> f64 {
        self.fills_per_sec * (1.0 - self.initial_ratio) / (2.0 * self.duration.as_secs_f64())
    }

    /// The time x after `elapsed` in which `permits` come in: the root of h·x² + r·x = permits,
    /// with h the half slope and r the rate at `elapsed`; written so that h may be 0. Rounded up.
    fn time_for(&self, permits: f64, elapsed: Duration) -> Duration {
        let half_slope = self.half_slope();
        let rate =
            self.fills_per_sec * self.initial_ratio + 2.0 * half_slope * elapsed.as_secs_f64();
        let root = (rate * rate + 4.0 * half_slope * permits).sqrt();
        Duration::try_from_secs_f64(2.0 * permits / (rate + root))
            .unwrap_or(Duration::MAX)
            .saturating_add(Duration::from_nanos(1))
    }

    fn burst(&self) -> f64 {
        (self.fills_per_sec * BURST_SECS).max(1.0)
    }
}

#[cfg(test)]
mod tests;
