//! `report.md`, for a pull request, and the table that README shows.

use lab_core::artifact::summary::{CellSummary, Summary};

use super::{
    claims, facts, failover,
    findings::Found,
    found,
    heat::{self, Figure},
    plots::{
        Plots, comparison_name, distribution_name, heat_plot_name, load_plot_name,
        scaling_plot_name, timeline_name,
    },
    questions::{self, Question},
    ranking::{self, Group, cell_key},
    scaling, sweep,
    table::{self, Column},
    view::CampaignView,
};
use crate::analysis::effect::Effect;

/// The columns that a README has room for.
const README_COLUMNS: [Column; 8] = [
    Column::Variant,
    Column::Goodput,
    Column::Served,
    Column::P99,
    Column::Demand,
    Column::Mitigate,
    Column::Recover,
    Column::Trials,
];

/// The whole report as Markdown.
pub(super) fn report(view: &CampaignView, plots: &Plots) -> String {
    let summary = &view.summary;
    let mut text = format!("# {}\n\n**{}**\n", summary.campaign, ranking::headline(summary));
    if summary.partial {
        text.push_str(&format!("\n> {}\n", facts::PARTIAL));
    }
    text.push_str(&nothing_done(summary, plots));
    text.push_str(&serving(view, plots));
    text.push_str(&failovers(view));
    text.push_str(&pressure(view));
    text.push_str(&load_plots(view));
    text.push_str(&scaling_plots(view));
    text.push_str(&claims_table(view));
    text.push_str(&certainty(view));
    text.push_str("\n## Each variant: claimed, expected, found\n");
    for variant in view.variants() {
        text.push_str(&variant_part(view, variant));
    }
    text.push_str("\n## What the columns mean\n\n");
    for column in Column::ALL {
        text.push_str(&format!("- **{}**: {}.\n", column.name(), column.meaning()));
    }
    text.push_str(&format!("- **found**: {}.\n", found::rule()));
    text
}

/// A question as a heading, and its answer.
fn section_head(question: Question, answer: &str) -> String {
    format!("\n## {}\n\n**{answer}**\n", question.text())
}

/// What happens when nothing is done: the control, fault by fault.
fn nothing_done(summary: &Summary, plots: &Plots) -> String {
    let mut text = section_head(Question::Nothing, &questions::nothing_done(summary));
    let cells = questions::control_cells(summary);
    let Some(control) = cells.first() else { return text };
    let columns = Column::NOTHING_DONE;
    let head = format!("`{}` under", control.variant);
    text.push_str(&format!("\n{}", head_of_table(&head, &columns)));
    for cell in &cells {
        let first = ranking::group_title(cell);
        text.push_str(&row(std::iter::once(first).chain(entries(cell, None, &columns))));
    }
    text.push_str(&notes(&cells, &columns));
    if let Some(cell) = questions::headline_control(summary) {
        let name = timeline_name(&cell_key(cell));
        if plots.svgs.contains_key(&name) {
            text.push_str(&format!("\n![{}](plots/{name}.svg)\n", ranking::cell_title(cell)));
        }
    }
    text
}

/// Which variants keep serving, ranked under each fault and load.
fn serving(view: &CampaignView, plots: &Plots) -> String {
    let mut text = section_head(Question::Serving, &questions::serving(view));
    text.push_str(&heat_plots(view, Figure::ServedRatio));
    for group in ranking::groups(&view.summary) {
        text.push_str(&format!("\n### {}\n\n{}.\n\n", group.title, group.fault.title()));
        text.push_str(&table(&group, &Column::SERVING, |cell| view.effect_of(cell)));
        text.push_str(&notes(&group.cells, &Column::SERVING));
        let comparison = comparison_name(&group.key);
        text.push_str(&format!("\n![Variants under {}](plots/{comparison}.svg)\n\n", group.title));
        text.push_str(&plot_links(&group, plots));
    }
    text
}

/// What the database bears under each fault and load.
fn pressure(view: &CampaignView) -> String {
    let mut text = section_head(Question::Pressure, &questions::pressure(view));
    text.push_str(&heat_plots(view, Figure::ConnectionDemand));
    for group in ranking::groups(&view.summary) {
        text.push_str(&format!("\n### Pressure under {}\n\n", group.title));
        text.push_str(&table(&group, &Column::PRESSURE, |_| None));
        text.push_str(&notes(&group.cells, &Column::PRESSURE));
    }
    text
}

/// How sure one can be: the trials that do not count, and the machine.
fn certainty(view: &CampaignView) -> String {
    let mut text = section_head(Question::Certainty, &questions::certainty(view));
    text.push_str("\n### Trials that are in no figure\n\n");
    text.push_str(&invalid_trials(view));
    text.push_str("\n### The machine\n\n");
    for (name, fact) in facts::machine(view) {
        text.push_str(&format!("- {name}: {}\n", fact.replace('<', "&lt;")));
    }
    text
}

/// The ranked table of the campaign's hardest load under its first fault, as Markdown: a line that
/// says what it is, the table, and the reasons for missing figures.
pub fn readme_table(summary: &Summary) -> String {
    let groups = ranking::groups(summary);
    let Some(group) = ranking::headline_group(&groups) else {
        return "No cell was measured.\n".into();
    };
    let mut text = format!("{} ({}):\n\n", group.fault.title(), group.title);
    text.push_str(&table(group, &README_COLUMNS, |_| None));
    text.push_str(&notes(&group.cells, &README_COLUMNS));
    text
}

fn table<'a>(
    group: &Group<'_>,
    columns: &[Column],
    effect: impl Fn(&CellSummary) -> Option<&'a Effect>,
) -> String {
    let (first, others) = columns.split_first().expect("a table has a column");
    let mut text = head_of_table(first.name(), others);
    for cell in &group.cells {
        let variant = format!("`{}`", cell.variant);
        text.push_str(&row(std::iter::once(variant).chain(entries(cell, effect(cell), others))));
    }
    text
}

/// The head of a table whose first column holds words.
fn head_of_table(first: &str, others: &[Column]) -> String {
    let names = others.iter().map(|it| it.name().to_owned());
    let rules = others.iter().map(|it| if it.is_text() { "---" } else { "---:" }.to_owned());
    row(std::iter::once(first.to_owned()).chain(names))
        + &row(std::iter::once("---".to_owned()).chain(rules))
}

/// What stands in `columns` of the row of `cell`.
fn entries<'a>(
    cell: &'a CellSummary,
    effect: Option<&'a Effect>,
    columns: &'a [Column],
) -> impl Iterator<Item = String> + 'a {
    columns.iter().map(move |column| table::entry(cell, effect, *column).text)
}

fn row(entries: impl Iterator<Item = String>) -> String {
    format!("| {} |\n", entries.collect::<Vec<_>>().join(" | "))
}

fn notes(cells: &[&CellSummary], columns: &[Column]) -> String {
    let notes = table::notes(cells, columns);
    if notes.is_empty() { String::new() } else { format!("\n{}.\n", notes.join("; ")) }
}

/// The table of claims, where a row of the strategy is tried.
fn claims_table(view: &CampaignView) -> String {
    let rows = claims::rows(view);
    let mut text = section_head(Question::Claims, &questions::claims(&rows));
    if rows.is_empty() {
        return text;
    }
    text.push_str(&format!(
        "\n{}. The rule for the word stands [below](#what-the-columns-mean).\n\n\
         | {} |\n| --- | --- | --- | --- |\n",
        claims::note(&rows),
        claims::HEADS.join(" | ")
    ));
    for row in &rows {
        for (k, tried) in row.tries.iter().enumerate() {
            let (id, claim) = if k == 0 { (row.id, row.text) } else { ("", "") };
            let variant = format!("[`{0}`](#{0})", tried.variant);
            let others = match tried.others.as_slice() {
                [] => String::new(),
                others => format!(" with {}", others.join(", ")),
            };
            let found: Vec<String> = tried.found.iter().map(Found::markdown).collect();
            let found = if found.is_empty() { "a control".into() } else { found.join("<br>") };
            text.push_str(&format!("| {id} | {claim} | {variant}{others} | {found} |\n"));
        }
    }
    text
}

/// The maps of variants and faults, of one figure, or nothing when there is none.
fn heat_plots(view: &CampaignView, figure: Figure) -> String {
    let maps = heat::heat_maps(view);
    if maps.is_empty() {
        return String::new();
    }
    let mut text = match figure {
        Figure::ServedRatio => format!("\n### {}\n\n{}.\n", heat::TITLE, heat::NOTE),
        Figure::ConnectionDemand => String::new(),
    };
    for map in &maps {
        let (what, name) = (figure.name(), heat_plot_name(map, figure));
        text.push_str(&format!("\n![{what}, {}](plots/{name}.svg)\n", map.load));
    }
    text
}

/// The plots of goodput against offered load, where there are loads to compare.
fn load_plots(view: &CampaignView) -> String {
    let sweeps = sweep::sweeps(view);
    let mut text = section_head(Question::Load, &questions::load(view, &sweeps));
    if !sweeps.is_empty() {
        text.push_str(&format!("\n### {}\n\n{}.\n", sweep::TITLE, sweep::NOTE));
    }
    for sweep in &sweeps {
        let name = load_plot_name(&sweep.key);
        text.push_str(&format!("\n![{}, {}](plots/{name}.svg)\n\n", sweep::TITLE, sweep.title));
        text.push_str(&variants_table(sweep.table()));
    }
    text
}

/// The plots of what more instances bring, or nothing when there is none.
fn scaling_plots(view: &CampaignView) -> String {
    let scalings = scaling::scalings(view);
    if scalings.is_empty() {
        return String::new();
    }
    let mut text = format!("\n## {}\n\n{}.\n", scaling::TITLE, scaling::NOTE);
    for scaling in &scalings {
        let name = scaling_plot_name(&scaling.key);
        text.push_str(&format!("\n**{}.**\n", scaling.control_sentence()));
        text.push_str(&format!("\n![{} {}](plots/{name}.svg)\n\n", scaling::TITLE, scaling.title));
        text.push_str(&variants_table(scaling.table()));
    }
    text
}

/// The table of when the servers are back, or nothing where no server can take over.
fn failovers(view: &CampaignView) -> String {
    let Some(table) = failover::table(view) else { return String::new() };
    format!("\n## {}\n\n{}.\n\n{}", failover::TITLE, failover::NOTE, variants_table(table))
}

/// A table whose rows begin with the name of a variant, and whose other columns are numbers.
fn variants_table((head, rows): (Vec<String>, Vec<Vec<String>>)) -> String {
    let mut text =
        format!("| {} |\n| ---{} |\n", head.join(" | "), " | ---:".repeat(head.len() - 1));
    for row in rows {
        text.push_str(&format!("| [`{0}`](#{0}) | {1} |\n", row[0], row[1..].join(" | ")));
    }
    text
}

/// What the strategy claimed of a variant, what its author expected, and what was found.
fn variant_part(view: &CampaignView, variant: &str) -> String {
    let mut text = format!("\n### {variant}\n\n");
    let Some(of) = claims::of_variant(view, variant) else {
        text.push_str("No trial was run.\n");
        return text;
    };
    let claimed: Vec<String> =
        of.claims.iter().map(|(id, text)| format!("**{id}** {text}.")).collect();
    let claimed =
        if claimed.is_empty() { format!("{}.", claims::NO_CLAIM) } else { claimed.join(" ") };
    text.push_str(&format!(
        "{}.\n\n- Claimed: {claimed}\n- Expected: {}\n",
        of.title, of.hypothesis
    ));
    for (name, sentence) in &of.servers {
        text.push_str(&format!("- {name}: {sentence}.\n"));
    }
    let Some(base) = of.base else {
        text.push_str(&format!("- Found: {}.\n", claims::CONTROL_FOUND));
        return text;
    };
    text.push_str(&format!("- Found, against [`{base}`](#{base}) on the same arrivals:\n"));
    for found in &of.found {
        let restored = found.restored.as_ref().map_or_else(String::new, |it| format!(" {it}."));
        text.push_str(&format!(
            "  - {}: **{}**. {}.{restored}\n",
            found.cell, found.word.text, found.sentence
        ));
    }
    text
}

fn plot_links(group: &Group<'_>, plots: &Plots) -> String {
    let mut text = String::new();
    for cell in &group.cells {
        let key = cell_key(cell);
        let links: Vec<String> =
            [("timeline", timeline_name(&key)), ("distribution", distribution_name(&key))]
                .into_iter()
                .filter(|(_, name)| plots.svgs.contains_key(name))
                .map(|(what, name)| format!("[{what}](plots/{name}.svg)"))
                .collect();
        let links = if links.is_empty() { "no trial".into() } else { links.join(", ") };
        text.push_str(&format!("- `{}`: {links}\n", cell.variant));
    }
    text
}

fn invalid_trials(view: &CampaignView) -> String {
    let mut text = String::new();
    for trial in facts::trials(view).into_iter().filter(|it| !it.reasons.is_empty()) {
        text.push_str(&format!(
            "- {}, trial {} (attempt {}): {}\n",
            trial.cell,
            trial.number,
            trial.attempt,
            trial.reasons.join("; ")
        ));
    }
    if text.is_empty() { "None: every trial is valid.\n".into() } else { text }
}
