//! How sure one can be: the spread of each cell, the validity of each trial, the machine.

use lab_core::artifact::summary::CellSummary;

use super::{escape, scrolling, section_head};
use crate::{
    analysis::statistics::{Interval, median_interval, wilson_interval},
    render::{
        facts, numbers,
        questions::{self, Question},
        ranking::{cell_key, group_title},
        view::CampaignView,
    },
};

/// How sure one can be of every cell, and on which machine.
pub(super) fn certainty_section(view: &CampaignView) -> String {
    let mut html = section_head(Question::Certainty, &questions::certainty(view));
    html.push_str(&scrolling("spread of each cell", &spread_table(view)));
    html.push_str(&trials_part(view));
    html.push_str(&machine_part(view));
    html.push_str("</section>\n");
    html
}

/// One row for each cell: its goodput ratio with its spread, and in how many trials it recovered.
fn spread_table(view: &CampaignView) -> String {
    let mut html = String::from("<table class=\"narrow\">\n<thead>\n<tr>");
    for (class, head) in [
        (" class=\"text\"", "variant"),
        (" class=\"text\"", "under"),
        ("", "goodput ratio"),
        ("", "lowest to highest trial"),
        ("", "confidence"),
        ("", "recovered"),
        ("", "95 % interval"),
    ] {
        html.push_str(&format!("<th{class} scope=\"col\">{head}</th>"));
    }
    html.push_str("</tr>\n</thead>\n<tbody>\n");
    for (cell, _) in view.cells() {
        let certainty = Certainty::of(cell);
        let variant = escape(&cell.variant);
        let missing = || numbers::MISSING.to_owned();
        let goodput = certainty.goodput.as_ref();
        html.push_str(&format!(
            "<tr><th scope=\"row\"><a href=\"#variant-{variant}\">{variant}</a></th>\
             <td class=\"text\"><a href=\"#{}\">{}</a></td><td>{}</td><td>{}</td><td>{}</td>\
             <td>{} of {}</td><td>{}</td></tr>\n",
            escape(&cell_key(cell)),
            escape(&group_title(cell)),
            cell.goodput_ratio_fault.map_or_else(missing, numbers::ratio),
            goodput.map_or_else(missing, range),
            goodput.map_or_else(missing, |it| format!("{:.0} %", it.confidence * 100.0)),
            cell.n_recovered,
            certainty.n_valid,
            certainty.recovered.as_ref().map_or_else(missing, range),
        ));
    }
    html.push_str("</tbody>\n</table>\n");
    html
}

/// How far the figures of a cell can be trusted.
struct Certainty {
    n_valid: u32,
    /// Of the median goodput ratio; `None` below two valid trials.
    goodput: Option<Interval>,
    /// Of the share of trials that recovered; `None` below two valid trials.
    recovered: Option<Interval>,
}

impl Certainty {
    fn of(cell: &CellSummary) -> Self {
        let n_valid = cell.n_valid();
        let trials: Vec<f64> = cell.goodput_ratio_fault_trials.iter().copied().flatten().collect();
        let goodput = median_interval(&trials);
        let recovered = wilson_interval(cell.n_recovered as usize, n_valid as usize);
        Self { n_valid, recovered: recovered.filter(|_| goodput.is_some()), goodput }
    }
}

fn range(it: &Interval) -> String {
    format!("{} to {}", numbers::ratio(it.low), numbers::ratio(it.high))
}

/// The cell's goodput ratio, and how sure one can be of it and of the recovery: nothing below two
/// valid trials.
pub(super) fn certainty_sentences(cell: &CellSummary) -> String {
    let Some(ratio) = cell.goodput_ratio_fault else {
        return "No valid trial.".into();
    };
    let ratio = numbers::ratio(ratio);
    let Certainty { n_valid, goodput, recovered } = Certainty::of(cell);
    let Some(goodput) = goodput else {
        return format!("Goodput ratio {ratio}, of one trial.");
    };
    let recovered = recovered.map_or_else(String::new, |it| {
        format!(" Recovered in {} of {n_valid} (95 %: {}).", cell.n_recovered, range(&it))
    });
    format!(
        "Goodput ratio {ratio}, between {} and {} in {n_valid} trials, which holds the true median \
         with {:.0} % confidence.{recovered}",
        numbers::ratio(goodput.low),
        numbers::ratio(goodput.high),
        goodput.confidence * 100.0
    )
}

/// Every trial, folded away unless one of them does not count.
fn trials_part(view: &CampaignView) -> String {
    let trials = facts::trials(view);
    let n_invalid = trials.iter().filter(|it| !it.reasons.is_empty()).count();
    let mut html = String::from(
        "<table>\n<thead>\n<tr><th class=\"text\" scope=\"col\">cell</th>\
         <th scope=\"col\">trial</th><th scope=\"col\">attempt</th>\
         <th scope=\"col\">goodput ratio</th><th class=\"text\" scope=\"col\">valid</th>\
         <th scope=\"col\">machine stood still</th>\
         <th class=\"text\" scope=\"col\">reasons</th></tr>\n</thead>\n<tbody>\n",
    );
    for trial in &trials {
        let (class, word) =
            if trial.reasons.is_empty() { ("valid", "yes") } else { ("invalid", "no") };
        let reasons =
            if trial.reasons.is_empty() { "".into() } else { escape(&trial.reasons.join("; ")) };
        html.push_str(&format!(
            "<tr><th scope=\"row\">{}</th><td>{}</td><td>{}</td><td>{}</td>\
             <td class=\"text\"><span class=\"{class}\">{word}</span></td>\
             <td>{}</td><td class=\"reasons\">{reasons}</td></tr>\n",
            escape(&trial.cell),
            trial.number,
            trial.attempt,
            trial.goodput_ratio,
            trial.machine_stalls
        ));
    }
    html.push_str("</tbody>\n</table>\n");
    format!(
        "<h3 id=\"validity\">Validity of each trial</h3>\n<details{}>\n\
         <summary>{} trials, {n_invalid} of them not valid</summary>\n{}</details>\n",
        if n_invalid == 0 { "" } else { " open" },
        trials.len(),
        scrolling("validity of each trial", &html)
    )
}

fn machine_part(view: &CampaignView) -> String {
    let mut html = String::from("<h3 id=\"machine\">The machine, and the calibration</h3>\n<dl>\n");
    for (name, fact) in facts::machine(view) {
        html.push_str(&format!("<dt>{}</dt><dd>{}</dd>\n", escape(name), escape(&fact)));
    }
    html.push_str("</dl>\n");
    html
}
