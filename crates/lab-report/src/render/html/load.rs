//! How the figures change with what is offered, and with the number of instances.

use super::{code_spans, escape, figure, scrolling, section_head};
use crate::render::{
    plots::{Plots, load_plot_name, scaling_plot_name},
    questions::{self, Question},
    scaling::{self, Scaling},
    sweep::{self, Sweep},
    view::CampaignView,
};

/// Goodput against offered load, where there are loads to compare.
pub(super) fn load_section(view: &CampaignView, sweeps: &[Sweep], plots: &Plots) -> String {
    let mut html = section_head(Question::Load, &questions::load(view, sweeps));
    if !sweeps.is_empty() {
        html.push_str(&format!(
            "<h3 id=\"goodput-by-load\">{}</h3>\n<p>{}.</p>\n",
            sweep::TITLE,
            escape(sweep::NOTE)
        ));
    }
    for sweep in sweeps {
        html.push_str(&figure(plots, &load_plot_name(&sweep.key)));
        html.push_str(&variants_table(&sweep.title, sweep.table()));
    }
    html.push_str("</section>\n");
    html
}

/// What more instances bring; nothing when none was measured with several numbers of them.
pub(super) fn scalings_section(scalings: &[Scaling], plots: &Plots) -> String {
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
        html.push_str(&format!("<p class=\"answer\">{sentence}.</p>\n"));
        html.push_str(&figure(plots, &scaling_plot_name(&scaling.key)));
        html.push_str(&variants_table(&scaling.title, scaling.table()));
    }
    html.push_str("</section>\n");
    html
}

/// A table whose rows begin with the name of a variant, and whose other columns are numbers.
pub(super) fn variants_table(label: &str, (head, rows): (Vec<String>, Vec<Vec<String>>)) -> String {
    let column = |it: &String| format!("<th scope=\"col\">{}</th>", escape(it));
    let mut html = format!(
        "<table class=\"narrow\">\n<thead>\n<tr><th class=\"text\" scope=\"col\">{}</th>{}</tr>\n\
         </thead>\n<tbody>\n",
        escape(&head[0]),
        head[1..].iter().map(column).collect::<String>()
    );
    for row in &rows {
        let name = escape(&row[0]);
        let entries = row[1..].iter().map(|it| format!("<td>{}</td>", escape(it)));
        html.push_str(&format!(
            "<tr><th scope=\"row\"><a href=\"#variant-{name}\">{name}</a></th>{}</tr>\n",
            entries.collect::<String>()
        ));
    }
    html.push_str("</tbody>\n</table>\n");
    scrolling(label, &html)
}
