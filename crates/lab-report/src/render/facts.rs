//! The circumstances of a campaign in words: the machine, the calibration, the trials.

use lab_core::artifact::{
    manifest::{ControlPoint, TopologyPoint},
    summary::CellSummary,
    verdict::MachineStalls,
};

use super::{numbers, ranking::cell_title, view::CampaignView};
use crate::analysis::wire_cost::{WireCost, wire_cost};

/// What a report says when planned trials are missing.
pub(super) const PARTIAL: &str =
    "Partial: the run ended before its last planned trial; this is what had finished.";

/// Name and value of every fact about the machine, the servers and the run.
pub(super) fn machine(view: &CampaignView) -> Vec<(&'static str, String)> {
    let summary = &view.summary;
    let host = &summary.host;
    let versions = &summary.versions;
    let known = |it: &Option<String>| it.clone().unwrap_or_else(|| numbers::MISSING.into());
    let calibration = &summary.calibration;
    let mut facts = vec![
        (
            "machine",
            format!(
                "{} CPUs of {}, {} of memory",
                host.n_cpus,
                host.cpu_model,
                numbers::gibibytes(host.memory_bytes)
            ),
        ),
        ("system", format!("{}, kernel {}", host.os, host.kernel)),
        ("backend", format!("{} ({})", summary.backend, view.run.backend_reason)),
        (
            "versions",
            format!(
                "outage-lab {}, Redis {}, PostgreSQL {}, rustc {}",
                known(&versions.outage_lab),
                known(&versions.redis),
                known(&versions.postgres),
                known(&versions.rustc)
            ),
        ),
        (
            "database capacity C (cache bypassed)",
            per_sec(calibration.db_capacity_per_sec, "the rate was given outright"),
        ),
        (
            "capacity with a warm cache",
            per_sec(calibration.warm_capacity_per_sec, "the rate was given outright"),
        ),
        (
            "objective",
            format!(
                "served ratio at least {} within {} while the fault is on",
                numbers::three_digits(summary.slo.served_ratio_min),
                numbers::milliseconds(summary.slo.deadline_ms)
            ),
        ),
        (
            "run",
            format!(
                "started {}, profile {}, seed {}, {} in all, {} of it measuring",
                summary.started_at,
                summary.profile.name(),
                summary.seed.0,
                numbers::seconds(summary.wall_time_s),
                numbers::seconds(summary.measuring_time_s)
            ),
        ),
    ];
    facts.extend(proxy(view).map(|it| ("proxy of the faults on the wire", it)));
    if !calibration.topologies.is_empty() {
        facts.push((
            "capacity of the database by topology, requests/s",
            by_topology(&calibration.topologies),
        ));
    }
    facts.extend(answers(view).map(|it| ("answers of the database", it)));
    if !calibration.control.is_empty() {
        facts.push(("capacity by instances, requests/s", by_instances(&calibration.control)));
    }
    facts
}

/// What the proxy costs, where the campaign has cells with it and cells without.
fn proxy(view: &CampaignView) -> Option<String> {
    let baseline = |it: &CellSummary| Some((it.fault, it.phases.baseline.response_time_us.p50?));
    let baselines: Vec<_> = view.summary.variants.iter().filter_map(baseline).collect();
    let WireCost { p50_without_us, p50_with_us, n_without, n_with } = wire_cost(&baselines)?;
    let ms = |us: f64| numbers::milliseconds(us / 1_000.0);
    Some(format!(
        "p50 of a product page before the fault is {} with it (median of {n_with} cells) and {} \
         without (of {n_without})",
        ms(p50_with_us),
        ms(p50_without_us)
    ))
}

/// What a network of capacity ratio 1 carries, where a variant has one of its own.
fn answers(view: &CampaignView) -> Option<String> {
    let calibration = view.run.calibration.as_ref()?;
    Some(format!(
        "{} KB for a request with the cache bypassed, so {} MB/s at C: a network of `capacity_ratio` 1",
        numbers::three_digits(calibration.database_bytes_per_request? / 1e3),
        numbers::three_digits(calibration.database_bytes_per_sec()? / 1e6),
    ))
}

/// What each number of instances carries; a campaign with one number has none.
fn by_instances(control: &[ControlPoint]) -> String {
    let shown = |it: &ControlPoint| {
        format!(
            "{} with {}, {} without the cache",
            numbers::three_digits(it.warm_capacity_per_sec),
            it.n_instances,
            numbers::three_digits(it.db_capacity_per_sec)
        )
    };
    control.iter().map(shown).collect::<Vec<_>>().join("; ")
}

/// What the database of each topology carries; a campaign that compares none has none.
fn by_topology(points: &[TopologyPoint]) -> String {
    let shown = |it: &TopologyPoint| {
        format!("{} with {}", numbers::three_digits(it.db_capacity_per_sec), it.topology)
    };
    points.iter().map(shown).collect::<Vec<_>>().join(", ")
}

fn per_sec(rate: Option<f64>, why_missing: &str) -> String {
    rate.filter(|it| it.is_finite()).map_or_else(
        || format!("{} ({why_missing})", numbers::MISSING),
        |rate| format!("{} requests/s", numbers::three_digits(rate)),
    )
}

/// One trial and why it counts or does not.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct TrialFact {
    /// The cell, in words.
    pub(super) cell: String,
    /// Which repetition, from 1.
    pub(super) number: u32,
    /// Which attempt at it, from 1.
    pub(super) attempt: u32,
    /// The trial's goodput ratio, as people read it.
    pub(super) goodput_ratio: String,
    /// How long the machine stood still, in all and at the longest.
    pub(super) machine_stalls: String,
    /// Why it is not valid; empty when it is.
    pub(super) reasons: Vec<String>,
}

fn stalls(seen: MachineStalls) -> String {
    let MachineStalls { n, total_ms, longest_ms } = seen;
    if n == 0 { "never".into() } else { format!("{total_ms:.0} ms, at most {longest_ms:.0} ms") }
}

/// Every trial, in the order of the plan.
pub(super) fn trials(view: &CampaignView) -> Vec<TrialFact> {
    view.cells()
        .flat_map(|(cell, trials)| {
            trials.trials.iter().map(|trial| TrialFact {
                cell: cell_title(cell),
                number: trial.verdict.trial + 1,
                attempt: trial.verdict.attempt,
                goodput_ratio: trial
                    .verdict
                    .figures
                    .goodput_ratio_fault
                    .map_or_else(|| numbers::MISSING.into(), numbers::ratio),
                machine_stalls: stalls(trial.verdict.machine_stalls),
                reasons: trial.verdict.reasons.iter().map(ToString::to_string).collect(),
            })
        })
        .collect()
}
