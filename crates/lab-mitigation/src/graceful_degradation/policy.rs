//! The controller behind the dimmer: pure, stepped once per period.

use lab_core::{seed::share, settings::GracefulDegradationSettings};

use super::DegradationEvent;

/// Below this level degradation has begun; it has ended when the level is 1 again. The gap keeps a
/// pressure that touches its target from telling of a new degradation each second. Chosen.
const BEGAN_BELOW: f64 = 0.95;

/// The level that the gain reckons with at least: at level 0 nothing can be learnt about what
/// auxiliary work costs, and the controller has to move all the same. Chosen.
const GAIN_LEVEL_MIN: f64 = 0.05;

/// Pressures are read as within these bounds: zero would divide, and infinity is only "very much".
const PRESSURE_MIN: f64 = 0.01;
const PRESSURE_MAX: f64 = 100.0;

/// What becomes of one piece of auxiliary work.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AuxiliaryWork {
    /// It is done.
    Serve,
    /// It is not done, and the answer does without.
    LeaveOut,
}

/// Decides how much of the auxiliary work is done. Reads no clock and draws no lots itself.
///
/// With θ the level and p the pressure, measured over its target, in one period:
///
/// - model: the pressure is proportional to the level, p = α θ; so α = p / max(θ, 0.05)
/// - step: θ ← θ + (1 − `pole`) × (1 − p) / α, up by `recovery_step` at most, kept within 0 to 1
///
/// The integral part of the controller is θ itself, and θ is what is kept within bounds, so
/// nothing winds up while it is at one of them: the first period of relief raises it.
///
/// **Source**: Klein et al., ICSE 2014.
#[derive(Debug, Clone)]
pub struct Dimmer {
    gain: f64,
    recovery_step: f64,
    level: f64,
    is_degraded: bool,
}

impl Dimmer {
    /// Starts with all auxiliary work done.
    pub fn new(settings: &GracefulDegradationSettings) -> Self {
        Self {
            gain: 1.0 - settings.pole.get(),
            recovery_step: settings.recovery_step.get(),
            level: 1.0,
            is_degraded: false,
        }
    }

    /// The share of auxiliary work that is done. **Range**: 0 to 1.
    pub fn level(&self) -> f64 {
        self.level
    }

    /// Whether degradation has begun and not ended.
    pub fn is_degraded(&self) -> bool {
        self.is_degraded
    }

    /// Ends a period in which the pressure was `pressure`: 1 at its target, 0 with nothing to do.
    /// `None`, NaN and negative pressures say nothing, and the level stays. To be called once per
    /// period.
    pub fn update(&mut self, pressure: Option<f64>) -> Option<DegradationEvent> {
        let pressure = pressure.filter(|it| 0.0 <= *it)?.clamp(PRESSURE_MIN, PRESSURE_MAX);
        let alpha = pressure / self.level.max(GAIN_LEVEL_MIN);
        let step = (self.gain * (1.0 - pressure) / alpha).min(self.recovery_step);
        self.level = (self.level + step).clamp(0.0, 1.0);
        let is_degraded =
            if self.is_degraded { self.level < 1.0 } else { self.level < BEGAN_BELOW };
        self.change(is_degraded)
    }

    /// Serves a share of `level`: `random` is a lot drawn evenly from all numbers.
    pub fn decide(&self, random: u64) -> AuxiliaryWork {
        if share(random) < self.level { AuxiliaryWork::Serve } else { AuxiliaryWork::LeaveOut }
    }

    /// Does all auxiliary work again.
    pub fn reset(&mut self) -> Option<DegradationEvent> {
        self.level = 1.0;
        self.change(false)
    }

    fn change(&mut self, is_degraded: bool) -> Option<DegradationEvent> {
        let was_degraded = std::mem::replace(&mut self.is_degraded, is_degraded);
        match (was_degraded, is_degraded) {
            (false, true) => Some(DegradationEvent::Began),
            (true, false) => Some(DegradationEvent::Ended),
            (false, false) | (true, true) => None,
        }
    }
}

#[cfg(test)]
mod tests;
