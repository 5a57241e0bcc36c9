//! The operator of a variant: turns switches of the running service while the fault lasts.

use std::{collections::BTreeMap, time::Duration};

use anyhow::Result;
use lab_core::{
    clock::MonotonicNs,
    event::{Event, kind},
    scenario::OperatorAction,
};

use super::{instances::Instances, timeline::Origin};

/// Turns each switch of every instance that runs at its time, counted from `fault_start` (an offset
/// from the origin), and returns what was done and when.
///
/// **Errors**: the service refuses a switch, or does not answer.
/// **Cancellation**: switches whose time has not come are not turned.
pub(crate) async fn operate(
    actions: &[OperatorAction],
    instances: &Instances<'_>,
    origin: Origin,
    fault_start: Duration,
) -> Result<Vec<Event>> {
    let mut actions: Vec<_> = actions.iter().collect();
    actions.sort_by_key(|it| it.after);
    let mut events = Vec::new();
    for OperatorAction { after, mitigation, mode } in actions {
        origin.wait(fault_start + *after).await;
        for instance in instances.running() {
            instance.target.control.set_mode(mitigation, *mode).await?;
        }
        let detail = [("mitigation", mitigation.as_str()), ("mode", mode.name())];
        events.push(Event {
            detail: BTreeMap::from(detail.map(|(key, value)| (key.into(), value.into()))),
            ..origin.event(MonotonicNs::now(), kind::MITIGATION_SWITCHED)
        });
    }
    Ok(events)
}
