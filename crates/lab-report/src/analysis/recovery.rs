//! How long until the service noticed, coped, and was as before.
//!
//! Bins are 100 ms wide and start at the instant that a time counts from; windows slide over them
//! bin by bin and lie wholly inside the stretch that is judged.

use lab_core::{
    artifact::verdict::Window,
    event::{Event, kind},
};

use super::{
    pages::{Page, goodput_fraction, response_time_quantile, within},
    statistics::{count, floor},
};

/// Width of a bin in milliseconds.
const BIN_MS: f64 = 100.0;
/// Bins of a window by which mitigation is judged: 1 s.
const MITIGATION_BINS: usize = 10;
/// Bins of a window by which recovery is judged: 3 s.
const RECOVERY_BINS: usize = 30;
/// Share of the baseline's goodput fraction that counts as mitigated.
const MITIGATED: f64 = 0.9;
/// Share of the baseline's goodput fraction that counts as recovered.
const RECOVERED: f64 = 0.99;
/// Multiple of the baseline's p99 up to which response time counts as recovered.
const P99_RATIO_MAX: u64 = 2;

/// From the fault's origin to the first event by which the service changed behaviour, while the
/// fault was on, in milliseconds. `None` when there was none.
pub fn time_to_detect_ms(events: &[Event], fault: Window) -> Option<f64> {
    events
        .iter()
        .find(|it| kind::DETECTIONS.contains(&it.kind.as_str()) && fault.contains(it.at_ms))
        .map(|it| it.at_ms - fault.start_ms)
}

/// From the fault's origin to the start of the first window from which the goodput fraction stays
/// at least 0.9 of `baseline_fraction` for as long as the fault is on, in milliseconds. 0 when it
/// never fell below, `None` when the last window is still below. A window in which nothing was due
/// says nothing.
pub fn time_to_mitigate_ms(pages: &[Page], fault: Window, baseline_fraction: f64) -> Option<f64> {
    let windows: Vec<Window> = sliding_windows(fault, MITIGATION_BINS).collect();
    let is_low = |window: &Window| {
        goodput_fraction(within(pages, *window))
            .is_some_and(|it| it < MITIGATED * baseline_fraction)
    };
    let first_good = windows.iter().rposition(is_low).map_or(0, |last_low| last_low + 1);
    windows.get(first_good).map(|it| it.start_ms - fault.start_ms)
}

/// From the dependency's first answer to the start of the first window with a goodput fraction of
/// at least 0.99 of `baseline_fraction` and a p99 of at most twice `baseline_p99_us`, in
/// milliseconds. `None` when there is none before the last arrival.
pub fn time_to_recover_ms(
    pages: &[Page],
    recovery: Window,
    baseline_fraction: f64,
    baseline_p99_us: u64,
) -> Option<f64> {
    sliding_windows(recovery, RECOVERY_BINS)
        .find(|window| {
            let pages = within(pages, *window);
            let good =
                goodput_fraction(pages).is_some_and(|it| RECOVERED * baseline_fraction <= it);
            good && response_time_quantile(pages, 0.99)
                .is_some_and(|it| it <= P99_RATIO_MAX * baseline_p99_us)
        })
        .map(|window| window.start_ms - recovery.start_ms)
}

/// Windows of `n_bins` bins inside `whole`, each a bin later than the one before.
pub fn sliding_windows(whole: Window, n_bins: usize) -> impl Iterator<Item = Window> {
    let n_whole_bins = floor(whole.length_ms() / BIN_MS + 1e-6);
    (0..(n_whole_bins + 1).saturating_sub(n_bins)).map(move |first| Window {
        start_ms: whole.start_ms + BIN_MS * count(first),
        end_ms: whole.start_ms + BIN_MS * count(first + n_bins),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::analysis::testing::{event, page};

    const FAULT: Window = Window { start_ms: 5_000.0, end_ms: 9_000.0 };
    const RECOVERY: Window = Window { start_ms: 9_000.0, end_ms: 14_000.0 };

    /// Ten pages a bin; `n_good` of a bin are good, given its index.
    fn pages(window: Window, n_good: impl Fn(usize) -> usize) -> Vec<Page> {
        let n_bins = floor(window.length_ms() / BIN_MS);
        (0..n_bins * 10)
            .map(|k| page(window.start_ms + 10.0 * count(k), k % 10 < n_good(k / 10)))
            .collect()
    }

    #[test]
    fn four_seconds_hold_thirty_one_windows_of_one_second() {
        let windows: Vec<Window> = sliding_windows(FAULT, 10).collect();
        assert_eq!(windows.len(), 31);
        assert_eq!(windows[30], Window { start_ms: 8_000.0, end_ms: 9_000.0 });
        assert_eq!(sliding_windows(Window { start_ms: 0.0, end_ms: 950.0 }, 10).count(), 0);
    }

    #[test]
    fn the_first_change_of_behaviour_after_the_fault_is_the_detection() {
        let events = [
            event(4_000.0, kind::STALE_SERVED),
            event(5_100.0, kind::FAULT_CONFIRMED),
            event(5_270.0, kind::CIRCUIT_OPENED),
            event(5_300.0, kind::STALE_SERVED),
        ];
        assert_eq!(time_to_detect_ms(&events, FAULT), Some(270.0));
        assert_eq!(time_to_detect_ms(&events[..2], FAULT), None);
        assert_eq!(time_to_detect_ms(&[event(9_001.0, kind::CIRCUIT_OPENED)], FAULT), None);
    }

    // Bins 0 to 9 (the first second) all fail. A window starting at bin k then holds 10 − k bad
    // bins, so its fraction is k/10: at least 0.9 from k = 9, which is 900 ms.
    #[test]
    fn a_second_of_failures_is_mitigated_when_nine_tenths_of_a_window_are_good() {
        let pages = pages(FAULT, |bin| if bin < 10 { 0 } else { 10 });
        assert_eq!(time_to_mitigate_ms(&pages, FAULT, 1.0), Some(900.0));
    }

    #[test]
    fn a_service_that_never_fell_was_mitigated_at_once() {
        let pages = pages(FAULT, |_| 9);
        assert_eq!(time_to_mitigate_ms(&pages, FAULT, 1.0), Some(0.0));
        assert_eq!(time_to_mitigate_ms(&pages, FAULT, 0.95), Some(0.0));
    }

    // Bad again in the last bin: the window of bins 30 to 39 has 9 good bins of 10 and is just good
    // enough, so with one more bad page it is not.
    #[test]
    fn a_relapse_before_the_end_is_no_mitigation() {
        let relapse = pages(FAULT, |bin| if bin == 39 { 0 } else { 10 });
        assert_eq!(time_to_mitigate_ms(&relapse, FAULT, 1.0), Some(0.0));
        let worse = pages(FAULT, |bin| {
            if bin == 39 {
                0
            } else if bin == 38 {
                9
            } else {
                10
            }
        });
        assert_eq!(time_to_mitigate_ms(&worse, FAULT, 1.0), None);
    }

    // The first second of recovery is bad. A window of 3 s starting at bin k holds 10 − k bad bins
    // of 30; a fraction of 0.99 allows none, so the first is k = 10.
    #[test]
    fn recovery_begins_with_the_first_three_good_seconds() {
        let pages = pages(RECOVERY, |bin| if bin < 10 { 0 } else { 10 });
        assert_eq!(time_to_recover_ms(&pages, RECOVERY, 1.0, 1_000), Some(1_000.0));
    }

    #[test]
    fn a_service_that_answers_slowly_has_not_recovered() {
        let slow = |ms: f64| if ms < 9_500.0 { 2_001 } else { 2_000 };
        let pages: Vec<Page> = pages(RECOVERY, |_| 10)
            .into_iter()
            .map(|it| Page { response_time_us: slow(it.due_ms), ..it })
            .collect();
        // Of 300 pages of a window 1 % may be slower: 3, due in the last 30 ms before 9,500. The
        // window of bin 5 holds none, that of bin 4 ten.
        assert_eq!(time_to_recover_ms(&pages, RECOVERY, 1.0, 1_000), Some(500.0));
        assert_eq!(time_to_recover_ms(&pages, RECOVERY, 1.0, 999), None);
    }

    #[test]
    fn a_metastable_service_never_recovers() {
        let pages = pages(RECOVERY, |_| 9);
        assert_eq!(time_to_recover_ms(&pages, RECOVERY, 1.0, 1_000), None);
    }
}
