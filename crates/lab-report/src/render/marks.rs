//! Event labels above a time axis, laid out so that no label covers another.

use plotters::prelude::*;

use super::canvas::{DrawResult, INK, SOFT_INK, Sheet, blank, lettering, text_width};

const TEXT_SIZE: u32 = 15;
/// Height of one lane of labels, in pixels.
pub(super) const LANE_HEIGHT: i32 = 19;
/// Pixels between a mark's line and its label, and between two labels.
const GAP: i32 = 4;

/// Something that happened, to be shown on the time axis.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Mark {
    /// Seconds from the start of the schedule.
    pub(super) at_s: f64,
    /// A few words.
    pub(super) label: String,
}

/// A label with its place.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct PlacedMark {
    /// Where the line stands.
    x: i32,
    /// Where the text starts.
    text_x: i32,
    /// From 0, downwards.
    lane: usize,
    label: String,
}

/// Gives every mark a lane, from the left, so that labels in one lane are apart and no line of a
/// later mark crosses an earlier label: a label goes one lane below every label it would touch.
///
/// `to_x` maps seconds to pixels; labels stay left of `right`.
pub(super) fn place(marks: &[Mark], to_x: impl Fn(f64) -> i32, right: i32) -> Vec<PlacedMark> {
    let mut sorted: Vec<&Mark> = marks.iter().collect();
    sorted.sort_by(|a, b| a.at_s.total_cmp(&b.at_s).then_with(|| a.label.cmp(&b.label)));
    let mut placed: Vec<PlacedMark> = Vec::new();
    for mark in sorted {
        let x = to_x(mark.at_s);
        let width = text_width(&mark.label, TEXT_SIZE);
        let text_x = (x + GAP).min(right - width);
        let from = text_x.min(x) - GAP;
        let lane = placed
            .iter()
            .filter(|it| from < it.text_x + text_width(&it.label, TEXT_SIZE) + GAP)
            .map(|it| it.lane + 1)
            .max()
            .unwrap_or(0);
        placed.push(PlacedMark { x, text_x, lane, label: mark.label.clone() });
    }
    placed
}

/// How many lanes the labels take.
pub(super) fn n_lanes(placed: &[PlacedMark]) -> usize {
    placed.iter().map(|it| it.lane + 1).max().unwrap_or(0)
}

/// Draws the labels with lane 0 at `top`, and from each a line down to `bottom`.
pub(super) fn draw<DB: DrawingBackend>(
    sheet: &Sheet<DB>,
    placed: &[PlacedMark],
    top: i32,
    bottom: i32,
) -> DrawResult<DB> {
    let lane_y = |mark: &PlacedMark| {
        let lane = i32::try_from(mark.lane).expect("there are fewer lanes than marks");
        top + lane * LANE_HEIGHT + LANE_HEIGHT / 2
    };
    for mark in placed {
        let line = vec![(mark.x, lane_y(mark) - LANE_HEIGHT / 2), (mark.x, bottom)];
        sheet.draw(&PathElement::new(line, SOFT_INK.mix(0.8)))?;
    }
    for mark in placed {
        let y = lane_y(mark);
        let width = text_width(&mark.label, TEXT_SIZE);
        blank(sheet, (mark.text_x, mark.text_x + width), y)?;
        sheet.draw_text(&mark.label, &lettering(TEXT_SIZE, INK), (mark.text_x, y))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mark(at_s: f64, label: &str) -> Mark {
        Mark { at_s, label: label.into() }
    }

    #[expect(clippy::cast_possible_truncation, reason = "test times are small")]
    fn to_x(at_s: f64) -> i32 {
        (at_s * 20.0) as i32
    }

    #[test]
    fn labels_that_are_far_apart_share_the_first_lane() {
        let placed = place(&[mark(5.0, "injected"), mark(30.0, "ready")], to_x, 780);
        assert_eq!(placed.iter().map(|it| it.lane).collect::<Vec<_>>(), [0, 0]);
    }

    #[test]
    fn labels_at_one_place_go_down_one_lane_each() {
        let marks = [mark(5.0, "injected"), mark(5.1, "detected"), mark(5.2, "mitigated")];
        let placed = place(&marks, to_x, 780);
        assert_eq!(placed.iter().map(|it| it.lane).collect::<Vec<_>>(), [0, 1, 2]);
        assert_eq!(n_lanes(&placed), 3);
    }

    #[test]
    fn no_two_labels_of_a_lane_touch_even_at_the_right_edge() {
        let marks: Vec<Mark> =
            (0..30).map(|k| mark(f64::from(k) * 1.3, "circuit half-open")).collect();
        let placed = place(&marks, to_x, 780);
        for (k, a) in placed.iter().enumerate() {
            assert!(a.text_x + text_width(&a.label, TEXT_SIZE) <= 780);
            for b in placed[..k].iter().filter(|b| b.lane == a.lane) {
                assert!(b.text_x + text_width(&b.label, TEXT_SIZE) < a.text_x);
            }
        }
    }
}
