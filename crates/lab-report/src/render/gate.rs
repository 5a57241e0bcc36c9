//! A comparison with a stored result, as people and programs read it.

use lab_core::artifact::summary::Summary;
use serde_json::json;

use super::{numbers, ranking::cell_title};
use crate::analysis::gate::{Comparison, Figure, Judged, Judgement};

/// How a comparison is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum GateFormat {
    /// Aligned columns, for a terminal.
    Text,
    /// A table for a pull request.
    Markdown,
    /// For programs.
    Json,
    /// Workflow commands that GitHub shows as annotations.
    Github,
}

/// What a comparison with a stored result cannot see, whatever it finds.
const BLIND: &str = "Not seen by this comparison: a service that became slower, alike in normal days \
    and in the outage or in the outage alone, while its pages still come in time. Times of another day \
    or another machine are not compared.";

/// Writes `comparison`, which was made of `now`, and how often such comparisons are wrong (`alarms`, a
/// line).
pub fn gate_report(
    comparison: &Comparison,
    (now, alarms): (&Summary, &str),
    format: GateFormat,
) -> String {
    match format {
        GateFormat::Text => text(comparison, now, alarms),
        GateFormat::Markdown => markdown(comparison, now, alarms),
        GateFormat::Json => json(comparison, now, alarms),
        GateFormat::Github => github(comparison, now, alarms),
    }
}

/// The verdict, and of how many figures.
fn headline(comparison: &Comparison) -> String {
    let count = |judgement| comparison.judged.iter().filter(|it| it.judgement == judgement).count();
    format!(
        "{}: of {} figures {} are worse, {} cannot be told",
        comparison.verdict().name(),
        comparison.judged.len(),
        count(Judgement::Regression),
        count(Judgement::Inconclusive)
    )
}

/// What matters first: regressions, then what cannot be told, then what passed.
fn ranked(comparison: &Comparison) -> Vec<&Judged> {
    let mut judged: Vec<&Judged> = comparison.judged.iter().collect();
    judged.sort_by_key(|it| std::cmp::Reverse(it.judgement));
    judged
}

fn row(judged: &Judged, now: &Summary) -> [String; 6] {
    let figure = |value: Option<f64>| match (judged.figure, value) {
        (_, None) => numbers::MISSING.to_owned(),
        (Figure::GoodputRatio | Figure::ServedRatio | Figure::Recovered, Some(ratio)) => {
            numbers::ratio(ratio)
        }
        (Figure::QueriesPerRequest | Figure::QueriesPeak, Some(n)) => numbers::three_digits(n),
    };
    [
        cell_title(&now.variants[judged.cell]),
        judged.figure.name().to_owned(),
        figure(judged.then),
        figure(judged.now),
        judged.judgement.name().to_owned(),
        judged.why.to_owned(),
    ]
}

const HEAD: [&str; 6] = ["cell", "figure", "then", "now", "verdict", "why"];

fn notes(comparison: &Comparison, alarms: &str) -> String {
    let mut text = format!("{BLIND}\n");
    if !comparison.not_compared.is_empty() {
        text.push_str(&format!("Not compared: {}.\n", comparison.not_compared.join(", ")));
    }
    text.push_str(&format!("{alarms}\n"));
    text
}

/// Rows whose columns line up, indented.
pub(super) fn columns<const N: usize>(rows: &[[String; N]]) -> String {
    let width = |k: usize| rows.iter().map(|it| it[k].chars().count()).max().unwrap_or(0);
    let widths: Vec<usize> = (0..N).map(width).collect();
    let mut text = String::new();
    for row in rows {
        let entries: Vec<String> =
            row.iter().zip(&widths).map(|(it, width)| format!("{it:<width$}")).collect();
        text.push_str(&format!("  {}\n", entries.join("  ").trim_end()));
    }
    text
}

fn text(comparison: &Comparison, now: &Summary, alarms: &str) -> String {
    let rows: Vec<[String; 6]> = std::iter::once(HEAD.map(str::to_owned))
        .chain(ranked(comparison).into_iter().map(|it| row(it, now)))
        .collect();
    let mut text = format!("{}\n\n{}", headline(comparison), columns(&rows));
    text.push_str(&format!("\n{}", notes(comparison, alarms)));
    text
}

fn markdown(comparison: &Comparison, now: &Summary, alarms: &str) -> String {
    let mut text = format!("**{}**\n\n| {} |\n", headline(comparison), HEAD.join(" | "));
    text.push_str("| --- | --- | ---: | ---: | --- | --- |\n");
    for judged in ranked(comparison) {
        text.push_str(&format!("| {} |\n", row(judged, now).join(" | ")));
    }
    text.push_str(&format!("\n{}", notes(comparison, alarms)));
    text
}

fn json(comparison: &Comparison, now: &Summary, alarms: &str) -> String {
    let figure = |judged: &Judged| {
        let cell = &now.variants[judged.cell];
        json!({
            "variant": cell.variant,
            "fault": cell.fault,
            "params": cell.params,
            "figure": judged.figure.name(),
            "then": judged.then,
            "now": judged.now,
            "verdict": judged.judgement.name(),
            "why": judged.why,
        })
    };
    let value = json!({
        "verdict": comparison.verdict().name(),
        "campaign": now.campaign,
        "figures": comparison.judged.iter().map(figure).collect::<Vec<_>>(),
        "not_compared": comparison.not_compared,
        "blind_to": BLIND,
        "false_alarms": alarms,
    });
    format!("{value:#}\n")
}

/// One annotation for every figure that did not pass, and a notice with the whole.
fn github(comparison: &Comparison, now: &Summary, alarms: &str) -> String {
    let mut text = String::new();
    for judged in ranked(comparison) {
        let level = match judged.judgement {
            Judgement::Regression => "error",
            Judgement::Inconclusive => "warning",
            Judgement::Pass => continue,
        };
        let [cell, figure, then, current, verdict, why] = row(judged, now);
        let message = escaped(&format!("{cell}: {figure} {then} → {current} ({why})"));
        text.push_str(&format!("::{level} title=outage-lab gate {verdict}::{message}\n"));
    }
    let message =
        escaped(&format!("{}. {}", headline(comparison), notes(comparison, alarms).trim()));
    text.push_str(&format!("::notice title=outage-lab gate::{message}\n"));
    text
}

/// What GitHub's workflow commands want escaped in a message.
pub(super) fn escaped(text: &str) -> String {
    text.replace('%', "%25").replace('\r', "%0D").replace('\n', "%0A")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{analysis::gate::judge, render::testing};

    const ALARMS: &str = "false alarms on identical code: 1 of 12";

    /// The sample campaign against itself with one cell made worse.
    fn report(format: GateFormat) -> String {
        let then = testing::campaign().summary;
        let mut now = then.clone();
        now.variants[3].goodput_ratio_fault_trials = vec![Some(0.5); 3];
        now.variants[3].goodput_ratio_fault = Some(0.5);
        gate_report(&judge(&(&then).into(), &(&now).into()).unwrap(), (&now, ALARMS), format)
    }

    #[test]
    fn the_terminal_shows_the_worst_first_and_what_was_not_seen() {
        let text = report(GateFormat::Text);
        let lines: Vec<&str> = text.lines().collect();
        assert!(lines[0].starts_with("regression: of 20 figures 1 are worse"), "{text}");
        assert!(lines[3].contains("playbook-one-minute under crash, load factor 1.5"), "{text}");
        assert!(lines[3].contains("1.000") && lines[3].contains("0.500"), "{text}");
        assert!(text.contains("Not compared: none pause load-factor-1.5."), "{text}");
        assert!(text.contains("Not seen by this comparison"), "{text}");
        assert_eq!(lines.last(), Some(&ALARMS));
    }

    #[test]
    fn every_format_says_the_same() {
        let markdown = report(GateFormat::Markdown);
        assert!(markdown.starts_with("**regression: of 20 figures"), "{markdown}");
        assert_eq!(markdown.matches("| regression |").count(), 1, "{markdown}");
        let json: serde_json::Value = serde_json::from_str(&report(GateFormat::Json)).unwrap();
        assert_eq!(json["verdict"], "regression");
        assert_eq!(json["false_alarms"], ALARMS);
        assert!(markdown.trim_end().ends_with(ALARMS), "{markdown}");
        let figures = json["figures"].as_array().unwrap();
        let worse: Vec<_> = figures.iter().filter(|it| it["verdict"] == "regression").collect();
        assert_eq!((figures.len(), worse.len()), (20, 1));
        assert_eq!(worse[0]["variant"], "playbook-one-minute");
        assert_eq!(worse[0]["now"], 0.5);
        let github = report(GateFormat::Github);
        let errors: Vec<&str> = github.lines().filter(|it| it.starts_with("::error ")).collect();
        assert_eq!(errors.len(), 1, "{github}");
        assert!(errors[0].contains("goodput ratio 1.000 → 0.500"), "{github}");
        assert!(github.lines().all(|it| it.starts_with("::")), "{github}");
        assert!(github.trim_end().ends_with(ALARMS), "{github}");
    }
}
