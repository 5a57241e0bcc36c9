//! Both windows against a list of calls that is searched anew for each answer.

use proptest::{collection::vec, prelude::*};

use super::*;

fn some_instant() -> Instant {
    tokio::time::Instant::now().into_std()
}

fn call() -> impl Strategy<Value = Call> {
    (any::<bool>(), any::<bool>()).prop_map(|(has_failed, was_slow)| Call { has_failed, was_slow })
}

fn count<'a>(calls: impl Iterator<Item = &'a Call>) -> Tally {
    let mut tally = Tally::default();
    for call in calls {
        tally.n_calls += 1;
        tally.n_failures += u32::from(call.has_failed);
        tally.n_slow += u32::from(call.was_slow);
    }
    tally
}

proptest! {
    #[test]
    fn a_count_window_holds_the_last_calls_and_no_others(
        size in 1..20_u32,
        calls in vec(call(), 1..100),
        n_before_clear in 0..100_usize,
    ) {
        let mut window = CountWindow::new(size);
        let n_before_clear = n_before_clear.min(calls.len());
        let (before, after) = calls.split_at(n_before_clear);
        for part in [before, after] {
            window.clear();
            for n in 1..=part.len() {
                let first = n.saturating_sub(size as usize);
                prop_assert_eq!(window.record(part[n - 1]), count(part[first..n].iter()));
            }
        }
    }

    // The bucket of a call is the whole number of bucket lengths between its time and the start.
    // A call is in the window while its bucket is one of the last ten.
    #[test]
    fn a_time_window_holds_the_calls_of_the_last_ten_buckets_and_no_others(
        bucket_ms in 1..50_u64,
        calls in vec((call(), prop_oneof![9 => 0..30_u64, 1 => 0..2_000_u64]), 1..200),
    ) {
        let t0 = some_instant();
        let mut window = TimeWindow::new(t0, Duration::from_millis(10 * bucket_ms));
        let (mut at_ms, mut start_ms) = (0, 0);
        let mut past: Vec<(u64, Call)> = Vec::new();
        for (call, pause_ms) in calls {
            let before_ms = at_ms;
            at_ms += pause_ms;
            let bucket = |ms: u64| (ms - start_ms) / bucket_ms;
            // A silence of a whole window leaves nothing, and the buckets start anew.
            if bucket(before_ms) + 10 <= bucket(at_ms) {
                past.clear();
                start_ms = at_ms;
            }
            past.push((at_ms, call));
            let bucket = |ms: u64| (ms - start_ms) / bucket_ms;
            let want = count(
                past.iter().filter(|(ms, _)| bucket(at_ms) < bucket(*ms) + 10).map(|(_, call)| call),
            );
            prop_assert_eq!(window.record(t0 + Duration::from_millis(at_ms), call), want);
        }
    }

    // Whatever the buckets do, no call younger than nine tenths of the window is missing and none
    // older than the window is there.
    #[test]
    fn a_time_window_reaches_back_between_nine_tenths_of_its_length_and_all_of_it(
        pauses_ms in vec(0..400_u64, 1..200),
    ) {
        let (t0, mut at_ms) = (some_instant(), 0);
        let mut window = TimeWindow::new(t0, Duration::from_millis(1_000));
        let mut past = Vec::new();
        for pause_ms in pauses_ms {
            at_ms += pause_ms;
            past.push(at_ms);
            let call = Call { has_failed: false, was_slow: false };
            let n_calls = window.record(t0 + Duration::from_millis(at_ms), call).n_calls as usize;
            let younger_than = |ms| past.iter().filter(|it| at_ms - *it < ms).count();
            prop_assert!(younger_than(900) <= n_calls && n_calls <= younger_than(1_000));
        }
    }
}

// Threads read the clock and then wait for the lock, so times can come out of order.
#[test]
fn a_time_before_the_latest_counts_as_the_latest() {
    let t0 = some_instant();
    let (at, call) =
        (|ms| t0 + Duration::from_millis(ms), Call { has_failed: true, was_slow: false });
    let mut window = TimeWindow::new(t0, Duration::from_millis(1_000));
    window.record(at(5_000), call);
    assert_eq!(window.record(at(10), call).n_calls, 2);
    assert_eq!(window.record(at(5_899), call).n_calls, 3);
}

#[test]
fn a_window_of_no_length_still_works() {
    assert_eq!(CountWindow::new(0).record(Call { has_failed: true, was_slow: true }).n_calls, 1);
    let t0 = some_instant();
    let mut window = TimeWindow::new(t0, Duration::ZERO);
    let call = Call { has_failed: true, was_slow: false };
    window.record(t0, call);
    assert_eq!(window.record(t0 + Duration::from_secs(1), call).n_calls, 1);
}
