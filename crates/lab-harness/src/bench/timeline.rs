//! The course of one trial while the load runs: phases, the fault and its end, all on one axis.

use std::{collections::BTreeMap, time::Duration};

use anyhow::Result;
use lab_core::{
    clock::MonotonicNs,
    event::{Event, SnapshotLoaded, kind},
    scenario::{Phase, PhaseLengths},
};
use tokio::time::{Instant, sleep_until};

use super::sampling::to_ms;
use crate::{
    faults::{ArmedFault, Confirmation, Takeover},
    stack::{Stack, snapshot::SnapshotLoad},
};

/// The start of the schedule, on the machine's clock and on the runtime's.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Origin {
    /// As artifacts are stamped.
    pub(crate) monotonic: MonotonicNs,
    instant: Instant,
}

impl Origin {
    /// An origin `lead` from now.
    pub(crate) fn in_future(lead: Duration) -> Self {
        Self { monotonic: MonotonicNs::now().plus(lead), instant: Instant::now() + lead }
    }

    /// Waits until `offset` after the origin.
    pub(crate) async fn wait(&self, offset: Duration) {
        sleep_until(self.instant + offset).await;
    }

    /// Something that the lab did or saw `at`, on the trial's axis.
    pub(crate) fn event(&self, at: MonotonicNs, kind: &str) -> Event {
        Event {
            at_ms: to_ms(at.since(self.monotonic)),
            source: "lab".into(),
            kind: kind.into(),
            detail: BTreeMap::new(),
        }
    }
}

/// Who else wants to know how the trial goes.
#[derive(Clone, Copy)]
pub(crate) struct Hooks<'a> {
    /// A phase begins.
    pub(crate) on_phase: &'a dyn Fn(Phase),
    /// The dependency answers again; its process may be another one.
    pub(crate) on_healed: &'a dyn Fn(&Stack),
}

/// Runs the phases up to the start of the drain: injects the fault that was armed, has it
/// confirmed, ends it and has that confirmed. Returns what happened, in order.
///
/// **Errors**: a fault that cannot be injected or ended at all. A fault that was injected and not
/// confirmed is no error: it is an event, and makes the trial invalid.
/// **Cancellation**: dropping the future may leave the fault in place; the caller resets the stack.
pub(crate) async fn run_phases(
    stack: &Stack,
    mut fault: ArmedFault,
    phases: &PhaseLengths,
    origin: Origin,
    hooks: Hooks<'_>,
) -> Result<Vec<Event>> {
    let mut events = Vec::new();
    for phase in Phase::ALL {
        origin.wait(phases.start(phase)).await;
        (hooks.on_phase)(phase);
        let scheduled = origin.monotonic.plus(phases.start(phase));
        let mut started = origin.event(scheduled, kind::PHASE_STARTED);
        started.detail.insert("phase".into(), phase.name().into());
        events.push(started);
        match phase {
            Phase::Fault => inject(stack, &mut fault, origin, &mut events).await?,
            Phase::Recovery => {
                heal(stack, &mut fault, origin, &mut events).await?;
                (hooks.on_healed)(stack);
            }
            Phase::Warmup | Phase::Baseline | Phase::Drain => {}
        }
    }
    events.sort_by(|a, b| a.at_ms.total_cmp(&b.at_ms));
    Ok(events)
}

async fn inject(
    stack: &Stack,
    fault: &mut ArmedFault,
    origin: Origin,
    events: &mut Vec<Event>,
) -> Result<()> {
    let injected_at = fault.inject(stack).await?;
    events.push(origin.event(injected_at, kind::FAULT_INJECTED));
    let (kind, confirmation) = match fault.confirm(stack).await {
        Ok(confirmation) => (kind::FAULT_CONFIRMED, confirmation),
        Err(unseen) => (kind::FAULT_NOT_CONFIRMED, unseen),
    };
    events.push(seen(origin, kind, &confirmation));
    Ok(())
}

async fn heal(
    stack: &Stack,
    fault: &mut ArmedFault,
    origin: Origin,
    events: &mut Vec<Event>,
) -> Result<()> {
    if let Some(Takeover { primary, at }) = fault.takeover() {
        let mut completed = origin.event(at, kind::FAILOVER_COMPLETED);
        completed.detail.insert("primary".into(), primary.to_string());
        events.push(completed);
    }
    let ordered_at = MonotonicNs::now();
    let healed_at = fault.heal(stack).await?;
    events.push(origin.event(healed_at, kind::FAULT_HEALED));
    let confirmation = fault.confirm_healed(stack).await?;
    events.push(seen(origin, kind::DEPENDENCY_READY, &confirmation));
    if let Some(load) = stack.redis_group().snapshot_load().await? {
        let mut event = origin.event(healed_at, kind::SNAPSHOT_LOADED);
        event.detail = loaded(load, healed_at.since(ordered_at)).detail();
        events.push(event);
    }
    Ok(())
}

fn loaded(load: SnapshotLoad, restart_ns: i64) -> SnapshotLoaded {
    SnapshotLoaded {
        n_keys: load.n_keys,
        n_expired: load.n_expired,
        load_ms: load.took.as_secs_f64() * 1e3,
        restart_ms: to_ms(restart_ns),
    }
}

fn seen(origin: Origin, kind: &str, confirmation: &Confirmation) -> Event {
    let mut event = origin.event(confirmation.at, kind);
    event.detail.insert("saw".into(), confirmation.saw.clone());
    event
}
