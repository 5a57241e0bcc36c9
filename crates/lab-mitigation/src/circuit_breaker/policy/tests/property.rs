//! The state machine against a plain model of it, on random histories.
//!
//! The model shares no code with the policy and remembers sets of calls and deadlines where the
//! policy has cycle numbers and starts.

use std::collections::BTreeSet;

use lab_core::{settings::TripRule, units::Ratio};
use proptest::{prelude::*, sample::Index};

use super::*;

const WAIT_MS: u64 = 1_000;
const BOUND_MS: u64 = 50;

#[derive(Debug, Clone)]
enum Step {
    Pass(u64),
    Call,
    End(Index, CallResult),
    Leave(Index),
}

fn step() -> impl Strategy<Value = Step> {
    let result = prop_oneof![
        3 => Just(CallResult::Failure),
        3 => Just(CallResult::Success),
        1 => Just(CallResult::Ignored),
    ];
    prop_oneof![
        2 => (1..=400_u64).prop_map(Step::Pass),
        4 => Just(Step::Call),
        3 => (any::<Index>(), result).prop_map(|(index, result)| Step::End(index, result)),
        1 => any::<Index>().prop_map(Step::Leave),
    ]
}

/// What the breaker is meant to be, written for a reader rather than a hot path: it keeps every
/// call and searches them anew for each answer.
#[derive(Debug)]
struct Model {
    rule: Rule,
    n_permits: usize,
    stage: Stage,
}

#[derive(Debug, Clone)]
enum Rule {
    Consecutive { n_failures: u32, n_successes: u32 },
    Count { size: usize, rates: Rates },
    Time { bucket_ms: u64, rates: Rates },
}

/// In percent, so that the model needs no fractions.
#[derive(Debug, Clone, Copy)]
struct Rates {
    n_calls_min: u32,
    failure_percent: u32,
    slow_percent: u32,
    slow_above_ms: u64,
}

#[derive(Debug)]
enum Stage {
    Closed { members: BTreeSet<u32>, past: Past },
    Open { until_ms: u64 },
    HalfOpen { probes: BTreeSet<u32>, done: Vec<Ended>, patient_until_ms: u64 },
}

/// Calls that ended while closed, since `start_ms`.
#[derive(Debug)]
struct Past {
    start_ms: u64,
    calls: Vec<Ended>,
}

#[derive(Debug, Clone, Copy)]
struct Ended {
    at_ms: u64,
    has_failed: bool,
    was_slow: bool,
}

impl Rates {
    fn are_reached(&self, calls: &[Ended], n_of: usize) -> bool {
        let reached = |is: fn(&Ended) -> bool, percent: u32| {
            percent as usize * n_of <= 100 * calls.iter().filter(|it| is(it)).count()
        };
        reached(|it| it.has_failed, self.failure_percent)
            || reached(|it| it.was_slow, self.slow_percent)
    }
}

impl Rule {
    fn settings(&self, n_permits: u32) -> CircuitBreakerSettings {
        let count = |n| NonZeroU32::new(n).unwrap();
        let settings = CircuitBreakerSettings {
            half_open_permits: count(n_permits),
            wait_duration_in_open: Duration::from_millis(WAIT_MS),
            slow_call_bound: Duration::from_millis(BOUND_MS),
            ..CircuitBreakerSettings::default()
        };
        let with_rates = |rates: &Rates| {
            let ratio = |percent| Ratio::new(f64::from(percent) / 100.0).unwrap();
            CircuitBreakerSettings {
                minimum_number_of_calls: count(rates.n_calls_min),
                failure_rate_threshold: ratio(rates.failure_percent),
                slow_call_rate_threshold: ratio(rates.slow_percent),
                slow_call_duration_threshold: Some(Duration::from_millis(rates.slow_above_ms)),
                ..settings.clone()
            }
        };
        match self {
            Self::Consecutive { n_failures, n_successes } => CircuitBreakerSettings {
                trip: TripRule::Consecutive,
                failure_threshold: count(*n_failures),
                half_open_successes: count(*n_successes),
                ..settings
            },
            Self::Count { size, rates } => CircuitBreakerSettings {
                trip: TripRule::CountWindow,
                window_size: count(u32::try_from(*size).unwrap()),
                ..with_rates(rates)
            },
            Self::Time { bucket_ms, rates } => CircuitBreakerSettings {
                trip: TripRule::TimeWindow,
                window_duration: Duration::from_millis(10 * bucket_ms),
                ..with_rates(rates)
            },
        }
    }

    /// A call that was admitted at `from_ms` and ends at `at_ms`.
    fn ended(&self, from_ms: u64, at_ms: u64, has_failed: bool) -> Ended {
        let was_slow = match self {
            Self::Consecutive { .. } => false,
            Self::Count { rates, .. } | Self::Time { rates, .. } => {
                rates.slow_above_ms < at_ms - from_ms
            }
        };
        Ended { at_ms, has_failed, was_slow }
    }

    /// Whether a closed circuit opens, one more call having ended.
    fn trips(&self, past: &mut Past) -> bool {
        let n = past.calls.len();
        match self {
            Self::Consecutive { n_failures, .. } => {
                let in_a_row = past.calls.iter().rev().take_while(|it| it.has_failed).count();
                *n_failures as usize <= in_a_row
            }
            Self::Count { size, rates } => {
                let last = &past.calls[n.saturating_sub(*size)..];
                rates.n_calls_min as usize <= last.len() && rates.are_reached(last, last.len())
            }
            Self::Time { bucket_ms, rates } => {
                let now_ms = past.calls[n - 1].at_ms;
                let before_ms = if n == 1 { past.start_ms } else { past.calls[n - 2].at_ms };
                let bucket = |ms: u64| (ms - past.start_ms) / bucket_ms;
                // A silence of a whole window leaves nothing, and the buckets start anew.
                if bucket(before_ms) + 10 <= bucket(now_ms) {
                    *past = Past { start_ms: now_ms, calls: past.calls.split_off(n - 1) };
                }
                let bucket = |ms: u64| (ms - past.start_ms) / bucket_ms;
                let is_recent = |it: &Ended| bucket(now_ms) < bucket(it.at_ms) + 10;
                let recent: Vec<_> = past.calls.iter().copied().filter(is_recent).collect();
                rates.n_calls_min as usize <= recent.len()
                    && rates.are_reached(&recent, recent.len())
            }
        }
    }
}

impl Model {
    fn new(rule: Rule, n_permits: u32) -> Self {
        Self { rule, n_permits: n_permits as usize, stage: Stage::closed(0) }
    }

    fn call(&mut self, call: u32, now_ms: u64) -> bool {
        match &mut self.stage {
            Stage::Closed { members, .. } => members.insert(call),
            Stage::Open { until_ms } if now_ms < *until_ms => false,
            Stage::Open { .. } => {
                self.stage = Stage::probing(call, now_ms);
                true
            }
            Stage::HalfOpen { probes, done, patient_until_ms } => {
                // Probes in a row are bounded in flight; those of a window in all.
                let n_done = match self.rule {
                    Rule::Consecutive { .. } => 0,
                    Rule::Count { .. } | Rule::Time { .. } => done.len(),
                };
                if probes.len() + n_done < self.n_permits {
                    probes.insert(call);
                    *patient_until_ms = now_ms + WAIT_MS;
                    true
                } else if *patient_until_ms <= now_ms {
                    self.stage = Stage::probing(call, now_ms);
                    true
                } else {
                    false
                }
            }
        }
    }

    fn end(&mut self, call: u32, (from_ms, now_ms): (u64, u64), result: CallResult) {
        let ended = (result != CallResult::Ignored)
            .then(|| self.rule.ended(from_ms, now_ms, result == CallResult::Failure));
        let opens = match &mut self.stage {
            Stage::Closed { members, past } => {
                if !members.remove(&call) {
                    return;
                }
                past.calls.extend(ended);
                ended.is_some() && self.rule.trips(past)
            }
            Stage::HalfOpen { probes, done, .. } => {
                if !probes.remove(&call) {
                    return;
                }
                done.extend(ended);
                let n_successes = done.iter().filter(|it| !it.has_failed).count();
                let (opens, closes) = match &self.rule {
                    Rule::Consecutive { n_successes: n_wanted, .. } => {
                        (n_successes < done.len(), *n_wanted as usize <= n_successes)
                    }
                    Rule::Count { rates, .. } | Rule::Time { rates, .. } => {
                        (rates.are_reached(done, self.n_permits), self.n_permits <= done.len())
                    }
                };
                if !opens && closes {
                    self.stage = Stage::closed(now_ms);
                    return;
                }
                opens
            }
            Stage::Open { .. } => return,
        };
        if opens {
            self.stage = Stage::Open { until_ms: now_ms + WAIT_MS };
        }
    }

    fn state(&self) -> CircuitState {
        match self.stage {
            Stage::Closed { .. } => CircuitState::Closed,
            Stage::Open { .. } => CircuitState::Open,
            Stage::HalfOpen { .. } => CircuitState::HalfOpen,
        }
    }

    fn n_probes(&self) -> usize {
        match &self.stage {
            Stage::HalfOpen { probes, .. } => probes.len(),
            Stage::Closed { .. } | Stage::Open { .. } => 0,
        }
    }
}

impl Stage {
    fn closed(now_ms: u64) -> Self {
        let past = Past { start_ms: now_ms, calls: Vec::new() };
        Self::Closed { members: BTreeSet::new(), past }
    }

    fn probing(call: u32, now_ms: u64) -> Self {
        Self::HalfOpen {
            probes: BTreeSet::from([call]),
            done: Vec::new(),
            patient_until_ms: now_ms + WAIT_MS,
        }
    }
}

fn rule() -> impl Strategy<Value = Rule> {
    let rates = (1..6_u32, 1..=100_u32, 1..=100_u32, 0..300_u64).prop_map(
        |(n_calls_min, failure_percent, slow_percent, slow_above_ms)| Rates {
            n_calls_min,
            failure_percent,
            slow_percent,
            slow_above_ms,
        },
    );
    prop_oneof![
        (1..5_u32, 1..4_u32)
            .prop_map(|(n_failures, n_successes)| Rule::Consecutive { n_failures, n_successes }),
        (5..12_usize, rates.clone()).prop_map(|(size, rates)| Rule::Count { size, rates }),
        (1..200_u64, rates).prop_map(|(bucket_ms, rates)| Rule::Time { bucket_ms, rates }),
    ]
}

proptest! {
    #[test]
    fn the_policy_does_what_its_model_does_and_never_has_too_many_probes_in_flight(
        rule in rule(),
        n_permits in 1..5_u32,
        steps in prop::collection::vec(step(), 1..200),
    ) {
        let (t0, mut now_ms) = (some_instant(), 0);
        let mut policy = policy_at(t0, &rule.settings(n_permits));
        let mut model = Model::new(rule, n_permits);
        let mut in_flight: Vec<(u32, u64, Ticket)> = Vec::new();
        for (call, step) in (0_u32..).zip(steps) {
            let now = t0 + Duration::from_millis(now_ms);
            match step {
                Step::Pass(ms) => now_ms += ms,
                Step::Call => {
                    let admitted = policy.try_acquire(now);
                    prop_assert_eq!(admitted.is_ok(), model.call(call, now_ms));
                    in_flight.extend(admitted.map(|it| (call, now_ms, it.ticket)));
                }
                Step::End(index, result) if !in_flight.is_empty() => {
                    let (call, at_ms, ticket) = in_flight.swap_remove(index.index(in_flight.len()));
                    policy.on_result(now, ticket, result);
                    model.end(call, (at_ms, now_ms), result);
                }
                Step::Leave(index) if !in_flight.is_empty() => {
                    let (call, at_ms, ticket) = in_flight.swap_remove(index.index(in_flight.len()));
                    policy.on_abandoned(now, ticket);
                    let is_late = BOUND_MS <= now_ms - at_ms;
                    let result = if is_late { CallResult::Failure } else { CallResult::Ignored };
                    model.end(call, (at_ms, now_ms), result);
                }
                Step::End(..) | Step::Leave(_) => {}
            }
            prop_assert_eq!(policy.state(), model.state());
            prop_assert_eq!(policy.status(now).n_probes_in_flight as usize, model.n_probes());
            prop_assert!(policy.status(now).n_probes_in_flight <= n_permits);
        }
    }

    // Every event is a change of state and every change of state is an event, so that what the
    // listener hears is the whole story; whatever trips it, and whatever an operator does.
    #[test]
    fn events_tell_every_change_of_state_and_nothing_else(
        trip in trip(),
        n_permits in 1..4_u32,
        steps in prop::collection::vec(any_step(), 1..200),
    ) {
        let settings = CircuitBreakerSettings {
            trip,
            window_size: NonZeroU32::new(6).unwrap(),
            minimum_number_of_calls: NonZeroU32::new(3).unwrap(),
            window_duration: Duration::from_millis(WAIT_MS),
            half_open_permits: NonZeroU32::new(n_permits).unwrap(),
            ..settings()
        };
        let (t0, mut now_ms) = (some_instant(), 0);
        let mut policy = policy_at(t0, &settings);
        let mut in_flight: Vec<Ticket> = Vec::new();
        for step in steps {
            let now = t0 + Duration::from_millis(now_ms);
            let before = policy.status(now);
            let event = match step {
                Operated::Call(Step::Pass(ms)) => { now_ms += ms; None }
                Operated::Call(Step::Call) => match policy.try_acquire(now) {
                    Ok(admitted) => { in_flight.push(admitted.ticket); admitted.event }
                    Err(CallNotPermitted) => None,
                },
                Operated::Call(Step::End(index, result)) if !in_flight.is_empty() => {
                    let ticket = in_flight.swap_remove(index.index(in_flight.len()));
                    policy.on_result(now, ticket, result)
                }
                Operated::Call(Step::Leave(index)) if !in_flight.is_empty() => {
                    let ticket = in_flight.swap_remove(index.index(in_flight.len()));
                    policy.on_abandoned(now, ticket)
                }
                Operated::Call(Step::End(..) | Step::Leave(_)) => None,
                Operated::Force(forced) => policy.force(now, forced),
                Operated::Release => { policy.release(now); None }
            };
            let after = policy.status(now);
            let told = event.map(|event| match event {
                CircuitEvent::Opened { .. } => CircuitState::Open,
                CircuitEvent::HalfOpened => CircuitState::HalfOpen,
                CircuitEvent::Closed => CircuitState::Closed,
            });
            prop_assert_eq!(told, (before.state != after.state).then_some(after.state));
            prop_assert!(after.n_probes_in_flight <= n_permits);
            prop_assert_eq!(after.reason.is_none(), after.state == CircuitState::Closed);
            if let Some(CircuitEvent::Opened { reason }) = event {
                prop_assert_eq!(after.reason, Some(reason));
            }
            // Forced, only the operator changes anything.
            if before.forced.is_some() && matches!(step, Operated::Call(_)) {
                prop_assert_eq!((after.state, after.forced), (before.state, before.forced));
            }
        }
    }
}

/// A step of the calls, or of an operator.
#[derive(Debug, Clone)]
enum Operated {
    Call(Step),
    Force(Forced),
    Release,
}

fn any_step() -> impl Strategy<Value = Operated> {
    prop_oneof![
        20 => step().prop_map(Operated::Call),
        1 => prop_oneof![Just(Forced::Open), Just(Forced::Closed)].prop_map(Operated::Force),
        1 => Just(Operated::Release),
    ]
}

fn trip() -> impl Strategy<Value = TripRule> {
    prop_oneof![
        Just(TripRule::Consecutive),
        Just(TripRule::CountWindow),
        Just(TripRule::TimeWindow),
    ]
}
