//! What a limit is, what it is fed with, and the bounds every algorithm shares.

use std::{
    fmt,
    num::NonZeroU32,
    time::{Duration, Instant},
};

use lab_core::settings::AdaptiveConcurrencySettings;

/// How one call ended, as far as the dependency's load goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SampleResult {
    /// The dependency did the work; the round trip time says how busy it is.
    Success,
    /// The call says nothing about load: a refusal of our own, a request that was wrong.
    Ignored,
    /// The call was lost to load: it timed out, or the dependency refused it.
    Dropped,
}

/// One call that ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sample {
    /// When it got its place.
    pub started_at: Instant,
    /// From then until it ended; waiting for the place is not part of it.
    pub rtt: Duration,
    /// Calls in flight when it started, itself included.
    pub in_flight: u32,
    /// How it ended.
    pub result: SampleResult,
}

impl Sample {
    pub(super) fn ended_at(&self) -> Instant {
        self.started_at.checked_add(self.rtt).unwrap_or(self.started_at)
    }
}

/// An algorithm that says how many calls may be in flight. Pure: time comes with the samples.
///
/// [`Limit::on_sample`] runs with the limiter locked: it must return at once. Where it panics the
/// limit stays as it was, and no call notices.
pub trait Limit: fmt::Debug + Send + 'static {
    /// Calls that may be in flight now.
    fn limit(&self) -> NonZeroU32;

    /// Learns how a call ended. Samples come in the order in which calls *end*.
    fn on_sample(&mut self, sample: &Sample);
}

/// A limit in thousandths and less, between its bounds: small steps add up before they show.
#[derive(Debug, Clone, Copy)]
pub(super) struct Estimate {
    value: f64,
    min: f64,
    max: f64,
    /// When it last fell because a call was lost.
    backed_off_at: Option<Instant>,
}

impl Estimate {
    pub(super) fn new(settings: &AdaptiveConcurrencySettings) -> Self {
        let min = f64::from(settings.min_limit.get());
        let max = f64::from(settings.max_limit.get()).max(min);
        let value = f64::from(settings.initial_limit.get()).clamp(min, max);
        Self { value, min, max, backed_off_at: None }
    }

    pub(super) fn get(&self) -> f64 {
        self.value
    }

    /// The whole calls in it.
    pub(super) fn whole(&self) -> NonZeroU32 {
        #[expect(clippy::cast_possible_truncation, reason = "the bounds are u32")]
        #[expect(clippy::cast_sign_loss, reason = "the bounds are above 0")]
        NonZeroU32::new(self.value as u32).unwrap_or(NonZeroU32::MIN)
    }

    /// Moves to `value`, within the bounds. Nonsense moves nothing.
    pub(super) fn set(&mut self, value: f64) {
        if !value.is_nan() {
            self.value = value.clamp(self.min, self.max);
        }
    }

    /// Keeps `ratio` of the limit for a lost call, unless the call began before the last back-off:
    /// then it tells of the same congestion.
    pub(super) fn back_off(&mut self, sample: &Sample, ratio: f64) {
        if self.backed_off_at.is_none_or(|at| at <= sample.started_at) {
            self.set(self.value * ratio);
            self.backed_off_at = Some(sample.ended_at());
        }
    }

    /// Whether callers used so little of the limit that its success says nothing about it: fewer
    /// than half of it in flight.
    pub(super) fn is_idle(&self, in_flight: u32) -> bool {
        2.0 * f64::from(in_flight) < self.value
    }
}
