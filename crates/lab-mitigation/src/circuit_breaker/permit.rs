//! The right to make one call.

use std::time::Duration;

use super::{
    CallResult,
    circuit::{Circuit, Claim},
};
use crate::sync::Arc;

/// The right to make one call, to be handed back with its result.
///
/// **Cancellation**: dropping it without a result means that the caller left. It then reads the
/// breaker's clock: a failure when the call had waited `slow_call_bound` or longer, else nothing.
/// Either way a probe's permit is free again.
#[must_use = "a permit dropped at once says that the caller left"]
#[derive(Debug)]
pub struct Permit<'a> {
    circuit: &'a Circuit,
    /// `None` once handed back, and for calls that do not count.
    claim: Option<Claim>,
}

/// As [`Permit`], for a task that outlives the place it was asked for in.
#[must_use = "a permit dropped at once says that the caller left"]
#[derive(Debug)]
pub struct OwnedPermit {
    circuit: Arc<Circuit>,
    claim: Option<Claim>,
}

impl<'a> Permit<'a> {
    pub(super) fn new(circuit: &'a Circuit, claim: Option<Claim>) -> Self {
        Self { circuit, claim }
    }

    /// The bound that this call is to have: `usual`, or `probe_timeout` where this is a probe and
    /// that is shorter.
    pub fn call_timeout(&self, usual: Option<Duration>) -> Option<Duration> {
        self.circuit.call_timeout(self.claim.as_ref(), usual)
    }

    /// The dependency answered.
    #[inline]
    pub fn on_success(self) {
        self.on_result(CallResult::Success);
    }

    /// The dependency failed, or took longer than the caller allows.
    pub fn on_failure(self) {
        self.on_result(CallResult::Failure);
    }

    /// The call ended just now with `result`.
    #[inline]
    pub fn on_result(mut self, result: CallResult) {
        if let Some(claim) = self.claim.take() {
            self.circuit.end(claim, result);
        }
    }
}

impl Drop for Permit<'_> {
    #[inline]
    fn drop(&mut self) {
        if let Some(claim) = self.claim.take() {
            self.circuit.abandon(claim);
        }
    }
}

impl OwnedPermit {
    pub(super) fn new(circuit: Arc<Circuit>, claim: Option<Claim>) -> Self {
        Self { circuit, claim }
    }

    /// As [`Permit::call_timeout`].
    pub fn call_timeout(&self, usual: Option<Duration>) -> Option<Duration> {
        self.circuit.call_timeout(self.claim.as_ref(), usual)
    }

    /// As [`Permit::on_result`].
    pub fn on_result(mut self, result: CallResult) {
        if let Some(claim) = self.claim.take() {
            self.circuit.end(claim, result);
        }
    }
}

impl Drop for OwnedPermit {
    fn drop(&mut self) {
        if let Some(claim) = self.claim.take() {
            self.circuit.abandon(claim);
        }
    }
}
