//! What comparisons with a stored result said of changes that are known: false alarms, power, and the
//! spread they stand on.

use std::fmt::Display;

use lab_core::artifact::{gate::KnownChange, stored_result::KnownResults};

use super::{
    gate::columns,
    known_gates::{FALSE_ALARMS, what},
    numbers,
};
use crate::analysis::{
    gate::Judgement,
    known_results::{KnownComparisons, Series, range, spread},
};

/// How a comparison can end, in the order of the tables' columns.
const ENDS: [Judgement; 3] = [Judgement::Regression, Judgement::Pass, Judgement::Inconclusive];

/// How often comparisons of results on identical code said *regression*, in one line; also where that
/// cannot be told.
pub fn stored_false_alarm_line<E: Display>(identical: &Result<Vec<KnownComparisons>, E>) -> String {
    let said = match identical {
        Err(error) => format!("not known, because the record cannot be used: {error}"),
        Ok(seen) if seen.iter().all(|it| it.comparisons.is_empty()) => "not measured yet".into(),
        Ok(seen) => {
            let n = |of: Judgement| seen.iter().map(|it| it.n(of)).sum::<usize>();
            format!(
                "{} of {} comparisons of {} results, {} inconclusive",
                n(Judgement::Regression),
                seen.iter().map(|it| it.comparisons.len()).sum::<usize>(),
                seen.iter().map(|it| it.n_results).sum::<usize>(),
                n(Judgement::Inconclusive)
            )
        }
    };
    format!("{FALSE_ALARMS}: {said}")
}

/// What was run, in a few words.
fn title(series: &Series) -> String {
    let Series { campaign, profile, cells, .. } = series;
    let n_trials = series.n_trials();
    let trials = if n_trials == 1 { "trial" } else { "trials" };
    let n_cells = cells.len();
    let cells = if n_cells == 1 { "cell" } else { "cells" };
    format!("{campaign}, {}, {n_trials} {trials} of {n_cells} {cells}", profile.name())
}

/// What the comparisons of a record said, for the terminal.
pub fn known_results_report(change: KnownChange, seen: &[KnownComparisons]) -> String {
    let head = ["results", "comparisons", "regression", "pass", "inconclusive", "of"];
    let row = |seen: &KnownComparisons| {
        let [regression, pass, inconclusive] = ENDS.map(|it| seen.n(it).to_string());
        let (results, n) = (seen.n_results.to_string(), seen.comparisons.len().to_string());
        [results, n, regression, pass, inconclusive, title(&seen.series)]
    };
    let rows: Vec<[String; 6]> =
        std::iter::once(head.map(str::to_owned)).chain(seen.iter().map(row)).collect();
    format!("{}, compared with a stored result\n\n{}", what(change), columns(&rows))
}

/// What the comparisons said, and how far results on identical code differ, as two tables in Markdown.
pub fn known_results_tables(seen: &[KnownComparisons], identical: Option<&KnownResults>) -> String {
    let Some(identical) = identical else { return "*Not measured yet.*".into() };
    let mut table = String::from(
        "| the service | campaign | commit | results | C | comparisons | regression | pass | inconclusive |\n\
         | --- | --- | --- | ---: | ---: | ---: | ---: | ---: | ---: |",
    );
    for seen in seen {
        let [regression, pass, inconclusive] = ENDS.map(|it| seen.n(it));
        table.push_str(&format!(
            "\n| {} | {} | {} | {} | {} | {} | {regression} | {pass} | {inconclusive} |",
            what(seen.change),
            title(&seen.series),
            seen.series.commit,
            seen.n_results,
            shown(range(seen.capacities.iter().copied()), numbers::three_digits),
            seen.comparisons.len(),
        ));
    }
    table.push_str(
        "\n\n| identical code, lowest to highest | results | trials of each | goodput ratio | \
         served ratio | queries per request | its peak under the fault | recovered |\n\
         | --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: |",
    );
    for it in spread(identical) {
        table.push_str(&format!(
            "\n| {} | {} | {} | {} | {} | {} | {} | {} of {} |",
            it.cell,
            it.n_results,
            it.n_trials,
            shown(it.goodput_ratio, numbers::ratio),
            shown(it.served_ratio, numbers::ratio),
            shown(it.queries, numbers::three_digits),
            shown(it.queries_peak, numbers::three_digits),
            it.n_recovered,
            it.n_results,
        ));
    }
    table
}

fn shown(range: Option<[f64; 2]>, shown: fn(f64) -> String) -> String {
    let Some(range) = range else { return numbers::MISSING.to_owned() };
    let [lowest, highest] = range.map(shown);
    if lowest == highest { lowest } else { format!("{lowest} to {highest}") }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::analysis::{known_results::known_comparisons, testing::known_result};

    fn identical(goodput: &[f64]) -> KnownResults {
        let results =
            (0..).zip(goodput).map(|(number, it)| known_result(number, "abc", *it)).collect();
        KnownResults::new(KnownChange::IdenticalCode, results)
    }

    #[test]
    fn the_line_says_how_many_of_how_many_and_when_nobody_knows() {
        let line = |goodput: &[f64]| {
            let record = identical(goodput);
            stored_false_alarm_line(&known_comparisons(&record, &record))
        };
        assert_eq!(
            line(&[0.9, 0.75, 0.5]),
            "false alarms on identical code: 2 of 6 comparisons of 3 results, 1 inconclusive"
        );
        assert_eq!(line(&[0.9]), "false alarms on identical code: not measured yet");
        let broken = stored_false_alarm_line(&Err("parse record.json"));
        assert!(broken.ends_with("the record cannot be used: parse record.json"), "{broken}");
    }

    #[test]
    fn the_tables_have_what_was_said_and_the_spread() {
        let same = identical(&[0.9, 0.75, 0.5]);
        let off = vec![known_result(7, "abc-dirty", 0.1)];
        let off = KnownResults::new(KnownChange::BreakerOff, off);
        let seen = [&same, &off].map(|it| known_comparisons(it, &same).unwrap()).concat();
        let tables = known_results_tables(&seen, Some(&same));
        let row = "| identical code | redis-outage, quick, 1 trial of 1 cell | abc | 3 | 100 | 6 | 2 | 3 | 1 |";
        assert!(tables.contains(row), "{tables}");
        let row = "breaker is off | redis-outage, quick, 1 trial of 1 cell | abc | 1 | 100 | 3 | 3 | 0 | 0 |";
        assert!(tables.contains(row), "{tables}");
        let spread = "| circuit-breaker crash load-factor-1.5 | 3 | 1 | 0.500 to 0.900 | \
                      0.900 | 0.5 | – | 3 of 3 |";
        assert!(tables.contains(spread), "{tables}");
        assert_eq!(known_results_tables(&[], None), "*Not measured yet.*");
        let report = known_results_report(KnownChange::BreakerOff, &seen[1..]);
        assert!(report.starts_with("the circuit breaker is off, compared with"), "{report}");
        let row = "  1        3            3           0     0             redis-outage, quick";
        assert!(report.contains(row), "{report}");
    }
}
