//! The result table in plain text, for the end of a run.

use super::{
    ranking::{self, Group},
    table::{self, Column},
    view::CampaignView,
};

/// The columns that fit a terminal of 120 characters.
const COLUMNS: [Column; 10] = [
    Column::Variant,
    Column::Goodput,
    Column::Effect,
    Column::Served,
    Column::P99,
    Column::Demand,
    Column::Mitigate,
    Column::Recover,
    Column::Verdict,
    Column::Trials,
];

/// The headline and one table for each fault and load, in lines that end with a line break.
///
/// Figures that do not exist stand as `–`, with the reason below the table.
pub fn terminal_table(view: &CampaignView) -> String {
    let summary = &view.summary;
    let mut text = format!("{}\n", ranking::headline(summary));
    if summary.partial {
        text.push_str("Partial: the run ended before its last planned trial.\n");
    }
    for group in ranking::groups(summary) {
        text.push_str(&format!("\n{}\n", group.title));
        text.push_str(&aligned(view, &group));
        for note in table::notes(&group.cells, &COLUMNS) {
            text.push_str(&format!("  {note}\n"));
        }
    }
    text
}

/// Words at the left, numbers at the right of their column.
fn aligned(view: &CampaignView, group: &Group<'_>) -> String {
    let head: Vec<String> = COLUMNS.iter().map(|it| it.name().to_owned()).collect();
    let rows = group.cells.iter().map(|cell| {
        let effect = view.effect_of(cell);
        COLUMNS.iter().map(|column| table::entry(cell, effect, *column).text).collect::<Vec<_>>()
    });
    let lines: Vec<Vec<String>> = std::iter::once(head).chain(rows).collect();
    let widths: Vec<usize> = (0..COLUMNS.len())
        .map(|k| lines.iter().map(|line| line[k].chars().count()).max().unwrap_or(0))
        .collect();
    let mut text = String::new();
    for line in &lines {
        let entries: Vec<String> = (0..COLUMNS.len())
            .map(|k| {
                let width = widths[k];
                if COLUMNS[k].is_text() {
                    format!("{:<width$}", line[k])
                } else {
                    format!("{:>width$}", line[k])
                }
            })
            .collect();
        text.push_str(&format!("  {}\n", entries.join("  ").trim_end()));
    }
    text
}
