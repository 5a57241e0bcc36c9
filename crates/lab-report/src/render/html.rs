//! `report.html`: one page that works offline, with everything in it.
//!
//! This file has the frame of the page and each variant's own section; what answers a question
//! across variants is below `html/`, and the claims are in `claims_html`.

mod certainty;
mod load;
mod serving;

use lab_core::artifact::summary::CellSummary;

use super::{
    RenderError, claims,
    claims_html::{claims_part, claims_section},
    facts, failover, found,
    heat::{self, HeatMap},
    plots::{Plots, distribution_name, timeline_name},
    questions::Question,
    ranking::{self, Group, cell_key, group_key, group_title},
    scaling::{self, Scaling},
    settings::own_settings,
    sweep::{self, Sweep},
    table::Column,
    view::{CampaignView, CellView},
};

const CSS: &str = include_str!("../../assets/page.css");
const SCRIPT: &str = include_str!("../../assets/page.js");

/// What stands over the variants' own sections.
const VARIANTS_TITLE: &str = "Each variant: claimed, expected, found";
/// What stands over the meaning of the columns.
const READING_TITLE: &str = "How to read the numbers";

/// The whole page. **Errors**: [`RenderError::Settings`].
pub(super) fn page(view: &CampaignView, plots: &Plots) -> Result<String, RenderError> {
    let summary = &view.summary;
    let shown = Shown {
        groups: ranking::groups(summary),
        maps: heat::heat_maps(view),
        sweeps: sweep::sweeps(view),
        scalings: scaling::scalings(view),
        failovers: failover::table(view),
    };
    let Shown { groups, maps, sweeps, scalings, failovers } = &shown;
    let mut html = head(view);
    html.push_str(&navigation(view, &shown));
    html.push_str("<main id=\"main\" tabindex=\"-1\">\n");
    html.push_str(&serving::nothing_section(view, plots));
    html.push_str(&serving::serving_section(view, groups, maps, plots));
    html.push_str(&serving::failovers_section(failovers.as_ref()));
    html.push_str(&serving::pressure_section(view, groups, maps, plots));
    html.push_str(&load::load_section(view, sweeps, plots));
    html.push_str(&load::scalings_section(scalings, plots));
    html.push_str(&claims_section(view));
    html.push_str(&certainty::certainty_section(view));
    html.push_str(&format!("<h2 id=\"variants\">{VARIANTS_TITLE}</h2>\n"));
    for variant in view.variants() {
        html.push_str(&variant_section(view, variant, plots)?);
    }
    html.push_str(&reading_section());
    html.push_str(&format!("</main>\n<script>\n{SCRIPT}</script>\n</body>\n</html>\n"));
    Ok(html)
}

/// What of a campaign can be set side by side.
struct Shown<'a> {
    groups: Vec<Group<'a>>,
    maps: Vec<HeatMap>,
    sweeps: Vec<Sweep>,
    scalings: Vec<Scaling>,
    failovers: Option<failover::Table>,
}

/// The page up to its contents: the campaign, and its result in one sentence.
fn head(view: &CampaignView) -> String {
    let summary = &view.summary;
    let title = escape(&summary.campaign);
    let mut html = format!(
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <title>{title} – outage-lab</title>\n<style>\n{CSS}</style>\n</head>\n<body>\n\
         <a class=\"skip\" href=\"#main\">Skip the contents</a>\n\
         <header>\n<h1>{title}</h1>\n<p class=\"lead\">{}</p>\n",
        code_spans(&ranking::headline(summary))
    );
    if summary.partial {
        html.push_str(&format!("<p class=\"warning\">{}</p>\n", facts::PARTIAL));
    }
    html.push_str("</header>\n");
    html
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

/// Opens the section that answers `question`, with the answer in a sentence.
pub(super) fn section_head(question: Question, answer: &str) -> String {
    format!(
        "<section id=\"{}\">\n<h2>{}</h2>\n<p class=\"answer\">{}</p>\n",
        question.anchor(),
        question.text(),
        code_spans(answer)
    )
}

/// A table that scrolls sideways by itself where the window is narrow, with the keyboard too.
pub(super) fn scrolling(label: &str, table: &str) -> String {
    format!(
        "<div class=\"scroll\" role=\"region\" aria-label=\"{}\" tabindex=\"0\">\n{table}</div>\n",
        escape(label)
    )
}

/// The questions in their order, and below each what it is answered for.
fn navigation(view: &CampaignView, shown: &Shown<'_>) -> String {
    let link = |(anchor, text): (&str, &str)| {
        format!("<a href=\"#{}\">{}</a>", escape(anchor), escape(text))
    };
    let item = |it: (&str, &str), below: &[(String, &str)]| {
        let below: String = below
            .iter()
            .map(|(anchor, text)| format!("<li>{}</li>\n", link((anchor, text))))
            .collect();
        let below = if below.is_empty() { below } else { format!("\n<ul>\n{below}</ul>\n") };
        format!("<li>{}{below}</li>\n", link(it))
    };
    let groups = |prefix: &str| -> Vec<(String, &str)> {
        shown.groups.iter().map(|it| (format!("{prefix}{}", it.key), it.title.as_str())).collect()
    };
    let mut html = String::from("<nav aria-label=\"Contents\">\n<ol>\n");
    for question in Question::ALL {
        let below = match question {
            Question::Serving => groups(""),
            Question::Pressure => groups("pressure-"),
            Question::Load if !shown.sweeps.is_empty() => {
                vec![("goodput-by-load".to_owned(), sweep::TITLE)]
            }
            Question::Certainty => vec![
                ("validity".to_owned(), "validity of each trial"),
                ("machine".to_owned(), "the machine"),
            ],
            Question::Nothing | Question::Load | Question::Claims => Vec::new(),
        };
        html.push_str(&item((question.anchor(), question.text()), &below));
        if question == Question::Serving && shown.failovers.is_some() {
            html.push_str(&item(("servers-back", failover::TITLE), &[]));
        }
        if question == Question::Load && !shown.scalings.is_empty() {
            html.push_str(&item(("instances", scaling::TITLE), &[]));
        }
    }
    let variants: Vec<(String, &str)> =
        view.variants().into_iter().map(|it| (format!("variant-{it}"), it)).collect();
    html.push_str(&item(("variants", VARIANTS_TITLE), &variants));
    html.push_str(&item(("reading", READING_TITLE), &[]));
    html.push_str("</ol>\n</nav>\n");
    html
}

/// A plot, or nothing when it was not drawn.
fn figure(plots: &Plots, name: &str) -> String {
    plots.svgs.get(name).map_or_else(String::new, |svg| {
        format!("<figure id=\"{}\">\n{svg}</figure>\n", escape(name))
    })
}

/// A plot that has its own place elsewhere on the page.
fn figure_again(plots: &Plots, name: &str) -> String {
    plots.svgs.get(name).map_or_else(String::new, |svg| format!("<figure>\n{svg}</figure>\n"))
}

/// One variant: what was claimed, expected and found, its settings, and each of its cells.
fn variant_section(
    view: &CampaignView,
    variant: &str,
    plots: &Plots,
) -> Result<String, RenderError> {
    let cells: Vec<(&CellSummary, &CellView)> =
        view.cells().filter(|(cell, _)| cell.variant == variant).collect();
    let name = escape(variant);
    let mut html = format!("<section class=\"variant\" id=\"variant-{name}\">\n<h3>{name}</h3>\n");
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
        "<h4 id=\"{}\">{} under {}</h4>\n<p>{}</p>\n",
        escape(&key),
        escape(&cell.variant),
        escape(&group_title(cell)),
        escape(&certainty::certainty_sentences(cell))
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

fn reading_section() -> String {
    let mut html = format!(
        "<section id=\"reading\">\n<h2>{READING_TITLE}</h2>\n\
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
