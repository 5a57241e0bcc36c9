//! `report.html`: one page that works offline, with everything in it.

use lab_core::artifact::summary::CellSummary;

use super::{
    RenderError, claims,
    claims_html::{claims_part, claims_section},
    facts, failover, found,
    heat::{self, Figure, HeatMap},
    numbers,
    plots::{
        Plots, comparison_name, distribution_name, heat_plot_name, load_plot_name,
        scaling_plot_name, timeline_name,
    },
    ranking::{self, Group, cell_key, group_key, group_title},
    scaling::{self, Scaling},
    settings::own_settings,
    sweep::{self, Sweep},
    table::{self, Column},
    view::{CampaignView, CellView},
};
use crate::analysis::{
    effect::Effect,
    statistics::{median_interval, wilson_interval},
};

const CSS: &str = include_str!("../../assets/page.css");
const SCRIPT: &str = include_str!("../../assets/page.js");

/// The whole page. **Errors**: [`RenderError::Settings`].
pub(super) fn page(view: &CampaignView, plots: &Plots) -> Result<String, RenderError> {
    let summary = &view.summary;
    let groups = ranking::groups(summary);
    let sweeps = sweep::sweeps(view);
    let maps = heat::heat_maps(view);
    let scalings = scaling::scalings(view);
    let failovers = failover::table(view);
    let title = escape(&summary.campaign);
    let mut html = format!(
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <title>{title} – outage-lab</title>\n<style>\n{CSS}</style>\n</head>\n<body>\n\
         <header>\n<h1>{title}</h1>\n<p class=\"lead\">{}</p>\n",
        code_spans(&ranking::headline(summary))
    );
    if summary.partial {
        html.push_str(&format!("<p class=\"warning\">{}</p>\n", facts::PARTIAL));
    }
    html.push_str("</header>\n");
    let comparisons = [
        ("faults", heat::TITLE, !maps.is_empty()),
        ("instances", scaling::TITLE, !scalings.is_empty()),
        ("goodput-by-load", sweep::TITLE, !sweeps.is_empty()),
        ("servers-back", failover::TITLE, failovers.is_some()),
    ];
    html.push_str(&navigation(view, &groups, &comparisons));
    html.push_str("<main>\n");
    html.push_str(&claims_section(view));
    html.push_str(&heat_section(&maps, plots));
    html.push_str(&scalings_section(&scalings, plots));
    html.push_str(&sweeps_section(&sweeps, plots));
    for group in &groups {
        html.push_str(&group_section(view, group, plots));
    }
    html.push_str(&failovers.map_or_else(String::new, failover_section));
    for variant in view.variants() {
        html.push_str(&variant_section(view, variant, plots)?);
    }
    html.push_str(&reading_section());
    html.push_str(&validity_section(view));
    html.push_str(&machine_section(view));
    html.push_str(&format!("</main>\n<script>\n{SCRIPT}</script>\n</body>\n</html>\n"));
    Ok(html)
}

/// Escapes what HTML and XML would take for markup.
pub(super) fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

/// Escapes, and turns `words in backticks` into code.
pub(super) fn code_spans(text: &str) -> String {
    let mut html = String::new();
    for (k, part) in text.split('`').enumerate() {
        let part = escape(part);
        html.push_str(&if k % 2 == 1 { format!("<code>{part}</code>") } else { part });
    }
    html
}

/// `comparisons` are anchor and name of what compares cells over a parameter, and whether it is there.
fn navigation(
    view: &CampaignView,
    groups: &[Group<'_>],
    comparisons: &[(&str, &str, bool)],
) -> String {
    let mut html = String::from("<nav aria-label=\"Contents\">\n<ul>\n");
    let mut item = |anchor: &str, text: &str| {
        html.push_str(&format!("<li><a href=\"#{}\">{}</a></li>\n", escape(anchor), escape(text)));
    };
    item("claims", claims::TITLE);
    for (anchor, name, _) in comparisons.iter().filter(|(.., is_there)| *is_there) {
        item(anchor, name);
    }
    for group in groups {
        item(&group.key, &group.title);
    }
    for variant in view.variants() {
        item(&format!("variant-{variant}"), variant);
    }
    item("reading", "how to read the numbers");
    item("validity", "validity of each trial");
    item("machine", "the machine");
    html.push_str("</ul>\n</nav>\n");
    html
}

fn group_section(view: &CampaignView, group: &Group<'_>, plots: &Plots) -> String {
    let mut html = format!(
        "<section id=\"{}\">\n<h2>{}</h2>\n<p>{}. Press a column's name to sort by it.</p>\n",
        escape(&group.key),
        escape(&group.title),
        escape(group.fault.title())
    );
    html.push_str(&result_table(view, group));
    let notes = table::notes(&group.cells, &Column::ALL);
    if !notes.is_empty() {
        html.push_str(&format!("<p class=\"notes\">{}.</p>\n", escape(&notes.join("; "))));
    }
    html.push_str(&figure(plots, &comparison_name(&group.key)));
    html.push_str("</section>\n");
    html
}

fn result_table(view: &CampaignView, group: &Group<'_>) -> String {
    let mut html =
        String::from("<div class=\"scroll\">\n<table class=\"sortable\">\n<thead>\n<tr>\n");
    for column in Column::ALL {
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
        for column in Column::ALL {
            html.push_str(&table_cell(cell, effect, column));
        }
        html.push_str("</tr>\n");
    }
    html.push_str("</tbody>\n</table>\n</div>\n");
    html
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

fn heat_section(maps: &[HeatMap], plots: &Plots) -> String {
    if maps.is_empty() {
        return String::new();
    }
    let mut html = format!(
        "<section id=\"faults\">\n<h2>{}</h2>\n<p>{}.</p>\n",
        heat::TITLE,
        escape(heat::NOTE)
    );
    for map in maps {
        for of in Figure::ALL {
            html.push_str(&figure(plots, &heat_plot_name(map, of)));
        }
    }
    html.push_str("</section>\n");
    html
}

fn sweeps_section(sweeps: &[Sweep], plots: &Plots) -> String {
    if sweeps.is_empty() {
        return String::new();
    }
    let mut html = format!(
        "<section id=\"goodput-by-load\">\n<h2>{}</h2>\n<p>{}.</p>\n",
        sweep::TITLE,
        escape(sweep::NOTE)
    );
    for sweep in sweeps {
        html.push_str(&figure(plots, &load_plot_name(&sweep.key)));
        html.push_str(&variants_table(sweep.table()));
    }
    html.push_str("</section>\n");
    html
}

fn scalings_section(scalings: &[Scaling], plots: &Plots) -> String {
    if scalings.is_empty() {
        return String::new();
    }
    let mut html = format!(
        "<section id=\"instances\">\n<h2>{}</h2>\n<p>{}.</p>\n",
        scaling::TITLE,
        code_spans(scaling::NOTE)
    );
    for scaling in scalings {
        let sentence = escape(&scaling.control_sentence());
        html.push_str(&format!("<p><strong>{sentence}.</strong></p>\n"));
        html.push_str(&figure(plots, &scaling_plot_name(&scaling.key)));
        html.push_str(&variants_table(scaling.table()));
    }
    html.push_str("</section>\n");
    html
}

fn failover_section(table: (Vec<String>, Vec<Vec<String>>)) -> String {
    format!(
        "<section id=\"servers-back\">\n<h2>{}</h2>\n<p>{}.</p>\n{}</section>\n",
        failover::TITLE,
        code_spans(failover::NOTE),
        variants_table(table)
    )
}

/// A table whose rows begin with the name of a variant, and whose other columns are numbers.
fn variants_table((head, rows): (Vec<String>, Vec<Vec<String>>)) -> String {
    let line = |tag: &str, first: &str, entries: &[String]| {
        let entries = entries.iter().map(|it| format!("<{tag}>{}</{tag}>", escape(it)));
        format!("<tr>{first}{}</tr>\n", entries.collect::<String>())
    };
    let mut html = String::from("<div class=\"scroll\">\n<table class=\"narrow\">\n<thead>\n");
    html.push_str(&line(
        "th",
        &format!("<th class=\"text\">{}</th>", escape(&head[0])),
        &head[1..],
    ));
    html.push_str("</thead>\n<tbody>\n");
    for row in &rows {
        let name = escape(&row[0]);
        let first = format!("<th scope=\"row\"><a href=\"#variant-{name}\">{name}</a></th>");
        html.push_str(&line("td", &first, &row[1..]));
    }
    html.push_str("</tbody>\n</table>\n</div>\n");
    html
}

/// A plot, or nothing when it was not drawn.
fn figure(plots: &Plots, name: &str) -> String {
    plots.svgs.get(name).map_or_else(String::new, |svg| {
        format!("<figure id=\"{}\">\n{svg}</figure>\n", escape(name))
    })
}

fn variant_section(
    view: &CampaignView,
    variant: &str,
    plots: &Plots,
) -> Result<String, RenderError> {
    let cells: Vec<(&CellSummary, &CellView)> =
        view.cells().filter(|(cell, _)| cell.variant == variant).collect();
    let name = escape(variant);
    let mut html = format!("<section id=\"variant-{name}\">\n<h2>{name}</h2>\n");
    match view.resolved(variant).zip(claims::of_variant(view, variant)) {
        Some((resolved, claims)) => {
            html.push_str(&claims_part(&claims));
            let settings = own_settings(resolved)?;
            html.push_str(&if settings.is_empty() {
                "<p>Settings: all as shipped.</p>\n".to_owned()
            } else {
                format!(
                    "<p>Settings that are not as shipped, those of its bases included:</p>\n\
                     <pre>{}</pre>\n",
                    escape(settings.trim_end())
                )
            });
        }
        None => html.push_str("<p>No trial was run.</p>\n"),
    }
    for (cell, _) in &cells {
        html.push_str(&cell_part(cell, plots));
    }
    html.push_str("</section>\n");
    Ok(html)
}

fn cell_part(cell: &CellSummary, plots: &Plots) -> String {
    let key = cell_key(cell);
    let mut html = format!(
        "<h3 id=\"{}\">{} under {}</h3>\n<p>{}</p>\n",
        escape(&key),
        escape(&cell.variant),
        escape(&group_title(cell)),
        escape(&certainty_sentences(cell))
    );
    let (timeline, distribution) = (timeline_name(&key), distribution_name(&key));
    html.push_str(&figure(plots, &timeline));
    html.push_str(&figure(plots, &distribution));
    if !plots.svgs.contains_key(&timeline) {
        html.push_str("<p class=\"notes\">No plots: no trial was run.</p>\n");
    }
    html.push_str(&format!(
        "<p class=\"soft\"><a href=\"#{}\">Compare with the other variants</a></p>\n",
        escape(&group_key(cell))
    ));
    html
}

/// The cell's goodput ratio, and how sure one can be of it and of the recovery: nothing below two
/// valid trials.
fn certainty_sentences(cell: &CellSummary) -> String {
    let Some(ratio) = cell.goodput_ratio_fault else {
        return "No valid trial.".into();
    };
    let ratio = numbers::ratio(ratio);
    let trials: Vec<f64> = cell.goodput_ratio_fault_trials.iter().copied().flatten().collect();
    let Some(goodput) = median_interval(&trials) else {
        return format!("Goodput ratio {ratio}, of one trial.");
    };
    let n_valid = cell.n_trials - cell.n_invalid;
    let recovered = wilson_interval(cell.n_recovered as usize, n_valid as usize);
    let recovered = recovered.map_or_else(String::new, |it| {
        let (low, high) = (numbers::ratio(it.low), numbers::ratio(it.high));
        format!(" Recovered in {} of {n_valid} (95 %: {low} to {high}).", cell.n_recovered)
    });
    format!(
        "Goodput ratio {ratio}, between {} and {} in {n_valid} trials, which holds the true median \
         with {:.0} % confidence.{recovered}",
        numbers::ratio(goodput.low),
        numbers::ratio(goodput.high),
        goodput.confidence * 100.0
    )
}

fn reading_section() -> String {
    let mut html = String::from(
        "<section id=\"reading\">\n<h2>How to read the numbers</h2>\n\
         <p>Every variant saw the same arrivals and the same fault. Arrivals do not wait for \
         answers (open loop), and every time is counted from when a request was due, so a stalled \
         service cannot hide its stall. Load factor 1 is what the database sustains without its \
         cache. Figures are medians over valid trials; each trial is a dot in the comparison.</p>\n\
         <dl>\n",
    );
    for column in Column::ALL {
        html.push_str(&format!(
            "<dt>{}</dt><dd>{}</dd>\n",
            escape(column.name()),
            code_spans(column.meaning())
        ));
    }
    html.push_str(&format!(
        "<dt id=\"found\">found</dt><dd>{}.</dd>\n",
        code_spans(&found::rule())
    ));
    html.push_str("</dl>\n</section>\n");
    html
}

fn validity_section(view: &CampaignView) -> String {
    let mut html = String::from(
        "<section id=\"validity\">\n<h2>Validity of each trial</h2>\n<div class=\"scroll\">\n\
         <table>\n<thead>\n<tr><th class=\"text\" scope=\"col\">cell</th>\
         <th scope=\"col\">trial</th><th scope=\"col\">attempt</th>\
         <th scope=\"col\">goodput ratio</th><th class=\"text\" scope=\"col\">valid</th>\
         <th scope=\"col\">machine stood still</th>\
         <th class=\"text\" scope=\"col\">reasons</th></tr>\n</thead>\n<tbody>\n",
    );
    for trial in facts::trials(view) {
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
    html.push_str("</tbody>\n</table>\n</div>\n</section>\n");
    html
}

fn machine_section(view: &CampaignView) -> String {
    let mut html =
        String::from("<section id=\"machine\">\n<h2>The machine, and the calibration</h2>\n<dl>\n");
    for (name, fact) in facts::machine(view) {
        html.push_str(&format!("<dt>{}</dt><dd>{}</dd>\n", escape(name), escape(&fact)));
    }
    html.push_str("</dl>\n</section>\n");
    html
}
