//! The answer to "why not just add servers?" as a picture: over the number of instances what they
//! carry with Redis up, and with Redis gone what they deliver and what they ask of the database.

use plotters::{element::DashedPathElement, prelude::*, style::RGBColor, style::text_anchor::HPos};

use super::{
    canvas::{DrawResult, INK, Plot, SOFT_INK, Sheet, anchored, heading, lettering},
    frame::{Axis, Frame, Scale, TEXT_SIZE},
    load_plot::{NAME_HEIGHT, dot, look, spread},
    numbers,
    scaling::{Figure, Point, Scaling, TITLE},
};

const LEFT: i32 = 72;
/// Where the lines end, and where their names begin.
const RIGHT: i32 = 500;
const NAMES: i32 = 548;
const FIRST_TOP: i32 = 96;
const FRAME_HEIGHT_MIN: i32 = 150;
/// From the bottom of a frame to the top of the next: numbers, and a line of text.
const BETWEEN: i32 = 62;
/// Pixels over which the dots of one number are laid out.
const DOTS_WIDTH: i32 = 24;

/// The picture of one fault at one load.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct ScalingPlot<'a> {
    /// What is drawn.
    pub(super) scaling: &'a Scaling,
}

/// One line of a frame.
struct Line {
    name: String,
    color: RGBColor,
    /// The variant's place; `None`: the line is no variant's.
    place: Option<usize>,
    /// By number of instances: the median, and each trial.
    points: Vec<(f64, Option<f64>, Vec<f64>)>,
}

/// One frame: what it shows, its lines, and a level across it.
struct Panel {
    name: String,
    lines: Vec<Line>,
    level: Option<(f64, String)>,
}

impl Panel {
    fn highest(&self) -> f64 {
        let values = self.lines.iter().flat_map(|it| &it.points);
        let values = values.flat_map(|(_, median, trials)| median.iter().chain(trials)).copied();
        let level = self.level.iter().map(|(level, _)| *level);
        values.chain(level).fold(1.0, f64::max) * 1.08
    }
}

impl ScalingPlot<'_> {
    fn title(&self) -> String {
        format!("{TITLE} {}", self.scaling.title)
    }

    fn circumstances(&self) -> String {
        let c = self
            .scaling
            .db_capacity_per_sec
            .map_or_else(String::new, |c| format!("C = {} requests/s; ", numbers::three_digits(c)));
        format!("{c}every trial is a dot, lines join medians")
    }

    fn panels(&self) -> [Panel; 4] {
        let scaling = self.scaling;
        let of = |figure: fn(&Point) -> &Figure| -> Vec<Line> {
            let line = |series: &super::scaling::Series| Line {
                name: series.variant.clone(),
                color: look(series.place).0,
                place: Some(series.place),
                points: series
                    .points
                    .iter()
                    .map(|it| (it.n_instances.into(), figure(it).median(), figure(it).0.clone()))
                    .collect(),
            };
            scaling.series.iter().map(line).collect()
        };
        let per_sec = numbers::three_digits(scaling.offered_per_sec);
        let connections = scaling.max_connections;
        [
            Panel {
                name: "Redis up: capacity of the service, requests/s".into(),
                lines: self.control_lines(),
                level: None,
            },
            Panel {
                name: "Redis gone: goodput, requests/s".into(),
                lines: of(|it| &it.goodput),
                level: Some((scaling.offered_per_sec, format!("offered: {per_sec}"))),
            },
            Panel {
                name: "Redis gone: connection demand, mean".into(),
                lines: of(|it| &it.demand),
                level: Some((connections.into(), format!("PostgreSQL has {connections}"))),
            },
            Panel {
                name: "Redis gone: refused connections per second".into(),
                lines: of(|it| &it.refused),
                level: None,
            },
        ]
    }

    /// What was measured, and what as many times the smallest number would carry.
    fn control_lines(&self) -> Vec<Line> {
        let Some(few) = self.scaling.control.first() else { return Vec::new() };
        let measured = |it: &lab_core::artifact::manifest::ControlPoint| {
            (it.n_instances.into(), Some(it.warm_capacity_per_sec), Vec::new())
        };
        let per_instance = few.warm_capacity_per_sec / f64::from(few.n_instances);
        let ideal = |it: &lab_core::artifact::manifest::ControlPoint| {
            let n = f64::from(it.n_instances);
            (n, Some(n * per_instance), Vec::new())
        };
        let line =
            |name: &str, color, points| Line { name: name.into(), color, place: None, points };
        vec![
            line("in proportion", SOFT_INK, self.scaling.control.iter().map(ideal).collect()),
            line("measured", INK, self.scaling.control.iter().map(measured).collect()),
        ]
    }

    fn frame_height(&self) -> i32 {
        let n_names = i32::try_from(self.scaling.series.len()).expect("there are few variants");
        FRAME_HEIGHT_MIN.max(n_names * NAME_HEIGHT)
    }

    fn frame(&self, rank: i32, panel: &Panel) -> Frame {
        let numbers = self.scaling.numbers_of_instances();
        let (fewest, most) = (f64::from(numbers[0]), f64::from(numbers[numbers.len() - 1]));
        let margin = (most / fewest).powf(0.06);
        let (from, to) = (fewest / margin, most * margin);
        let top = FIRST_TOP + rank * (self.frame_height() + BETWEEN);
        let (start, end) = (top + self.frame_height(), top);
        Frame {
            x: Axis { scale: Scale::Log, from, to, start: LEFT, end: RIGHT },
            y: Axis { scale: Scale::Linear, from: 0.0, to: panel.highest(), start, end },
        }
    }

    /// How many pixels the dots of the variant at `rank` stand beside their number.
    fn aside(&self, rank: usize) -> i32 {
        let rank = i32::try_from(rank).expect("there are few variants");
        let n = i32::try_from(self.scaling.series.len()).expect("there are few variants");
        (2 * rank + 1 - n) * DOTS_WIDTH / (2 * n)
    }

    fn draw_panel<DB: DrawingBackend>(
        &self,
        sheet: &Sheet<DB>,
        (rank, panel): (i32, &Panel),
    ) -> DrawResult<DB> {
        let frame = self.frame(rank, panel);
        frame.head(sheet, &panel.name, &[])?;
        frame.y_ticks(sheet, &frame.y.ticks(5), numbers::three_digits)?;
        let ticks: Vec<f64> =
            self.scaling.numbers_of_instances().into_iter().map(f64::from).collect();
        frame.x_ticks(sheet, &ticks, numbers::three_digits)?;
        if let Some((level, name)) = &panel.level {
            let y = frame.y.to_px(*level);
            let across = vec![(LEFT, y), (RIGHT, y)];
            sheet.draw(&DashedPathElement::new(across, 6, 5, SOFT_INK.stroke_width(1)))?;
            sheet.draw_text(name, &lettering(TEXT_SIZE - 2, SOFT_INK), (LEFT + 6, y + 9))?;
        }
        for (rank, line) in panel.lines.iter().enumerate().rev() {
            self.draw_line(sheet, &frame, (rank, line))?;
        }
        draw_names(sheet, &frame, panel)?;
        frame.axis_lines(sheet)
    }

    fn draw_line<DB: DrawingBackend>(
        &self,
        sheet: &Sheet<DB>,
        frame: &Frame,
        (rank, line): (usize, &Line),
    ) -> DrawResult<DB> {
        let medians: Vec<(f64, Option<f64>)> =
            line.points.iter().map(|(n, median, _)| (*n, *median)).collect();
        frame.line(sheet, &medians, line.color.stroke_width(2))?;
        let Some(place) = line.place else { return Ok(()) };
        for (n, _, trials) in &line.points {
            for trial in trials {
                let (x, y) = frame.point((*n, *trial));
                dot(sheet, (x + self.aside(rank), y), look(place).1, line.color)?;
            }
        }
        Ok(())
    }
}

/// Writes the name of every line beside its end, with its value there.
fn draw_names<DB: DrawingBackend>(
    sheet: &Sheet<DB>,
    frame: &Frame,
    panel: &Panel,
) -> DrawResult<DB> {
    let end_of =
        |line: &Line| line.points.iter().rev().find_map(|(n, median, _)| Some((*n, (*median)?)));
    let mut ends: Vec<((i32, i32), f64, &Line)> = panel
        .lines
        .iter()
        .filter_map(|it| end_of(it).map(|(n, value)| (frame.point((n, value)), value, it)))
        .collect();
    ends.sort_by_key(|((_, y), ..)| *y);
    let wanted: Vec<i32> = ends.iter().map(|((_, y), ..)| *y).collect();
    let places = spread(&wanted, (frame.y.end, frame.y.start));
    for (((x, y), value, line), at) in ends.iter().zip(places) {
        let leader = vec![(x + 6, *y), (RIGHT + 8, *y), (NAMES - 20, at), (NAMES - 14, at)];
        sheet.draw(&PathElement::new(leader, line.color.mix(0.55)))?;
        if let Some(place) = line.place {
            dot(sheet, (NAMES - 8, at), look(place).1, line.color)?;
        }
        let text = format!("{} {}", numbers::three_digits(*value), line.name);
        sheet.draw_text(&text, &lettering(TEXT_SIZE - 1, INK), (NAMES, at))?;
    }
    Ok(())
}

impl Plot for ScalingPlot<'_> {
    fn description(&self) -> String {
        format!("{}; {}", self.title(), self.circumstances())
    }

    fn height(&self) -> u32 {
        let height = FIRST_TOP + 4 * (self.frame_height() + BETWEEN);
        u32::try_from(height).expect("the sum is above 0")
    }

    fn draw<DB: DrawingBackend>(&self, sheet: &Sheet<DB>) -> DrawResult<DB> {
        heading(sheet, &self.title(), &self.circumstances())?;
        let panels = self.panels();
        for (rank, panel) in (0..).zip(&panels) {
            self.draw_panel(sheet, (rank, panel))?;
        }
        let bottom = FIRST_TOP + 4 * (self.frame_height() + BETWEEN) - BETWEEN;
        let style = anchored(TEXT_SIZE, SOFT_INK, HPos::Center);
        sheet.draw_text("instances of the service", &style, ((LEFT + RIGHT) / 2, bottom + 36))
    }
}
