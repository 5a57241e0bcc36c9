//! Instances that join while the fault is on, and the list of instances from which the load is
//! spread: the lab is the load balancer.

use std::{collections::BTreeMap, net::SocketAddr, time::Duration};

use anyhow::{Context, Result, anyhow};
use lab_core::{
    clock::MonotonicNs,
    event::{Event, kind},
    scenario::{Phase, PhaseLengths, Registry, ScaleOut},
};
use tokio::task::JoinSet;

use super::{
    instances::{Instance, Instances},
    load::TargetList,
    registry,
    timeline::Origin,
};
use crate::{exit::ExitCode, failure::AtExit};

/// Time between two looks at who is ready or in the registry. Finer than the second in which an
/// instance renews its entry.
const LOOK_INTERVAL: Duration = Duration::from_millis(250);
/// Time between two questions whether an instance is ready. Each asks its database, which is busy.
const READY_INTERVAL: Duration = Duration::from_millis(500);

/// Keeps the list of instances until the last arrival, and starts the instances that are yet to
/// come, until there are `n_instances`. Returns what happened.
///
/// An instance that is not ready before the last arrival never joins: that is no error.
/// **Errors**: an instance that cannot be started, or a generator that is gone.
/// **Cancellation**: instances that were started go on.
pub(crate) async fn keep_list(
    instances: &Instances<'_>,
    (scale_out, n_instances): (Option<ScaleOut>, u32),
    mut list: TargetList,
    origin: Origin,
    phases: &PhaseLengths,
) -> Result<Vec<Event>> {
    let Some(scale_out) = scale_out else { return Ok(Vec::new()) };
    let mut balancer = Balancer::new(scale_out.registry, instances);
    let joins_at = phases.start(Phase::Fault) + scale_out.joins_after;
    let mut events = Vec::new();
    for at in looks(phases.start(Phase::Drain), joins_at) {
        origin.wait(at).await;
        if at == joins_at {
            for _ in instances.running().len()..usize::try_from(n_instances)? {
                let instance = instances.launch().at_exit(ExitCode::Target)?;
                events.push(about(&instance, kind::INSTANCE_STARTED, origin, instance.started_at));
                balancer.expect(instance);
            }
        }
        let changes = balancer.look().await;
        if !changes.is_empty() {
            list.set(&balancer.addresses()).await.at_exit(ExitCode::Generator)?;
        }
        let now = MonotonicNs::now();
        events.extend(changes.iter().map(|(instance, kind)| about(instance, kind, origin, now)));
    }
    Ok(events)
}

/// When to look before `end`: at even intervals, and at the very time when instances are started.
fn looks(end: Duration, joins_at: Duration) -> Vec<Duration> {
    let mut looks: Vec<Duration> =
        (0..).map(|k| LOOK_INTERVAL * k).take_while(|it| *it < end).collect();
    looks.push(joins_at);
    looks.sort();
    looks.dedup();
    looks
}

/// Waits until every instance that runs is in the registry, where there is one.
///
/// **Errors**: some are not after `most`.
pub(crate) async fn wait_until_listed(
    scale_out: Option<ScaleOut>,
    instances: &Instances<'_>,
    most: Duration,
) -> Result<()> {
    let Some(ScaleOut { registry: Registry::Redis, .. }) = scale_out else { return Ok(()) };
    let redis = instances.config().redis.single().context("the list is in one Redis")?;
    let all_listed = async {
        loop {
            let listed = registry::read(redis).await;
            if listed.is_ok_and(|it| instances.running().len() <= it.len()) {
                return;
            }
            tokio::time::sleep(LOOK_INTERVAL).await;
        }
    };
    let listed = tokio::time::timeout(most, all_listed).await;
    listed.map_err(|_| anyhow!("an instance did not enter the list in Redis within {most:?}"))
}

fn about(instance: &Instance, kind: &str, origin: Origin, at: MonotonicNs) -> Event {
    let detail = BTreeMap::from([("instance".to_owned(), instance.number.to_string())]);
    Event { detail, ..origin.event(at, kind) }
}

/// Who is in the list now.
struct Balancer<'a> {
    active: Vec<Instance>,
    registry: Registry,
    instances: &'a Instances<'a>,
    /// Those that were started and have not said yet that they are ready.
    expected: JoinSet<Instance>,
}

impl<'a> Balancer<'a> {
    /// A list that holds everybody who runs.
    fn new(registry: Registry, instances: &'a Instances<'a>) -> Self {
        let active = instances.running();
        Self { active, registry, instances, expected: JoinSet::new() }
    }

    /// Takes `instance` into the list once it is ready, unless the list is somebody else's.
    fn expect(&mut self, instance: Instance) {
        if self.registry == Registry::LoadBalancer {
            self.expected.spawn(async move {
                while !instance.target.control.is_ready().await {
                    tokio::time::sleep(READY_INTERVAL).await;
                }
                instance
            });
        }
    }

    /// The list, in the order of the instances' numbers.
    fn addresses(&self) -> Vec<SocketAddr> {
        self.active.iter().map(Instance::address).collect()
    }

    /// Brings the list up to date and returns what changed.
    async fn look(&mut self) -> Vec<(Instance, &'static str)> {
        let Some(mut next) = self.next().await else { return Vec::new() };
        next.sort_by_key(|it| it.number);
        let before = std::mem::replace(&mut self.active, next);
        changes(&before, &self.active)
    }

    /// The next list. `None`: a list that cannot be read, or on which nobody stands. Somebody must
    /// take the load, so the last one is kept.
    async fn next(&mut self) -> Option<Vec<Instance>> {
        match self.registry {
            Registry::LoadBalancer => {
                let mut next = self.active.clone();
                while let Some(Ok(ready)) = self.expected.try_join_next() {
                    next.push(ready);
                }
                Some(next)
            }
            Registry::Redis => {
                let redis = self.instances.config().redis.single()?;
                let read = registry::read(redis).await;
                let listed = read
                    .inspect_err(|error| tracing::debug!(%error, "the last list is kept"))
                    .ok()?;
                let running = self.instances.running().into_iter();
                let next: Vec<_> = running.filter(|it| listed.contains(&it.address())).collect();
                (!next.is_empty()).then_some(next)
            }
        }
    }
}

/// Who is in `after` and not in `before`, and the other way round.
fn changes(before: &[Instance], after: &[Instance]) -> Vec<(Instance, &'static str)> {
    let only_in = |list: &[Instance], other: &[Instance], kind| -> Vec<(Instance, &'static str)> {
        let is_other = |it: &&Instance| other.iter().any(|other| other.number == it.number);
        list.iter().filter(|it| !is_other(it)).map(|it| (it.clone(), kind)).collect()
    };
    let joined = only_in(after, before, kind::INSTANCE_JOINED);
    joined.into_iter().chain(only_in(before, after, kind::INSTANCE_LEFT)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    // Every 250 ms before 1 s, and at 600 ms.
    #[test]
    fn instances_are_started_at_their_time_and_not_at_the_next_look() {
        let ms = Duration::from_millis;
        assert_eq!(looks(ms(1_000), ms(600)), [0, 250, 500, 600, 750].map(ms));
        assert_eq!(looks(ms(500), ms(250)), [0, 250].map(ms));
    }
}
