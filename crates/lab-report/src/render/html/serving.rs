//! What users see, and what the database bears: the control alone, then the variants side by side.

use lab_core::artifact::summary::CellSummary;

use super::{
    code_spans, escape, figure, figure_again, load::variants_table, scrolling, section_head,
};
use crate::{
    analysis::effect::Effect,
    render::{
        failover,
        heat::{self, Figure, HeatMap},
        plots::{Plots, comparison_name, heat_plot_name, timeline_name},
        questions::{self, Question},
        ranking::{Group, cell_key, group_title},
        table::{self, Column},
        view::CampaignView,
    },
};

/// What happens when nothing is done: the control, fault by fault, and its worst moment drawn.
pub(super) fn nothing_section(view: &CampaignView, plots: &Plots) -> String {
    let summary = &view.summary;
    let mut html = section_head(Question::Nothing, &questions::nothing_done(summary));
    let cells = questions::control_cells(summary);
    if cells.is_empty() {
        html.push_str("</section>\n");
        return html;
    }
    html.push_str(&scrolling("the control under each fault and load", &control_table(&cells)));
    html.push_str(&notes(&cells, &Column::NOTHING_DONE));
    if let Some(cell) = questions::headline_control(summary) {
        html.push_str(&figure_again(plots, &timeline_name(&cell_key(cell))));
    }
    html.push_str("</section>\n");
    html
}

/// One row for each fault and load, all of one variant.
fn control_table(cells: &[&CellSummary]) -> String {
    let name = cells.first().map_or("", |it| it.variant.as_str());
    let mut html = format!(
        "<table class=\"narrow\">\n<thead>\n<tr><th class=\"text\" scope=\"col\">{} under</th>",
        escape(name)
    );
    for column in Column::NOTHING_DONE {
        html.push_str(&format!(
            "<th scope=\"col\" title=\"{}\">{}</th>",
            escape(column.meaning()),
            escape(column.name())
        ));
    }
    html.push_str("</tr>\n</thead>\n<tbody>\n");
    for cell in cells {
        html.push_str(&format!(
            "<tr><th scope=\"row\"><a href=\"#{}\">{}</a></th>\n",
            escape(&cell_key(cell)),
            escape(&group_title(cell))
        ));
        for column in Column::NOTHING_DONE {
            html.push_str(&table_cell(cell, None, column));
        }
        html.push_str("</tr>\n");
    }
    html.push_str("</tbody>\n</table>\n");
    html
}

/// Which variants keep serving: ranked under each fault and load, with what each adds.
pub(super) fn serving_section(
    view: &CampaignView,
    groups: &[Group<'_>],
    maps: &[HeatMap],
    plots: &Plots,
) -> String {
    let mut html = section_head(Question::Serving, &questions::serving(view));
    html.push_str(
        "<p>Ranked by the goodput ratio; <em>over base</em> is what the variant adds to the one it \
         stands on. Press a column's name to sort by it; <a href=\"#reading\">what the columns \
         mean</a>.</p>\n",
    );
    if !maps.is_empty() {
        html.push_str(&format!(
            "<h3 id=\"faults\">{}</h3>\n<p>{}.</p>\n",
            heat::TITLE,
            escape(heat::NOTE)
        ));
        html.push_str(&heat_figures(maps, Figure::ServedRatio, plots));
    }
    for group in groups {
        html.push_str(&format!(
            "<h3 id=\"{}\">{}</h3>\n<p>{}.</p>\n",
            escape(&group.key),
            escape(&group.title),
            escape(group.fault.title())
        ));
        html.push_str(&result_table(view, group, &Column::SERVING));
        html.push_str(&figure(plots, &comparison_name(&group.key)));
    }
    html.push_str("</section>\n");
    html
}

/// When another server had taken over, and when the service had followed it; nothing where none can.
pub(super) fn failovers_section(table: Option<&failover::Table>) -> String {
    table.map_or_else(String::new, |table| {
        format!(
            "<section id=\"servers-back\">\n<h2>{}</h2>\n<p>{}.</p>\n{}</section>\n",
            failover::TITLE,
            code_spans(failover::NOTE),
            variants_table(failover::TITLE, table.clone())
        )
    })
}

/// What the database bears under each fault and load.
pub(super) fn pressure_section(
    view: &CampaignView,
    groups: &[Group<'_>],
    maps: &[HeatMap],
    plots: &Plots,
) -> String {
    let mut html = section_head(Question::Pressure, &questions::pressure(view));
    html.push_str(&heat_figures(maps, Figure::ConnectionDemand, plots));
    for group in groups {
        html.push_str(&format!(
            "<h3 id=\"pressure-{}\">{}</h3>\n",
            escape(&group.key),
            escape(&group.title)
        ));
        html.push_str(&result_table(view, group, &Column::PRESSURE));
    }
    html.push_str("</section>\n");
    html
}

fn heat_figures(maps: &[HeatMap], of: Figure, plots: &Plots) -> String {
    maps.iter().map(|map| figure(plots, &heat_plot_name(map, of))).collect()
}

/// One row for each variant of the group, to be sorted by any column, and why figures are missing.
fn result_table(view: &CampaignView, group: &Group<'_>, columns: &[Column]) -> String {
    let mut html = String::from("<table class=\"sortable\">\n<thead>\n<tr>\n");
    for column in columns {
        html.push_str(&format!(
            "<th scope=\"col\" aria-sort=\"none\"{} title=\"{}\">\
             <button type=\"button\">{}</button></th>\n",
            if column.is_text() { " class=\"text\"" } else { "" },
            escape(column.meaning()),
            escape(column.name())
        ));
    }
    html.push_str("</tr>\n</thead>\n<tbody>\n");
    for cell in &group.cells {
        let effect = view.effect_of(cell);
        html.push_str("<tr>\n");
        for column in columns {
            html.push_str(&table_cell(cell, effect, *column));
        }
        html.push_str("</tr>\n");
    }
    html.push_str("</tbody>\n</table>\n");
    scrolling(&format!("variants under {}", group.title), &html) + &notes(&group.cells, columns)
}

fn notes(cells: &[&CellSummary], columns: &[Column]) -> String {
    let notes = table::notes(cells, columns);
    if notes.is_empty() {
        return String::new();
    }
    format!("<p class=\"notes\">{}.</p>\n", code_spans(&notes.join("; ")))
}

fn table_cell(cell: &CellSummary, effect: Option<&Effect>, column: Column) -> String {
    let entry = table::entry(cell, effect, column);
    let text = escape(&entry.text);
    let sort = match entry.sort {
        Some(number) => format!(" data-sort=\"{number}\""),
        None if entry.is_missing() => format!(" title=\"{}\"", escape(column.why_missing())),
        None => format!(" data-sort=\"{text}\""),
    };
    match column {
        Column::Variant => {
            format!("<th scope=\"row\"{sort}><a href=\"#variant-{text}\">{text}</a></th>\n")
        }
        Column::Verdict => {
            format!("<td class=\"text\"{sort}><span class=\"{text}\">{text}</span></td>\n")
        }
        _ if column.is_text() => format!("<td class=\"text\"{sort}>{text}</td>\n"),
        _ => format!("<td{sort}>{text}</td>\n"),
    }
}
