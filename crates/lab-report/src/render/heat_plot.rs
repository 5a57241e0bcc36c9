//! A map of variants and faults: one figure, a field for each pair, the darker the worse.

use plotters::{
    prelude::*,
    style::{FontTransform, RGBColor, text_anchor::HPos},
};

use super::{
    canvas::{
        DrawResult, GRID, INK, ORANGE, Plot, SKY, SOFT_INK, Sheet, anchored, heading, lettering,
        text_width,
    },
    frame::TEXT_SIZE,
    heat::{Field, Figure, HeatMap, TITLE},
    numbers,
};

/// Edge of the names on the left, and of the fields.
const LEFT: i32 = 14;
const GAP: i32 = 10;
/// Edge of the fields on the right.
const RIGHT: i32 = 790;
/// Where the names of the faults begin.
const HEADS_TOP: i32 = 66;
const ROW_HEIGHT: i32 = 28;
const BELOW: i32 = 16;
/// Widest a field may be, however few faults there are.
const FIELD_WIDTH_MAX: i32 = 90;
const FIELD_TEXT_SIZE: u32 = 13;

/// The picture of one figure of a map.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct HeatPlot<'a> {
    /// What is drawn.
    pub(super) map: &'a HeatMap,
    /// Which figure of it.
    pub(super) figure: Figure,
}

impl HeatPlot<'_> {
    fn title(&self) -> String {
        format!("{TITLE}: {}", self.figure.name().to_lowercase())
    }

    fn circumstances(&self) -> String {
        let what = match self.figure {
            Figure::ServedRatio => "share of all requests served while the fault is on",
            Figure::ConnectionDemand => "connections in use and waited for, mean while it is on",
        };
        format!("{what}; {}", self.map.load)
    }

    /// Left edge of the fields: behind the longest name.
    fn fields_left(&self) -> i32 {
        let widths = self.map.rows.iter().map(|it| text_width(&it.variant, TEXT_SIZE));
        LEFT + widths.max().unwrap_or(0) + GAP
    }

    /// Top edge of the fields: below the longest name of a fault, which stands upright.
    fn fields_top(&self) -> i32 {
        let widths = self.map.faults.iter().map(|it| text_width(it.name(), TEXT_SIZE));
        HEADS_TOP + widths.max().unwrap_or(0) + GAP
    }

    fn field_width(&self) -> i32 {
        let n_faults = i32::try_from(self.map.faults.len()).expect("there are few faults");
        ((RIGHT - self.fields_left()) / n_faults.max(1)).min(FIELD_WIDTH_MAX)
    }

    fn bottom(&self) -> i32 {
        let n_rows = i32::try_from(self.map.rows.len()).expect("there are few variants");
        self.fields_top() + n_rows * ROW_HEIGHT
    }

    /// How bad a value is, from 0 to 1.
    fn badness(&self, value: f64) -> f64 {
        match self.figure {
            Figure::ServedRatio => 1.0 - value.clamp(0.0, 1.0),
            // A logarithm, because demands differ by orders of magnitude.
            Figure::ConnectionDemand => {
                let of_map = self.map.rows.iter().flat_map(|it| it.fields(self.figure));
                let highest = of_map.fold(1.0, |highest: f64, it| match it {
                    Field::Measured(demand) => highest.max(*demand),
                    Field::Invalid | Field::NotThere => highest,
                });
                value.max(0.0).ln_1p() / highest.ln_1p()
            }
        }
    }

    fn color(&self, value: f64) -> RGBColor {
        // The darkest are colours on which the ink can still be read.
        let darkest = match self.figure {
            Figure::ServedRatio => ORANGE,
            Figure::ConnectionDemand => SKY,
        };
        shade(darkest, self.badness(value))
    }

    fn text(&self, value: f64) -> String {
        match self.figure {
            Figure::ServedRatio => format!("{value:.2}"),
            Figure::ConnectionDemand if value < 10.0 => format!("{value:.1}"),
            Figure::ConnectionDemand => format!("{value:.0}"),
        }
    }

    fn draw_heads<DB: DrawingBackend>(&self, sheet: &Sheet<DB>) -> DrawResult<DB> {
        let style = lettering(TEXT_SIZE, INK);
        let upright = style.transform(FontTransform::Rotate270);
        let (left, width) = (self.fields_left(), self.field_width());
        for (fault, at) in self.map.faults.iter().zip(0..) {
            let x = left + at * width + width / 2;
            sheet.draw_text(fault.name(), &upright, (x, self.fields_top() - GAP / 2))?;
        }
        Ok(())
    }

    fn draw_field<DB: DrawingBackend>(
        &self,
        sheet: &Sheet<DB>,
        field: Field,
        (left, top): (i32, i32),
    ) -> DrawResult<DB> {
        let (right, bottom) = (left + self.field_width(), top + ROW_HEIGHT);
        let (fill, text, ink) = match field {
            Field::Measured(value) => (self.color(value), self.text(value), INK),
            Field::Invalid => (GRID, "×".to_owned(), SOFT_INK),
            Field::NotThere => (WHITE, numbers::MISSING.to_owned(), SOFT_INK),
        };
        let corners = [(left + 1, top + 1), (right - 1, bottom - 1)];
        sheet.draw(&Rectangle::new(corners, fill.filled()))?;
        sheet.draw(&Rectangle::new(corners, GRID))?;
        let style = anchored(FIELD_TEXT_SIZE, ink, HPos::Center);
        sheet.draw_text(&text, &style, ((left + right) / 2, (top + bottom) / 2))
    }
}

impl Plot for HeatPlot<'_> {
    fn description(&self) -> String {
        format!("{}; {}", self.title(), self.circumstances())
    }

    fn height(&self) -> u32 {
        u32::try_from(self.bottom() + BELOW).expect("the sum is above 0")
    }

    fn draw<DB: DrawingBackend>(&self, sheet: &Sheet<DB>) -> DrawResult<DB> {
        heading(sheet, &self.title(), &self.circumstances())?;
        self.draw_heads(sheet)?;
        for (row, at) in self.map.rows.iter().zip(0..) {
            let top = self.fields_top() + at * ROW_HEIGHT;
            let middle = (LEFT, top + ROW_HEIGHT / 2);
            sheet.draw_text(&row.variant, &lettering(TEXT_SIZE, INK), middle)?;
            for (field, at) in row.fields(self.figure).iter().zip(0..) {
                let left = self.fields_left() + at * self.field_width();
                self.draw_field(sheet, *field, (left, top))?;
            }
        }
        Ok(())
    }
}

/// `color` on white, as strong as `share` says, from 0 (white) to 1.
fn shade(color: RGBColor, share: f64) -> RGBColor {
    let mix = |channel: u8| {
        let mixed = 255.0 + share.clamp(0.0, 1.0) * (f64::from(channel) - 255.0);
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "0 to 255")]
        let mixed = mixed.round() as u8;
        mixed
    };
    RGBColor(mix(color.0), mix(color.1), mix(color.2))
}

#[cfg(test)]
mod tests {
    use super::*;

    // ORANGE is (230, 159, 0): half of it on white is 255 - 12.5, 255 - 48, 255 - 127.5.
    #[test]
    fn a_shade_goes_from_white_to_its_colour() {
        assert_eq!(shade(ORANGE, 0.0), RGBColor(255, 255, 255));
        assert_eq!(shade(ORANGE, 0.5), RGBColor(243, 207, 128));
        assert_eq!(shade(ORANGE, 7.0), ORANGE);
    }
}
