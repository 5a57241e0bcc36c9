//! What every mitigation shares: a mode that can change while calls are in flight, and counts of
//! what it decided.

use std::sync::atomic::Ordering::Relaxed;

use lab_core::settings::Mode;
use serde::Serialize;

use crate::{striped::StripedCounts, sync::AtomicU8};

/// The mode of a mitigation, changed by an operator and read on every call.
#[derive(Debug)]
pub struct Switch(AtomicU8);

impl Switch {
    /// Starts in `mode`.
    pub fn new(mode: Mode) -> Self {
        Self(AtomicU8::new(code(mode)))
    }

    /// The mode now.
    #[inline]
    pub fn mode(&self) -> Mode {
        match self.0.load(Relaxed) {
            OFF => Mode::Off,
            OBSERVE => Mode::Observe,
            _ => Mode::Enforce,
        }
    }

    /// Takes effect with the next call; calls in flight are not touched.
    pub fn set_mode(&self, mode: Mode) {
        self.0.store(code(mode), Relaxed);
    }
}

const OFF: u8 = 0;
const OBSERVE: u8 = 1;
const ENFORCE: u8 = 2;

fn code(mode: Mode) -> u8 {
    match mode {
        Mode::Off => OFF,
        Mode::Observe => OBSERVE,
        Mode::Enforce => ENFORCE,
    }
}

/// Counts of what a mitigation decided since it was built.
///
/// The three are disjoint: their sum is the number of calls that came while the mode was not off.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct DecisionCounts {
    /// Calls that the policy let pass.
    pub n_permitted: u64,
    /// Calls that were refused.
    pub n_rejected: u64,
    /// Calls that passed only because the mode was observe.
    pub n_would_reject: u64,
}

/// What a decision of a policy comes to under a mode.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Effect<T, E> {
    /// The call passes, as the policy decided.
    Permitted(T),
    /// The call passes although the policy refused it.
    WouldReject,
    /// The call is refused.
    Rejected(E),
}

/// Counts decisions. Each count is exact; a snapshot taken under load may be some calls apart
/// between one count and the next.
#[derive(Debug, Default)]
pub(crate) struct Decisions(StripedCounts<3>);

const PERMITTED: usize = 0;
const REJECTED: usize = 1;
const WOULD_REJECT: usize = 2;

impl Decisions {
    /// Counts one decision and says what it comes to. Not for mode off, which decides nothing.
    #[inline]
    pub(crate) fn apply<T, E>(&self, mode: Mode, decision: Result<T, E>) -> Effect<T, E> {
        let (which, effect) = match (decision, mode) {
            (Ok(permit), _) => (PERMITTED, Effect::Permitted(permit)),
            (Err(refusal), Mode::Enforce) => (REJECTED, Effect::Rejected(refusal)),
            (Err(_), Mode::Observe | Mode::Off) => (WOULD_REJECT, Effect::WouldReject),
        };
        self.0.add_one(which);
        effect
    }

    pub(crate) fn counts(&self) -> DecisionCounts {
        let [n_permitted, n_rejected, n_would_reject] = self.0.sums();
        DecisionCounts { n_permitted, n_rejected, n_would_reject }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_mode_survives_the_switch() {
        let switch = Switch::new(Mode::Enforce);
        for mode in [Mode::Off, Mode::Observe, Mode::Enforce] {
            switch.set_mode(mode);
            assert_eq!(switch.mode(), mode);
        }
    }

    #[test]
    fn a_refusal_is_counted_as_rejected_only_when_it_was_enforced() {
        let decisions = Decisions::default();
        let refused = || Err::<(), _>("no");
        assert_eq!(decisions.apply(Mode::Enforce, refused()), Effect::Rejected("no"));
        assert_eq!(decisions.apply(Mode::Observe, refused()), Effect::WouldReject);
        assert_eq!(decisions.apply(Mode::Observe, Ok::<_, ()>(7)), Effect::Permitted(7));
        assert_eq!(
            decisions.counts(),
            DecisionCounts { n_permitted: 1, n_rejected: 1, n_would_reject: 1 }
        );
    }
}
