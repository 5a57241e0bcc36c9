//! Figures of a window from readings taken now and then.

use lab_core::artifact::verdict::Window;

/// Increase of a running total within `window`. Between two readings the total is taken to grow
/// evenly; a total that fell was started anew, so all of it grew since. A reading without a total
/// is passed over. `None` when no two readings enclose a part of the window.
pub fn increase(
    readings: impl IntoIterator<Item = (f64, Option<f64>)>,
    window: Window,
) -> Option<f64> {
    let mut earlier: Option<(f64, f64)> = None;
    let mut sum = None;
    for (at_ms, total) in readings {
        let Some(total) = total else { continue };
        if let Some((earlier_ms, earlier_total)) = earlier {
            let share = covered_share(earlier_ms, at_ms, window);
            if 0.0 < share {
                let grown = if total < earlier_total { total } else { total - earlier_total };
                *sum.get_or_insert(0.0) += grown * share;
            }
        }
        earlier = Some((at_ms, total));
    }
    sum
}

/// Mean over the time of `window` of readings that each are the mean since the reading before:
/// Σ mean·length / Σ length, over the parts of the readings' stretches inside the window. `None`
/// when no stretch lies inside.
pub fn time_weighted_mean(
    readings: impl IntoIterator<Item = (f64, f64)>,
    window: Window,
) -> Option<f64> {
    let mut earlier_ms: Option<f64> = None;
    let (mut sum, mut length) = (0.0, 0.0);
    for (at_ms, mean) in readings {
        if let Some(earlier_ms) = earlier_ms {
            let covered = covered_ms(earlier_ms, at_ms, window);
            sum += mean * covered;
            length += covered;
        }
        earlier_ms = Some(at_ms);
    }
    super::statistics::ratio(sum, length)
}

fn covered_ms(from_ms: f64, to_ms: f64, window: Window) -> f64 {
    (to_ms.min(window.end_ms) - from_ms.max(window.start_ms)).max(0.0)
}

fn covered_share(from_ms: f64, to_ms: f64, window: Window) -> f64 {
    super::statistics::ratio(covered_ms(from_ms, to_ms, window), to_ms - from_ms).unwrap_or(0.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    const WINDOW: Window = Window { start_ms: 100.0, end_ms: 300.0 };

    fn close(got: Option<f64>, want: f64) {
        let got = got.expect("there is a value");
        assert!((got - want).abs() < 1e-9, "got {got}, want {want}");
    }

    // 50 to 150 ms grows by 10, half of it inside: 5. 150 to 250 by 20: 20. 250 to 350 by 40, half
    // of it inside: 20. Sum 45.
    #[test]
    fn a_total_grows_evenly_between_two_readings() {
        let readings = [(50.0, 0.0), (150.0, 10.0), (250.0, 30.0), (350.0, 70.0)];
        close(increase(readings.map(|(at, total)| (at, Some(total))), WINDOW), 45.0);
    }

    // Redis used 4 s, was killed, and the new one has used 1 s at 300 ms.
    #[test]
    fn a_total_that_fell_was_started_anew() {
        let readings = [(100.0, Some(3.0)), (200.0, Some(4.0)), (250.0, None), (300.0, Some(1.0))];
        close(increase(readings, WINDOW), 2.0);
    }

    #[test]
    fn nothing_read_in_the_window_is_not_zero() {
        assert_eq!(increase([(0.0, Some(1.0)), (90.0, Some(2.0))], WINDOW), None);
        assert_eq!(increase([(200.0, Some(1.0))], WINDOW), None);
        assert_eq!(time_weighted_mean([(200.0, 1.0)], WINDOW), None);
    }

    // 5 for 50 ms (100-150) and 20 for 150 ms (150-300): (250 + 3000) / 200 = 16.25.
    #[test]
    fn a_long_stretch_weighs_more_than_a_short_one() {
        let readings = [(50.0, 1.0), (150.0, 5.0), (300.0, 20.0)];
        close(time_weighted_mean(readings, WINDOW), 16.25);
    }
}
