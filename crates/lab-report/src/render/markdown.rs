//! `report.md`, for a pull request, and the table that README shows.

use lab_core::artifact::summary::Summary;

use super::{
    facts,
    plots::{Plots, comparison_name, distribution_name, timeline_name},
    ranking::{self, Group, cell_key},
    table::{self, Column},
    view::CampaignView,
};

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
    for group in ranking::groups(summary) {
        text.push_str(&format!("\n## {}\n\n{}.\n\n", group.title, group.fault.title()));
        text.push_str(&table(summary, &group, &Column::ALL));
        text.push_str(&notes(summary, &group, &Column::ALL));
        let comparison = comparison_name(&group.key);
        text.push_str(&format!("\n![Variants under {}](plots/{comparison}.svg)\n\n", group.title));
        text.push_str(&plot_links(&group, plots));
    }
    text.push_str("\n## What the columns mean\n\n");
    for column in Column::ALL {
        text.push_str(&format!("- **{}**: {}.\n", column.name(), column.meaning()));
    }
    text.push_str("\n## Trials that are in no figure\n\n");
    text.push_str(&invalid_trials(view));
    text.push_str("\n## The machine\n\n");
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
    text.push_str(&table(summary, group, &README_COLUMNS));
    text.push_str(&notes(summary, group, &README_COLUMNS));
    text
}

fn table(summary: &Summary, group: &Group<'_>, columns: &[Column]) -> String {
    let row = |entries: Vec<String>| format!("| {} |\n", entries.join(" | "));
    let mut text = row(columns.iter().map(|it| it.name().to_owned()).collect());
    text.push_str(&row(columns
        .iter()
        .map(|it| if it.is_text() { "---" } else { "---:" }.to_owned())
        .collect()));
    for cell in &group.cells {
        let entries = columns.iter().map(|column| {
            let text = table::entry(summary, cell, *column).text;
            if *column == Column::Variant { format!("`{text}`") } else { text }
        });
        text.push_str(&row(entries.collect()));
    }
    text
}

fn notes(summary: &Summary, group: &Group<'_>, columns: &[Column]) -> String {
    let notes = table::notes(summary, &group.cells, columns);
    if notes.is_empty() { String::new() } else { format!("\n{}.\n", notes.join("; ")) }
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
