//! The queue by script, and against a plain model on random histories.

use std::collections::BTreeMap;

use lab_testkit::clock::ManualClock;
use proptest::{prelude::*, sample::Index};

use super::*;

const WAIT_MS: u64 = 100;

fn policy(max_concurrent_calls: u32) -> FifoAdmission {
    let wait = Duration::from_millis(WAIT_MS);
    FifoAdmission::new(NonZeroU32::new(max_concurrent_calls).unwrap(), wait)
}

fn arrive(policy: &mut FifoAdmission, now: Instant) -> Option<Enqueued> {
    policy.settle(now);
    if policy.try_admit() { None } else { policy.enqueue(now, ()) }
}

fn verdicts(policy: &mut FifoAdmission) -> Vec<(u64, Verdict)> {
    std::iter::from_fn(|| policy.pop_verdict()).map(|(id, verdict)| (id.0, verdict)).collect()
}

/// Plays `(at_ms, event)` pairs on two places and compares what each brings.
#[track_caller]
fn check(script: &[(u64, &str)], want: &[&str]) {
    let (mut policy, t0) = (policy(2), ManualClock::new().now());
    let got: Vec<String> = script
        .iter()
        .map(|&(at_ms, event)| {
            let now = t0 + Duration::from_millis(at_ms);
            let note = match event.split_once(' ') {
                None if event == "call" => match arrive(&mut policy, now) {
                    Some(it) => format!("waits as {}", it.id.0),
                    None => "admitted".to_owned(),
                },
                None if event == "end" => {
                    policy.release();
                    "ended".to_owned()
                }
                None => "time".to_owned(),
                Some(("leave", id)) => {
                    policy.leave(WaiterId(id.parse().unwrap()));
                    "left".to_owned()
                }
                Some(("resize", n)) => {
                    policy.resize(n.parse().unwrap());
                    "resized".to_owned()
                }
                Some(other) => panic!("unknown event {other:?}"),
            };
            policy.settle(now);
            let verdicts: String = verdicts(&mut policy)
                .into_iter()
                .map(|(id, verdict)| format!(" {id}:{verdict:?}"))
                .collect();
            format!("{at_ms} {note}{verdicts}")
        })
        .collect();
    assert_eq!(got, want);
}

#[test]
fn waiters_are_served_in_the_order_they_came() {
    check(
        &[(0, "call"), (0, "call"), (1, "call"), (2, "call"), (3, "end"), (4, "end"), (5, "call")],
        &[
            "0 admitted",
            "0 admitted",
            "1 waits as 0",
            "2 waits as 1",
            "3 ended 0:Admitted",
            "4 ended 1:Admitted",
            "5 waits as 2",
        ],
    );
}

#[test]
fn a_wait_ends_after_its_time_even_when_a_place_comes_free_just_then() {
    check(
        &[(0, "call"), (0, "call"), (1, "call"), (2, "call"), (100, "time"), (101, "end")],
        &[
            "0 admitted",
            "0 admitted",
            "1 waits as 0",
            "2 waits as 1",
            "100 time",
            "101 ended 0:Refused 1:Admitted",
        ],
    );
}

#[test]
fn a_waiter_that_leaves_is_passed_over() {
    check(
        &[(0, "call"), (0, "call"), (1, "call"), (2, "call"), (3, "leave 0"), (4, "end")],
        &[
            "0 admitted",
            "0 admitted",
            "1 waits as 0",
            "2 waits as 1",
            "3 left",
            "4 ended 1:Admitted",
        ],
    );
}

#[test]
fn fewer_places_take_nobodys_away_and_more_let_waiters_in_at_once() {
    check(
        &[
            (0, "call"),
            (0, "call"),
            (1, "call"),
            (2, "resize 1"),
            (3, "end"),
            (4, "resize 3"),
            (5, "call"),
            (6, "call"),
        ],
        &[
            "0 admitted",
            "0 admitted",
            "1 waits as 0",
            "2 resized",
            "3 ended",
            "4 resized 0:Admitted",
            "5 admitted",
            "6 waits as 1",
        ],
    );
}

#[test]
fn without_a_wait_nobody_queues() {
    let now = ManualClock::new().now();
    let mut policy = FifoAdmission::new(NonZeroU32::MIN, Duration::ZERO);
    assert!(policy.try_admit());
    assert!(!policy.try_admit());
    assert_eq!(policy.enqueue(now, ()), None);
}

#[derive(Debug, Clone)]
enum Step {
    Pass(u64),
    Call,
    End,
    Leave(Index),
    Resize(u32),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        2 => (1..=80_u64).prop_map(Step::Pass),
        4 => Just(Step::Call),
        3 => Just(Step::End),
        1 => any::<Index>().prop_map(Step::Leave),
        1 => (1..5_u32).prop_map(Step::Resize),
    ]
}

proptest! {
    // The model keeps the waiters in a map by number of arrival and looks at all of them each time.
    #[test]
    fn it_does_what_its_model_does_and_each_waiter_has_one_verdict(
        steps in prop::collection::vec(step(), 1..200),
    ) {
        let (mut policy, t0, mut now_ms, mut n_places) = (policy(2), ManualClock::new().now(), 0, 2);
        let (mut in_flight, mut waiting) = (0_u32, BTreeMap::<u64, u64>::new());
        for step in steps {
            match step {
                Step::Pass(ms) => now_ms += ms,
                Step::Call => {
                    match arrive(&mut policy, t0 + Duration::from_millis(now_ms)) {
                        None => {
                            prop_assert!(in_flight < n_places && waiting.is_empty());
                            in_flight += 1;
                        }
                        Some(it) => {
                            prop_assert!(n_places <= in_flight);
                            prop_assert!(waiting.insert(it.id.0, now_ms + WAIT_MS).is_none());
                        }
                    }
                }
                Step::End if 0 < in_flight => {
                    policy.release();
                    in_flight -= 1;
                }
                Step::Leave(index) if !waiting.is_empty() => {
                    let id = *waiting.keys().nth(index.index(waiting.len())).unwrap();
                    waiting.remove(&id);
                    policy.leave(WaiterId(id));
                }
                Step::Resize(n) => {
                    n_places = n;
                    policy.resize(NonZeroU32::new(n).unwrap());
                }
                Step::End | Step::Leave(_) => {}
            }
            policy.settle(t0 + Duration::from_millis(now_ms));
            let mut want = Vec::new();
            for (id, _) in waiting.extract_if(.., |_, until| *until <= now_ms) {
                want.push((id, Verdict::Refused));
            }
            while in_flight < n_places {
                let Some((id, _)) = waiting.pop_first() else { break };
                in_flight += 1;
                want.push((id, Verdict::Admitted));
            }
            prop_assert_eq!(verdicts(&mut policy), want);
            prop_assert_eq!(policy.occupancy(), Occupancy {
                in_flight,
                max_concurrent_calls: n_places,
                queue_depth: u32::try_from(waiting.len()).unwrap(),
            });
        }
    }
}
