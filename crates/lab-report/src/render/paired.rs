//! Two versions compared in pairs of trials, as people and programs read it.

use std::{collections::BTreeMap, path::PathBuf};

use lab_core::{
    artifact::gate::{
        FigureComparison, GateJudgement, GatePairs, GateVerdict, JudgedFigure, KnownGates,
        PairFigures,
    },
    scenario::GateFigure,
};
use serde_json::json;

use super::{
    GateFormat, RenderError,
    canvas::svg,
    gate::{columns, escaped},
    known_gates::false_alarm_line,
    numbers,
    paired_plot::PairedPlot,
};
use crate::analysis::{paired::figures::at_one_speed, statistics::median};

/// The text of a comment on a pull request, below the folder of the comparison.
const COMMENT_FILE: &str = "gate.md";

/// What a comparison of versions cannot see, whatever it finds.
const BLIND: &str = "Not seen by this comparison: changes of the lab, the load, the scenario and the \
    data set, which are this version's for both; anything outside this cell; differences within the \
    margins.";

/// Writes a comparison. `identical` is what gates on identical code said, where that was measured.
pub fn paired_report(
    file: &GatePairs,
    judgement: &GateJudgement,
    identical: Option<&KnownGates>,
    format: GateFormat,
) -> String {
    let report = Report { file, judgement, identical };
    match format {
        GateFormat::Text => report.text(),
        GateFormat::Markdown => report.markdown(),
        GateFormat::Json => report.json(),
        GateFormat::Github => report.github(),
    }
}

/// The files of a comparison below its folder, but for its JSON: the comment, and a plot of each
/// deciding figure that moved.
///
/// **Errors**: those of the canvas.
pub fn paired_files(
    file: &GatePairs,
    judgement: &GateJudgement,
    identical: Option<&KnownGates>,
) -> Result<BTreeMap<PathBuf, Vec<u8>>, RenderError> {
    let comment = paired_report(file, judgement, identical, GateFormat::Markdown);
    let mut files = BTreeMap::from([(PathBuf::from(COMMENT_FILE), comment.into_bytes())]);
    for judged in last_look(judgement).iter().filter(|it| has_moved(it)) {
        let plot = PairedPlot::of(file, &judged.comparison);
        let path = format!("plots/{}.svg", judged.comparison.figure.name());
        files.insert(path.into(), svg(&plot)?.into_bytes());
    }
    Ok(files)
}

/// The figures that decide, after the look that decided or the last there was.
fn last_look(judgement: &GateJudgement) -> &[JudgedFigure] {
    judgement.looks.last().map_or(&[], |it| &it.figures)
}

/// Whether the versions certainly differ, or one is judged worse.
fn has_moved(judged: &JudgedFigure) -> bool {
    let excludes_1 = |[low, high]: [f64; 2]| 1.0 < low || high < 1.0;
    judged.verdict == GateVerdict::Regression
        || judged.comparison.worse_factor_interval.is_some_and(excludes_1)
}

/// A value of a figure in the form that reads best.
pub(super) fn value(figure: GateFigure, value: f64) -> String {
    match figure {
        GateFigure::ServedRatio | GateFigure::GoodputRatio => numbers::ratio(value),
        GateFigure::ResponseTimeMsP99
        | GateFigure::QueriesPerRequest
        | GateFigure::ResponseTimeMsP99Baseline
        | GateFigure::QueriesPerRequestBaseline
        | GateFigure::ConnectionDemand
        | GateFigure::TimeToMitigateMs
        | GateFigure::TimeToRecoverMs => numbers::three_digits(value),
    }
}

/// How many times as bad, with as many digits as small differences need.
pub(super) fn times(factor: f64) -> String {
    if factor < 1.1 && 0.9 < factor { format!("{factor:.4}×") } else { numbers::factor(factor) }
}

const HEAD: [&str; 9] =
    ["figure", "pairs", "against", "head", "times as bad", "interval", "allowed", "p", "verdict"];

struct Report<'a> {
    file: &'a GatePairs,
    judgement: &'a GateJudgement,
    identical: Option<&'a KnownGates>,
}

impl Report<'_> {
    /// The verdict and why, in one line.
    fn headline(&self) -> String {
        let judgement = self.judgement;
        let pairs = match judgement.looks.last() {
            Some(look) => format!("after {} pairs", look.n_pairs),
            None => format!("after {} pairs, before the first look", judgement.n_pairs),
        };
        let named = |verdict| {
            let of = last_look(judgement).iter().filter(|it| it.verdict == verdict);
            of.map(|it| it.comparison.figure.title()).collect::<Vec<_>>().join("; ")
        };
        let why = match (judgement.verdict, &judgement.given_up) {
            (GateVerdict::Regression, _) => {
                format!("{pairs}, worse by more than allowed: {}", named(GateVerdict::Regression))
            }
            (GateVerdict::Pass, _) => format!("{pairs}, no figure is worse by more than allowed"),
            (GateVerdict::Inconclusive, Some(given_up)) => format!(
                "{pairs}, pair {} was not valid however often it was run: {}",
                given_up.pair,
                given_up.reasons.join("; ")
            ),
            (GateVerdict::Inconclusive, None) => {
                format!("{pairs} it cannot be told: {}", self.undecided())
            }
            (GateVerdict::Undecided, _) => format!("{pairs} there are more to come"),
        };
        format!("{}: {why}", judgement.verdict.name())
    }

    /// The figures that decide and were not decided, those without a pair among them.
    fn undecided(&self) -> String {
        let decided = |it: &&JudgedFigure| it.verdict != GateVerdict::Undecided;
        let decided: Vec<GateFigure> = last_look(self.judgement)
            .iter()
            .filter(decided)
            .map(|it| it.comparison.figure)
            .collect();
        let all = self.file.subject.gate.figures.iter().map(|it| it.figure);
        let open = all.filter(|it| !decided.contains(it));
        open.map(GateFigure::title).collect::<Vec<_>>().join("; ")
    }

    /// What was made of a machine that was not the same for both versions; empty where nothing was.
    fn machine(&self) -> String {
        let Some(spec) = self.file.subject.gate.machine else { return String::new() };
        let pairs = &self.file.pairs;
        let slower: Vec<f64> = pairs.iter().filter_map(PairFigures::load_cpu_factor).collect();
        let Some(middle) = median(&slower) else { return String::new() };
        let (low, high) = slower
            .iter()
            .fold((f64::MAX, f64::MIN), |(low, high), it| (low.min(*it), high.max(*it)));
        let mut text = format!(
            "The generator, which does the same for both, took {} the processor time with the head \
             ({} to {}): the machine was so much slower. In each pair, p99 and connection demand under \
             the fault are brought to one speed, by this to the power of {}.",
            times(middle),
            times(low),
            times(high),
            numbers::three_digits(spec.load_cpu_exponent)
        );
        let figure = GateFigure::ResponseTimeMsP99;
        let stalled =
            pairs.iter().filter(|it| at_one_speed(it, figure, Some(spec)).is_none()).count();
        if 0 < stalled {
            text.push_str(&format!(
                " In {stalled} of {} pairs the machine stood still for more than {} % of a trial: there \
                 they are not compared.",
                pairs.len(),
                numbers::three_digits(100.0 * spec.stalled_ratio_max)
            ));
        }
        text + "\n"
    }

    /// What was compared, in one line.
    fn subject(&self) -> String {
        let subject = &self.file.subject;
        let params = &subject.cell.params;
        let load = match params.load_factor {
            Some(factor) => format!("load factor {factor} of the other version's capacity, "),
            None => String::new(),
        };
        format!(
            "{} against {}; {} under {}, {load}{} requests/s for both",
            subject.head,
            subject.reference,
            subject.cell.variant,
            subject.cell.fault,
            numbers::three_digits(params.arrival_rate_per_sec)
        )
    }

    fn rows(&self) -> Vec<[String; 9]> {
        let judged = last_look(self.judgement).iter().map(|it| self.judged_row(it));
        let shown = self.judgement.shown.iter().map(|it| {
            let [figure, pairs, reference, head, worse, interval] = compared(it);
            let none = || numbers::MISSING.to_owned();
            let shown_only = "shown only".to_owned();
            [figure, pairs, reference, head, worse, interval, none(), none(), shown_only]
        });
        std::iter::once(HEAD.map(str::to_owned)).chain(judged).chain(shown).collect()
    }

    fn judged_row(&self, judged: &JudgedFigure) -> [String; 9] {
        let [figure, pairs, reference, head, worse, interval] = compared(&judged.comparison);
        let margins = &self.file.subject.gate.figures;
        let margin = margins.iter().find(|it| it.figure == judged.comparison.figure);
        let allowed = margin.map_or_else(
            || numbers::MISSING.to_owned(),
            |it| {
                let [factor, rules_out] = [it.factor, it.pass_factor()].map(numbers::factor);
                let floor = numbers::three_digits(it.floor);
                if factor == rules_out {
                    format!("{factor} or by {floor}")
                } else {
                    format!("{factor} or by {floor} (a pass: below {rules_out})")
                }
            },
        );
        let p = format!("{:.4} (at most {:.4})", judged.p, judged.p_max);
        let verdict = judged.verdict.name().to_owned();
        [figure, pairs, reference, head, worse, interval, allowed, p, verdict]
    }

    fn notes(&self) -> String {
        let level = self.file.subject.gate.level_of_pass();
        format!(
            "Above 1× is worse. Allowed is what is below either: this many times as bad, or worse by \
             this much. Each end of an interval is exceeded with a probability of at most {}.\n\
             {}{BLIND}\n{}\n",
            numbers::three_digits(level),
            self.machine(),
            false_alarm_line(self.identical, &self.file.subject.gate)
        )
    }

    fn text(&self) -> String {
        let (headline, subject) = (self.headline(), self.subject());
        format!("{headline}\n{subject}\n\n{}\n{}", columns(&self.rows()), self.notes())
    }

    fn markdown(&self) -> String {
        let mut text = format!("**{}**\n\n{}\n\n", self.headline(), self.subject());
        for (place, row) in self.rows().into_iter().enumerate() {
            text.push_str(&format!("| {} |\n", row.join(" | ")));
            if place == 0 {
                text.push_str("| --- | ---: | ---: | ---: | ---: | --- | --- | --- | --- |\n");
            }
        }
        text.push_str(&format!("\n{}", self.notes().replace('\n', "\n\n")));
        text.trim_end().to_owned() + "\n"
    }

    fn json(&self) -> String {
        let subject = &self.file.subject;
        let value = json!({
            "verdict": self.judgement.verdict,
            "headline": self.headline(),
            "subject": subject,
            "judgement": self.judgement,
            "blind_to": BLIND,
            "false_alarms": false_alarm_line(self.identical, &subject.gate),
        });
        format!("{value:#}\n")
    }

    /// One annotation for every figure that did not pass, and a notice with the whole.
    fn github(&self) -> String {
        let mut text = String::new();
        for judged in last_look(self.judgement) {
            let level = match judged.verdict {
                GateVerdict::Regression => "error",
                GateVerdict::Undecided | GateVerdict::Inconclusive => "warning",
                GateVerdict::Pass => continue,
            };
            let [figure, _, reference, head, worse, interval, allowed, ..] =
                self.judged_row(judged);
            let message = escaped(&format!(
                "{figure}: {reference} → {head}, {worse} as bad ({interval}); allowed {allowed}"
            ));
            let verdict = judged.verdict.name();
            text.push_str(&format!("::{level} title=outage-lab gate {verdict}::{message}\n"));
        }
        let whole = format!("{}\n{}\n{}", self.headline(), self.subject(), self.notes().trim());
        text.push_str(&format!("::notice title=outage-lab gate::{}\n", escaped(&whole)));
        text
    }
}

/// Figure, pairs that it is compared in, value of the reference, of the head, how many times as bad,
/// and its interval.
fn compared(it: &FigureComparison) -> [String; 6] {
    let bound = if it.censored { "≥ " } else { "" };
    let shown = |of| format!("{bound}{}", value(it.figure, of));
    let interval = it.worse_factor_interval.map_or_else(
        || numbers::MISSING.to_owned(),
        |[low, high]| format!("{} to {}", times(low), times(high)),
    );
    [
        it.figure.title().to_owned(),
        it.n_pairs.to_string(),
        shown(it.reference_median),
        shown(it.head_median),
        times(it.worse_factor),
        interval,
    ]
}

#[cfg(test)]
mod tests;
