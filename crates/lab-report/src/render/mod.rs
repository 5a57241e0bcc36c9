//! From figures to what people look at: tables, plots and the page.
//!
//! Pure: bytes go out, nothing is read or written, no clock is asked. The same view gives the same
//! bytes, so a committed report can be compared with a rebuilt one. No figure is computed here;
//! what is shown was computed by the analysis.

mod canvas;
mod claims;
mod claims_html;
mod comparison_plot;
mod distribution;
mod distribution_plot;
mod enlarged;
mod facts;
mod failover;
mod findings;
mod found;
mod frame;
mod gate;
mod heat;
mod heat_plot;
mod html;
mod known_gates;
mod known_results;
mod load_plot;
mod markdown;
mod marks;
mod numbers;
mod paired;
mod paired_plot;
mod playbook;
mod plots;
mod positive_control;
mod questions;
mod ranking;
mod scaling;
mod scaling_plot;
mod settings;
mod sweep;
mod table;
mod terminal;
#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;
mod timeline;
mod timeline_plot;
mod view;

use std::{collections::BTreeMap, path::PathBuf};

pub use gate::{GateFormat, gate_report};
pub use known_gates::{known_gates_report, known_gates_table};
pub use known_results::{known_results_report, known_results_tables, stored_false_alarm_line};
pub use markdown::readme_table;
pub use paired::{paired_files, paired_report};
pub use playbook::playbook;
pub use terminal::terminal_table;
pub use view::{CampaignView, CellView, TrialView};

/// A report that cannot be drawn.
#[derive(Debug, thiserror::Error)]
pub enum RenderError {
    /// The view has no trials for some cells, or trials for none.
    #[error("the summary has {n_summaries} cells, the view has {n_views}")]
    CellsDoNotMatch {
        /// Cells in `summary.variants`.
        n_summaries: usize,
        /// Cells in the view.
        n_views: usize,
    },
    /// The plotting library gave up.
    #[error("draw `{plot}`: {reason}")]
    Plot {
        /// What was being drawn.
        plot: String,
        /// What the library says.
        reason: String,
    },
    /// A picture could not be encoded.
    #[error("encode a PNG")]
    Png(#[from] png::EncodingError),
    /// A variant's settings cannot be written as TOML.
    #[error("write the settings of `{variant}` as TOML")]
    Settings {
        /// The variant.
        variant: String,
        /// What is wrong.
        #[source]
        source: toml::ser::Error,
    },
}

/// Draws the whole report: every file below the campaign's folder, by its relative path:
/// `report.md`, `report.html` and `plots/*`.
///
/// **Errors**: [`RenderError`]; figures that do not exist are no error but shown as missing.
pub fn render_campaign(view: &CampaignView) -> Result<BTreeMap<PathBuf, Vec<u8>>, RenderError> {
    let (n_summaries, n_views) = (view.summary.variants.len(), view.cells.len());
    if n_summaries != n_views {
        return Err(RenderError::CellsDoNotMatch { n_summaries, n_views });
    }
    let plots = plots::draw_all(view)?;
    let page = html::page(view, &plots)?;
    let mut files: BTreeMap<PathBuf, Vec<u8>> = BTreeMap::new();
    files.insert("report.md".into(), markdown::report(view, &plots).into_bytes());
    files.insert("report.html".into(), page.into_bytes());
    for (name, svg) in plots.svgs {
        files.insert(format!("plots/{name}.svg").into(), svg.into_bytes());
    }
    for (name, bytes) in plots.pngs {
        files.insert(format!("plots/{name}.png").into(), bytes);
    }
    Ok(files)
}
