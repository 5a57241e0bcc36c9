//! How often `gate --baseline` is right: every comparison that can be made of results of which it is
//! known how the service differed when they were run.
//!
//! Results of one series, which ran the same cells equally often, are judged against each other both
//! ways round. So comparisons share results: of n results on identical code there are n (n − 1)
//! comparisons, and only n / 2 that have no result in common.

use lab_core::{
    artifact::{
        gate::KnownChange,
        stored_result::{KnownResult, KnownResults, StoredCell, StoredResult},
    },
    scenario::Profile,
    seed::Seed,
};

use super::{
    gate::{Comparison, Judgement, NotComparable, judge},
    statistics::median_of_existing,
};

/// Results that cannot be put together. Each names the result by its folder, or by its start where it
/// is in a record.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum KnownResultsError {
    /// Planned trials are missing.
    #[error("use {run}: it was cut short; finish it with `cargo xtask bench --resume`")]
    Partial {
        /// The result.
        run: String,
    },
    /// Nobody knows what was run, or it was not one version.
    #[error("use {run}: its trials are of {commits}; run it again in one work tree")]
    NoCommit {
        /// The result.
        run: String,
        /// What they say.
        commits: String,
    },
    /// It was run with another service.
    #[error("use {run}: it ran {commit}, and {change} is a {work_tree}; run it there")]
    OtherVersion {
        /// The result.
        run: String,
        /// What was run.
        commit: String,
        /// What was to be the difference.
        change: &'static str,
        /// Where that is run.
        work_tree: String,
    },
    /// It means nothing beside the others.
    #[error("use {run}: {source}")]
    NotComparable {
        /// The result.
        run: String,
        /// What differs.
        source: NotComparable,
    },
    /// There is nothing to compare with.
    #[error(
        "use {run}: there is no result on identical code of {commit} with its campaign, profile, seed, \
         cells and number of trials; record some of those first"
    )]
    NothingToCompare {
        /// The result.
        run: String,
        /// What its service was made of.
        commit: String,
    },
}

/// What results have in common that say how often such comparisons are right.
#[derive(Debug, Clone, PartialEq)]
pub struct Series {
    /// What was run, but for the known change.
    pub commit: String,
    /// Name of the campaign.
    pub campaign: String,
    /// Phase lengths by name.
    pub profile: Profile,
    /// Seed of the campaign.
    pub seed: Seed,
    /// A success later than this is a failure, in milliseconds.
    pub deadline_ms: f64,
    /// Every cell in words (variant, fault, load), with how often it was run.
    pub cells: Vec<(String, u32)>,
}

impl Series {
    /// That of `known`.
    pub fn of(known: &KnownResult) -> Self {
        let StoredResult { campaign, profile, seed, deadline_ms, cells, .. } = &known.result;
        Self {
            commit: known.commit.trim_end_matches(DIRTY).to_owned(),
            campaign: campaign.clone(),
            profile: *profile,
            seed: *seed,
            deadline_ms: *deadline_ms,
            cells: cells.iter().map(|it| (it.key(), it.n_trials)).collect(),
        }
    }

    /// Trials of a cell; the most of them, where they are not the same.
    pub fn n_trials(&self) -> u32 {
        self.cells.iter().map(|(_, n_trials)| *n_trials).max().unwrap_or(0)
    }
}

/// How the commit of a work tree with changes ends.
const DIRTY: &str = "-dirty";

/// What comparisons of known results of one series said.
#[derive(Debug, Clone, PartialEq)]
pub struct KnownComparisons {
    /// How the service differed.
    pub change: KnownChange,
    /// What was run.
    pub series: Series,
    /// Results that were judged.
    pub n_results: usize,
    /// C of each that has one.
    pub capacities: Vec<f64>,
    /// Each against every result on identical code of its series but itself.
    pub comparisons: Vec<Comparison>,
}

impl KnownComparisons {
    /// How many said `judgement`.
    pub fn n(&self, judgement: Judgement) -> usize {
        self.comparisons.iter().filter(|it| it.verdict() == judgement).count()
    }
}

/// Judges every result of `record` against every one of `identical` of its series, one entry for each
/// series. Both may be the same record.
///
/// **Errors**: a result that there is nothing to compare with, or that was not run with the service that
/// `record` is about.
pub fn known_comparisons(
    record: &KnownResults,
    identical: &KnownResults,
) -> Result<Vec<KnownComparisons>, KnownResultsError> {
    let mut all: Vec<KnownComparisons> = Vec::new();
    for known in &record.results {
        let run = || format!("the result of {}", known.result.started_at);
        check_version(record.change, &known.commit, run)?;
        let series = Series::of(known);
        let same: Vec<_> = identical.results.iter().filter(|it| Series::of(it) == series).collect();
        if same.is_empty() {
            let commit = series.commit;
            return Err(KnownResultsError::NothingToCompare { run: run(), commit });
        }
        let comparisons = same
            .into_iter()
            .filter(|it| !is_same_run(it, known))
            .map(|then| judge(&then.result, &known.result))
            .collect::<Result<Vec<_>, _>>()
            .map_err(|source| KnownResultsError::NotComparable { run: run(), source })?;
        let capacity = known.result.db_capacity_per_sec;
        match all.iter_mut().find(|it| it.series == series) {
            Some(seen) => {
                seen.capacities.extend(capacity);
                seen.n_results += 1;
                seen.comparisons.extend(comparisons);
            }
            None => all.push(KnownComparisons {
                change: record.change,
                series,
                n_results: 1,
                capacities: capacity.into_iter().collect(),
                comparisons,
            }),
        }
    }
    Ok(all)
}

/// A machine runs one campaign at a time.
pub fn is_same_run(one: &KnownResult, other: &KnownResult) -> bool {
    one.result.started_at == other.result.started_at && one.result.host == other.result.host
}

/// Identical code is a clean work tree; what is changed on purpose stands in one with changes.
///
/// **Errors**: `commit` is not of `change`; `run` names the result that it is of.
pub fn check_version(
    change: KnownChange,
    commit: &str,
    run: impl Fn() -> String,
) -> Result<(), KnownResultsError> {
    let is_identical = change == KnownChange::IdenticalCode;
    if commit.ends_with(DIRTY) != is_identical {
        return Ok(());
    }
    let change = change.name();
    let work_tree = match is_identical {
        true => "work tree without changes".to_owned(),
        false => format!("work tree with docs/gate/{change}.patch applied"),
    };
    let commit = commit.to_owned();
    Err(KnownResultsError::OtherVersion { run: run(), commit, change, work_tree })
}

/// The lowest and the highest value of each figure of one cell over results on identical code.
#[derive(Debug, Clone, PartialEq)]
pub struct CellSpread {
    /// The cell in words: variant, fault, load.
    pub cell: String,
    /// Trials of each result.
    pub n_trials: u32,
    /// Results.
    pub n_results: usize,
    /// Goodput ratio.
    pub goodput_ratio: Option<[f64; 2]>,
    /// Served ratio.
    pub served_ratio: Option<[f64; 2]>,
    /// Queries for each request in the baseline.
    pub queries: Option<[f64; 2]>,
    /// The peak of the same in the fault window.
    pub queries_peak: Option<[f64; 2]>,
    /// Results in which every trial recovered.
    pub n_recovered: usize,
}

/// How far results on identical code differ: series by series, and cell by cell in the order of the
/// plan.
pub fn spread(identical: &KnownResults) -> Vec<CellSpread> {
    let mut all: Vec<Series> = Vec::new();
    for series in identical.results.iter().map(Series::of) {
        if !all.contains(&series) {
            all.push(series);
        }
    }
    all.iter().flat_map(|it| spread_of(identical, it)).collect()
}

fn spread_of(identical: &KnownResults, series: &Series) -> Vec<CellSpread> {
    let results = identical.results.iter().filter(|it| Series::of(it) == *series);
    let results: Vec<&StoredResult> = results.map(|it| &it.result).collect();
    let of_cell = |(place, (cell, n_trials)): (usize, &(String, u32))| {
        let cells = || results.iter().map(|it| &it.cells[place]);
        let range = |of: fn(&StoredCell) -> Option<f64>| range(cells().filter_map(of));
        CellSpread {
            cell: cell.clone(),
            n_trials: *n_trials,
            n_results: results.len(),
            goodput_ratio: range(|it| median_of_existing(&it.goodput_ratio_fault_trials)),
            served_ratio: range(|it| median_of_existing(&it.served_ratio_fault_trials)),
            queries: range(|it| it.queries_per_request_baseline),
            queries_peak: range(|it| it.queries_per_request_fault_peak),
            n_recovered: cells().filter(|it| it.is_recovered()).count(),
        }
    };
    series.cells.iter().enumerate().map(of_cell).collect()
}

/// The lowest and the highest; `None` of none.
pub fn range(values: impl Iterator<Item = f64> + Clone) -> Option<[f64; 2]> {
    let lowest = values.clone().reduce(f64::min)?;
    Some([lowest, values.fold(lowest, f64::max)])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::analysis::testing::known_result as known;

    fn identical(goodput: &[f64]) -> KnownResults {
        let results = (0..).zip(goodput).map(|(number, it)| known(number, "abc", *it)).collect();
        KnownResults::new(KnownChange::IdenticalCode, results)
    }

    fn counts(it: &KnownComparisons) -> [usize; 3] {
        [Judgement::Regression, Judgement::Inconclusive, Judgement::Pass].map(|by| it.n(by))
    }

    // With one trial a loss of more than 0.2 is a regression, of more than 0.1 cannot be told. Of
    // 0.9, 0.75 and 0.5: both higher ones to 0.5 are regressions, 0.9 to 0.75 cannot be told.
    #[test]
    fn every_result_is_judged_against_every_other_both_ways_round() {
        let same = identical(&[0.9, 0.75, 0.5]);
        let seen = known_comparisons(&same, &same).unwrap();
        assert_eq!((seen.len(), seen[0].n_results, seen[0].comparisons.len()), (1, 3, 6));
        assert_eq!(counts(&seen[0]), [2, 1, 3]);
    }

    // Two trials are another series than one, as another commit is: 3, 2 and 1 results give 6, 2 and 0.
    #[test]
    fn results_of_different_series_are_not_compared() {
        let mut results = identical(&[0.9, 0.85, 0.6, 0.5, 0.4, 0.4]);
        results.results[5].commit = "def".into();
        for known in &mut results.results[3..5] {
            let cell = &mut known.result.cells[0];
            (cell.n_trials, cell.n_recovered) = (2, 2);
            cell.goodput_ratio_fault_trials.push(Some(0.5));
        }
        let seen = known_comparisons(&results, &results).unwrap();
        let found = |it: &KnownComparisons| (it.series.n_trials(), it.comparisons.len());
        assert_eq!(seen.iter().map(found).collect::<Vec<_>>(), [(1, 6), (2, 2), (1, 0)]);
        let spread = spread(&results);
        let found = |it: &CellSpread| (it.n_trials, it.n_results);
        assert_eq!(spread.iter().map(found).collect::<Vec<_>>(), [(1, 3), (2, 2), (1, 1)]);
    }

    #[test]
    fn a_change_is_judged_against_every_result_without_it() {
        let off = KnownResults::new(KnownChange::BreakerOff, vec![known(7, "abc-dirty", 0.1)]);
        let seen = known_comparisons(&off, &identical(&[0.9, 0.85])).unwrap();
        assert_eq!((seen.len(), seen[0].n_results, counts(&seen[0])), (1, 1, [2, 0, 0]));
        let nothing = known_comparisons(&off, &identical(&[])).unwrap_err().to_string();
        assert!(
            nothing.contains("07:00:00Z: there is no result on identical code of abc"),
            "{nothing}"
        );
    }

    #[test]
    fn a_result_of_another_version_or_campaign_is_refused() {
        let same = identical(&[0.9, 0.85]);
        let refused = |change, result| {
            let record = KnownResults::new(change, vec![result]);
            known_comparisons(&record, &same).unwrap_err().to_string()
        };
        let clean = refused(KnownChange::BreakerOff, known(7, "abc", 0.9));
        assert_eq!(
            clean,
            "use the result of 2026-11-29T07:00:00Z: it ran abc, and breaker-off is a work tree with \
             docs/gate/breaker-off.patch applied; run it there"
        );
        let dirty = refused(KnownChange::IdenticalCode, known(7, "abc-dirty", 0.9));
        assert!(dirty.contains("identical-code is a work tree without changes"), "{dirty}");
        let other = refused(KnownChange::BreakerOff, known(7, "def-dirty", 0.9));
        assert!(other.contains("no result on identical code of def"), "{other}");
        let mut ladder = known(7, "abc-dirty", 0.9);
        ladder.result.campaign = "ladder".into();
        let error = refused(KnownChange::BreakerOff, ladder);
        assert!(error.contains("with its campaign, profile, seed"), "{error}");
    }

    #[test]
    fn the_spread_is_from_the_lowest_to_the_highest() {
        let spread = spread(&identical(&[0.85, 0.9, 0.6]));
        assert_eq!(spread.len(), 1);
        assert_eq!(spread[0].cell, "circuit-breaker crash load-factor-1.5");
        assert_eq!(spread[0].goodput_ratio, Some([0.6, 0.9]));
        assert_eq!((spread[0].queries, spread[0].queries_peak), (Some([0.5, 0.5]), None));
        assert_eq!((spread[0].n_results, spread[0].n_recovered), (3, 3));
    }
}
