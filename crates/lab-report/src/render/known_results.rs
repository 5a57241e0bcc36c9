//! What comparisons with a stored result said of changes that are known: false alarms, power, and the
//! spread they stand on.

use lab_core::artifact::{gate::KnownChange, stored_result::KnownResults};

use super::{gate::columns, known_gates::what, numbers};
use crate::analysis::{
    gate::Judgement,
    known_results::{KnownComparisons, Series, known_comparisons, spread},
};

/// How a comparison can end, in the order of the tables' columns.
const ENDS: [Judgement; 3] = [Judgement::Regression, Judgement::Pass, Judgement::Inconclusive];

/// How often comparisons of results on identical code said *regression*, in one line.
pub(super) fn false_alarm_line(identical: Option<&KnownResults>) -> String {
    let seen = identical.and_then(|it| known_comparisons(it, it).ok()).unwrap_or_default();
    let counted: Vec<String> =
        seen.iter().filter(|it| !it.comparisons.is_empty()).map(counted).collect();
    let said = if counted.is_empty() { "not measured yet".into() } else { counted.join("; ") };
    format!("false alarms on identical code: {said}")
}

/// How many of the comparisons said *regression*, and of what.
fn counted(seen: &KnownComparisons) -> String {
    let unsure = match seen.n(Judgement::Inconclusive) {
        0 => String::new(),
        n => format!(", {n} inconclusive"),
    };
    format!(
        "{} of {} comparisons{unsure} ({} results, {})",
        seen.n(Judgement::Regression),
        seen.comparisons.len(),
        seen.n_results,
        title(&seen.series)
    )
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
        "| the service | campaign | results | comparisons | regression | pass | inconclusive |\n\
         | --- | --- | ---: | ---: | ---: | ---: | ---: |",
    );
    for seen in seen {
        let [regression, pass, inconclusive] = ENDS.map(|it| seen.n(it));
        table.push_str(&format!(
            "\n| {} | {} | {} | {} | {regression} | {pass} | {inconclusive} |",
            what(seen.change),
            title(&seen.series),
            seen.n_results,
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
            range(it.goodput_ratio, numbers::ratio),
            range(it.served_ratio, numbers::ratio),
            range(it.queries, numbers::three_digits),
            range(it.queries_peak, numbers::three_digits),
            it.n_recovered,
            it.n_results,
        ));
    }
    table
}

fn range(values: Option<[f64; 2]>, shown: fn(f64) -> String) -> String {
    values.map_or_else(
        || numbers::MISSING.to_owned(),
        |[lowest, highest]| format!("{} to {}", shown(lowest), shown(highest)),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::analysis::testing::known_result;

    fn identical(goodput: &[f64]) -> KnownResults {
        let results =
            (0..).zip(goodput).map(|(number, it)| known_result(number, "abc", *it)).collect();
        KnownResults::new(KnownChange::IdenticalCode, results)
    }

    #[test]
    fn the_line_says_how_many_of_how_many_and_of_what() {
        let line = false_alarm_line(Some(&identical(&[0.9, 0.75, 0.5])));
        assert_eq!(
            line,
            "false alarms on identical code: 2 of 6 comparisons, 1 inconclusive (3 results, \
             redis-outage, quick, 1 trial of 1 cell)"
        );
        let nothing = "false alarms on identical code: not measured yet";
        assert_eq!(false_alarm_line(None), nothing);
        assert_eq!(false_alarm_line(Some(&identical(&[0.9]))), nothing, "one says nothing");
    }

    #[test]
    fn the_tables_have_what_was_said_and_the_spread() {
        let same = identical(&[0.9, 0.75, 0.5]);
        let off = vec![known_result(7, "abc-dirty", 0.1)];
        let off = KnownResults::new(KnownChange::BreakerOff, off);
        let seen = [&same, &off].map(|it| known_comparisons(it, &same).unwrap()).concat();
        let tables = known_results_tables(&seen, Some(&same));
        let row = "| identical code | redis-outage, quick, 1 trial of 1 cell | 3 | 6 | 2 | 3 | 1 |";
        assert!(tables.contains(row), "{tables}");
        let row = "breaker is off | redis-outage, quick, 1 trial of 1 cell | 1 | 3 | 3 | 0 | 0 |";
        assert!(tables.contains(row), "{tables}");
        let spread = "| circuit-breaker crash load-factor-1.5 | 3 | 1 | 0.500 to 0.900 | \
                      0.900 to 0.900 | 0.5 to 0.5 | – | 3 of 3 |";
        assert!(tables.contains(spread), "{tables}");
        assert_eq!(known_results_tables(&[], None), "*Not measured yet.*");
        let report = known_results_report(KnownChange::BreakerOff, &seen[1..]);
        assert!(report.starts_with("the circuit breaker is off, compared with"), "{report}");
        let row = "  1        3            3           0     0             redis-outage, quick";
        assert!(report.contains(row), "{report}");
    }
}
