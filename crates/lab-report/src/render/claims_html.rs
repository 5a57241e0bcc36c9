//! The parts of the page that set what the strategy claimed beside what was found.

use super::{
    claims::{self, ClaimRow, FoundCell, Try, VariantClaims},
    found::Word,
    html::{code_spans, escape, scrolling, section_head},
    questions::{self, Question},
    view::CampaignView,
};

/// The table of claims.
pub(super) fn claims_section(view: &CampaignView) -> String {
    let rows = claims::rows(view);
    let mut html = section_head(Question::Claims, &questions::claims(&rows));
    if rows.is_empty() {
        html.push_str("</section>\n");
        return html;
    }
    html.push_str(&format!(
        "<p>{}. <a href=\"#found\">The rule for the word</a>.</p>\n",
        code_spans(&claims::note(&rows))
    ));
    html.push_str(&scrolling("claims and findings", &claims_table(&rows)));
    html.push_str("</section>\n");
    html
}

fn claims_table(rows: &[ClaimRow<'_>]) -> String {
    let mut html = String::from("<table class=\"claims\">\n<thead>\n<tr>");
    for head in claims::HEADS {
        html.push_str(&format!("<th class=\"text\" scope=\"col\">{head}</th>"));
    }
    html.push_str("</tr>\n</thead>\n<tbody>\n");
    for row in rows {
        for (k, tried) in row.tries.iter().enumerate() {
            html.push_str("<tr>");
            if k == 0 {
                let n_rows = row.tries.len();
                html.push_str(&format!(
                    "<th scope=\"row\" rowspan=\"{n_rows}\">{}</th>\
                     <td class=\"text\" rowspan=\"{n_rows}\">{}</td>",
                    escape(row.id),
                    escape(row.text)
                ));
            }
            html.push_str(&try_cells(tried));
            html.push_str("</tr>\n");
        }
    }
    html.push_str("</tbody>\n</table>\n");
    html
}

/// A variant that tries a row of the strategy, and what was found of it.
fn try_cells(tried: &Try<'_>) -> String {
    let name = escape(tried.variant);
    let others = match tried.others.as_slice() {
        [] => String::new(),
        others => {
            format!("<br><span class=\"soft\">with {}</span>", escape(&others.join(", ")))
        }
    };
    let found: Vec<String> = tried
        .found
        .iter()
        .map(|it| {
            let cells = it.cells.iter();
            let cells = cells.map(|it| format!("<span class=\"item\">{}</span>", escape(it)));
            let cells = cells.collect::<Vec<_>>().join(", ");
            format!("{}{}: {cells}", word_span(&it.word), escape(&it.share))
        })
        .collect();
    let found = if found.is_empty() { "a control".to_owned() } else { found.join("<br>") };
    format!(
        "<td class=\"text\"><a class=\"item\" href=\"#variant-{name}\">{name}</a>{others}</td>\
         <td class=\"text\">{found}</td>"
    )
}

fn word_span(word: &Word) -> String {
    format!("<span class=\"{}\">{}</span>", word.class, escape(&word.text))
}

/// What the strategy claimed of a variant, what its author expected, and what was found.
pub(super) fn claims_part(of: &VariantClaims<'_>) -> String {
    let claimed: Vec<String> = of
        .claims
        .iter()
        .map(|(id, text)| format!("<b>{}</b> {}.", escape(id), escape(text)))
        .collect();
    let claimed =
        if claimed.is_empty() { format!("{}.", claims::NO_CLAIM) } else { claimed.join("<br>") };
    let found = match of.base {
        None => format!("{}.", claims::CONTROL_FOUND),
        Some(base) => {
            let base = escape(base);
            let cells: String = of.found.iter().map(found_item).collect();
            format!(
                "Against <a href=\"#variant-{base}\">{base}</a>, on the same arrivals:\
                 <ul>\n{cells}</ul>"
            )
        }
    };
    let servers: String = of
        .servers
        .iter()
        .map(|(name, sentence)| format!("<dt>{name}</dt><dd>{}.</dd>\n", escape(sentence)))
        .collect();
    format!(
        "<p>{}.</p>\n<dl>\n<dt>Claimed</dt><dd>{claimed}</dd>\n<dt>Expected</dt><dd>{}</dd>\n\
         {servers}<dt>Found</dt><dd>{found}</dd>\n</dl>\n",
        escape(of.title),
        escape(of.hypothesis)
    )
}

fn found_item(found: &FoundCell) -> String {
    let restored = found.restored.as_ref().map_or_else(String::new, |it| format!(" {it}."));
    format!(
        "<li><a href=\"#{}\">{}</a>: {}. {}.{}</li>\n",
        escape(&found.key),
        escape(&found.cell),
        word_span(&found.word),
        escape(&found.sentence),
        escape(&restored)
    )
}
