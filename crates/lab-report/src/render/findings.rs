//! What was found of a variant over all its cells, by word. A few cells are listed with a figure
//! each, many are condensed. What is said of one cell is in `found`.

use std::collections::BTreeMap;

use super::{
    found::{self, Cell, Word},
    ranking::{group_label, load_label},
};
use crate::analysis::effect::Effect;

/// More cells than this are condensed. Chosen: two faults at two loads can be read at a glance.
const LISTED_MAX: usize = 4;

/// The cells of a variant of which the same word is said.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Found {
    pub(super) word: Word,
    /// What follows the word in a condensed list, ` under 12 of 18 faults at 1.5`; or else nothing.
    pub(super) share: String,
    /// `crash at 1.5 (goodput 0.854 → 1.000)`; in a condensed list `crash (goodput 0.854 → 1.000)`,
    /// or `crash` alone.
    pub(super) cells: Vec<String>,
}

impl Found {
    /// Whether some of its cells have no figure.
    pub(super) fn is_condensed(&self) -> bool {
        !self.share.is_empty()
    }

    /// The same as Markdown.
    pub(super) fn markdown(&self) -> String {
        format!("**{}**{}: {}", self.word.text, self.share, self.cells.join(", "))
    }
}

/// How a condensed list is to be read. Ends without a full stop.
pub(super) fn note() -> String {
    format!(
        "Where a variant met more than {LISTED_MAX} faults and loads, those of each word are \
         counted and stand from the best to the worst: first those judged by goodput, then by the \
         served ratio, then by p99. Only the first and the last of each of these three have their \
         figures; all figures are in the variant's own part of the report, behind its name"
    )
}

/// What was found in all cells of one variant, what hurts first. Empty for a control.
pub(super) fn by_word(all: &[Cell<'_>]) -> Vec<Found> {
    let mut by_word: BTreeMap<Word, Vec<Cell<'_>>> = BTreeMap::new();
    for cell in all {
        if let Some(word) = found::word(&cell.1.effect) {
            by_word.entry(word).or_default().push(*cell);
        }
    }
    by_word
        .into_iter()
        .map(|(word, cells)| {
            if all.len() <= LISTED_MAX { listed(word, &cells) } else { condensed(word, cells, all) }
        })
        .collect()
}

/// Every cell with its figure, in the order of the plan.
fn listed(word: Word, cells: &[Cell<'_>]) -> Found {
    let cells = cells.iter().map(|it| with_figure(&group_label(it.0), &it.1.effect)).collect();
    Found { word, share: String::new(), cells }
}

/// How many of `all` the `cells` are, and the cells from the best to the worst by each figure; only
/// the first and the last show it. One that cannot be told shows why.
fn condensed(word: Word, mut cells: Vec<Cell<'_>>, all: &[Cell<'_>]) -> Found {
    let one_load = all.windows(2).all(|pair| pair[0].0.params == pair[1].0.params);
    let what = if one_load {
        format!("faults {}", load_label(all[0].0))
    } else {
        "faults and loads".to_owned()
    };
    cells.sort_by(|a, b| found::best_first(&a.1.effect, &b.1.effect));
    let mut texts = Vec::new();
    for run in cells.chunk_by(|a, b| found::same_figure(&a.1.effect, &b.1.effect)) {
        for (k, (cell, trials)) in run.iter().enumerate() {
            let label = if one_load { cell.fault.to_string() } else { group_label(cell) };
            let is_end = k == 0 || k + 1 == run.len();
            texts.push(if is_end { with_figure(&label, &trials.effect) } else { label });
        }
    }
    let share = format!(" under {} of {} {what}", cells.len(), all.len());
    Found { word, share, cells: texts }
}

fn with_figure(label: &str, effect: &Effect) -> String {
    format!("{label} ({})", found::figure(effect))
}

#[cfg(test)]
mod tests {
    use lab_core::{
        artifact::{manifest::Params, summary::CellSummary},
        scenario::Fault,
    };

    use super::{
        super::{testing, view::CellView},
        *,
    };
    use crate::analysis::{
        effect::{Comparison, Finding, Incomparable, JudgedBy, PairedRatio, PairedTime, Side},
        statistics::Bound,
    };

    /// One pair of trials. Its two values stand for every figure, as a ratio or in milliseconds;
    /// only that of `judged_by` is shown.
    fn one_pair(finding: Finding, judged_by: JudgedBy, [without, with]: [f64; 2]) -> Effect {
        let difference = with - without;
        let ratio = PairedRatio {
            with,
            without,
            difference,
            difference_min: difference,
            difference_max: difference,
            n_pairs: 1,
            side: Side::Untold,
        };
        let ms = |value: f64| Bound { value: value * 1e3, censored: false };
        let (with_us, without_us) = (ms(with), ms(without));
        Effect::Compared(Comparison {
            finding,
            judged_by,
            n_pairs: 1,
            goodput: ratio,
            served: Some(ratio),
            p99: Some(PairedTime { with_us, without_us, n_pairs: 1, side: Side::Untold }),
        })
    }

    /// What is found in cells under these faults, at these load factors, with these effects.
    fn markdown(cells: &[(Fault, f64, Effect)]) -> Vec<String> {
        let sample = testing::campaign();
        let cell = sample.summary.variants.last().unwrap();
        let trials = sample.cells.last().unwrap();
        let cells: Vec<(CellSummary, CellView)> = cells
            .iter()
            .map(|(fault, load_factor, effect)| {
                let params = Params { load_factor: Some(*load_factor), ..cell.params.clone() };
                let cell = CellSummary { fault: *fault, params, ..cell.clone() };
                (cell, CellView { effect: effect.clone(), ..trials.clone() })
            })
            .collect();
        let cells: Vec<Cell<'_>> = cells.iter().map(|(cell, trials)| (cell, trials)).collect();
        by_word(&cells).iter().map(Found::markdown).collect()
    }

    #[test]
    fn up_to_four_cells_have_a_figure_each_in_the_order_of_the_plan() {
        use {Fault::*, Finding::*, JudgedBy::*};
        let found = markdown(&[
            (Crash, 0.7, one_pair(Helped, P99, [193.0, 4.76])),
            (Crash, 1.5, one_pair(Helped, Goodput, [0.86, 1.0])),
            (Pause, 0.7, one_pair(MadeItWorse, Goodput, [0.8, 0.5])),
            (Pause, 1.5, one_pair(Helped, Goodput, [0.85, 1.0])),
        ]);
        assert_eq!(
            found,
            [
                "**made it worse in one trial**: pause at 0.7 (goodput 0.800 → 0.500)",
                "**helped in one trial**: crash at 0.7 (p99 193 ms → 4.76 ms), crash at 1.5 \
                 (goodput 0.860 → 1.000), pause at 1.5 (goodput 0.850 → 1.000)",
            ]
        );
    }

    #[test]
    fn one_cell_more_is_condensed_to_the_best_and_the_worst() {
        use {Fault::*, Finding::Helped, JudgedBy::Goodput};
        let helped = |fault, without| (fault, 1.5, one_pair(Helped, Goodput, [without, 1.0]));
        let found = markdown(&[
            helped(Crash, 0.54),
            helped(Loading, 0.618),
            helped(MaxClients, 0.474),
            helped(Latency, 0.79),
            helped(Reset, 0.72),
        ]);
        assert_eq!(
            found,
            ["**helped in one trial** under 5 of 5 faults at 1.5: max-clients (goodput 0.474 → \
              1.000), crash, loading, reset, latency (goodput 0.790 → 1.000)"]
        );
    }

    // The order of those without a difference, worked by hand: goodput +0.122, −0.018, −0.159; then
    // p99 by a factor of 1.63 and of 0.78.
    #[test]
    fn each_word_is_counted_and_each_figure_has_its_own_best_and_worst() {
        use {Fault::*, Finding::*, JudgedBy::*};
        let incomparable = |fault, why| (fault, 1.5, Effect::Incomparable(why));
        let found = markdown(&[
            (Crash, 1.5, one_pair(NoDifference, Goodput, [0.54, 0.522])),
            incomparable(Pause, Incomparable::Invalid),
            (SlowServer, 1.5, one_pair(Helped, Goodput, [0.544, 0.863])),
            (OutOfMemory, 1.5, one_pair(NoDifference, P99, [6.42, 8.18])),
            (ReadOnly, 1.5, one_pair(NoDifference, P99, [10.3, 6.3])),
            (BlackHole, 1.5, one_pair(NoDifference, Goodput, [0.666, 0.788])),
            (Reset, 1.5, one_pair(Helped, Served, [0.7, 0.922])),
            (Partial, 1.5, one_pair(MadeItWorse, Goodput, [0.987, 0.659])),
            (Flap, 1.5, one_pair(NoDifference, Goodput, [0.912, 0.753])),
            incomparable(Failover, Incomparable::BaseNotMeasured),
        ]);
        assert_eq!(
            found,
            [
                "**made it worse in one trial** under 1 of 10 faults at 1.5: partial (goodput \
                 0.987 → 0.659)",
                "**helped in one trial** under 2 of 10 faults at 1.5: slow-server (goodput 0.544 \
                 → 0.863), reset (served 0.700 → 0.922)",
                "**made no difference that can be told in one trial** under 5 of 10 faults at \
                 1.5: black-hole (goodput 0.666 → 0.788), crash, flap (goodput 0.912 → 0.753), \
                 read-only (p99 10.3 ms → 6.3 ms), out-of-memory (p99 6.42 ms → 8.18 ms)",
                "**cannot be told** under 2 of 10 faults at 1.5: pause (too few valid trials), \
                 failover (its base was not tried there)",
            ]
        );
    }

    #[test]
    fn where_there_are_several_loads_every_cell_says_its_own() {
        use {Fault::*, Finding::MadeItWorse, JudgedBy::Goodput};
        let worse = |fault, load_factor, with| {
            (fault, load_factor, one_pair(MadeItWorse, Goodput, [0.9, with]))
        };
        let found = markdown(&[
            worse(Crash, 1.5, 0.1),
            worse(Crash, 2.0, 0.5),
            worse(Crash, 5.0, 0.4),
            worse(Crash, 10.0, 0.3),
            worse(Pause, 2.0, 0.2),
        ]);
        assert_eq!(
            found,
            ["**made it worse in one trial** under 5 of 5 faults and loads: crash at 2 (goodput \
              0.900 → 0.500), crash at 5, crash at 10, pause at 2, crash at 1.5 (goodput 0.900 → \
              0.100)"]
        );
    }

    #[test]
    fn nothing_is_found_of_a_control() {
        assert!(markdown(&[(Fault::Crash, 1.5, Effect::Control)]).is_empty());
    }
}
