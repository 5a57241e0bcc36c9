//! `report.md`, for a pull request, and the table that README shows.

use lab_core::artifact::summary::{CellSummary, Summary};

use super::{
    claims, facts, failover, found,
    heat::{self, Figure},
    plots::{
        Plots, comparison_name, distribution_name, heat_plot_name, load_plot_name,
        scaling_plot_name, timeline_name,
    },
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
    text.push_str(&claims_table(view));
    text.push_str(&heat_plots(view));
    text.push_str(&scaling_plots(view));
    text.push_str(&load_plots(view));
    for group in ranking::groups(summary) {
        text.push_str(&format!("\n## {}\n\n{}.\n\n", group.title, group.fault.title()));
        text.push_str(&table(&group, &Column::ALL, |cell| view.effect_of(cell)));
        text.push_str(&notes(&group, &Column::ALL));
        let comparison = comparison_name(&group.key);
        text.push_str(&format!("\n![Variants under {}](plots/{comparison}.svg)\n\n", group.title));
        text.push_str(&plot_links(&group, plots));
    }
    text.push_str(&failovers(view));
    text.push_str("\n## Each variant: claimed, expected, found\n");
    for variant in view.variants() {
        text.push_str(&variant_part(view, variant));
    }
    text.push_str("\n## What the columns mean\n\n");
    for column in Column::ALL {
        text.push_str(&format!("- **{}**: {}.\n", column.name(), column.meaning()));
    }
    text.push_str(&format!("- **found**: {}.\n", found::rule()));
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
    text.push_str(&table(group, &README_COLUMNS, |_| None));
    text.push_str(&notes(group, &README_COLUMNS));
    text
}

fn table<'a>(
    group: &Group<'_>,
    columns: &[Column],
    effect: impl Fn(&CellSummary) -> Option<&'a Effect>,
) -> String {
    let row = |entries: Vec<String>| format!("| {} |\n", entries.join(" | "));
    let mut text = row(columns.iter().map(|it| it.name().to_owned()).collect());
    text.push_str(&row(columns
        .iter()
        .map(|it| if it.is_text() { "---" } else { "---:" }.to_owned())
        .collect()));
    for cell in &group.cells {
        let entries = columns.iter().map(|column| {
            let text = table::entry(cell, effect(cell), *column).text;
            if *column == Column::Variant { format!("`{text}`") } else { text }
        });
        text.push_str(&row(entries.collect()));
    }
    text
}

fn notes(group: &Group<'_>, columns: &[Column]) -> String {
    let notes = table::notes(&group.cells, columns);
    if notes.is_empty() { String::new() } else { format!("\n{}.\n", notes.join("; ")) }
}

/// The table of claims, or nothing when no row of the strategy is tried.
fn claims_table(view: &CampaignView) -> String {
    let rows = claims::rows(view);
    if rows.is_empty() {
        return String::new();
    }
    let mut text = format!(
        "\n## {}\n\n{}. The rule for the word stands [below](#what-the-columns-mean).\n\n\
         | {} |\n| --- | --- | --- | --- |\n",
        claims::TITLE,
        claims::NOTE,
        claims::HEADS.join(" | ")
    );
    for row in &rows {
        for (k, tried) in row.tries.iter().enumerate() {
            let (id, claim) = if k == 0 { (row.id, row.text) } else { ("", "") };
            let variant = format!("[`{0}`](#{0})", tried.variant);
            let others = match tried.others.as_slice() {
                [] => String::new(),
                others => format!(" with {}", others.join(", ")),
            };
            let found: Vec<String> = tried
                .found
                .iter()
                .map(|(word, cells)| format!("**{}**: {}", word.text, cells.join(", ")))
                .collect();
            let found = if found.is_empty() { "a control".into() } else { found.join("<br>") };
            text.push_str(&format!("| {id} | {claim} | {variant}{others} | {found} |\n"));
        }
    }
    text
}

/// The maps of variants and faults, or nothing when there is none.
fn heat_plots(view: &CampaignView) -> String {
    let maps = heat::heat_maps(view);
    if maps.is_empty() {
        return String::new();
    }
    let mut text = format!("\n## {}\n\n{}.\n", heat::TITLE, heat::NOTE);
    for map in &maps {
        for figure in Figure::ALL {
            let (what, name) = (figure.name(), heat_plot_name(map, figure));
            text.push_str(&format!("\n![{what}, {}](plots/{name}.svg)\n", map.load));
        }
    }
    text
}

/// The plots of goodput against offered load, or nothing when there is none.
fn load_plots(view: &CampaignView) -> String {
    let sweeps = sweep::sweeps(view);
    if sweeps.is_empty() {
        return String::new();
    }
    let mut text = format!("\n## {}\n\n{}.\n", sweep::TITLE, sweep::NOTE);
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
