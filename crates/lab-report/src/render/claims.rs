//! What the strategy claimed, beside what was found: by claim and by variant.

use lab_core::{
    artifact::summary::DbSummary,
    scenario::ResolvedVariant,
    strategy::{self, CLAIMS},
};

use super::{
    findings::{self, Found},
    found::{self, Cell, Word},
    numbers, positive_control,
    ranking::{cell_key, group_label, group_title},
    view::{CampaignView, CellView},
};
use crate::analysis::{effect::base_of, restore::Restored, statistics::float};

/// What the table of claims shows, in a few sentences.
const NOTE: &str = "Every row of the strategy that a variant of this campaign tries. \
    Found is the variant against its base, under the same fault and load (`crash at 1.5`: under \
    crash, at load factor 1.5), figures without → with the variant. A variant that tries several \
    rows at once says nothing about each of them alone; the one that tries the fewest comes first";

/// What stands over its columns.
pub(super) const HEADS: [&str; 4] = ["id", "the strategy claims", "tried by", "found"];

/// What is said of a variant that tries no row.
pub(super) const NO_CLAIM: &str = "Nothing: the strategy has no row for it";

/// What is said of a control.
pub(super) const CONTROL_FOUND: &str = "It is the control, and stands on nothing";

/// One row of the strategy.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct ClaimRow<'a> {
    /// `S10`.
    pub(super) id: &'a str,
    /// What it claims.
    pub(super) text: &'static str,
    /// The variants that try it, at least one.
    pub(super) tries: Vec<Try<'a>>,
}

/// A variant that tries a row.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Try<'a> {
    pub(super) variant: &'a str,
    /// The other rows that it tries at the same time.
    pub(super) others: Vec<&'a str>,
    /// What was found, and in which cells; nothing of a control.
    pub(super) found: Vec<Found>,
}

/// A variant with what it claimed and what was found of it.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct VariantClaims<'a> {
    /// One line.
    pub(super) title: &'a str,
    /// Id and text of every row that it tries.
    pub(super) claims: Vec<(&'a str, &'static str)>,
    /// What its author expected.
    pub(super) hypothesis: &'a str,
    /// What its servers showed beside that: a name, and one or several sentences.
    pub(super) servers: Vec<(&'static str, String)>,
    /// What it is compared with; `None` for a control.
    pub(super) base: Option<&'a str>,
    /// One entry for each cell, in the order of the plan; none for a control.
    pub(super) found: Vec<FoundCell>,
}

/// What was found in one cell.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct FoundCell {
    /// `crash, load factor 1.5`.
    pub(super) cell: String,
    /// Where the page shows the cell.
    pub(super) key: String,
    pub(super) word: Word,
    /// The figures.
    pub(super) sentence: String,
    /// What Redis had again from its snapshot, where it restored one.
    pub(super) restored: Option<String>,
}

/// Stands for the claim of an id that is no row of the strategy.
const UNKNOWN: &str = "not a row of the strategy";

/// What the table of `rows` shows, and how its condensed lists are to be read, where it has one.
/// Ends without a full stop.
pub(super) fn note(rows: &[ClaimRow<'_>]) -> String {
    let mut found = rows.iter().flat_map(|it| &it.tries).flat_map(|it| &it.found);
    if found.any(Found::is_condensed) {
        format!("{NOTE}. {}", findings::note())
    } else {
        NOTE.to_owned()
    }
}

/// One row for each id that a variant with a trial tries, in the order of the strategy; ids that
/// are no rows come last.
pub(super) fn rows(view: &CampaignView) -> Vec<ClaimRow<'_>> {
    let tried: Vec<(&str, Vec<&str>)> = view
        .variants()
        .into_iter()
        .filter_map(|variant| Some((variant, ids(view.resolved(variant)?))))
        .collect();
    let known = CLAIMS.iter().map(|it| it.id);
    let mut order: Vec<&str> = known.collect();
    for id in tried.iter().flat_map(|(_, ids)| ids) {
        if !order.contains(id) {
            order.push(id);
        }
    }
    order
        .into_iter()
        .map(|id| ClaimRow {
            id,
            text: strategy::claim(id).unwrap_or(UNKNOWN),
            tries: tries(view, &tried, id),
        })
        .filter(|it| !it.tries.is_empty())
        .collect()
}

fn ids(variant: &ResolvedVariant) -> Vec<&str> {
    variant.strategy.iter().map(String::as_str).collect()
}

fn tries<'a>(view: &CampaignView, tried: &[(&'a str, Vec<&'a str>)], id: &str) -> Vec<Try<'a>> {
    let mut tries: Vec<Try<'a>> = tried
        .iter()
        .filter(|(_, ids)| ids.contains(&id))
        .map(|(variant, ids)| Try {
            variant,
            others: ids.iter().copied().filter(|it| *it != id).collect(),
            found: found_by_word(view, variant),
        })
        .collect();
    tries.sort_by_key(|it| it.others.len());
    tries
}

/// The cells of `variant` by what was found in them.
fn found_by_word(view: &CampaignView, variant: &str) -> Vec<Found> {
    let cells: Vec<Cell<'_>> = view.cells().filter(|(cell, _)| cell.variant == variant).collect();
    findings::by_word(&cells)
}

/// What `variant` claimed and what was found of it; `None` when no trial of it was run.
pub(super) fn of_variant<'a>(view: &'a CampaignView, variant: &str) -> Option<VariantClaims<'a>> {
    let resolved = view.resolved(variant)?;
    let found = view
        .cells()
        .filter(|(cell, _)| cell.variant == variant)
        .filter_map(|(cell, trials)| {
            let base = base_of(&view.summary.variants, cell);
            let base = base.map(|at| (&view.summary.variants[at], &view.cells[at]));
            Some(FoundCell {
                cell: group_title(cell),
                key: cell_key(cell),
                word: found::word(&trials.effect)?,
                sentence: found::sentence((cell, trials), base),
                restored: restored(trials),
            })
        })
        .collect();
    Some(VariantClaims {
        title: resolved.title.trim_end_matches('.'),
        claims: ids(resolved)
            .into_iter()
            .map(|id| (id, strategy::claim(id).unwrap_or(UNKNOWN)))
            .collect(),
        hypothesis: &resolved.hypothesis,
        servers: servers(view, resolved),
        base: resolved.base.as_deref(),
        found,
    })
}

/// What Redis had again from its snapshot, in one sentence without its full stop; `None`: it
/// restored none.
fn restored(trials: &CellView) -> Option<String> {
    let valid = trials.trials.iter().filter(|it| it.verdict.valid);
    let restored = Restored::of(valid.map(|it| it.events.as_slice()))?;
    let Restored { n_trials, n_keys, n_expired, load_ms, restart_ms, load_s_per_million } =
        restored;
    let basis =
        if n_trials == 1 { "one trial".into() } else { format!("medians of {n_trials} trials") };
    Some(format!(
        "Restored: {} keys, {} more had expired; read in {}, which is {} s per million, and {} from the \
         order to start to the first answer ({basis})",
        numbers::three_digits(n_keys),
        numbers::three_digits(n_expired),
        numbers::milliseconds(load_ms),
        numbers::three_digits(load_s_per_million),
        numbers::milliseconds(restart_ms)
    ))
}

/// What is said of a variant whose database has a replica: whether that carries more at all, and how
/// far it was behind.
fn servers(view: &CampaignView, variant: &ResolvedVariant) -> Vec<(&'static str, String)> {
    if !variant.topology.has_database_replica() {
        return Vec::new();
    }
    let cells = view.cells().filter(|(cell, _)| cell.variant == variant.name);
    let lag = cells.map(|(cell, _)| {
        format!("{} under {}", replication_lag(&cell.phases.fault.db), group_label(cell))
    });
    let lag = format!("while the fault was on at most {}", lag.collect::<Vec<_>>().join(", "));
    let control = positive_control::replica_sentence(&view.summary.calibration.topologies);
    vec![("Capacity", control), ("Replication lag", lag)]
}

fn replication_lag(db: &DbSummary) -> String {
    let missing = || numbers::MISSING.to_owned();
    let bytes = db.replication_lag_bytes_max.map_or_else(missing, numbers::kilobytes);
    let ms = |us: u64| numbers::milliseconds(float(us) / 1e3);
    let time = db.replication_lag_us_max.map_or_else(missing, ms);
    format!("{bytes} and {time}")
}
