//! What the lock would say, readable without it.
//!
//! The policy behind the lock is the truth. Whoever changes it publishes here, before letting go
//! of the lock, the little that most calls need: the cycle, and whether every call of it passes,
//! is refused, or has to ask. A reader may be a moment behind; it then does what it would have
//! done had it come that moment earlier. `tests/loom/breaker.rs` checks this.

use std::sync::atomic::Ordering::{Acquire, Relaxed, Release};

use super::{CallResult, policy::Gate};
use crate::{sync::AtomicU64, timeline::Timeline};

/// The published state.
#[derive(Debug)]
pub(super) struct Mirror {
    /// The cycle, shifted left by [`KIND_BITS`], and one of the kinds.
    word: AtomicU64,
    /// Written before a word of kind [`OPEN`], so that whoever sees the word sees this too, and a
    /// call after the wait is not refused by the wait before.
    reject_until_ns: AtomicU64,
}

/// What becomes of a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Answer {
    /// It passes, and belongs to this cycle.
    Admitted { cycle: u64 },
    /// It is refused.
    Rejected,
    /// Only the policy knows.
    Unknown,
}

const KIND_BITS: u32 = 2;
const KIND: u64 = (1 << KIND_BITS) - 1;
/// Only the policy knows.
const HALF_OPEN: u64 = 0;
/// Every call passes.
const CLOSED: u64 = 1;
/// Every call passes, and a success changes nothing.
const CLEAN: u64 = 2;
/// Every call before `reject_until_ns` is refused.
const OPEN: u64 = 3;

impl Mirror {
    /// Shows a policy in `cycle` with `gate`.
    pub(super) fn new(cycle: u64, gate: Gate) -> Self {
        let word = AtomicU64::new(word(cycle, gate));
        Self { word, reject_until_ns: AtomicU64::new(0) }
    }

    /// Shows the policy as it is now. For whoever holds the lock.
    pub(super) fn publish(&self, cycle: u64, gate: Gate, timeline: &Timeline) {
        let word = word(cycle, gate);
        // Most results change nothing here, and a store would take the line from every reader.
        // A wait belongs to its cycle, so the same word means the same wait.
        if self.word.load(Relaxed) == word {
            return;
        }
        if let Gate::Open { until } = gate {
            let until_ns = until.map_or(u64::MAX, |until| timeline.ns(until));
            self.reject_until_ns.store(until_ns, Relaxed);
        }
        self.word.store(word, Release);
    }

    /// What becomes of a call at `now_ns`.
    #[inline]
    pub(super) fn answer(&self, now_ns: u64) -> Answer {
        let word = self.word.load(Acquire);
        match word & KIND {
            CLOSED | CLEAN => Answer::Admitted { cycle: word >> KIND_BITS },
            // The wait may be that of a later opening than the word's. The circuit is open then as
            // well, or this call came before it was open no longer.
            OPEN if now_ns < self.reject_until_ns.load(Relaxed) => Answer::Rejected,
            _ => Answer::Unknown,
        }
    }

    /// Whether `result` of a call of `cycle` changes nothing.
    #[inline]
    pub(super) fn is_settled(&self, cycle: u64, result: CallResult) -> bool {
        let word = self.word.load(Acquire);
        if word >> KIND_BITS != cycle {
            // The cycle that shows is never older than one that a call was admitted in.
            return true;
        }
        match result {
            CallResult::Success => word & KIND == CLEAN,
            CallResult::Failure => false,
            CallResult::Ignored => matches!(word & KIND, CLOSED | CLEAN),
        }
    }
}

fn word(cycle: u64, gate: Gate) -> u64 {
    let kind = match gate {
        Gate::Closed { is_clean: true } => CLEAN,
        Gate::Closed { is_clean: false } => CLOSED,
        Gate::Open { .. } => OPEN,
        Gate::HalfOpen => HALF_OPEN,
    };
    cycle << KIND_BITS | kind
}
