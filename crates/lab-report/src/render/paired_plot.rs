//! One figure of two versions, pair by pair: how many times as bad the judged version was.

use lab_core::{
    artifact::gate::{FigureComparison, GatePairs, Side},
    scenario::GateFigure,
};
use plotters::{
    prelude::*,
    style::{RGBColor, text_anchor::HPos},
};

use super::{
    canvas::{
        BLUE, DrawResult, INK, LegendEntry, ORANGE, Plot, SOFT_INK, Sheet, VERMILLION, anchored,
        heading, lettering,
    },
    frame::{Axis, Frame, LEVEL_TO_NAME, Scale, TEXT_SIZE},
    paired::times,
};
use crate::analysis::paired::figures::worsening;

/// Up to this range of factors the axis is linear: a logarithmic one would have a single label.
const LINEAR_RANGE_MAX: f64 = 3.0;
/// Share of the width that the name of the estimate takes, at its right end, where no point may be.
const ESTIMATE_NAME_SHARE: f64 = 0.15;
/// Half the height, in pixels, that the name of a level takes.
const HALF_NAME: i32 = 7;

/// What the picture shows.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct PairedPlot {
    title: String,
    circumstances: String,
    figure: GateFigure,
    /// Number of the pair from 1, how many times as bad, and which version went first.
    points: Vec<(f64, f64, Side)>,
    estimate: f64,
    interval: Option<[f64; 2]>,
    /// How many times as bad is allowed; `None` for a figure that does not decide.
    allowed: Option<f64>,
}

impl PairedPlot {
    /// Of one figure of a comparison.
    pub(super) fn of(file: &GatePairs, comparison: &FigureComparison) -> Self {
        let subject = &file.subject;
        let figure = comparison.figure;
        let points = file.pairs.iter().filter_map(|pair| {
            let factor = worsening(pair, figure, subject.gate.machine)?.log_factor.exp();
            Some((f64::from(pair.pair + 1), factor, pair.first))
        });
        let margin = subject.gate.figures.iter().find(|it| it.figure == figure);
        Self {
            title: format!("{}: how many times as bad", figure.title()),
            circumstances: format!(
                "{} against {}; {} under {}",
                subject.head, subject.reference, subject.cell.variant, subject.cell.fault
            ),
            figure,
            points: points.collect(),
            estimate: comparison.worse_factor,
            interval: comparison.worse_factor_interval,
            allowed: margin.map(|it| it.factor),
        }
    }

    fn frame(&self) -> Frame {
        let factors = self.points.iter().map(|it| it.1);
        let shown = factors.chain([1.0, self.estimate]).chain(self.allowed);
        let (low, high) =
            shown.fold((f64::MAX, f64::MIN), |(low, high), it| (low.min(it), high.max(it)));
        let scale = if high / low < LINEAR_RANGE_MAX { Scale::Linear } else { Scale::Log };
        let room = (high / low).powf(0.08);
        let n = self.points.iter().map(|it| it.0).fold(1.0, f64::max);
        let to = (n + 0.5) / (1.0 - ESTIMATE_NAME_SHARE);
        Frame {
            x: Axis { scale: Scale::Linear, from: 0.0, to, start: 84, end: 764 },
            y: Axis { scale, from: low / room, to: high * room, start: 340, end: 96 },
        }
    }

    /// The levels that the points are held against, named where the names have room.
    fn levels<DB: DrawingBackend>(&self, sheet: &Sheet<DB>, frame: &Frame) -> DrawResult<DB> {
        let allowed = self.allowed.map(|it| (it, format!("allowed {}", times(it))));
        let levels: Vec<(f64, String)> =
            allowed.into_iter().chain([(1.0, "as good".to_owned())]).collect();
        let heights = levels.iter().map(|it| it.0).chain([self.estimate]);
        let mut taken = vec![(i32::MIN, frame.y.end), (frame.y.start, i32::MAX)];
        taken.extend(heights.map(|it| frame.y.to_px(it)).map(|y| (y, y)));
        for (level, name) in levels {
            frame.level_line(sheet, level)?;
            if let Some(middle) = name_beside(frame.y.to_px(level), &taken) {
                frame.level_name(sheet, &name, middle)?;
                taken.push(name_span(middle));
            }
        }
        Ok(())
    }

    fn estimate<DB: DrawingBackend>(&self, sheet: &Sheet<DB>, frame: &Frame) -> DrawResult<DB> {
        let (x, y) = (frame.x.end, frame.y.to_px(self.estimate));
        let ends = vec![(frame.x.start, y), (x, y)];
        sheet.draw(&PathElement::new(ends, VERMILLION.stroke_width(2)))?;
        if let Some([low, high]) = self.interval {
            let bar = vec![(x, frame.y.to_px(low)), (x, frame.y.to_px(high))];
            sheet.draw(&PathElement::new(bar, VERMILLION.stroke_width(6)))?;
        }
        let name = format!("estimate {}", times(self.estimate));
        sheet.draw_text(&name, &anchored(TEXT_SIZE, VERMILLION, HPos::Right), (x - 8, y - 10))
    }
}

/// Height of the middle of a name beside its line: above it, else below, clear of all that is
/// `taken`; `None` where neither has room.
fn name_beside(line: i32, taken: &[(i32, i32)]) -> Option<i32> {
    [line - LEVEL_TO_NAME, line + LEVEL_TO_NAME].into_iter().find(|middle| {
        let (top, bottom) = name_span(*middle);
        taken.iter().all(|(from, to)| *to < top || *from > bottom)
    })
}

fn name_span(middle: i32) -> (i32, i32) {
    (middle - HALF_NAME, middle + HALF_NAME)
}

/// Label of a tick, whose value is round.
fn tick(factor: f64) -> String {
    // Steps of the axis are added up, which leaves the last digits wrong.
    format!("{}×", (factor * 1e6).round() / 1e6)
}

fn color(first: Side) -> RGBColor {
    match first {
        Side::Head => BLUE,
        Side::Reference => ORANGE,
    }
}

impl Plot for PairedPlot {
    fn description(&self) -> String {
        format!("{}; {}", self.title, self.circumstances)
    }

    fn height(&self) -> u32 {
        400
    }

    fn draw<DB: DrawingBackend>(&self, sheet: &Sheet<DB>) -> DrawResult<DB> {
        heading(sheet, &self.title, &self.circumstances)?;
        let frame = self.frame();
        frame.y_ticks(sheet, &frame.y.ticks(7), tick)?;
        let numbers: Vec<f64> = self.points.iter().map(|it| it.0).collect();
        frame.x_ticks(sheet, &numbers, |it| format!("{it:.0}"))?;
        self.levels(sheet, &frame)?;
        self.estimate(sheet, &frame)?;
        for (number, factor, first) in &self.points {
            let point = frame.point((*number, *factor));
            sheet.draw(&Circle::new(point, 5, color(*first).filled()))?;
        }
        frame.axis_lines(sheet)?;
        let entries =
            Side::ALL.map(|it| LegendEntry { name: format!("{it} went first"), color: color(it) });
        frame.head(sheet, "Times as bad", &entries)?;
        let centre = ((frame.x.start + frame.x.end) / 2, frame.y.start + 38);
        sheet.draw_text("pair", &anchored(TEXT_SIZE, SOFT_INK, HPos::Center), centre)?;
        let better = if self.figure.is_better_when_high() { "lower" } else { "higher" };
        let note = format!("above 1× the figure itself is {better}");
        sheet.draw_text(&note, &lettering(TEXT_SIZE - 1, INK), (14, frame.y.start + 38))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tick_is_labelled_with_its_round_value() {
        let ticks = [0.1 + 0.2, 1.0, 1.05, 100.0];
        assert_eq!(ticks.map(tick), ["0.3×", "1×", "1.05×", "100×"]);
    }

    #[test]
    fn a_level_is_named_above_else_below_else_not_at_all() {
        let line = 100;
        assert_eq!(name_beside(line, &[(line, line)]), Some(91));
        assert_eq!(name_beside(line, &[(90, 90), (line, line)]), Some(109), "a line above");
        assert_eq!(name_beside(line, &[(90, 90), (110, 110)]), None, "lines on both sides");
        assert_eq!(name_beside(line, &[name_span(80)]), Some(109), "a name above");
        assert_eq!(name_beside(line, &[name_span(76)]), Some(91), "a name that is far enough");
    }

    #[test]
    fn the_last_point_is_left_of_the_name_of_the_estimate() {
        for n_pairs in [1_u32, 8, 12, 16] {
            let points = (1..=n_pairs).map(|it| (f64::from(it), 1.1, Side::Head)).collect();
            let plot = PairedPlot {
                title: String::new(),
                circumstances: String::new(),
                figure: GateFigure::ServedRatio,
                points,
                estimate: 1.1,
                interval: None,
                allowed: None,
            };
            let axis = plot.frame().x;
            let name_at = axis.end - 8 - 92;
            assert!(axis.to_px(f64::from(n_pairs)) + 5 <= name_at, "{n_pairs}");
        }
    }
}
