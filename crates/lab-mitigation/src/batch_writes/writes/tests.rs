//! The buffer against a plain map, and the task that waits for a flush.

use std::num::NonZeroU32;

use lab_testkit::clock::ManualClock;
use proptest::prelude::*;

use super::*;

const INTERVAL: Duration = Duration::from_secs(1);

fn count(n: u32) -> NonZeroU32 {
    NonZeroU32::new(n).unwrap()
}

fn settings(mode: Mode) -> BatchWritesSettings {
    BatchWritesSettings {
        mode,
        flush_interval: INTERVAL,
        flush_count: count(10),
        keys_max: count(4),
        count_max: count(20),
    }
}

fn writes(mode: Mode) -> (BatchWrites<u8>, ManualClock) {
    let clock = ManualClock::new();
    (BatchWrites::with_clock(&settings(mode), clock.reader()), clock)
}

#[derive(Debug, Clone)]
enum Step {
    Add(u8, u64),
    Take,
    Commit(prop::sample::Index),
    Restore(prop::sample::Index),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => (0..6_u8, 0..8_u64).prop_map(|(key, by)| Step::Add(key, by)),
        2 => Just(Step::Take),
        2 => any::<prop::sample::Index>().prop_map(Step::Commit),
        2 => any::<prop::sample::Index>().prop_map(Step::Restore),
    ]
}

proptest! {
    // The model: one map of everything acknowledged, one of everything committed. Whatever the
    // order, the two differ by what the buffer says it holds, and a last flush makes them equal.
    #[test]
    fn nothing_is_lost_or_doubled_over_any_history(steps in prop::collection::vec(step(), 0..200)) {
        let (writes, _clock) = writes(Mode::Enforce);
        let (mut acknowledged, mut written) = (BTreeMap::new(), BTreeMap::new());
        let mut in_flight: Vec<Taken<u8>> = Vec::new();
        let commit = |taken: Taken<u8>, written: &mut BTreeMap<u8, u64>| {
            for (key, by) in taken.counts() {
                *written.entry(*key).or_default() += by;
            }
            taken.commit();
        };
        for step in steps {
            match step {
                Step::Add(key, by) => {
                    if writes.add(key, by).is_ok() {
                        *acknowledged.entry(key).or_default() += by;
                    }
                }
                Step::Take => in_flight.extend(writes.take()),
                Step::Commit(_) | Step::Restore(_) if in_flight.is_empty() => {}
                Step::Commit(index) => {
                    let taken = in_flight.remove(index.index(in_flight.len()));
                    commit(taken, &mut written);
                }
                Step::Restore(index) => {
                    in_flight.remove(index.index(in_flight.len())).restore();
                }
            }
            let sum = |it: &BTreeMap<u8, u64>| it.values().sum::<u64>();
            let n_held = sum(&acknowledged) - sum(&written);
            prop_assert_eq!(writes.buffered(), n_held);
            prop_assert!(n_held <= 20);
            prop_assert!(writes.snapshot().n_keys <= 4, "keys stay in bounds, restored or not");
            prop_assert_eq!(writes.snapshot().n_written, sum(&written));
        }
        in_flight.clear();
        if let Some(taken) = writes.take() {
            commit(taken, &mut written);
        }
        prop_assert_eq!(acknowledged, written);
        prop_assert_eq!((writes.buffered(), writes.snapshot().n_keys), (0, 0));
    }
}

// Worked by hand, with room for 4 keys and 20 increments.
#[test]
fn what_has_no_room_is_refused_whole_and_with_the_reason() {
    let (writes, _clock) = writes(Mode::Enforce);
    for key in 0..4 {
        assert_eq!(writes.add(key, 4), Ok(Added::Buffered));
    }
    let full = |n_keys, count| Err(BufferFull { n_keys, keys_max: 4, count, count_max: 20 });
    assert_eq!(writes.add(9, 1), full(4, 16), "no fifth key");
    assert_eq!(writes.add(0, 5), full(4, 16), "not 21");
    assert_eq!(writes.add(0, 4), Ok(Added::Buffered));
    let taken = writes.take().unwrap();
    assert_eq!(writes.add(0, 1), full(4, 20), "what is being written may come back");
    taken.commit();
    assert_eq!(writes.add(9, 20), Ok(Added::Buffered));
    assert_eq!(writes.add(9, u64::MAX), full(1, 20), "and nothing overflows");
    let counts = DecisionCounts { n_permitted: 6, n_rejected: 4, n_would_reject: 0 };
    assert_eq!(writes.snapshot().counts, counts);
}

#[test]
fn a_flush_that_is_dropped_half_done_puts_everything_back() {
    let (writes, _clock) = writes(Mode::Enforce);
    writes.add(1, 3).unwrap();
    let mut flush = Box::pin({
        let writes = writes.clone();
        async move {
            let taken = writes.take().unwrap();
            std::future::pending::<()>().await;
            taken.commit();
        }
    });
    let mut context = std::task::Context::from_waker(std::task::Waker::noop());
    assert!(flush.as_mut().poll(&mut context).is_pending());
    assert!(writes.take().is_none(), "it is taken, so nobody else writes it");
    assert_eq!(writes.buffered(), 3, "and until it is written a crash would lose it");
    drop(flush);
    assert_eq!(writes.take().unwrap().counts(), &BTreeMap::from([(1, 3)]));
}

#[test]
fn unless_enforced_the_caller_writes_by_itself() {
    for mode in [Mode::Off, Mode::Observe] {
        let (writes, _clock) = writes(mode);
        assert_eq!(writes.add(1, 1), Ok(Added::Bypassed));
        assert_eq!(writes.add(1, 21), Ok(Added::Bypassed));
        assert!(writes.take().is_none());
        let counts = writes.snapshot().counts;
        let want = if mode == Mode::Off { (0, 0) } else { (1, 1) };
        assert_eq!((counts.n_permitted, counts.n_would_reject), want, "{mode:?}");
    }
}

#[test]
fn what_was_buffered_before_switching_off_is_still_written() {
    let (writes, clock) = writes(Mode::Enforce);
    writes.add(1, 1).unwrap();
    writes.set_mode(Mode::Off);
    let later = clock.advance(INTERVAL);
    assert_eq!(writes.due_at(later), Some(FlushReason::Interval));
    writes.take().unwrap().commit();
    assert_eq!(writes.due_at(later), None);
}

#[test]
fn two_threads_adding_while_a_third_flushes_lose_nothing() {
    let writes = BatchWrites::new(&BatchWritesSettings {
        mode: Mode::Enforce,
        ..BatchWritesSettings::default()
    });
    let n_written = std::thread::scope(|scope| {
        let adders: Vec<_> = (0..2)
            .map(|key| {
                let writes = &writes;
                scope.spawn(move || {
                    for _ in 0..10_000 {
                        writes.add(key, 1).unwrap();
                    }
                })
            })
            .collect();
        let mut n_written = 0;
        let mut flush = || {
            if let Some(taken) = writes.take() {
                n_written += taken.counts().values().sum::<u64>();
                taken.commit();
            }
        };
        while !adders.iter().all(std::thread::ScopedJoinHandle::is_finished) {
            flush();
        }
        flush();
        n_written
    });
    assert_eq!((n_written, writes.buffered()), (20_000, 0));
}

/// A writer that is never woken fails the test, after an hour of paused time.
async fn in_an_hour<F: Future>(waiting: F) -> F::Output {
    tokio::time::timeout(Duration::from_secs(3_600), waiting).await.unwrap()
}

fn on_tokio() -> BatchWrites<u8> {
    BatchWrites::new(&settings(Mode::Enforce))
}

#[tokio::test(start_paused = true)]
async fn the_writer_wakes_an_interval_after_the_first_increment() {
    let writes = on_tokio();
    let start = tokio::time::Instant::now();
    let waiting = tokio::spawn({
        let writes = writes.clone();
        async move { (writes.due().await, start.elapsed()) }
    });
    tokio::time::sleep(Duration::from_millis(300)).await;
    writes.add(1, 1).unwrap();
    let (reason, waited) = in_an_hour(waiting).await.unwrap();
    assert_eq!(reason, FlushReason::Interval);
    // tokio's timer has a grain of 1 ms, and there are two of them.
    let due_after = Duration::from_millis(1_300);
    assert!(due_after <= waited && waited <= due_after + Duration::from_millis(2), "{waited:?}");
}

#[tokio::test(start_paused = true)]
async fn the_writer_wakes_at_once_when_enough_have_come_together() {
    let writes = on_tokio();
    let start = tokio::time::Instant::now();
    let waiting = tokio::spawn({
        let writes = writes.clone();
        async move { (writes.due().await, start.elapsed()) }
    });
    tokio::time::sleep(Duration::from_millis(300)).await;
    writes.add(1, 9).unwrap();
    tokio::task::yield_now().await;
    writes.add(2, 1).unwrap();
    let (reason, waited) = in_an_hour(waiting).await.unwrap();
    assert_eq!(reason, FlushReason::Size);
    assert!(waited <= Duration::from_millis(301), "{waited:?}");
}

#[tokio::test(start_paused = true)]
async fn a_failing_write_is_tried_once_per_interval() {
    let writes = on_tokio();
    writes.add(1, 15).unwrap();
    let start = tokio::time::Instant::now();
    for n in 0..5_u32 {
        in_an_hour(writes.due()).await;
        assert!(INTERVAL * n <= start.elapsed(), "try {n} came early");
        writes.take().unwrap().restore();
    }
    assert_eq!(writes.snapshot().n_restores, 5);
}
