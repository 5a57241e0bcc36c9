//! One trial on one time axis: outcomes, response time and connection demand, with the fault
//! window shaded and every event marked.

use lab_core::outcome::Outcome;
use plotters::{prelude::*, style::text_anchor::HPos};

use super::{
    canvas::{
        BLUE, DrawError, DrawResult, FAULT_SHADE, LegendEntry, Plot, SKY, SOFT_INK, Sheet,
        VERMILLION, WARMUP_SHADE, anchored, heading, outcome_color,
    },
    frame::{Axis, Frame, Scale, TEXT_SIZE, round_down},
    marks::{self, Mark},
    numbers,
};

/// Left and right edge of every panel, in pixels.
const LEFT: i32 = 74;
const RIGHT: i32 = 784;
/// Where the labels of events start.
const MARKS_TOP: i32 = 60;
/// Room above a panel for its name and legend.
const PANEL_HEAD: i32 = 32;
/// Heights of the three panels.
const PANELS: [i32; 3] = [190, 190, 150];
/// Room below the last panel for the time axis.
const TIME_AXIS: i32 = 50;

/// What the picture shows; times in seconds from the start of the schedule.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct TimelinePlot {
    /// What it is.
    pub(super) title: String,
    /// Trial, rate, validity.
    pub(super) circumstances: String,
    /// End of the axis.
    pub(super) end_s: f64,
    /// End of the warmup.
    pub(super) warmup_end_s: f64,
    /// Start and end of the fault window.
    pub(super) fault_s: Option<(f64, f64)>,
    /// What happened.
    pub(super) marks: Vec<Mark>,
    /// Requests per second that ended so, by the time they were scheduled for.
    pub(super) outcomes: Vec<RateBin>,
    /// Product response time, median, in ms; `None` in a bin without requests.
    pub(super) p50_ms: Series,
    /// The same, 99th percentile.
    pub(super) p99_ms: Series,
    /// A success later than this is a failure.
    pub(super) deadline_ms: f64,
    /// Connections in use + pending, mean of the bin.
    pub(super) demand_mean: Series,
    /// The same, highest of the bin.
    pub(super) demand_high_water: Series,
    /// Connections the pool may open.
    pub(super) pool_size: Option<f64>,
}

/// Rates in one stretch of the time axis.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct RateBin {
    /// Its two ends, in seconds.
    pub(super) span_s: (f64, f64),
    /// One rate per outcome, in the order of [`Outcome::ALL`].
    pub(super) per_sec: [f64; Outcome::ALL.len()],
}

/// What stands above a panel; written last, so that no line of an event runs through it.
struct Head {
    frame: Frame,
    name: &'static str,
    entries: Vec<LegendEntry>,
}

/// What drawing a panel returns.
type DrawnPanel<DB> = Result<Head, DrawError<DB>>;

/// Middle of the bin in seconds, and the value there.
pub(super) type Series = Vec<(f64, Option<f64>)>;

impl TimelinePlot {
    fn time_axis(&self) -> Axis {
        Axis { scale: Scale::Linear, from: 0.0, to: self.end_s, start: LEFT, end: RIGHT }
    }

    fn placed_marks(&self) -> Vec<marks::PlacedMark> {
        marks::place(&self.marks, |at_s| self.time_axis().to_px(at_s), RIGHT)
    }

    /// Top of the plotting area of panel `k`, in pixels.
    fn panel_top(&self, k: usize) -> i32 {
        let n_lanes = i32::try_from(marks::n_lanes(&self.placed_marks()))
            .expect("there are fewer lanes than marks");
        let above: i32 = PANELS[..k].iter().map(|height| height + PANEL_HEAD).sum();
        MARKS_TOP + n_lanes * marks::LANE_HEIGHT + PANEL_HEAD + above
    }

    fn panel(&self, k: usize, scale: Scale, (from, to): (f64, f64)) -> Frame {
        let top = self.panel_top(k);
        let y = Axis { scale, from, to, start: top + PANELS[k], end: top };
        Frame { x: self.time_axis(), y }
    }

    fn shades<DB: DrawingBackend>(&self, sheet: &Sheet<DB>, frame: &Frame) -> DrawResult<DB> {
        frame.shade(sheet, (0.0, self.warmup_end_s), WARMUP_SHADE)?;
        if let Some(window) = self.fault_s {
            frame.shade(sheet, window, FAULT_SHADE)?;
        }
        Ok(())
    }

    fn draw_outcomes<DB: DrawingBackend>(&self, sheet: &Sheet<DB>) -> DrawnPanel<DB> {
        let highest = self.outcomes.iter().map(|it| it.per_sec.iter().sum()).fold(1.0, f64::max);
        let frame = self.panel(0, Scale::Linear, (0.0, highest * 1.08));
        self.shades(sheet, &frame)?;
        frame.y_ticks(sheet, &frame.y.ticks(6), numbers::three_digits)?;
        // Two points for each bin, so that the top of a bin is flat.
        let xs: Vec<f64> = self.outcomes.iter().flat_map(|it| [it.span_s.0, it.span_s.1]).collect();
        let mut floor: Vec<f64> = vec![0.0; xs.len()];
        let mut entries = Vec::new();
        for (k, outcome) in Outcome::ALL.into_iter().enumerate() {
            if self.outcomes.iter().all(|it| it.per_sec[k] <= 0.0) {
                continue;
            }
            let rates = self.outcomes.iter().flat_map(|it| [it.per_sec[k]; 2]);
            let ceiling: Vec<f64> = floor.iter().zip(rates).map(|(low, rate)| low + rate).collect();
            let color = outcome_color(outcome);
            frame.area(sheet, &xs, (&floor, &ceiling), color)?;
            entries.push(LegendEntry { name: numbers::words(outcome.name()), color });
            floor = ceiling;
        }
        frame.axis_lines(sheet)?;
        Ok(Head { frame, name: "Requests/s by outcome", entries })
    }

    fn draw_response_time<DB: DrawingBackend>(&self, sheet: &Sheet<DB>) -> DrawnPanel<DB> {
        let seen = || self.p50_ms.iter().chain(&self.p99_ms).filter_map(|(_, ms)| *ms);
        let lowest = seen().filter(|ms| 0.0 < *ms).fold(self.deadline_ms, f64::min);
        let highest = seen().fold(self.deadline_ms, f64::max);
        let frame = self.panel(1, Scale::Log, (round_down(lowest), highest * 2.5));
        self.shades(sheet, &frame)?;
        frame.y_ticks(sheet, &frame.y.ticks(6), numbers::milliseconds)?;
        let deadline = format!("deadline {}", numbers::milliseconds(self.deadline_ms));
        frame.level(sheet, self.deadline_ms, &deadline)?;
        frame.line(sheet, &self.p99_ms, VERMILLION.stroke_width(2))?;
        frame.line(sheet, &self.p50_ms, BLUE.stroke_width(2))?;
        frame.axis_lines(sheet)?;
        let entries = vec![
            LegendEntry { name: "p50 (half are faster)".into(), color: BLUE },
            LegendEntry { name: "p99 (1 in 100 is slower)".into(), color: VERMILLION },
        ];
        Ok(Head { frame, name: "Product response time, log scale", entries })
    }

    fn draw_demand<DB: DrawingBackend>(&self, sheet: &Sheet<DB>) -> DrawnPanel<DB> {
        let highest = self
            .demand_mean
            .iter()
            .chain(&self.demand_high_water)
            .filter_map(|(_, demand)| *demand)
            .fold(self.pool_size.unwrap_or(1.0), f64::max);
        let frame = self.panel(2, Scale::Linear, (0.0, highest * 1.35));
        self.shades(sheet, &frame)?;
        frame.y_ticks(sheet, &frame.y.ticks(5), numbers::three_digits)?;
        frame.line(sheet, &self.demand_high_water, SKY.stroke_width(1))?;
        frame.line(sheet, &self.demand_mean, BLUE.stroke_width(2))?;
        if let Some(size) = self.pool_size {
            frame.level(sheet, size, &format!("pool size {}", numbers::three_digits(size)))?;
        }
        frame.axis_lines(sheet)?;
        let entries = vec![
            LegendEntry { name: "mean".into(), color: BLUE },
            LegendEntry { name: "highest".into(), color: SKY },
        ];
        Ok(Head { frame, name: "Connection demand (in use + pending)", entries })
    }

    fn draw_time_axis<DB: DrawingBackend>(&self, sheet: &Sheet<DB>) -> DrawResult<DB> {
        let bottom = self.panel_top(2) + PANELS[2];
        let axis = self.time_axis();
        for tick in axis.ticks(12) {
            let x = axis.to_px(tick);
            sheet.draw(&PathElement::new(vec![(x, bottom), (x, bottom + 5)], SOFT_INK))?;
            let style = anchored(TEXT_SIZE, SOFT_INK, HPos::Center);
            sheet.draw_text(&numbers::three_digits(tick), &style, (x, bottom + 15))?;
        }
        let style = anchored(TEXT_SIZE, SOFT_INK, HPos::Center);
        let name = "seconds since the start (grey: warmup, shaded: fault on)";
        sheet.draw_text(name, &style, ((LEFT + RIGHT) / 2, bottom + 36))
    }
}

impl Plot for TimelinePlot {
    fn description(&self) -> String {
        format!("{}; {}", self.title, self.circumstances)
    }

    fn height(&self) -> u32 {
        u32::try_from(self.panel_top(2) + PANELS[2] + TIME_AXIS).expect("the sum is above 0")
    }

    fn draw<DB: DrawingBackend>(&self, sheet: &Sheet<DB>) -> DrawResult<DB> {
        heading(sheet, &self.title, &self.circumstances)?;
        let heads =
            [self.draw_outcomes(sheet)?, self.draw_response_time(sheet)?, self.draw_demand(sheet)?];
        self.draw_time_axis(sheet)?;
        let bottom = self.panel_top(2) + PANELS[2];
        marks::draw(sheet, &self.placed_marks(), MARKS_TOP, bottom)?;
        for Head { frame, name, entries } in heads {
            frame.head(sheet, name, &entries)?;
        }
        Ok(())
    }
}
