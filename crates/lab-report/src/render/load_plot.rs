//! Goodput against offered load: a line for each variant, beside what the database alone can carry.

use plotters::{element::DashedPathElement, prelude::*, style::RGBColor};

use super::{
    canvas::{
        BLUE, DrawResult, GREEN, INK, ORANGE, PURPLE, Plot, SKY, SOFT_INK, Sheet, VERMILLION,
        anchored, heading, lettering, text_width,
    },
    frame::{Axis, Frame, Scale, TEXT_SIZE},
    numbers,
    sweep::{Series, Sweep, TITLE},
};
use crate::analysis::load_sweep::ideal_share;

/// Left edge and top of the frame.
const LEFT: i32 = 62;
const TOP: i32 = 96;
/// Where the lines end, and where their names begin.
const RIGHT: i32 = 530;
const NAMES: i32 = 578;
/// The frame is at least this high, and as much higher as the names need.
const FRAME_HEIGHT_MIN: i32 = 320;
const BELOW_FRAME: i32 = 62;
/// Height of a name.
pub(super) const NAME_HEIGHT: i32 = 18;
/// A larger span of loads is drawn on a log axis.
const LINEAR_SPAN_MAX: f64 = 4.0;
/// Pixels that the numbers below the axis keep between each other.
const TICK_GAP: i32 = 8;
/// Pixels over which the dots of one load are laid out.
const DOTS_WIDTH: i32 = 26;
/// Colours of the lines, one after the other. No yellow: it cannot be seen on white.
const COLORS: [RGBColor; 7] = [INK, BLUE, VERMILLION, GREEN, PURPLE, ORANGE, SKY];

/// The shape of a variant's dots; with the colour it tells 35 variants apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Shape {
    Circle,
    Square,
    Triangle,
    Diamond,
    /// A triangle that stands on its tip.
    Wedge,
}

/// The picture of one sweep.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct LoadPlot<'a> {
    /// What is drawn.
    pub(super) sweep: &'a Sweep,
}

impl LoadPlot<'_> {
    fn title(&self) -> String {
        format!("{TITLE}: {}", self.sweep.title)
    }

    fn circumstances(&self) -> String {
        format!(
            "product pages while the fault is on; C = {} requests/s; every trial is a dot, lines \
             join medians",
            numbers::three_digits(self.sweep.db_capacity_per_sec)
        )
    }

    fn bottom(&self) -> i32 {
        let n_names = i32::try_from(self.sweep.series.len() + 1).expect("there are few variants");
        TOP + FRAME_HEIGHT_MIN.max(n_names * NAME_HEIGHT)
    }

    fn frame(&self) -> Frame {
        let factors = self.sweep.load_factors();
        let (lowest, highest) = (factors[0], factors[factors.len() - 1]);
        let x = if highest <= LINEAR_SPAN_MAX * lowest {
            let margin = 0.06 * (highest - lowest);
            Axis {
                scale: Scale::Linear,
                from: lowest - margin,
                to: highest + margin,
                start: LEFT,
                end: RIGHT,
            }
        } else {
            let margin = (highest / lowest).powf(0.06);
            Axis {
                scale: Scale::Log,
                from: lowest / margin,
                to: highest * margin,
                start: LEFT,
                end: RIGHT,
            }
        };
        let trials = self.sweep.series.iter().flat_map(|it| &it.points).flat_map(|it| &it.trials);
        let to = trials.copied().fold(1.0, f64::max) * 1.06;
        let y = Axis { scale: Scale::Linear, from: 0.0, to, start: self.bottom(), end: TOP };
        Frame { x, y }
    }

    /// The ideal from one end of the axis to the other, with its bend at 1.
    fn ideal(frame: &Frame) -> Vec<(i32, i32)> {
        let Axis { scale, from, to, .. } = frame.x;
        let between = |k: u32| {
            let share = f64::from(k) / 40.0;
            match scale {
                Scale::Linear => from + share * (to - from),
                Scale::Log => from * (to / from).powf(share),
            }
        };
        let mut loads: Vec<f64> = (0..=40).map(between).collect();
        if from < 1.0 && 1.0 < to {
            loads.push(1.0);
        }
        loads.sort_by(f64::total_cmp);
        loads.into_iter().map(|load| frame.point((load, ideal_share(load)))).collect()
    }

    fn draw_ideal<DB: DrawingBackend>(&self, sheet: &Sheet<DB>, frame: &Frame) -> DrawResult<DB> {
        let line = Self::ideal(frame);
        sheet.draw(&DashedPathElement::new(line, 7, 5, SOFT_INK.stroke_width(2)))
    }

    fn draw_series<DB: DrawingBackend>(
        sheet: &Sheet<DB>,
        frame: &Frame,
        (series, aside): (&Series, i32),
    ) -> DrawResult<DB> {
        let (color, shape) = look(series.place);
        let medians: Vec<(f64, Option<f64>)> =
            series.points.iter().map(|it| (it.load_factor, Some(it.median))).collect();
        frame.line(sheet, &medians, color.stroke_width(2))?;
        for point in &series.points {
            for trial in &point.trials {
                let (x, y) = frame.point((point.load_factor, *trial));
                dot(sheet, (x + aside, y), shape, color)?;
            }
        }
        Ok(())
    }

    /// How many pixels the dots of the variant at `rank` stand beside their load, so that those of
    /// variants with the same values do not cover each other.
    fn aside(&self, rank: usize) -> i32 {
        let rank = i32::try_from(rank).expect("there are few variants");
        let n = i32::try_from(self.sweep.series.len()).expect("there are few variants");
        (2 * rank + 1 - n) * DOTS_WIDTH / (2 * n)
    }

    /// Writes the name of every line beside its end, with its value there.
    fn draw_names<DB: DrawingBackend>(&self, sheet: &Sheet<DB>, frame: &Frame) -> DrawResult<DB> {
        let ideal = frame.point((frame.x.to, ideal_share(frame.x.to)));
        let mut ends: Vec<(i32, Option<&Series>)> = vec![(ideal.1, None)];
        ends.extend(self.sweep.series.iter().map(|it| (frame.y.to_px(it.last().median), Some(it))));
        ends.sort_by_key(|(y, _)| *y);
        let wanted: Vec<i32> = ends.iter().map(|(y, _)| *y).collect();
        for ((y, series), at) in ends.iter().zip(spread(&wanted, (TOP, self.bottom()))) {
            let (color, end, text) = match series {
                Some(series) => {
                    let point = series.last();
                    let x = frame.x.to_px(point.load_factor);
                    let text = format!("{} {}", numbers::ratio(point.median), series.variant);
                    (look(series.place).0, x, text)
                }
                None => (SOFT_INK, ideal.0, "ideal: the dashed line".to_owned()),
            };
            let leader = vec![(end + 6, *y), (RIGHT + 8, *y), (NAMES - 20, at), (NAMES - 14, at)];
            sheet.draw(&PathElement::new(leader, color.mix(0.55)))?;
            if let Some(series) = series {
                dot(sheet, (NAMES - 8, at), look(series.place).1, color)?;
            }
            sheet.draw_text(&text, &lettering(TEXT_SIZE - 1, INK), (NAMES, at))?;
        }
        Ok(())
    }

    /// The load factors that were offered, and 1; those whose numbers would touch an earlier one
    /// are left out.
    fn ticks(&self, frame: &Frame) -> Vec<f64> {
        let half = |it: f64| text_width(&numbers::three_digits(it), TEXT_SIZE) / 2;
        let touch = |a: f64, b: f64| {
            (frame.x.to_px(a) - frame.x.to_px(b)).abs() < half(a) + half(b) + TICK_GAP
        };
        let mut ticks: Vec<f64> = Vec::new();
        for factor in self.sweep.load_factors().into_iter().chain([1.0]) {
            let is_inside = frame.x.from <= factor && factor <= frame.x.to;
            if is_inside && !ticks.iter().any(|it| touch(*it, factor)) {
                ticks.push(factor);
            }
        }
        ticks
    }
}

impl Plot for LoadPlot<'_> {
    fn description(&self) -> String {
        format!("{}; {}", self.title(), self.circumstances())
    }

    fn height(&self) -> u32 {
        u32::try_from(self.bottom() + BELOW_FRAME).expect("the sum is above 0")
    }

    fn draw<DB: DrawingBackend>(&self, sheet: &Sheet<DB>) -> DrawResult<DB> {
        let frame = self.frame();
        heading(sheet, &self.title(), &self.circumstances())?;
        frame.head(sheet, "Goodput, share of what the database carries", &[])?;
        frame.y_ticks(sheet, &frame.y.ticks(7), numbers::three_digits)?;
        frame.x_ticks(sheet, &self.ticks(&frame), numbers::three_digits)?;
        self.draw_ideal(sheet, &frame)?;
        for (rank, series) in self.sweep.series.iter().enumerate().rev() {
            Self::draw_series(sheet, &frame, (series, self.aside(rank)))?;
        }
        self.draw_names(sheet, &frame)?;
        frame.axis_lines(sheet)?;
        let scale = if frame.x.scale == Scale::Log { ", log scale" } else { "" };
        let name = format!("offered load, multiples of C{scale}");
        let style = anchored(TEXT_SIZE, SOFT_INK, plotters::style::text_anchor::HPos::Center);
        sheet.draw_text(&name, &style, ((LEFT + RIGHT) / 2, self.bottom() + 36))
    }
}

/// Colour and shape of the variant at `place` in the plan.
pub(super) fn look(place: usize) -> (RGBColor, Shape) {
    const SHAPES: [Shape; 5] =
        [Shape::Circle, Shape::Square, Shape::Triangle, Shape::Diamond, Shape::Wedge];
    (COLORS[place % COLORS.len()], SHAPES[place / COLORS.len() % SHAPES.len()])
}

pub(super) fn dot<DB: DrawingBackend>(
    sheet: &Sheet<DB>,
    (x, y): (i32, i32),
    shape: Shape,
    color: RGBColor,
) -> DrawResult<DB> {
    let polygon = |corners: &[(i32, i32)]| {
        let corners: Vec<(i32, i32)> = corners.iter().map(|(dx, dy)| (x + dx, y + dy)).collect();
        sheet.draw(&Polygon::new(corners, color.filled()))
    };
    match shape {
        Shape::Circle => sheet.draw(&Circle::new((x, y), 4, color.filled())),
        Shape::Square => polygon(&[(-4, -4), (4, -4), (4, 4), (-4, 4)]),
        Shape::Triangle => polygon(&[(0, -5), (5, 4), (-5, 4)]),
        Shape::Diamond => polygon(&[(0, -6), (6, 0), (0, 6), (-6, 0)]),
        Shape::Wedge => polygon(&[(0, 5), (5, -4), (-5, -4)]),
    }
}

/// Moves the middles of names, given in order, no further than needed to keep [`NAME_HEIGHT`]
/// between each other and to stay between `top` and `bottom`, as far as there is room.
pub(super) fn spread(wanted: &[i32], (top, bottom): (i32, i32)) -> Vec<i32> {
    let mut placed: Vec<i32> = Vec::new();
    for y in wanted {
        let least = placed.last().map_or(top + NAME_HEIGHT / 2, |above| above + NAME_HEIGHT);
        placed.push((*y).max(least));
    }
    let mut most = bottom - NAME_HEIGHT / 2;
    for y in placed.iter_mut().rev() {
        *y = (*y).min(most);
        most = *y - NAME_HEIGHT;
    }
    placed
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_have_room_stay_at_their_lines() {
        assert_eq!(spread(&[50, 100, 150], (0, 200)), [50, 100, 150]);
    }

    // 18 apart: three at 100 go to 100, 118, 136; at the bottom of 130 the last fits at 121.
    #[test]
    fn names_at_one_place_go_down_and_at_the_bottom_up() {
        assert_eq!(spread(&[100, 100, 100], (0, 200)), [100, 118, 136]);
        assert_eq!(spread(&[100, 100, 100], (0, 130)), [85, 103, 121]);
        assert_eq!(spread(&[0, 0], (0, 200)), [9, 27]);
        assert_eq!(spread(&[], (0, 200)), [] as [i32; 0]);
    }

    #[test]
    fn no_two_of_35_variants_look_the_same() {
        for a in 0..35 {
            assert!((0..a).all(|b| look(a) != look(b)), "{a}");
        }
    }
}
