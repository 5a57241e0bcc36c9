//! What an operator does while a fault lasts: switches mitigations of the running service.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::settings::Mode;

/// One switch turned by hand, some time into the outage.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OperatorAction {
    /// Time from the scheduled start of the fault phase until the switch is turned.
    #[serde(with = "humantime_serde")]
    pub after: Duration,
    /// What is switched, in the words of the service's internal port, such as `circuit_breaker`.
    pub mitigation: String,
    /// What it is switched to.
    pub mode: Mode,
}

/// An operator who would come too late to be seen.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[error(
    "variant `{variant}`: its operator switches {mitigation} {after:?} into the fault, which lasts \
     {fault:?}; take a longer --profile, or set phases.fault in the campaign"
)]
pub struct FaultTooShort {
    /// The variant.
    pub variant: String,
    /// What is switched last.
    pub mitigation: String,
    /// When.
    pub after: Duration,
    /// Length of the fault phase.
    pub fault: Duration,
}

/// Time that must be left of the fault after the last action, so that its effect can be seen: some
/// windows of the time to mitigate. Chosen.
const EFFECT: Duration = Duration::from_secs(5);

/// Checks that a fault phase of `fault` shows what `actions` do.
///
/// **Errors**: one comes later than 5 s before the end of the fault.
pub(super) fn check_fault_length(
    variant: &str,
    actions: &[OperatorAction],
    fault: Duration,
) -> Result<(), FaultTooShort> {
    match actions.iter().max_by_key(|it| it.after) {
        Some(last) if fault < last.after + EFFECT => Err(FaultTooShort {
            variant: variant.to_owned(),
            mitigation: last.mitigation.clone(),
            after: last.after,
            fault,
        }),
        Some(_) | None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_action_needs_a_fault_that_outlasts_it() {
        let action = |after_s| OperatorAction {
            after: Duration::from_secs(after_s),
            mitigation: "circuit_breaker".into(),
            mode: Mode::Enforce,
        };
        let check = |fault_s| {
            let actions = [action(60), action(30)];
            check_fault_length("manual", &actions, Duration::from_secs(fault_s))
        };
        assert_eq!(check(65), Ok(()));
        let error = check(64).unwrap_err().to_string();
        assert!(error.contains("`manual`") && error.contains("60s") && error.contains("64s"));
        assert_eq!(check_fault_length("none", &[], Duration::from_secs(1)), Ok(()));
    }
}
