//! Scripts and properties of the state machine.

use std::{collections::BTreeMap, fmt::Write as _};

use lab_core::{seed::Seed, settings::OpenBackoffSettings};

use super::*;

fn settings() -> CircuitBreakerSettings {
    CircuitBreakerSettings {
        failure_threshold: NonZeroU32::new(2).unwrap(),
        wait_duration_in_open: Duration::from_millis(1_000),
        ..CircuitBreakerSettings::default()
    }
}

fn some_instant() -> Instant {
    tokio::time::Instant::now().into_std()
}

fn policy_at(now: Instant, settings: &CircuitBreakerSettings) -> CircuitPolicy {
    CircuitPolicy::new(settings, Jitter::new(Seed(0)), now)
}

/// Plays `(at_ms, event)` pairs and compares one line for each: time, event, what came of it,
/// the state after it, and the change if there was one.
///
/// Events are `call a` (the call is named `a` from here on), and `ok a`, `fail a`, `ignore a`,
/// `leave a`; and an operator's `force open`, `force closed` and `release -`. The only place that calls the API, so a refactor edits one function.
#[track_caller]
fn check(settings: &CircuitBreakerSettings, script: &[(u64, &str)], want: &[&str]) {
    let t0 = some_instant();
    let mut policy = policy_at(t0, settings);
    let mut tickets = BTreeMap::new();
    let mut got = Vec::new();
    for &(at_ms, event) in script {
        let now = t0 + Duration::from_millis(at_ms);
        let (verb, name) = event.split_once(' ').unwrap();
        let mut ticket = || tickets.remove(name).unwrap();
        let (note, change) = match verb {
            "call" => match policy.try_acquire(now) {
                Ok(admitted) => {
                    tickets.insert(name, admitted.ticket);
                    (" admitted", admitted.event)
                }
                Err(CallNotPermitted) => (" rejected", None),
            },
            "ok" => ("", policy.on_result(now, ticket(), CallResult::Success)),
            "fail" => ("", policy.on_result(now, ticket(), CallResult::Failure)),
            "ignore" => ("", policy.on_result(now, ticket(), CallResult::Ignored)),
            "leave" => ("", policy.on_abandoned(now, ticket())),
            "force" if name == "open" => ("", policy.force(now, Forced::Open)),
            "force" => ("", policy.force(now, Forced::Closed)),
            "release" => {
                policy.release(now);
                ("", None)
            }
            other => panic!("unknown event {other}"),
        };
        let mut line = format!("{at_ms} {event}{note}: {:?}", policy.state());
        if let Some(change) = change {
            write!(line, ", {}", change.kind()).unwrap();
        }
        got.push(line);
    }
    assert_eq!(got, want);
}

#[test]
fn a_failed_probe_reopens_the_circuit_for_a_full_wait() {
    check(
        &settings(),
        &[
            (0, "call a"),
            (0, "call b"),
            (5, "fail a"),
            (10, "fail b"),
            (1_009, "call c"),
            (1_010, "call d"),
            (1_020, "fail d"),
            (2_019, "call e"),
            (2_020, "call f"),
            (2_025, "ok f"),
        ],
        &[
            "0 call a admitted: Closed",
            "0 call b admitted: Closed",
            "5 fail a: Closed",
            "10 fail b: Open, circuit_opened",
            "1009 call c rejected: Open",
            "1010 call d admitted: HalfOpen, circuit_half_opened",
            "1020 fail d: Open, circuit_opened",
            "2019 call e rejected: Open",
            "2020 call f admitted: HalfOpen, circuit_half_opened",
            "2025 ok f: Closed, circuit_closed",
        ],
    );
}

#[test]
fn one_success_starts_the_count_of_failures_again() {
    check(
        &settings(),
        &[(0, "call a"), (0, "call b"), (0, "call c"), (1, "fail a"), (2, "ok b"), (3, "fail c")],
        &[
            "0 call a admitted: Closed",
            "0 call b admitted: Closed",
            "0 call c admitted: Closed",
            "1 fail a: Closed",
            "2 ok b: Closed",
            "3 fail c: Closed",
        ],
    );
}

#[test]
fn a_result_that_says_nothing_neither_adds_to_the_count_nor_clears_it() {
    check(
        &settings(),
        &[
            (0, "call a"),
            (0, "call b"),
            (0, "call c"),
            (1, "fail a"),
            (2, "ignore b"),
            (3, "fail c"),
        ],
        &[
            "0 call a admitted: Closed",
            "0 call b admitted: Closed",
            "0 call c admitted: Closed",
            "1 fail a: Closed",
            "2 ignore b: Closed",
            "3 fail c: Open, circuit_opened",
        ],
    );
}

// The bound is 50 ms: a wait of 49 ms is nothing, 50 ms is a failure.
#[test]
fn callers_that_leave_trip_the_circuit_when_they_had_waited_long_enough() {
    check(
        &settings(),
        &[
            (0, "call a"),
            (0, "call b"),
            (0, "call c"),
            (49, "leave a"),
            (50, "leave b"),
            (1_000, "leave c"),
        ],
        &[
            "0 call a admitted: Closed",
            "0 call b admitted: Closed",
            "0 call c admitted: Closed",
            "49 leave a: Closed",
            "50 leave b: Closed",
            "1000 leave c: Open, circuit_opened",
        ],
    );
}

#[test]
fn while_half_open_only_as_many_calls_as_permits_pass() {
    let settings = CircuitBreakerSettings {
        half_open_permits: NonZeroU32::new(2).unwrap(),
        half_open_successes: NonZeroU32::new(3).unwrap(),
        ..settings()
    };
    check(
        &settings,
        &[
            (0, "call a"),
            (0, "call b"),
            (0, "fail a"),
            (0, "fail b"),
            (1_000, "call c"),
            (1_000, "call d"),
            (1_000, "call e"),
            (1_001, "ok c"),
            (1_001, "call f"),
            (1_001, "call g"),
            (1_002, "ok d"),
            (1_003, "ok f"),
        ],
        &[
            "0 call a admitted: Closed",
            "0 call b admitted: Closed",
            "0 fail a: Closed",
            "0 fail b: Open, circuit_opened",
            "1000 call c admitted: HalfOpen, circuit_half_opened",
            "1000 call d admitted: HalfOpen",
            "1000 call e rejected: HalfOpen",
            "1001 ok c: HalfOpen",
            "1001 call f admitted: HalfOpen",
            "1001 call g rejected: HalfOpen",
            "1002 ok d: HalfOpen",
            "1003 ok f: Closed, circuit_closed",
        ],
    );
}

#[test]
fn a_probe_whose_caller_left_early_gives_its_permit_back_and_proves_nothing() {
    check(
        &settings(),
        &[
            (0, "call a"),
            (0, "call b"),
            (0, "fail a"),
            (0, "fail b"),
            (1_000, "call c"),
            (1_010, "leave c"),
            (1_010, "call d"),
            (1_100, "leave d"),
        ],
        &[
            "0 call a admitted: Closed",
            "0 call b admitted: Closed",
            "0 fail a: Closed",
            "0 fail b: Open, circuit_opened",
            "1000 call c admitted: HalfOpen, circuit_half_opened",
            "1010 leave c: HalfOpen",
            "1010 call d admitted: HalfOpen",
            "1100 leave d: Open, circuit_opened",
        ],
    );
}

#[test]
fn a_probe_that_never_returns_does_not_keep_the_circuit_half_open_for_ever() {
    check(
        &settings(),
        &[
            (0, "call a"),
            (0, "call b"),
            (0, "fail a"),
            (0, "fail b"),
            (1_000, "call c"),
            (1_999, "call d"),
            (2_000, "call e"),
            (2_001, "fail c"),
            (2_002, "ok e"),
        ],
        &[
            "0 call a admitted: Closed",
            "0 call b admitted: Closed",
            "0 fail a: Closed",
            "0 fail b: Open, circuit_opened",
            "1000 call c admitted: HalfOpen, circuit_half_opened",
            "1999 call d rejected: HalfOpen",
            "2000 call e admitted: HalfOpen",
            "2001 fail c: HalfOpen",
            "2002 ok e: Closed, circuit_closed",
        ],
    );
}

#[test]
fn a_late_result_of_an_earlier_cycle_changes_nothing() {
    check(
        &settings(),
        &[
            (0, "call a"),
            (0, "call b"),
            (0, "call slow1"),
            (0, "call slow2"),
            (0, "call slow3"),
            (1, "fail a"),
            (1, "fail b"),
            (500, "ok slow1"),
            (1_001, "call c"),
            (1_002, "ok slow2"),
            (1_003, "ok c"),
            (1_004, "call d"),
            (1_005, "fail d"),
            (1_006, "fail slow3"),
        ],
        &[
            "0 call a admitted: Closed",
            "0 call b admitted: Closed",
            "0 call slow1 admitted: Closed",
            "0 call slow2 admitted: Closed",
            "0 call slow3 admitted: Closed",
            "1 fail a: Closed",
            "1 fail b: Open, circuit_opened",
            "500 ok slow1: Open",
            "1001 call c admitted: HalfOpen, circuit_half_opened",
            "1002 ok slow2: HalfOpen",
            "1003 ok c: Closed, circuit_closed",
            "1004 call d admitted: Closed",
            "1005 fail d: Closed",
            "1006 fail slow3: Closed",
        ],
    );
}

#[test]
fn forced_open_it_refuses_every_call_until_it_is_released_and_then_probes() {
    check(
        &settings(),
        &[
            (0, "call before"),
            (1, "force open"),
            (2, "ok before"),
            (60_000, "call a"),
            (60_001, "release -"),
            (60_002, "call b"),
            (60_002, "call c"),
            (60_003, "ok b"),
        ],
        &[
            "0 call before admitted: Closed",
            "1 force open: Open, circuit_opened",
            "2 ok before: Open",
            "60000 call a rejected: Open",
            "60001 release -: Open",
            "60002 call b admitted: HalfOpen, circuit_half_opened",
            "60002 call c rejected: HalfOpen",
            "60003 ok b: Closed, circuit_closed",
        ],
    );
}

#[test]
fn forced_closed_it_admits_every_call_and_counts_no_failure_even_after() {
    check(
        &settings(),
        &[
            (0, "call a"),
            (0, "call b"),
            (1, "fail a"),
            (1, "fail b"),
            (2, "force closed"),
            (3, "call c"),
            (3, "call d"),
            (3, "call late"),
            (4, "fail c"),
            (4, "fail d"),
            (5, "release -"),
            (6, "fail late"),
            (7, "call e"),
            (7, "fail e"),
        ],
        &[
            "0 call a admitted: Closed",
            "0 call b admitted: Closed",
            "1 fail a: Closed",
            "1 fail b: Open, circuit_opened",
            "2 force closed: Closed, circuit_closed",
            "3 call c admitted: Closed",
            "3 call d admitted: Closed",
            "3 call late admitted: Closed",
            "4 fail c: Closed",
            "4 fail d: Closed",
            "5 release -: Closed",
            "6 fail late: Closed",
            "7 call e admitted: Closed",
            "7 fail e: Closed",
        ],
    );
}

#[test]
fn to_release_what_is_not_forced_changes_nothing() {
    check(
        &settings(),
        &[
            (0, "call a"),
            (0, "call b"),
            (0, "fail a"),
            (1, "release -"),
            (2, "fail b"),
            (3, "release -"),
            (4, "call c"),
        ],
        &[
            "0 call a admitted: Closed",
            "0 call b admitted: Closed",
            "0 fail a: Closed",
            "1 release -: Closed",
            "2 fail b: Open, circuit_opened",
            "3 release -: Open",
            "4 call c rejected: Open",
        ],
    );
}

#[test]
fn the_status_says_why_since_when_and_when_the_next_probe_is() {
    let t0 = some_instant();
    let at = |ms| t0 + Duration::from_millis(ms);
    let mut policy = policy_at(t0, &settings());
    let calm = CircuitStatus {
        state: CircuitState::Closed,
        forced: None,
        reason: None,
        in_state_for: Duration::from_millis(7),
        next_probe_in: None,
        n_probes_in_flight: 0,
    };
    assert_eq!(policy.status(at(7)), calm);
    for _ in 0..2 {
        let ticket = policy.try_acquire(at(10)).unwrap().ticket;
        policy.on_result(at(10), ticket, CallResult::Failure);
    }
    let n_failures = NonZeroU32::new(2).unwrap();
    let open = CircuitStatus {
        state: CircuitState::Open,
        reason: Some(OpenReason::ConsecutiveFailures { n_failures }),
        in_state_for: Duration::from_millis(300),
        next_probe_in: Some(Duration::from_millis(700)),
        ..calm
    };
    assert_eq!(policy.status(at(310)), open);
    assert_eq!(policy.status(at(5_000)).next_probe_in, Some(Duration::ZERO));
    let _probe = policy.try_acquire(at(1_010)).unwrap();
    let half_open = CircuitStatus {
        state: CircuitState::HalfOpen,
        in_state_for: Duration::ZERO,
        next_probe_in: None,
        n_probes_in_flight: 1,
        ..open
    };
    assert_eq!(policy.status(at(1_010)), half_open, "the reason stays while it probes");
    policy.force(at(1_020), Forced::Open);
    let forced = CircuitStatus {
        state: CircuitState::Open,
        forced: Some(Forced::Open),
        reason: Some(OpenReason::Forced),
        ..calm
    };
    assert_eq!(policy.status(at(1_027)), forced);
    policy.force(at(1_030), Forced::Closed);
    let status = policy.status(at(1_037));
    assert_eq!(status, CircuitStatus { forced: Some(Forced::Closed), ..calm });
}

// With full jitter a wait is anywhere up to its bound, so this looks at many: none is longer than
// the bound of its place in the row, and the later ones are longer on average.
#[test]
fn with_a_backoff_each_opening_in_a_row_waits_longer_on_average_and_a_close_ends_the_row() {
    let settings = CircuitBreakerSettings {
        backoff: Some(OpenBackoffSettings { multiplier: 2.0, max: Duration::from_secs(4) }),
        failure_threshold: NonZeroU32::MIN,
        ..settings()
    };
    let mut sums = [Duration::ZERO; 3];
    for seed in 0..200 {
        let mut now = some_instant();
        let mut policy = CircuitPolicy::new(&settings, Jitter::new(Seed(seed)), now);
        let mut wait_of_an_opening = |bound_ms, now: &mut Instant| {
            let ticket = policy.try_acquire(*now).unwrap().ticket;
            policy.on_result(*now, ticket, CallResult::Failure);
            let wait = policy.status(*now).next_probe_in.unwrap();
            assert!(wait <= Duration::from_millis(bound_ms), "{wait:?} of {bound_ms} ms");
            *now += wait;
            wait
        };
        for (sum, bound_ms) in sums.iter_mut().zip([1_000, 2_000, 4_000]) {
            *sum += wait_of_an_opening(bound_ms, &mut now);
        }
        wait_of_an_opening(4_000, &mut now);
        let ticket = policy.try_acquire(now).unwrap().ticket;
        policy.on_result(now, ticket, CallResult::Success);
        assert_eq!(policy.state(), CircuitState::Closed);
        let ticket = policy.try_acquire(now).unwrap().ticket;
        policy.on_result(now, ticket, CallResult::Failure);
        assert!(policy.status(now).next_probe_in.unwrap() <= Duration::from_secs(1));
    }
    assert!(sums[0] < sums[1] && sums[1] < sums[2], "{sums:?}");
}

#[test]
fn a_wait_longer_than_time_itself_is_cut_and_does_not_panic() {
    let settings = CircuitBreakerSettings {
        wait_duration_in_open: Duration::MAX,
        failure_threshold: NonZeroU32::MIN,
        ..settings()
    };
    let (now, year) = (some_instant(), Duration::from_secs(365 * 86_400));
    let mut policy = policy_at(now, &settings);
    let ticket = policy.try_acquire(now).unwrap().ticket;
    policy.on_result(now, ticket, CallResult::Failure);
    assert_eq!(policy.try_acquire(now + year).unwrap_err(), CallNotPermitted);
}

#[test]
fn the_defaults_are_those_of_the_strategy() {
    let settings = CircuitBreakerSettings::default();
    assert_eq!(settings.failure_threshold.get(), 5);
    assert_eq!(settings.wait_duration_in_open, Duration::from_secs(60));
}

mod property;
mod resilience4j;
