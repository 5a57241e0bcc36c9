//! What was found of a variant in one cell: a word, a figure, a sentence.

use std::cmp::Ordering;

use lab_core::artifact::summary::CellSummary;

use super::{numbers, view::CellView};
use crate::analysis::{
    effect::{
        CEILING, Comparison, Effect, Finding, Incomparable, JudgedBy, N_PAIRS_ENOUGH, P99_FACTOR,
        P99_FACTOR_FEW_PAIRS, PairedRatio, PairedTime, RATIO_MARGIN, RATIO_MARGIN_FEW_PAIRS,
        RATIO_MARGIN_FEW_PAIRS_AT_CEILING,
    },
    statistics::{Bound, float},
};

/// What is said of an effect, in the order of lists: what hurts first.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Word {
    rank: u8,
    /// `helped`, `made it worse in one trial`.
    pub(super) text: String,
    /// Name of its class in the page's style sheet.
    pub(super) class: &'static str,
}

/// The word for an effect; `None` for a control, of which nothing is said.
pub(super) fn word(effect: &Effect) -> Option<Word> {
    let (rank, text, class) = match effect {
        Effect::Control => return None,
        Effect::Incomparable(_) => (4, "cannot be told".to_owned(), "untold"),
        Effect::Compared(comparison) => {
            let (rank, text, class) = match comparison.finding {
                Finding::MadeItWorse => (0, "made it worse", "worse"),
                Finding::Mixed => (1, mixed(comparison), "mixed"),
                Finding::Helped => (2, "helped", "helped"),
                Finding::NoDifference => (3, "made no difference that can be told", "untold"),
            };
            (rank, format!("{text}{}", few_trials(comparison.n_pairs)), class)
        }
    };
    Some(Word { rank, text, class })
}

fn mixed(comparison: &Comparison) -> &'static str {
    if comparison.goodput.difference < 0.0 {
        "mixed (fewer full product pages, more requests served)"
    } else {
        "mixed (more full product pages, fewer requests served)"
    }
}

/// Says so when a finding rests on too few trials to be more than an impression.
fn few_trials(n_pairs: usize) -> &'static str {
    match n_pairs {
        1 => " in one trial",
        2 => " in two trials",
        _ => "",
    }
}

/// The figure that the word rests on, without → with: `goodput 0.854 → 1.000`.
pub(super) fn figure(effect: &Effect) -> String {
    let comparison = match effect {
        Effect::Control => return String::new(),
        Effect::Incomparable(why) => return why_not(*why).to_owned(),
        Effect::Compared(comparison) => comparison,
    };
    let ratios = |name: &str, it: &PairedRatio| {
        format!("{name} {} → {}", numbers::ratio(it.without), numbers::ratio(it.with))
    };
    let goodput = ratios("goodput", &comparison.goodput);
    let served = || comparison.served.as_ref().map(|it| ratios("served", it));
    let p99 =
        || comparison.p99.map(|it| format!("p99 {} → {}", time(it.without_us), time(it.with_us)));
    let named = match (comparison.judged_by, comparison.finding) {
        (JudgedBy::Goodput, Finding::Mixed) => served().map(|it| format!("{goodput}, {it}")),
        (JudgedBy::Goodput, Finding::NoDifference) if 1 < comparison.n_pairs => {
            Some(format!("{goodput}, pairs {}", range(&comparison.goodput)))
        }
        (JudgedBy::Goodput, _) => None,
        (JudgedBy::Served, _) => served(),
        (JudgedBy::P99, _) => p99(),
    };
    named.unwrap_or(goodput)
}

/// The order of effects of one word in a list: as the figures are asked that they rest on, and of
/// one figure from the best to the worst. Those that cannot be told stay as they are.
pub(super) fn best_first(a: &Effect, b: &Effect) -> Ordering {
    judged_by(a).cmp(&judged_by(b)).then_with(|| gain(b).total_cmp(&gain(a)))
}

/// Whether the words of two effects rest on the same figure, so that one is above the other.
pub(super) fn same_figure(a: &Effect, b: &Effect) -> bool {
    judged_by(a).is_some() && judged_by(a) == judged_by(b)
}

fn judged_by(effect: &Effect) -> Option<JudgedBy> {
    effect.comparison().map(|it| it.judged_by)
}

/// What the variant gained in the figure that the word rests on: the difference of a ratio, or
/// p99 without / with. It gives the order only and is not shown.
fn gain(effect: &Effect) -> f64 {
    effect.comparison().map_or(0.0, |it| match (it.judged_by, it.served, it.p99) {
        (JudgedBy::Served, Some(served), _) => served.difference,
        (JudgedBy::P99, _, Some(p99)) => p99.without_us.value / p99.with_us.value,
        _ => it.goodput.difference,
    })
}

fn why_not(why: Incomparable) -> &'static str {
    match why {
        Incomparable::Invalid => "too few valid trials",
        Incomparable::BaseNotMeasured => "its base was not tried there",
        Incomparable::BaseInvalid => "its base has too few valid trials there",
        Incomparable::NoPair => "no trial number is valid with and without it",
    }
}

/// A cell's figures and its trials.
pub(super) type Cell<'a> = (&'a CellSummary, &'a CellView);

/// All figures of one cell with the variant, against those of its base. Ends without a full stop.
pub(super) fn sentence(cell: Cell<'_>, base: Option<Cell<'_>>) -> String {
    let comparison = match &cell.1.effect {
        Effect::Control => return String::new(),
        Effect::Incomparable(why) => return capitalised(why_not(*why)),
        Effect::Compared(comparison) => comparison,
    };
    let mut parts = vec![format!(
        "Goodput ratio {} ({})",
        against(&comparison.goodput),
        differences(&comparison.goodput)
    )];
    parts.extend(comparison.served.map(|it| format!("served ratio {}", against(&it))));
    parts.extend(comparison.p99.map(p99));
    if comparison.p99.is_some_and(|it| it.with_us.censored || it.without_us.censored) {
        let against = base.map_or_else(String::new, |it| format!(" against {}", served_p99(it)));
        parts.push(format!("p99 of the pages served {}{against}", served_p99(cell)));
    }
    let demand = |it: Option<Cell<'_>>| {
        it.and_then(|it| it.0.connection_demand.mean_fault).filter(|it| it.is_finite())
    };
    if let Some((with, without)) = demand(Some(cell)).zip(demand(base)) {
        let [with, without] = [with, without].map(numbers::three_digits);
        parts.push(format!("connection demand {with} against {without}"));
    }
    if let Some((base, _)) = base {
        parts.push(format!("to recover {} against {}", to_recover(cell.0), to_recover(base)));
    }
    format!("{}{}", parts.join(", "), basis(comparison))
}

fn capitalised(text: &str) -> String {
    let mut letters = text.chars();
    letters
        .next()
        .map_or_else(String::new, |it| format!("{}{}", it.to_uppercase(), letters.as_str()))
}

fn against(ratio: &PairedRatio) -> String {
    format!("{} against {}", numbers::ratio(ratio.with), numbers::ratio(ratio.without))
}

fn differences(ratio: &PairedRatio) -> String {
    let [median, min, max] =
        [ratio.difference, ratio.difference_min, ratio.difference_max].map(numbers::signed_ratio);
    match ratio.n_pairs {
        1 => format!("{median} in one pair"),
        n if min == max => format!("{median} in all {n} pairs"),
        n => format!("{median} in the median of {n} pairs, {}", range(ratio)),
    }
}

/// The smallest and the largest difference within a pair.
fn range(ratio: &PairedRatio) -> String {
    let [min, max] = [ratio.difference_min, ratio.difference_max].map(numbers::signed_ratio);
    format!("{min} to {max}")
}

fn p99(paired: PairedTime) -> String {
    format!("p99 {} against {}", time(paired.with_us), time(paired.without_us))
}

fn time(us: Bound) -> String {
    let sign = if us.censored { "≥ " } else { "" };
    format!("{sign}{}", numbers::milliseconds(us.value / 1e3))
}

/// When the service was as before, counted from when the dependency was back.
fn to_recover(cell: &CellSummary) -> String {
    let never = match cell.n_valid() {
        1 => "(not before the end)",
        _ => "(in most trials not before the end)",
    };
    cell.time_to_recover_ms.map_or_else(|| never.to_owned(), numbers::milliseconds)
}

/// p99 of the product pages that a cell served.
fn served_p99(cell: Cell<'_>) -> String {
    let time = |us| time(Bound { value: float(us), censored: false });
    cell.1.served_p99_us().map_or_else(|| "(none was)".to_owned(), time)
}

/// Which figure the word rests on, where it is not the goodput ratio.
fn basis(comparison: &Comparison) -> &'static str {
    match (comparison.judged_by, comparison.finding) {
        (JudgedBy::Goodput, _) => "",
        (JudgedBy::Served, _) => ". Judged by the served ratio: goodput tells no difference",
        (JudgedBy::P99, Finding::NoDifference) => {
            ". Goodput is at its ceiling with and without it, and p99 tells no difference"
        }
        (JudgedBy::P99, _) => ". Judged by p99: goodput is at its ceiling with and without it",
    }
}

/// How the word is come to, for readers. Ends without a full stop.
pub(super) fn rule() -> String {
    format!(
        "A variant is compared with its base in pairs: the trials of one number, which met the \
         same arrivals. \"Helped\" and \"made it worse\" need every pair on one side, and a median \
         difference of the goodput ratio above {RATIO_MARGIN} ({RATIO_MARGIN_FEW_PAIRS} with \
         fewer than {N_PAIRS_ENOUGH} pairs, {RATIO_MARGIN_FEW_PAIRS_AT_CEILING} if one of the two \
         is at least {CEILING}; and then it says in how many trials). Where goodput \
         tells no difference, the served ratio of all routes is asked in the same way; where \
         goodput is at least {CEILING} with and without the variant, p99 while the fault is on, \
         by a factor above {P99_FACTOR} ({P99_FACTOR_FEW_PAIRS} with fewer pairs). \"Mixed\" is a \
         goodput ratio and a served ratio that contradict each other. The word is about the time \
         while the fault is on; the time to recover is told beside it and not judged"
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::analysis::effect::Side;

    fn ratio(with: f64, without: f64, n_pairs: usize) -> PairedRatio {
        PairedRatio {
            with,
            without,
            difference: with - without,
            difference_min: with - without - 0.01,
            difference_max: with - without + 0.02,
            n_pairs,
            side: Side::Untold,
        }
    }

    fn compared(finding: Finding, judged_by: JudgedBy, n_pairs: usize) -> Effect {
        let us = |value, censored| Bound { value, censored };
        Effect::Compared(Comparison {
            finding,
            judged_by,
            n_pairs,
            goodput: ratio(0.6, 0.8, n_pairs),
            served: Some(ratio(0.97, 0.9, n_pairs)),
            p99: Some(PairedTime {
                with_us: us(4_700.0, false),
                without_us: us(1_000_000.0, true),
                n_pairs,
                side: Side::Untold,
            }),
        })
    }

    fn said(effect: &Effect) -> String {
        word(effect).map_or_else(|| "nothing".into(), |it| it.text)
    }

    #[test]
    fn every_finding_has_its_word_and_few_trials_are_said_to_be_few() {
        use {Finding::*, JudgedBy::Goodput};
        assert_eq!(said(&compared(Helped, Goodput, 3)), "helped");
        assert_eq!(said(&compared(Helped, Goodput, 1)), "helped in one trial");
        assert_eq!(said(&compared(MadeItWorse, Goodput, 2)), "made it worse in two trials");
        assert_eq!(
            said(&compared(NoDifference, Goodput, 1)),
            "made no difference that can be told in one trial"
        );
        assert_eq!(
            said(&compared(Mixed, Goodput, 3)),
            "mixed (fewer full product pages, more requests served)"
        );
        assert_eq!(said(&Effect::Incomparable(Incomparable::NoPair)), "cannot be told");
        assert_eq!(said(&Effect::Control), "nothing");
    }

    #[test]
    fn the_figure_is_the_one_that_the_word_rests_on() {
        use {Finding::*, JudgedBy::*};
        for (finding, judged_by, want) in [
            (MadeItWorse, Goodput, "goodput 0.800 → 0.600"),
            (NoDifference, Goodput, "goodput 0.800 → 0.600, pairs −0.210 to −0.180"),
            (Mixed, Goodput, "goodput 0.800 → 0.600, served 0.900 → 0.970"),
            (Helped, Served, "served 0.900 → 0.970"),
            (Helped, P99, "p99 ≥ 1 s → 4.7 ms"),
        ] {
            assert_eq!(figure(&compared(finding, judged_by, 3)), want);
        }
        assert_eq!(
            figure(&Effect::Incomparable(Incomparable::BaseNotMeasured)),
            "its base was not tried there"
        );
    }

    #[test]
    fn effects_are_in_order_only_where_they_rest_on_the_same_figure() {
        use {Finding::Helped, JudgedBy::*};
        let [goodput, served, p99] = [Goodput, Served, P99].map(|it| compared(Helped, it, 3));
        let untold = Effect::Incomparable(Incomparable::NoPair);
        assert_eq!(best_first(&goodput, &served), Ordering::Less);
        assert_eq!(best_first(&p99, &served), Ordering::Greater);
        assert_eq!(best_first(&untold, &Effect::Control), Ordering::Equal);
        assert!(same_figure(&served, &served) && !same_figure(&served, &p99));
        assert!(!same_figure(&untold, &untold));
    }

    #[test]
    fn what_hurts_comes_first() {
        use {Finding::*, JudgedBy::Goodput};
        let mut words: Vec<Word> = [NoDifference, Helped, Mixed, MadeItWorse]
            .map(|it| word(&compared(it, Goodput, 3)).unwrap())
            .into();
        words.sort();
        let classes: Vec<&str> = words.iter().map(|it| it.class).collect();
        assert_eq!(classes, ["worse", "mixed", "helped", "untold"]);
    }
}
