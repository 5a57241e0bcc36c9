//! How product response times are spread in each phase: how many users waited how long.

use lab_core::scenario::Phase;
use plotters::{
    prelude::*,
    style::{RGBColor, text_anchor::HPos},
};

use super::{
    canvas::{
        DrawResult, INK, LegendEntry, Plot, SKY, SOFT_INK, Sheet, VERMILLION, anchored, heading,
    },
    frame::{Axis, Frame, Scale, TEXT_SIZE, round_down},
    numbers,
};

/// Quantiles at which the x axis is labelled, and how.
const X_TICKS: [(f64, &str); 6] = [
    (0.0, "fastest"),
    (0.5, "50 %"),
    (0.9, "90 %"),
    (0.99, "99 %"),
    (0.999, "99.9 %"),
    (LAST_QUANTILE, "99.99 %"),
];

/// Where the x axis ends.
pub(super) const LAST_QUANTILE: f64 = 0.9999;

/// What the picture shows.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct DistributionPlot {
    /// What it is.
    pub(super) title: String,
    /// Which trials are in it.
    pub(super) circumstances: String,
    /// Per phase: pairs of quantile (0 to 1) and response time in ms, both rising.
    pub(super) phases: Vec<(Phase, Vec<(f64, f64)>)>,
    /// A success later than this is a failure.
    pub(super) deadline_ms: f64,
}

/// Colour and width of a phase's line. Later phases are narrower, so that equal lines all show.
fn phase_style(phase: Phase) -> (RGBColor, u32) {
    match phase {
        Phase::Warmup | Phase::Baseline | Phase::Drain => (SKY, 8),
        Phase::Fault => (VERMILLION, 4),
        Phase::Recovery => (INK, 2),
    }
}

/// Position of quantile `q` on the x axis: −log10(1 − q), so that 90 %, 99 % and 99.9 % are
/// equally far apart.
fn nines(q: f64) -> f64 {
    -(1.0 - q).log10()
}

impl DistributionPlot {
    fn frame(&self) -> Frame {
        let times = || self.phases.iter().flat_map(|(_, points)| points.iter().map(|(_, ms)| *ms));
        let lowest = times().filter(|ms| 0.0 < *ms).fold(self.deadline_ms, f64::min);
        let highest = times().fold(self.deadline_ms, f64::max);
        Frame {
            x: Axis {
                scale: Scale::Linear,
                from: 0.0,
                to: nines(LAST_QUANTILE),
                start: 74,
                end: 764,
            },
            y: Axis {
                scale: Scale::Log,
                from: round_down(lowest),
                to: highest * 2.5,
                start: 370,
                end: 96,
            },
        }
    }
}

impl Plot for DistributionPlot {
    fn description(&self) -> String {
        format!("{}; {}", self.title, self.circumstances)
    }

    fn height(&self) -> u32 {
        430
    }

    fn draw<DB: DrawingBackend>(&self, sheet: &Sheet<DB>) -> DrawResult<DB> {
        heading(sheet, &self.title, &self.circumstances)?;
        let frame = self.frame();
        frame.y_ticks(sheet, &frame.y.ticks(7), numbers::milliseconds)?;
        let ticks = X_TICKS.map(|(q, _)| nines(q));
        frame.x_ticks(sheet, &ticks, |at| {
            let nearest = X_TICKS
                .iter()
                .min_by(|(a, _), (b, _)| (nines(*a) - at).abs().total_cmp(&(nines(*b) - at).abs()));
            nearest.map_or_else(String::new, |(_, label)| (*label).to_owned())
        })?;
        let deadline = format!("deadline {}", numbers::milliseconds(self.deadline_ms));
        frame.level(sheet, self.deadline_ms, &deadline)?;
        let mut entries = Vec::new();
        for (phase, points) in &self.phases {
            let (color, width) = phase_style(*phase);
            let line: Vec<(f64, Option<f64>)> =
                points.iter().map(|(q, ms)| (nines(*q), Some(*ms))).collect();
            frame.line(sheet, &line, color.stroke_width(width))?;
            entries.push(LegendEntry { name: phase.name().into(), color });
        }
        frame.axis_lines(sheet)?;
        frame.head(sheet, "Product response time, log scale", &entries)?;
        let style = anchored(TEXT_SIZE, SOFT_INK, HPos::Center);
        let name = "share of requests that took at most so long";
        sheet.draw_text(name, &style, ((frame.x.start + frame.x.end) / 2, frame.y.start + 38))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_nine_is_one_step_to_the_right() {
        for (q, want) in [(0.0, 0.0), (0.9, 1.0), (0.99, 2.0), (0.999, 3.0)] {
            assert!((nines(q) - want).abs() < 1e-9);
        }
    }
}
