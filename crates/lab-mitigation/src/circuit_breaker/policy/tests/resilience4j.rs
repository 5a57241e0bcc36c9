//! What resilience4j's breaker does, as a table of cases in our own words, and that this one does
//! it too: windows by count and by time, the minimum number of calls, slow calls, the permits of
//! half-open, forced states, and results that are ignored.
//!
//! **Source**: the documentation of resilience4j's `CircuitBreaker` module. Its `DISABLED` is our
//! forced closed. Its `METRICS_ONLY` is our mode observe, which is the handle's and not the
//! policy's (`breaker/tests.rs`). Where ours differs on purpose, the case says so.

use std::collections::VecDeque;

use lab_core::{settings::TripRule, units::Ratio};

use super::*;

const WAIT_MS: u64 = 1_000;
const SLOW_MS: u64 = 100;

/// A window of 10 calls that needs 5 of them; half of them failed, or 0.8 of them slow, opens it
/// for a second; 4 probes.
fn count_window() -> CircuitBreakerSettings {
    CircuitBreakerSettings {
        trip: TripRule::CountWindow,
        window_size: n(10),
        minimum_number_of_calls: n(5),
        failure_rate_threshold: Ratio::new(0.5).unwrap(),
        slow_call_duration_threshold: Some(Duration::from_millis(SLOW_MS)),
        slow_call_rate_threshold: Ratio::new(0.8).unwrap(),
        wait_duration_in_open: Duration::from_millis(WAIT_MS),
        half_open_permits: n(4),
        ..CircuitBreakerSettings::default()
    }
}

/// The same over the calls of the last 10 s.
fn time_window() -> CircuitBreakerSettings {
    CircuitBreakerSettings {
        trip: TripRule::TimeWindow,
        window_duration: Duration::from_secs(10),
        ..count_window()
    }
}

fn n(n: u32) -> NonZeroU32 {
    NonZeroU32::new(n).unwrap()
}

/// Plays a script and returns what was to be seen: changes of state, and calls refused.
///
/// Words of a script: `ok`, `fail`, `ignore`, `slow` (a success) and `slow-fail` are calls from
/// admission to result; `start` only admits, and `end-ok`, `end-fail`, `end-ignore` end the oldest
/// one that was started. `+n` lets n milliseconds pass. `force-open`, `force-closed`, `release`
/// are the operator's. `word*n` is the word n times.
fn play(settings: &CircuitBreakerSettings, script: &str) -> Vec<String> {
    let mut now = some_instant();
    let mut policy = policy_at(now, settings);
    let (mut started, mut seen) = (VecDeque::new(), Vec::new());
    for word in script.split_whitespace() {
        let (word, n_times) = word.split_once('*').unwrap_or((word, "1"));
        for _ in 0..n_times.parse().unwrap() {
            match step(&mut policy, &mut now, &mut started, word) {
                Ok(changes) => seen.extend(changes.into_iter().flatten().map(|it| match it {
                    CircuitEvent::Opened { reason } => format!("open, {reason}"),
                    CircuitEvent::HalfOpened => "half-open".to_owned(),
                    CircuitEvent::Closed => "closed".to_owned(),
                })),
                Err(CallNotPermitted) => seen.push("refused".to_owned()),
            }
        }
    }
    seen
}

fn step(
    policy: &mut CircuitPolicy,
    now: &mut Instant,
    started: &mut VecDeque<Ticket>,
    word: &str,
) -> Result<[Option<CircuitEvent>; 2], CallNotPermitted> {
    if let Some(ms) = word.strip_prefix('+') {
        *now += Duration::from_millis(ms.parse().unwrap());
        return Ok([None, None]);
    }
    let change = match word {
        "force-open" => policy.force(*now, Forced::Open),
        "force-closed" => policy.force(*now, Forced::Closed),
        "release" => {
            policy.release(*now);
            None
        }
        _ => return step_of_a_call(policy, now, started, word),
    };
    Ok([change, None])
}

fn step_of_a_call(
    policy: &mut CircuitPolicy,
    now: &mut Instant,
    started: &mut VecDeque<Ticket>,
    word: &str,
) -> Result<[Option<CircuitEvent>; 2], CallNotPermitted> {
    let (admission, ticket, verb) = match word.strip_prefix("end-") {
        Some(verb) => (None, started.pop_front().unwrap(), verb),
        None => {
            let admitted = policy.try_acquire(*now)?;
            (admitted.event, admitted.ticket, word)
        }
    };
    if verb == "start" {
        started.push_back(ticket);
        return Ok([admission, None]);
    }
    if verb.starts_with("slow") {
        *now += Duration::from_millis(SLOW_MS + 1);
    }
    let result = match verb {
        "ok" | "slow" => CallResult::Success,
        "fail" | "slow-fail" => CallResult::Failure,
        "ignore" => CallResult::Ignored,
        other => panic!("unknown word {other}"),
    };
    Ok([admission, policy.on_result(*now, ticket, result)])
}

#[track_caller]
fn check_cases(settings: &CircuitBreakerSettings, cases: &[(&str, &str, &[&str])]) {
    for (behaviour, script, want) in cases {
        assert_eq!(play(settings, script), *want, "{behaviour}: {script}");
    }
}

#[test]
fn a_window_by_count() {
    let cases: &[(&str, &str, &[&str])] = &[
        ("the rate means nothing below the minimum number of calls", "fail*4", &[]),
        ("it is judged with the call that reaches it", "fail*5", &["open, 5 of 5 calls failed"]),
        ("the threshold itself opens", "ok*5 fail*5", &["open, 5 of 10 calls failed"]),
        ("less than the threshold does not", "ok*6 fail*4 ok*20", &[]),
        (
            "a success can be what completes the minimum",
            "fail*3 ok*2",
            &["open, 3 of 5 calls failed"],
        ),
        (
            "the oldest call leaves when the window is full",
            "fail*2 ok*8 fail*4 ok*10 fail*5",
            &["open, 5 of 10 calls failed"],
        ),
        ("failures that have left do not count", "fail*2 ok*10 fail*4", &[]),
        ("an ignored call is in no window", "ignore*50 fail*4 ignore*50", &[]),
        ("time does not empty it", "fail*4 +3600000 fail", &["open, 5 of 5 calls failed"]),
    ];
    check_cases(&count_window(), cases);
}

// Buckets of 1 s: a call leaves between 9 and 10 s after it came.
#[test]
fn a_window_by_time() {
    let cases: &[(&str, &str, &[&str])] = &[
        ("the rate means nothing below the minimum number of calls", "fail*4", &[]),
        ("it is judged with the call that reaches it", "fail*5", &["open, 5 of 5 calls failed"]),
        ("it holds any number of calls", "ok*1000 fail*1000", &["open, 1000 of 2000 calls failed"]),
        ("calls stay for nine tenths", "fail*4 +9999 fail", &["open, 5 of 5 calls failed"]),
        ("and have left after all of it", "fail*4 +10000 fail", &[]),
        ("a pause longer than the window empties it", "fail*4 +3600000 fail*4", &[]),
        (
            "calls leave bucket by bucket",
            "fail*2 +5000 fail*2 +5000 fail*2 ok +1",
            &["open, 4 of 5 calls failed"],
        ),
    ];
    check_cases(&time_window(), cases);
}

#[test]
fn slow_calls() {
    let cases: &[(&str, &str, &[&str])] = &[
        ("slow successes open it", "slow*5", &["open, 5 of 5 calls were slow"]),
        ("the threshold itself opens", "ok*2 slow*8", &["open, 8 of 10 calls were slow"]),
        ("less than the threshold does not", "ok*3 slow*7", &[]),
        ("as long as the threshold is not slow", "start*5 +100 end-ok*5", &[]),
        ("longer is", "start*5 +101 end-ok*5", &["open, 5 of 5 calls were slow"]),
        ("a slow failure is both", "ok slow-fail*4", &["open, 4 of 5 calls failed"]),
        ("rates do not add up", "ok*2 slow*4 fail*4", &[]),
    ];
    check_cases(&count_window(), cases);
    let without = CircuitBreakerSettings { slow_call_duration_threshold: None, ..count_window() };
    check_cases(&without, &[("without a threshold no call is slow", "slow*20", &[])]);
}

#[test]
fn half_open() {
    let cases: &[(&str, &str, &[&str])] = &[
        (
            "open refuses until the wait is over",
            "fail*5 +999 ok +1 start",
            &["open, 5 of 5 calls failed", "refused", "half-open"],
        ),
        (
            "it permits so many calls and no more, done or not",
            "fail*5 +1000 start*4 start end-ok*2 start",
            &["open, 5 of 5 calls failed", "half-open", "refused", "refused"],
        ),
        (
            "it closes when all are done and the rate is below",
            "fail*5 +1000 ok*3 fail",
            &["open, 5 of 5 calls failed", "half-open", "closed"],
        ),
        (
            "it opens again at the threshold, for a full wait",
            "fail*5 +1000 ok*2 fail*2 +999 ok +1 ok",
            &[
                "open, 5 of 5 calls failed",
                "half-open",
                "open, 2 of 4 calls failed",
                "refused",
                "half-open",
            ],
        ),
        (
            "ours: it opens as soon as the rest cannot help, not when all four are done",
            "fail*5 +1000 fail*2 ok",
            &["open, 5 of 5 calls failed", "half-open", "open, 2 of 2 calls failed", "refused"],
        ),
        (
            "slow probes open it too",
            "fail*5 +1000 slow*4",
            &["open, 5 of 5 calls failed", "half-open", "open, 4 of 4 calls were slow"],
        ),
        (
            "an ignored probe gives its permit back",
            "fail*5 +1000 start*4 start end-ignore start start",
            &["open, 5 of 5 calls failed", "half-open", "refused", "refused"],
        ),
        (
            "the minimum number of calls is no concern of probes",
            "fail*5 +1000 ok*4 fail*4",
            &["open, 5 of 5 calls failed", "half-open", "closed"],
        ),
        (
            "closed again, the window is empty",
            "ok*5 fail*5 +1000 ok*4 fail*5",
            &["open, 5 of 10 calls failed", "half-open", "closed", "open, 5 of 5 calls failed"],
        ),
        (
            "ours: a result from before it opened changes nothing",
            "start*3 fail*5 +1000 start end-ok*3 ok*2 start",
            &["open, 5 of 5 calls failed", "half-open"],
        ),
        (
            "ours: probes that never return are written off after a wait",
            "fail*5 +1000 start*4 +999 start +1 ok*4",
            &["open, 5 of 5 calls failed", "half-open", "refused", "closed"],
        ),
    ];
    check_cases(&count_window(), cases);
    check_cases(&time_window(), cases);
}

#[test]
fn forced_states() {
    let cases: &[(&str, &str, &[&str])] = &[
        (
            "forced open refuses for ever",
            "force-open ok +3600000 ok",
            &["open, forced by an operator", "refused", "refused"],
        ),
        (
            "ours: let go of, it probes instead of closing unseen",
            "force-open release ok*3 ok",
            &["open, forced by an operator", "half-open", "closed"],
        ),
        ("disabled, nothing opens it", "force-closed fail*100 slow*100", &[]),
        ("and nothing of that time counts later", "force-closed fail*100 release fail*4", &[]),
        (
            "disabled from open, it closes",
            "fail*5 force-closed ok",
            &["open, 5 of 5 calls failed", "closed"],
        ),
        (
            "forced open when open is no second opening",
            "fail*5 force-open +3600000 ok",
            &["open, 5 of 5 calls failed", "refused"],
        ),
    ];
    check_cases(&count_window(), cases);
    check_cases(&time_window(), cases);
}

// 0.55 of 100 in floating point is 55.00000000000001: a product would want a 56th failure.
#[test]
fn a_threshold_is_reached_exactly_where_it_says() {
    let settings = CircuitBreakerSettings {
        window_size: n(100),
        minimum_number_of_calls: n(100),
        failure_rate_threshold: Ratio::new(0.55).unwrap(),
        slow_call_duration_threshold: None,
        ..count_window()
    };
    assert_eq!(play(&settings, "ok*46 fail*54"), [""; 0]);
    assert_eq!(play(&settings, "ok*45 fail*55"), ["open, 55 of 100 calls failed"]);
}
