//! The frame of a plot: two axes that map values to pixels, their ticks, grid and lines.

use plotters::{
    coord::ranged1d::Ranged,
    prelude::*,
    style::{RGBColor, text_anchor::HPos},
};

use super::canvas::{
    DrawResult, GRID, INK, LegendEntry, SOFT_INK, Sheet, anchored, blank, legend, lettering,
    text_width,
};

/// Size of the lettering of ticks, names and legends, in pixels.
pub(super) const TEXT_SIZE: u32 = 15;
/// From a level's line to the middle of its name, in pixels.
pub(super) const LEVEL_TO_NAME: i32 = 9;

/// How values are spread along an axis.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Scale {
    /// Equal steps are equally long.
    Linear,
    /// Equal factors are equally long; every value must be above 0.
    Log,
}

/// Maps values from `from` to `to` onto pixels from `start` to `end`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Axis {
    pub(super) scale: Scale,
    pub(super) from: f64,
    pub(super) to: f64,
    pub(super) start: i32,
    pub(super) end: i32,
}

impl Axis {
    /// The pixel of `value`; values outside the axis land on its nearer end.
    pub(super) fn to_px(self, value: f64) -> i32 {
        let share = match self.scale {
            Scale::Linear => (value - self.from) / (self.to - self.from),
            Scale::Log => (value.max(self.from) / self.from).ln() / (self.to / self.from).ln(),
        };
        let offset = share.clamp(0.0, 1.0) * f64::from(self.end - self.start);
        #[expect(clippy::cast_possible_truncation, reason = "clamped to the length of the axis")]
        let offset = offset.round() as i32;
        self.start + offset
    }

    /// Round values for labels, about `n_most` of them.
    pub(super) fn ticks(self, n_most: usize) -> Vec<f64> {
        match self.scale {
            Scale::Linear => {
                let coord = plotters::coord::types::RangedCoordf64::from(self.from..self.to);
                coord.key_points(n_most)
            }
            Scale::Log => self.log_ticks(n_most),
        }
    }

    /// Powers of ten; with 2 and 5 times them where there is room, every second or third one where
    /// there is not.
    fn log_ticks(self, n_most: usize) -> Vec<f64> {
        let inside = |tick: &f64| self.from * 0.999 <= *tick && *tick <= self.to * 1.001;
        let steps = |steps: &[f64]| -> Vec<f64> {
            (-6..=9)
                .flat_map(|power| steps.iter().map(move |step| step * 10f64.powi(power)))
                .filter(inside)
                .collect()
        };
        let fine = steps(&[1.0, 2.0, 5.0]);
        if fine.len() <= n_most {
            return fine;
        }
        let decades = steps(&[1.0]);
        let every = decades.len().div_ceil(n_most).max(1);
        decades.into_iter().step_by(every).collect()
    }
}

/// Two axes.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Frame {
    pub(super) x: Axis,
    /// Starts at the bottom, so `start` is the larger pixel.
    pub(super) y: Axis,
}

impl Frame {
    /// The pixel of a point.
    pub(super) fn point(&self, (x, y): (f64, f64)) -> (i32, i32) {
        (self.x.to_px(x), self.y.to_px(y))
    }

    /// Fills the whole height between two values of the x axis.
    pub(super) fn shade<DB: DrawingBackend>(
        &self,
        sheet: &Sheet<DB>,
        (from, to): (f64, f64),
        color: RGBColor,
    ) -> DrawResult<DB> {
        let corners = [(self.x.to_px(from), self.y.end), (self.x.to_px(to), self.y.start)];
        sheet.draw(&Rectangle::new(corners, color.filled()))
    }

    /// Draws horizontal grid lines and their labels.
    pub(super) fn y_ticks<DB: DrawingBackend>(
        &self,
        sheet: &Sheet<DB>,
        ticks: &[f64],
        label: impl Fn(f64) -> String,
    ) -> DrawResult<DB> {
        for tick in ticks {
            let y = self.y.to_px(*tick);
            let line = vec![(self.x.start, y), (self.x.end, y)];
            sheet.draw(&PathElement::new(line, GRID))?;
            let style = anchored(TEXT_SIZE, SOFT_INK, HPos::Right);
            sheet.draw_text(&label(*tick), &style, (self.x.start - 7, y))?;
        }
        Ok(())
    }

    /// Draws vertical grid lines, and labels below the frame.
    pub(super) fn x_ticks<DB: DrawingBackend>(
        &self,
        sheet: &Sheet<DB>,
        ticks: &[f64],
        label: impl Fn(f64) -> String,
    ) -> DrawResult<DB> {
        for tick in ticks {
            let x = self.x.to_px(*tick);
            let line = vec![(x, self.y.start), (x, self.y.end)];
            sheet.draw(&PathElement::new(line, GRID))?;
            let style = anchored(TEXT_SIZE, SOFT_INK, HPos::Center);
            sheet.draw_text(&label(*tick), &style, (x, self.y.start + 12))?;
        }
        Ok(())
    }

    /// Draws the two axis lines.
    pub(super) fn axis_lines<DB: DrawingBackend>(&self, sheet: &Sheet<DB>) -> DrawResult<DB> {
        let (x, y) = (self.x, self.y);
        let line = vec![(x.start, y.end), (x.start, y.start), (x.end, y.start)];
        sheet.draw(&PathElement::new(line, SOFT_INK))
    }

    /// Draws a line through `points`, broken where a value is missing; a value between two
    /// missing ones is a dot.
    pub(super) fn line<DB: DrawingBackend>(
        &self,
        sheet: &Sheet<DB>,
        points: &[(f64, Option<f64>)],
        style: ShapeStyle,
    ) -> DrawResult<DB> {
        for stretch in points.split(|(_, value)| value.is_none()) {
            let pixels: Vec<(i32, i32)> =
                stretch.iter().filter_map(|(x, y)| Some(self.point((*x, (*y)?)))).collect();
            match pixels[..] {
                [] => {}
                [only] => sheet.draw(&Circle::new(only, 2, style.filled()))?,
                _ => sheet.draw(&PathElement::new(pixels, style))?,
            }
        }
        Ok(())
    }

    /// Fills between two lines over the same x values.
    pub(super) fn area<DB: DrawingBackend>(
        &self,
        sheet: &Sheet<DB>,
        xs: &[f64],
        (lower, upper): (&[f64], &[f64]),
        color: RGBColor,
    ) -> DrawResult<DB> {
        let top = xs.iter().zip(upper).map(|(x, y)| self.point((*x, *y)));
        let bottom = xs.iter().zip(lower).rev().map(|(x, y)| self.point((*x, *y)));
        let outline: Vec<(i32, i32)> = top.chain(bottom).collect();
        sheet.draw(&Polygon::new(outline, color.filled()))
    }

    /// Draws a level across the frame with its name above its left end.
    pub(super) fn level<DB: DrawingBackend>(
        &self,
        sheet: &Sheet<DB>,
        value: f64,
        name: &str,
    ) -> DrawResult<DB> {
        self.level_line(sheet, value)?;
        self.level_name(sheet, name, self.y.to_px(value) - LEVEL_TO_NAME)
    }

    /// Draws a level across the frame that has no name, or one elsewhere than above its left end.
    pub(super) fn level_line<DB: DrawingBackend>(
        &self,
        sheet: &Sheet<DB>,
        value: f64,
    ) -> DrawResult<DB> {
        let y = self.y.to_px(value);
        sheet.draw(&PathElement::new(vec![(self.x.start, y), (self.x.end, y)], INK))
    }

    /// Writes the name of a level with its middle at a height.
    pub(super) fn level_name<DB: DrawingBackend>(
        &self,
        sheet: &Sheet<DB>,
        name: &str,
        middle: i32,
    ) -> DrawResult<DB> {
        sheet.draw_text(name, &lettering(TEXT_SIZE - 1, INK), (self.x.start + 6, middle))
    }

    /// Writes what the frame shows, and its legend, in the line above it.
    pub(super) fn head<DB: DrawingBackend>(
        &self,
        sheet: &Sheet<DB>,
        name: &str,
        entries: &[LegendEntry],
    ) -> DrawResult<DB> {
        let y = self.y.end - 15;
        blank(sheet, (14, 14 + text_width(name, TEXT_SIZE + 1)), y)?;
        sheet.draw_text(name, &lettering(TEXT_SIZE + 1, INK), (14, y))?;
        legend(sheet, entries, (self.x.end, y))
    }
}

/// The largest 1, 2 or 5 times a power of ten that is at most `value`. **Range**: above 0.
pub(super) fn round_down(value: f64) -> f64 {
    let power = 10f64.powf(value.log10().floor());
    [5.0, 2.0, 1.0].map(|step| step * power).into_iter().find(|it| *it <= value).unwrap_or(power)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn log_axis(from: f64, to: f64) -> Axis {
        Axis { scale: Scale::Log, from, to, start: 300, end: 0 }
    }

    // On an axis of three decades and 300 pixels, each decade is 100 pixels.
    #[test]
    fn a_log_axis_gives_every_decade_the_same_length() {
        let axis = log_axis(1.0, 1000.0);
        assert_eq!([1.0, 10.0, 100.0, 1000.0].map(|it| axis.to_px(it)), [300, 200, 100, 0]);
        assert_eq!(axis.to_px(0.0), 300, "what lies below the axis is drawn at its end");
        assert_eq!(axis.to_px(1e9), 0);
    }

    #[test]
    fn log_ticks_are_decades_unless_there_is_room_for_more() {
        assert_eq!(log_axis(1.0, 1000.0).ticks(6), [1.0, 10.0, 100.0, 1000.0]);
        assert_eq!(log_axis(5.0, 100.0).ticks(6), [5.0, 10.0, 20.0, 50.0, 100.0]);
        assert_eq!(log_axis(1.0, 1e5).ticks(3), [1.0, 100.0, 10_000.0]);
    }

    #[test]
    fn rounding_down_stops_at_1_2_or_5() {
        assert!((round_down(0.7) - 0.5).abs() < 1e-12);
        assert!((round_down(49.0) - 20.0).abs() < 1e-12);
        assert!((round_down(10.0) - 10.0).abs() < 1e-12);
    }
}
