//! The queue by script, and against its promises on random histories.

use std::collections::BTreeMap;

use lab_testkit::clock::ManualClock;
use proptest::{prelude::*, sample::Index};

use super::*;

fn settings(max_concurrent_calls: u32) -> PrioritySheddingSettings {
    PrioritySheddingSettings {
        max_concurrent_calls: NonZeroU32::new(max_concurrent_calls).unwrap(),
        target: Duration::from_millis(5),
        interval: Duration::from_millis(100),
        ..PrioritySheddingSettings::default()
    }
}

fn arrive(policy: &mut PriorityAdmission, now: Instant, class: RouteClass) -> Option<Enqueued> {
    policy.settle(now);
    if policy.try_admit() { None } else { policy.enqueue(now, class) }
}

fn verdicts(policy: &mut PriorityAdmission) -> Vec<(u64, Verdict)> {
    std::iter::from_fn(|| policy.pop_verdict()).map(|(id, verdict)| (id.0, verdict)).collect()
}

/// Plays `(at_ms, event)` pairs on one place, which is taken from the start, and compares what
/// each brings. Waiters are numbered from 0 in the order they come.
#[track_caller]
fn check(script: &[(u64, &str)], want: &[&str]) {
    let (mut policy, t0) = (PriorityAdmission::new(&settings(1)), ManualClock::new().now());
    assert!(policy.try_admit());
    let got: Vec<String> = script
        .iter()
        .map(|&(at_ms, event)| {
            let now = t0 + Duration::from_millis(at_ms);
            let class = match event {
                "core" => Some(RouteClass::Core),
                "auxiliary" => Some(RouteClass::Auxiliary),
                "end" => {
                    policy.release();
                    None
                }
                "time" => None,
                other => panic!("unknown event {other}"),
            };
            let note = match class.map(|class| arrive(&mut policy, now, class)) {
                Some(None) => "admitted".to_owned(),
                Some(Some(it)) => format!("waits until {}", (it.until - t0).as_millis()),
                None => event.to_owned(),
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
fn core_goes_before_auxiliary_whoever_came_first() {
    check(
        &[(0, "auxiliary"), (1, "core"), (2, "core"), (3, "end"), (4, "end"), (5, "end")],
        &[
            "0 waits until 100",
            "1 waits until 101",
            "2 waits until 102",
            "3 end 1:Admitted",
            "4 end 2:Admitted",
            "5 end 0:Admitted",
        ],
    );
}

#[test]
fn a_queue_that_was_empty_lately_is_served_in_order_and_waits_long() {
    check(
        &[(0, "core"), (50, "core"), (99, "core"), (99, "end")],
        &["0 waits until 100", "50 waits until 150", "99 waits until 199", "99 end 0:Admitted"],
    );
}

// The queue is not empty from 0 on, so it is standing at 100: who comes then waits 5 ms, and the
// newest is served first. Who came before keeps the time it was given.
#[test]
fn a_standing_queue_serves_the_newest_and_waits_briefly() {
    check(
        &[
            (0, "core"),
            (50, "core"),
            (60, "core"),
            (100, "core"),
            (101, "core"),
            (102, "end"),
            (105, "time"),
            (106, "end"),
        ],
        &[
            "0 waits until 100",
            "50 waits until 150",
            "60 waits until 160",
            "100 waits until 105 0:Refused",
            "101 waits until 106",
            "102 end 4:Admitted",
            "105 time 3:Refused",
            "106 end 2:Admitted",
        ],
    );
}

#[test]
fn once_empty_the_queue_is_patient_again() {
    check(
        &[(0, "core"), (50, "end"), (120, "core"), (130, "core"), (140, "end")],
        &[
            "0 waits until 100",
            "50 end 0:Admitted",
            "120 waits until 220",
            "130 waits until 230",
            "140 end 1:Admitted",
        ],
    );
}

#[test]
fn each_class_has_a_queue_of_its_own() {
    check(
        &[(0, "auxiliary"), (50, "auxiliary"), (100, "core"), (101, "auxiliary")],
        &[
            "0 waits until 100",
            "50 waits until 150",
            "100 waits until 200 0:Refused",
            "101 waits until 106",
        ],
    );
}

#[test]
fn a_core_caller_is_not_shed_before_the_last_auxiliary_one() {
    check(
        &[(0, "core"), (90, "auxiliary"), (95, "core"), (99, "time"), (100, "time")],
        &[
            "0 waits until 100",
            "90 waits until 190",
            "95 waits until 195",
            "99 time",
            "100 time 1:Refused 0:Refused",
        ],
    );
}

#[derive(Debug, Clone)]
enum Step {
    Pass(u64),
    Call(RouteClass),
    End,
    Leave(Index),
    Resize(u32),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        3 => (1..=60_u64).prop_map(Step::Pass),
        3 => Just(Step::Call(RouteClass::Core)),
        3 => Just(Step::Call(RouteClass::Auxiliary)),
        3 => Just(Step::End),
        1 => any::<Index>().prop_map(Step::Leave),
        1 => (1..4_u32).prop_map(Step::Resize),
    ]
}

/// What the queue is meant to be: one list of everybody, looked through each time.
struct Model {
    n_places: u32,
    in_flight: u32,
    /// By number of arrival: class and deadline.
    waiting: BTreeMap<u64, (RouteClass, u64)>,
    /// When each class was last seen without a waiter.
    empty_ms: BTreeMap<RouteClass, u64>,
}

impl Model {
    fn of(&self, class: RouteClass) -> Vec<u64> {
        let is_of = |it: &(&u64, &(RouteClass, u64))| it.1.0 == class;
        self.waiting.iter().filter(is_of).map(|it| *it.0).collect()
    }

    fn is_standing(&self, class: RouteClass, now_ms: u64) -> bool {
        !self.of(class).is_empty() && 100 <= now_ms - self.empty_ms[&class]
    }

    fn enqueue(&mut self, id: u64, class: RouteClass, now_ms: u64) {
        if self.of(class).is_empty() {
            self.empty_ms.insert(class, now_ms);
        }
        let patience_ms = if self.is_standing(class, now_ms) { 5 } else { 100 };
        self.waiting.insert(id, (class, now_ms + patience_ms));
    }

    fn settle(&mut self, now_ms: u64) -> Vec<(u64, Verdict)> {
        let is_late = |it: &(RouteClass, u64)| it.1 <= now_ms;
        let is_core = |it: &(RouteClass, u64)| it.0 == RouteClass::Core;
        let has_late_core = self.waiting.values().any(|it| is_core(it) && is_late(it));
        let is_shed = |it: &(RouteClass, u64)| is_late(it) || has_late_core && !is_core(it);
        let mut shed: Vec<_> = self
            .waiting
            .iter()
            .filter(|it| is_shed(it.1))
            .map(|it| (is_core(it.1), *it.0))
            .collect();
        shed.sort_unstable();
        self.waiting.retain(|id, _| shed.iter().all(|it| it.1 != *id));
        let mut verdicts: Vec<_> = shed.into_iter().map(|it| (it.1, Verdict::Refused)).collect();
        while self.in_flight < self.n_places {
            let next = RouteClass::ALL.into_iter().find_map(|class| {
                let (of, is_standing) = (self.of(class), self.is_standing(class, now_ms));
                if is_standing { of.last().copied() } else { of.first().copied() }
            });
            let Some(id) = next else { break };
            self.waiting.remove(&id);
            self.in_flight += 1;
            verdicts.push((id, Verdict::Admitted));
        }
        verdicts
    }
}

proptest! {
    // Each call is admitted, shed or gone, and only one of them; there are never more in flight
    // than places; a core waiter is never shed while an auxiliary one waits.
    #[test]
    fn it_does_what_its_model_does_and_keeps_its_promises(
        steps in prop::collection::vec(step(), 1..200),
    ) {
        let (mut policy, t0, mut now_ms) =
            (PriorityAdmission::new(&settings(2)), ManualClock::new().now(), 0);
        let mut model = Model {
            n_places: 2, in_flight: 0, waiting: BTreeMap::new(), empty_ms: BTreeMap::new(),
        };
        let mut classes = BTreeMap::new();
        let (mut n_calls, mut n_admitted, mut n_shed, mut n_left) = (0, 0, 0, 0);
        for step in steps {
            let resized = matches!(step, Step::Resize(_));
            let before = policy.occupancy();
            match step {
                Step::Pass(ms) => now_ms += ms,
                Step::Call(class) => {
                    n_calls += 1;
                    match arrive(&mut policy, t0 + Duration::from_millis(now_ms), class) {
                        None => {
                            prop_assert!(model.in_flight < model.n_places && model.waiting.is_empty());
                            model.in_flight += 1;
                            n_admitted += 1;
                        }
                        Some(it) => {
                            model.enqueue(it.id.0, class, now_ms);
                            prop_assert!(classes.insert(it.id.0, class).is_none());
                        }
                    }
                }
                Step::End if 0 < model.in_flight => {
                    policy.release();
                    model.in_flight -= 1;
                }
                Step::Leave(index) if !model.waiting.is_empty() => {
                    let id = *model.waiting.keys().nth(index.index(model.waiting.len())).unwrap();
                    model.waiting.remove(&id);
                    classes.remove(&id);
                    policy.leave(WaiterId(id));
                    n_left += 1;
                }
                Step::Resize(n) => {
                    model.n_places = n;
                    policy.resize(NonZeroU32::new(n).unwrap());
                }
                Step::End | Step::Leave(_) => {}
            }
            policy.settle(t0 + Duration::from_millis(now_ms));
            let got = verdicts(&mut policy);
            prop_assert_eq!(&got, &model.settle(now_ms));
            for (id, verdict) in got {
                let class = classes.remove(&id);
                prop_assert!(class.is_some(), "a second verdict, or one for somebody who left");
                if verdict == Verdict::Refused {
                    n_shed += 1;
                    let auxiliary_waits = classes.values().any(|it| *it == RouteClass::Auxiliary);
                    prop_assert!(class != Some(RouteClass::Core) || !auxiliary_waits);
                } else {
                    n_admitted += 1;
                }
            }
            let after = policy.occupancy();
            prop_assert_eq!(after.in_flight, model.in_flight);
            prop_assert!(resized
                || after.in_flight <= after.max_concurrent_calls.max(before.in_flight));
            prop_assert_eq!(after.queue_depth as usize, classes.len());
            prop_assert_eq!(n_calls, n_admitted + n_shed + n_left + classes.len());
        }
    }
}
