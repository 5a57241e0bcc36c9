//! All variants under one fault and load, side by side: goodput, tail and connection demand, with
//! every trial as a dot.

use lab_core::artifact::summary::CellSummary;
use plotters::{
    prelude::*,
    style::{RGBColor, text_anchor::HPos},
};

use super::{
    canvas::{
        BLUE, DrawResult, INK, Plot, SKY, SOFT_INK, Sheet, VERMILLION, anchored, heading, lettering,
    },
    frame::{Axis, Frame, Scale, TEXT_SIZE, round_down},
    numbers,
    ranking::Group,
};

const ROWS_TOP: i32 = 122;
const ROW_HEIGHT: i32 = 42;
const BELOW_ROWS: i32 = 64;
/// Left and right edge of each column's axis; its values stand to the right of it.
const COLUMNS: [(i32, i32); 3] = [(186, 312), (392, 502), (588, 676)];
/// Names and notes over the columns.
const COLUMN_HEADS: [(&str, &str); 3] = [
    ("Goodput ratio", "more is better"),
    ("p99 ratio, log", "less is better"),
    ("Connection demand, log", "baseline → fault, mean"),
];

/// What the picture shows.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct ComparisonPlot {
    /// What it is.
    title: String,
    /// How many trials, and what the ratios are over.
    circumstances: String,
    /// From the best to the worst.
    rows: Vec<Row>,
}

/// One variant.
#[derive(Debug, Clone, PartialEq)]
struct Row {
    variant: String,
    goodput_ratio: Option<f64>,
    goodput_ratio_trials: Vec<f64>,
    p99_ratio: Option<f64>,
    p99_ratio_trials: Vec<f64>,
    p99_censored: bool,
    demand_baseline: Option<f64>,
    demand_fault: Option<f64>,
}

impl Row {
    fn of(cell: &CellSummary) -> Self {
        let trials = |ratios: &[Option<f64>]| ratios.iter().copied().flatten().collect();
        Self {
            variant: cell.variant.clone(),
            goodput_ratio: cell.goodput_ratio_fault,
            goodput_ratio_trials: trials(&cell.goodput_ratio_fault_trials),
            p99_ratio: cell.response_time_p99_ratio_fault,
            p99_ratio_trials: trials(&cell.response_time_p99_ratio_fault_trials),
            p99_censored: cell.p99_censored,
            demand_baseline: cell.connection_demand.mean_baseline,
            demand_fault: cell.connection_demand.mean_fault,
        }
    }
}

impl ComparisonPlot {
    /// The picture of one group.
    pub(super) fn of(group: &Group<'_>) -> Self {
        Self {
            title: format!("Variants under {}", group.title),
            circumstances: "while the fault is on, over the baseline; product pages; \
                            every trial is a dot"
                .into(),
            rows: group.cells.iter().map(|cell| Row::of(cell)).collect(),
        }
    }

    fn bottom(&self) -> i32 {
        let n_rows = i32::try_from(self.rows.len()).expect("there are few variants");
        ROWS_TOP + n_rows * ROW_HEIGHT
    }

    /// Middle of row `k`.
    fn row_y(k: usize) -> i32 {
        ROWS_TOP + i32::try_from(k).expect("there are few variants") * ROW_HEIGHT + ROW_HEIGHT / 2
    }

    fn column(&self, k: usize, scale: Scale, (from, to): (f64, f64)) -> Frame {
        let (start, end) = COLUMNS[k];
        let y =
            Axis { scale: Scale::Linear, from: 0.0, to: 1.0, start: self.bottom(), end: ROWS_TOP };
        Frame { x: Axis { scale, from, to, start, end }, y }
    }

    fn draw_heads<DB: DrawingBackend>(&self, sheet: &Sheet<DB>) -> DrawResult<DB> {
        for ((left, _), (name, note)) in COLUMNS.into_iter().zip(COLUMN_HEADS) {
            sheet.draw_text(name, &lettering(TEXT_SIZE + 1, INK), (left, ROWS_TOP - 42))?;
            sheet.draw_text(note, &lettering(TEXT_SIZE - 1, SOFT_INK), (left, ROWS_TOP - 22))?;
        }
        for (k, row) in self.rows.iter().enumerate() {
            let y = Self::row_y(k);
            sheet.draw_text(&row.variant, &lettering(TEXT_SIZE + 1, INK), (14, y))?;
        }
        Ok(())
    }

    fn draw_goodput<DB: DrawingBackend>(&self, sheet: &Sheet<DB>) -> DrawResult<DB> {
        let frame = self.column(0, Scale::Linear, (0.0, 1.0));
        frame.x_ticks(sheet, &[0.0, 0.5, 1.0], numbers::three_digits)?;
        for (k, row) in self.rows.iter().enumerate() {
            let y = Self::row_y(k);
            let text = match row.goodput_ratio {
                Some(ratio) => {
                    let corners = [(frame.x.start, y - 10), (frame.x.to_px(ratio), y + 10)];
                    sheet.draw(&Rectangle::new(corners, SKY.filled()))?;
                    numbers::ratio(ratio)
                }
                None => numbers::MISSING.into(),
            };
            dots(sheet, frame.x, &row.goodput_ratio_trials, y)?;
            value(sheet, &text, frame.x.end, y)?;
        }
        frame.axis_lines(sheet)
    }

    fn draw_p99<DB: DrawingBackend>(&self, sheet: &Sheet<DB>) -> DrawResult<DB> {
        let all = self.rows.iter().flat_map(|it| it.p99_ratio_trials.iter().chain(&it.p99_ratio));
        let Some(axis) = log_range(all.copied()) else {
            return missing_column(sheet, self.rows.len(), 1);
        };
        let frame = self.column(1, Scale::Log, axis);
        frame.x_ticks(sheet, &frame.x.ticks(3), numbers::three_digits)?;
        for (k, row) in self.rows.iter().enumerate() {
            let y = Self::row_y(k);
            dots(sheet, frame.x, &row.p99_ratio_trials, y)?;
            let text = match row.p99_ratio {
                Some(ratio) => {
                    let x = frame.x.to_px(ratio);
                    let style = VERMILLION.stroke_width(3);
                    sheet.draw(&PathElement::new(vec![(x, y - 12), (x, y + 12)], style))?;
                    let sign = if row.p99_censored { "≥ " } else { "" };
                    format!("{sign}{}", numbers::factor(ratio))
                }
                None => numbers::MISSING.into(),
            };
            value(sheet, &text, frame.x.end, y)?;
        }
        frame.axis_lines(sheet)
    }

    fn draw_demand<DB: DrawingBackend>(&self, sheet: &Sheet<DB>) -> DrawResult<DB> {
        let all = self.rows.iter().flat_map(|it| [it.demand_baseline, it.demand_fault]).flatten();
        let Some(axis) = log_range(all) else {
            return missing_column(sheet, self.rows.len(), 2);
        };
        let frame = self.column(2, Scale::Log, axis);
        frame.x_ticks(sheet, &frame.x.ticks(3), numbers::three_digits)?;
        for (k, row) in self.rows.iter().enumerate() {
            let y = Self::row_y(k);
            let [before, during] =
                [row.demand_baseline, row.demand_fault].map(|it| it.map(|it| frame.x.to_px(it)));
            if let (Some(before), Some(during)) = (before, during) {
                let style = BLUE.stroke_width(3);
                sheet.draw(&PathElement::new(vec![(before, y), (during, y)], style))?;
            }
            dot(sheet, before, y, (5, SOFT_INK))?;
            dot(sheet, during, y, (7, BLUE))?;
            let text = |demand: Option<f64>| {
                demand.map_or_else(|| numbers::MISSING.into(), numbers::three_digits)
            };
            let text = format!("{} → {}", text(row.demand_baseline), text(row.demand_fault));
            value(sheet, &text, frame.x.end, y)?;
        }
        frame.axis_lines(sheet)
    }
}

impl Plot for ComparisonPlot {
    fn description(&self) -> String {
        format!("{}; {}", self.title, self.circumstances)
    }

    fn height(&self) -> u32 {
        u32::try_from(self.bottom() + BELOW_ROWS).expect("the sum is above 0")
    }

    fn draw<DB: DrawingBackend>(&self, sheet: &Sheet<DB>) -> DrawResult<DB> {
        heading(sheet, &self.title, &self.circumstances)?;
        self.draw_heads(sheet)?;
        self.draw_goodput(sheet)?;
        self.draw_p99(sheet)?;
        self.draw_demand(sheet)?;
        let units = ["1 = as in baseline", "1 = as in baseline", "connections"];
        for ((start, end), unit) in COLUMNS.into_iter().zip(units) {
            let style = anchored(TEXT_SIZE - 1, SOFT_INK, HPos::Center);
            sheet.draw_text(unit, &style, ((start + end) / 2, self.bottom() + 34))?;
        }
        Ok(())
    }
}

/// A range for a log axis around all values; `None` without a value above 0.
fn log_range(values: impl Iterator<Item = f64>) -> Option<(f64, f64)> {
    let values: Vec<f64> = values.filter(|it| 0.0 < *it && it.is_finite()).collect();
    let lowest = values.iter().copied().reduce(f64::min)?;
    let highest = values.iter().copied().reduce(f64::max)?;
    let from = round_down(lowest / 1.3).min(0.5);
    Some((from, (highest * 1.5).max(from * 10.0)))
}

fn dots<DB: DrawingBackend>(
    sheet: &Sheet<DB>,
    axis: Axis,
    values: &[f64],
    y: i32,
) -> DrawResult<DB> {
    for value in values {
        dot(sheet, Some(axis.to_px(*value)), y, (4, INK))?;
    }
    Ok(())
}

fn dot<DB: DrawingBackend>(
    sheet: &Sheet<DB>,
    x: Option<i32>,
    y: i32,
    (radius, color): (i32, RGBColor),
) -> DrawResult<DB> {
    match x {
        Some(x) => sheet.draw(&Circle::new((x, y), radius, color.filled())),
        None => Ok(()),
    }
}

/// Writes a value to the right of a column's axis.
fn value<DB: DrawingBackend>(sheet: &Sheet<DB>, text: &str, end: i32, y: i32) -> DrawResult<DB> {
    sheet.draw_text(text, &lettering(TEXT_SIZE, INK), (end + 12, y))
}

/// Says in every row of a column that there is no value.
fn missing_column<DB: DrawingBackend>(
    sheet: &Sheet<DB>,
    n_rows: usize,
    column: usize,
) -> DrawResult<DB> {
    for k in 0..n_rows {
        value(sheet, numbers::MISSING, COLUMNS[column].1, ComparisonPlot::row_y(k))?;
    }
    Ok(())
}
