//! Injects faults, has them confirmed by a probe that is not the injector, and ends them.
//!
//! One file per fault. The probe is a fresh connection to where the service connects, so it sees
//! what a new client of the service would see.

use std::time::Duration;

use lab_core::{clock::MonotonicNs, scenario::Fault};
use tokio::time::sleep;

use crate::stack::{
    Stack, StackError,
    probe::{Seen, ping},
};

mod crash;
mod pause;

use crash::Crash;
use pause::Pause;

/// A fault must be seen within this time from the first probe, else the trial is invalid.
pub const CONFIRM_WITHIN: Duration = Duration::from_millis(250);
/// How long one probe waits before it says that nothing came back.
const PROBE_PATIENCE: Duration = Duration::from_millis(100);
/// Time between two probes. Finer than the 100 ms bins of the analysis.
const PROBE_INTERVAL: Duration = Duration::from_millis(2);
/// Longest wait for the dependency to answer again.
const HEAL_TIMEOUT: Duration = Duration::from_secs(30);

/// One way in which Redis goes away.
trait Injection {
    /// Starts the fault; the time right after the system call returned is its origin.
    async fn inject(&self, stack: &Stack) -> Result<MonotonicNs, StackError>;
    /// Whether this is what a new client meets while the fault is on.
    fn is_effect(&self, seen: &Seen) -> bool;
    /// Ends the fault; returns the time right after the call that ends it returned.
    async fn heal(&self, stack: &Stack) -> Result<MonotonicNs, StackError>;
}

/// What the probe saw, and when.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Confirmation {
    /// When the probe knew.
    pub at: MonotonicNs,
    /// What it saw, in words.
    pub saw: String,
}

/// Redis does not answer although the fault was ended.
#[derive(Debug, thiserror::Error)]
#[error("redis does not answer {} s after the fault was ended: {saw}", HEAL_TIMEOUT.as_secs())]
pub struct NotHealed {
    /// What the last probe saw.
    pub saw: String,
}

/// Starts the fault. The returned time, right after the system call, is the fault's origin.
///
/// **Errors**: Redis is down already, or the signal cannot be sent.
pub async fn inject(fault: Fault, stack: &Stack) -> Result<MonotonicNs, StackError> {
    match fault {
        Fault::Crash => Crash.inject(stack).await,
        Fault::Pause => Pause.inject(stack).await,
    }
}

/// Looks for the effect of the fault for up to 250 ms.
///
/// **Errors**: what the last probe saw instead; the trial is then invalid.
pub async fn confirm(fault: Fault, stack: &Stack) -> Result<Confirmation, Confirmation> {
    let deadline = MonotonicNs::now().plus(CONFIRM_WITHIN);
    loop {
        let seen = ping(stack.redis_addr(), PROBE_PATIENCE).await;
        let at = MonotonicNs::now();
        let confirmation = Confirmation { at, saw: seen.to_string() };
        if is_effect(fault, &seen) {
            return Ok(confirmation);
        }
        if deadline <= at {
            return Err(confirmation);
        }
        sleep(PROBE_INTERVAL).await;
    }
}

/// Ends the fault. Returns the time right after the call that ends it returned: after a crash,
/// that of the start, which itself waits for the first answer.
///
/// **Errors**: Redis cannot be started or continued.
pub async fn heal(fault: Fault, stack: &Stack) -> Result<MonotonicNs, StackError> {
    match fault {
        Fault::Crash => Crash.heal(stack).await,
        Fault::Pause => Pause.heal(stack).await,
    }
}

/// Waits until a new client is answered: the end of the fault window.
///
/// **Errors**: it is not, for 30 s.
pub async fn confirm_healed(_fault: Fault, stack: &Stack) -> Result<Confirmation, NotHealed> {
    let deadline = MonotonicNs::now().plus(HEAL_TIMEOUT);
    loop {
        let seen = ping(stack.redis_addr(), PROBE_PATIENCE).await;
        let at = MonotonicNs::now();
        if seen == Seen::Answered {
            return Ok(Confirmation { at, saw: seen.to_string() });
        }
        if deadline <= at {
            return Err(NotHealed { saw: seen.to_string() });
        }
        sleep(PROBE_INTERVAL).await;
    }
}

fn is_effect(fault: Fault, seen: &Seen) -> bool {
    match fault {
        Fault::Crash => Crash.is_effect(seen),
        Fault::Pause => Pause.is_effect(seen),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_fault_has_an_effect_of_its_own() {
        let table = [
            (Fault::Crash, Seen::Refused, true),
            (Fault::Crash, Seen::Silent, false),
            (Fault::Crash, Seen::Answered, false),
            (Fault::Pause, Seen::Silent, true),
            (Fault::Pause, Seen::Refused, false),
            (Fault::Pause, Seen::Answered, false),
            (Fault::Pause, Seen::Other("the connection broke".into()), false),
        ];
        for (fault, seen, expected) in table {
            assert_eq!(is_effect(fault, &seen), expected, "{fault}: {seen}");
        }
    }
}
