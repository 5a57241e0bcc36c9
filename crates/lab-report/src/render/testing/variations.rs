//! The sample campaign at more loads, under more faults, with more instances, on other servers.

use lab_core::{
    artifact::{
        manifest::{ControlPoint, TopologyPoint},
        summary::CellSummary,
    },
    event::{Event, SnapshotLoaded, kind},
    scenario::{Fault, Restore, Topology},
};

use super::{CampaignView, CellView, campaign, compare, event};

/// The same campaign with the cells under the crash once more at a load factor of 10, where `none`
/// has fallen to nothing and the others deliver half of what they did.
pub(in crate::render) fn campaign_at_two_loads() -> CampaignView {
    let mut view = campaign();
    let measured: Vec<(CellSummary, CellView)> = view
        .cells()
        .filter(|(_, it)| !it.trials.is_empty())
        .map(|(a, b)| (a.clone(), b.clone()))
        .collect();
    for (mut cell, mut trials) in measured {
        cell.params.load_factor = Some(10.0);
        cell.params.arrival_rate_per_sec = 4_080.0;
        cell.arrival_rate_per_sec = 4_080.0;
        for trial in &mut trials.trials {
            let fault = &mut trial.verdict.figures.phases.fault;
            for counts in fault.routes.values_mut() {
                counts.n_success /= if cell.variant == "none" { 1_000 } else { 2 };
            }
        }
        view.summary.variants.push(cell);
        view.cells.push(trials);
    }
    compare(&view.summary.variants, &mut view.cells);
    view
}

/// The same campaign, complete, under three faults: `none` has no valid trial of the second, and
/// `playbook-one-minute` none at all of the third.
pub(in crate::render) fn campaign_under_faults() -> CampaignView {
    let mut view = campaign();
    view.summary.variants.pop();
    view.cells.pop();
    let crash: Vec<(CellSummary, CellView)> =
        view.cells().map(|(cell, trials)| (cell.clone(), trials.clone())).collect();
    for fault in [Fault::Pause, Fault::DatabaseConnections] {
        for (mut cell, mut trials) in crash.clone() {
            cell.fault = fault;
            match (fault, cell.variant.as_str()) {
                (Fault::Pause, "none") => {
                    cell.n_invalid = cell.n_trials;
                    cell.served_ratio_fault = None;
                    cell.connection_demand.mean_fault = None;
                }
                (Fault::DatabaseConnections, "playbook-one-minute") => {
                    cell.n_trials = 0;
                    trials.trials.clear();
                }
                _ => {}
            }
            view.summary.variants.push(cell);
            view.cells.push(trials);
        }
    }
    view
}

/// The same campaign, complete, under five faults, each of which does what the crash does.
pub(in crate::render) fn campaign_under_five_faults() -> CampaignView {
    let mut view = campaign();
    view.summary.variants.pop();
    view.cells.pop();
    let crash: Vec<(CellSummary, CellView)> =
        view.cells().map(|(cell, trials)| (cell.clone(), trials.clone())).collect();
    for fault in [Fault::Pause, Fault::Cold, Fault::Loading, Fault::Flap] {
        for (cell, trials) in crash.clone() {
            view.summary.variants.push(CellSummary { fault, ..cell });
            view.cells.push(trials);
        }
    }
    view
}

/// The same campaign with the cells under the crash once more with 4 instances, which deliver half of
/// what one does and are refused 60 connections; with Redis up 4 carry `ratio` times what 1 does.
pub(in crate::render) fn campaign_with_instances(ratio: f64) -> CampaignView {
    let mut view = campaign();
    let one =
        ControlPoint { n_instances: 1, warm_capacity_per_sec: 900.0, db_capacity_per_sec: 408.0 };
    let four = ControlPoint { n_instances: 4, warm_capacity_per_sec: 900.0 * ratio, ..one };
    view.summary.calibration.control = vec![one, four];
    let of_crash = |it: &(&CellSummary, &CellView)| it.0.fault == Fault::Crash;
    let one_each: Vec<(CellSummary, CellView)> =
        view.cells().filter(of_crash).map(|(a, b)| (a.clone(), b.clone())).collect();
    for (mut cell, mut trials) in one_each {
        cell.params.n_instances = 4;
        for trial in &mut trials.trials {
            let fault = &mut trial.verdict.figures.phases.fault;
            fault.outcomes.values_mut().for_each(|it| *it /= 2);
            fault.n_connections_refused = Some(60.0);
        }
        view.summary.variants.push(cell);
        view.cells.push(trials);
    }
    compare(&view.summary.variants, &mut view.cells);
    view
}

/// The same campaign where `bounded-timeouts` runs on sentinels as shipped, whose replica takes over
/// in two of three trials, and `circuit-breaker` on a cluster, whose replica takes over in all.
pub(in crate::render) fn campaign_with_failovers() -> CampaignView {
    let mut view = campaign();
    for (cell, trials) in view.summary.variants.iter_mut().zip(&mut view.cells) {
        let topology = match cell.variant.as_str() {
            "bounded-timeouts" => Topology::Sentinel,
            "circuit-breaker" => Topology::Cluster,
            _ => continue,
        };
        cell.topology = topology;
        for (number, trial) in (0..).zip(&mut trials.trials) {
            trial.manifest.variant.topology = topology;
            let later_ms = 100.0 * f64::from(number);
            if topology == Topology::Sentinel && number < 2 {
                trial.events.push(event(16_002.0 + later_ms, kind::FAILOVER_COMPLETED));
                let followed = event(16_102.0 + 3.0 * later_ms, kind::PRIMARY_FOLLOWED);
                trial.events.push(Event { source: "storefront".into(), ..followed });
            } else if topology == Topology::Cluster {
                trial.events.push(event(19_002.0 + later_ms, kind::FAILOVER_COMPLETED));
            }
        }
    }
    view
}

/// The same campaign where `circuit-breaker` restores some 20,000 keys from a snapshot.
pub(in crate::render) fn campaign_with_snapshots() -> CampaignView {
    let mut view = campaign();
    for (cell, trials) in view.summary.variants.iter().zip(&mut view.cells) {
        for (number, trial) in (0..).zip(&mut trials.trials) {
            if cell.variant != "circuit-breaker" {
                continue;
            }
            trial.manifest.variant.restore = Restore::Snapshot;
            let loaded = SnapshotLoaded {
                n_keys: 20_000,
                n_expired: 12,
                load_ms: 60.0 + f64::from(number),
                restart_ms: 95.0 + f64::from(number),
            };
            let event = event(25_140.0, kind::SNAPSHOT_LOADED);
            trial.events.push(Event { detail: loaded.detail(), ..event });
        }
    }
    view
}

/// The same campaign, in which `circuit-breaker` has a replica of the database, 12,345 bytes and 6.7
/// ms behind at the most; with the cache bypassed both servers carry `ratio` times what one does.
pub(in crate::render) fn campaign_with_replica(ratio: f64) -> CampaignView {
    let mut view = campaign();
    let point = |topology, db_capacity_per_sec| TopologyPoint { topology, db_capacity_per_sec };
    let (single, both) = (point(Topology::Single, 400.0), point(Topology::Replica, 400.0 * ratio));
    view.summary.calibration.topologies = vec![single, both];
    for (cell, trials) in view.summary.variants.iter_mut().zip(&mut view.cells) {
        if cell.variant == "circuit-breaker" {
            cell.topology = Topology::Replica;
            cell.phases.fault.db.replication_lag_bytes_max = Some(12_345);
            cell.phases.fault.db.replication_lag_us_max = Some(6_700);
            for trial in &mut trials.trials {
                trial.manifest.variant.topology = Topology::Replica;
            }
        }
    }
    view
}

/// The four variants of the sample campaign again and again until there are `n_variants`, each under
/// a crash and a pause, complete.
pub(in crate::render) fn campaign_of(n_variants: usize) -> CampaignView {
    let mut view = campaign();
    let of_crash = |it: &(&CellSummary, &CellView)| it.0.fault == Fault::Crash;
    let measured: Vec<(CellSummary, CellView)> =
        view.cells().filter(of_crash).map(|(a, b)| (a.clone(), b.clone())).collect();
    view.summary.partial = false;
    view.summary.variants.clear();
    view.cells.clear();
    for (k, (cell, trials)) in measured.iter().cycle().take(n_variants).enumerate() {
        for fault in [Fault::Crash, Fault::Pause] {
            let mut cell = CellSummary { fault, ..cell.clone() };
            if measured.len() <= k {
                cell.variant = format!("{}-{k}", cell.variant);
            }
            view.summary.variants.push(cell);
            view.cells.push(trials.clone());
        }
    }
    view
}
