//! Whole runs of the generator process against a target inside the test, on loopback.
//!
//! Negative controls of the open-loop claims are here: a stalled target, a stalled generator, a
//! wrong body and too few users must all be visible in the samples.

use std::{sync::atomic::Ordering, time::Duration};

use crate::support::*;
use lab_core::{
    catalogue::Catalogue,
    clock::nanos,
    load_plan::{Arrivals, LoadPlan, Shard, order_key},
    outcome::Outcome,
    route::Route,
    sample::RequestSample,
    units::PerSec,
};
use lab_load::schedule::Schedule;
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};

fn schedule(plan: &LoadPlan) -> Schedule {
    Schedule::generate(plan, &Catalogue::generate(&plan.catalogue)).unwrap()
}

/// Each arrival of the plan has one sample, with its intended time.
fn assert_conserved(plan: &LoadPlan, samples: &[RequestSample]) {
    let scheduled: Vec<_> =
        schedule(plan).arrivals.iter().map(|it| (it.index, it.intended_at_ns, it.key())).collect();
    let recorded: Vec<_> =
        samples.iter().map(|it| (it.arrival, it.intended_at_ns, it.key)).collect();
    assert_eq!(recorded, scheduled);
}

fn signal(generator: &Generator, signal: Signal) {
    let pid = i32::try_from(generator.child.id()).unwrap();
    kill(Pid::from_raw(pid), signal).unwrap();
}

#[test]
fn every_scheduled_request_has_exactly_one_outcome() {
    let folder = tempfile::tempdir().unwrap();
    let target = Target::start(Products::Right);
    let plan = plan(target.address, folder.path());
    let samples = run_whole(&plan);
    assert_conserved(&plan, &samples);
    assert_eq!(n_with(&samples, Outcome::Success), samples.len());
    for route in Route::ALL {
        assert!(samples.iter().any(|it| it.route == route), "{}", route.name());
    }
    let mut keys: Vec<_> = target.orders.lock().unwrap().iter().map(|it| it.0.clone()).collect();
    let orders = samples.iter().filter(|it| it.route == Route::Orders);
    let mut expected: Vec<_> = orders.map(|it| order_key(plan.seed, it.arrival)).collect();
    keys.sort();
    expected.sort();
    assert_eq!(keys, expected);
}

// The budget follows from the times in the samples: intended + give_up_after - sent, in whole
// milliseconds. Orders are told apart by their keys. Two users and a stall make some of them late.
#[test]
fn every_request_says_how_long_its_client_will_wait() {
    let folder = tempfile::tempdir().unwrap();
    let target = Target::start(Products::Right);
    let duration = Duration::from_secs(3);
    let plan = LoadPlan { duration, users: count(2), ..plan(target.address, folder.path()) };
    let mut generator = Generator::spawn(&plan, "");
    generator.start(soon());
    generator.await_samples(20);
    target.stall();
    wait_for(Duration::from_millis(300));
    target.resume();
    assert_eq!(generator.end().0.code(), Some(0));
    let mut said = target.orders.lock().unwrap().clone();
    let mut expected = Vec::new();
    for order in generator.samples().iter().filter(|it| it.route == Route::Orders) {
        let left_ns = order.intended_at_ns + nanos(plan.give_up_after) - order.sent_at_ns;
        expected.push((order_key(plan.seed, order.arrival), (left_ns / 1_000_000).to_string()));
    }
    said.sort();
    expected.sort();
    assert_eq!(said, expected);
    let in_time = |it: &&(String, String)| it.1 == "4999";
    let n_late = said.len() - said.iter().filter(in_time).count();
    assert!(5 < n_late, "{n_late} of {}", said.len());
    assert_eq!(target.n_without_budget.load(Ordering::SeqCst), 0);
}

// The target holds its answers for 500 ms and four users at most can be waiting for one. Whoever
// looks at service times sees at most those slow; the users of the service were hundreds.
#[test]
fn a_stalled_target_shows_in_response_times_and_hides_in_service_times() {
    let folder = tempfile::tempdir().unwrap();
    let target = Target::start(Products::Right);
    let plan = LoadPlan {
        duration: Duration::from_secs(3),
        users: count(4),
        mix: products_only(),
        ..plan(target.address, folder.path())
    };
    let mut generator = Generator::spawn(&plan, "");
    generator.start(soon());
    generator.await_samples(20);
    target.stall();
    wait_for(Duration::from_millis(500));
    target.resume();
    assert_eq!(generator.end().0.code(), Some(0));
    let samples = generator.samples();
    assert_conserved(&plan, &samples);
    let slow_ns = nanos(Duration::from_millis(200));
    let n_slow =
        |time: fn(&RequestSample) -> u64| samples.iter().filter(|it| slow_ns < time(it)).count();
    let (n_response, n_service) =
        (n_slow(RequestSample::response_time_ns), n_slow(RequestSample::service_time_ns));
    assert!(60 < n_response, "{n_response} slow response times");
    assert!(n_service * 5 < n_response, "{n_service} slow service times of {n_response}");
}

// 400 arrivals per second: that none of them is due within 20 ms has a chance of e^-8, and the
// generator is stopped for longer.
#[test]
fn a_generator_stalled_for_20_ms_shows_as_send_lag() {
    let folder = tempfile::tempdir().unwrap();
    let target = Target::start(Products::Right);
    let plan = LoadPlan { duration: Duration::from_secs(3), ..plan(target.address, folder.path()) };
    let mut generator = Generator::spawn(&plan, "");
    generator.start(soon());
    generator.await_samples(20);
    signal(&generator, Signal::SIGSTOP);
    wait_for(Duration::from_millis(40));
    signal(&generator, Signal::SIGCONT);
    assert_eq!(generator.end().0.code(), Some(0));
    let samples = generator.samples();
    assert_conserved(&plan, &samples);
    let lag_ns = samples.iter().map(RequestSample::send_lag_ns).max().unwrap();
    assert!(nanos(Duration::from_millis(20)) <= lag_ns, "{lag_ns} ns");
}

#[test]
fn a_wrong_or_empty_body_is_a_failure_although_the_status_is_200() {
    for products in [Products::Wrong, Products::Empty] {
        let folder = tempfile::tempdir().unwrap();
        let target = Target::start(products);
        let samples = run_whole(&plan(target.address, folder.path()));
        for sample in &samples {
            let expected = match sample.route {
                Route::Product => Outcome::DependencyFailed,
                _ => Outcome::Success,
            };
            assert_eq!(sample.outcome, expected, "{sample:?}");
            assert_ne!(sample.status, 0);
        }
    }
}

// One user, a target that never answers and an arrival every 0.5 ms. When the user gives up on one
// request, the next has been waiting nearly as long: it is sent and given up on within the grain of
// tokio's timer, 1 ms. So at most every second arrival is sent, whatever the machine.
#[test]
fn what_no_user_could_send_in_time_is_unsent_and_not_lost() {
    let folder = tempfile::tempdir().unwrap();
    let target = Target::start(Products::Silent);
    let give_up_after = Duration::from_millis(300);
    let plan = LoadPlan {
        arrivals: Arrivals::Poisson { rate: PerSec::new(2_000.0).unwrap() },
        duration: Duration::from_millis(500),
        users: count(1),
        mix: products_only(),
        give_up_after,
        ..plan(target.address, folder.path())
    };
    let samples = run_whole(&plan);
    assert_conserved(&plan, &samples);
    let n_unsent = n_with(&samples, Outcome::Unsent);
    let n_timed_out = n_with(&samples, Outcome::TimedOut);
    assert_eq!(n_unsent + n_timed_out, samples.len());
    assert!(0 < n_timed_out);
    assert!(samples.len() / 4 < n_unsent, "{n_unsent}");
    for sample in samples {
        assert!(nanos(give_up_after) <= sample.response_time_ns(), "{sample:?}");
    }
}

#[test]
fn a_client_that_gives_up_closes_its_connection() {
    let folder = tempfile::tempdir().unwrap();
    let target = Target::start(Products::Silent);
    let plan = LoadPlan {
        arrivals: Arrivals::Poisson { rate: PerSec::new(50.0).unwrap() },
        mix: products_only(),
        give_up_after: Duration::from_secs(1),
        ..plan(target.address, folder.path())
    };
    let mut generator = Generator::spawn(&plan, "");
    generator.start(soon());
    // Seen by the target while the generator still runs: it is not its exit that closes them.
    await_condition(|| 0 < target.n_abandoned.load(Ordering::SeqCst));
    assert!(generator.child.try_wait().unwrap().is_none());
    assert_eq!(generator.end().0.code(), Some(0));
    let samples = generator.samples();
    let n_timed_out = n_with(&samples, Outcome::TimedOut);
    assert_eq!(n_timed_out + n_with(&samples, Outcome::Unsent), samples.len());
    assert!(samples.len() < 2 * n_timed_out, "only {n_timed_out} of {} were sent", samples.len());
    let n_abandoned = || target.n_abandoned.load(Ordering::SeqCst) as usize;
    await_condition(|| n_timed_out <= n_abandoned());
    assert_eq!(n_abandoned(), n_timed_out);
    assert_eq!(target.in_flight.load(Ordering::SeqCst), 0);
}

#[test]
fn two_shards_together_send_the_whole_schedule() {
    let folder = tempfile::tempdir().unwrap();
    let target = Target::start(Products::Right);
    let whole = plan(target.address, folder.path());
    let mut generators = [0, 1].map(|index| {
        let plan = LoadPlan {
            shard: Shard { index, count: count(2) },
            samples_path: folder.path().join(format!("samples-{index}.bin")),
            ..whole.clone()
        };
        Generator::spawn(&plan, "")
    });
    generators.iter_mut().for_each(Generator::await_ready);
    let start = soon();
    let mut merged = Vec::new();
    for generator in &mut generators {
        generator.send_line(&format!("start {}", start.0));
    }
    for generator in &mut generators {
        assert_eq!(generator.end().0.code(), Some(0));
        merged.extend(generator.samples());
    }
    merged.sort_by_key(|it| it.arrival);
    assert_conserved(&whole, &merged);
}

#[test]
fn a_lost_session_is_a_failure_and_the_user_logs_in_again() {
    let folder = tempfile::tempdir().unwrap();
    let target = Target::start(Products::Right);
    target.me_before_loss.store(3, Ordering::SeqCst);
    let plan = LoadPlan { session_users: count(1), ..plan(target.address, folder.path()) };
    let samples = run_whole(&plan);
    let visits: Vec<_> =
        samples.iter().filter(|it| matches!(it.route, Route::Sessions | Route::Me)).collect();
    let lost: Vec<_> = visits.iter().filter(|it| it.status == 401).collect();
    assert_eq!(lost.len(), 1);
    assert_eq!(lost[0].outcome, Outcome::DependencyFailed);
    let again = visits.iter().find(|it| lost[0].completed_at_ns < it.sent_at_ns).unwrap();
    assert_eq!((again.route, again.outcome), (Route::Sessions, Outcome::Success));
    assert_eq!(visits.last().unwrap().route, Route::Me);
}

#[test]
fn a_target_that_is_not_there_is_a_failure_of_each_request() {
    let folder = tempfile::tempdir().unwrap();
    let unused = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let plan = plan(unused, folder.path());
    let samples = run_whole(&plan);
    assert_conserved(&plan, &samples);
    assert_eq!(n_with(&samples, Outcome::DependencyFailed), samples.len());
    assert!(samples.iter().all(|it| it.status == 0 && it.served_by.is_none()));
}

#[test]
fn saturating_load_keeps_every_user_busy_and_no_more() {
    let folder = tempfile::tempdir().unwrap();
    let target = Target::start(Products::Right);
    let plan = LoadPlan {
        arrivals: Arrivals::Saturate { rate_max: PerSec::new(50_000.0).unwrap() },
        duration: Duration::from_millis(500),
        users: count(5),
        mix: products_only(),
        ..plan(target.address, folder.path())
    };
    let samples = run_whole(&plan);
    assert_eq!(n_with(&samples, Outcome::Success), samples.len());
    assert!(samples.iter().all(|it| it.intended_at_ns == it.sent_at_ns));
    assert!((0..).zip(&samples).all(|(index, it)| it.arrival == index));
    assert!((1..=5).contains(&target.in_flight_max.load(Ordering::SeqCst)));
}

/// Requests that each instance had.
fn n_requests(targets: [&Target; 2]) -> [usize; 2] {
    targets.map(|it| usize::try_from(it.n_requests.load(Ordering::SeqCst)).unwrap())
}

// Arrival k goes to instance k mod 2, and each arrival is one request.
#[test]
fn several_instances_share_the_arrivals_evenly_and_any_of_them_knows_every_session() {
    let folder = tempfile::tempdir().unwrap();
    let (first, second) = (Target::start(Products::Right), Target::start(Products::Right));
    let plan =
        LoadPlan { further_targets: vec![second.address], ..plan(first.address, folder.path()) };
    let samples = run_whole(&plan);
    assert_conserved(&plan, &samples);
    assert_eq!(n_with(&samples, Outcome::Success), samples.len());
    let half = samples.len() / 2;
    assert_eq!(n_requests([&first, &second]), [samples.len() - half, half]);
}

// 400 arrivals per second for three seconds: the list changes soon after the start. The control is
// the time before, in which the second instance gets nothing.
#[test]
fn an_instance_gets_its_share_from_when_the_generator_is_told_of_it() {
    let folder = tempfile::tempdir().unwrap();
    let (first, second) = (Target::start(Products::Right), Target::start(Products::Right));
    let plan = LoadPlan { duration: Duration::from_secs(3), ..plan(first.address, folder.path()) };
    let mut generator = Generator::spawn(&plan, "");
    generator.start(soon());
    generator.await_samples(20);
    assert_eq!(n_requests([&first, &second])[1], 0);
    generator.send_line(&format!("targets {},{}", first.address, second.address));
    let (status, stderr) = generator.end();
    assert_eq!((status.code(), stderr.as_str()), (Some(0), ""));
    let samples = generator.samples();
    assert_conserved(&plan, &samples);
    assert_eq!(n_with(&samples, Outcome::Success), samples.len());
    let [n_first, n_second] = n_requests([&first, &second]);
    assert_eq!(n_first + n_second, samples.len());
    assert!(0 < n_second && n_second <= samples.len() / 2, "{n_second} of {}", samples.len());
}

#[test]
fn a_terminated_run_leaves_samples_that_decode() {
    for (number, expected) in [(Signal::SIGTERM, 143), (Signal::SIGINT, 130)] {
        let folder = tempfile::tempdir().unwrap();
        let target = Target::start(Products::Right);
        let plan =
            LoadPlan { duration: Duration::from_secs(30), ..plan(target.address, folder.path()) };
        let mut generator = Generator::spawn(&plan, "");
        generator.start(soon());
        generator.await_samples(50);
        signal(&generator, number);
        let (status, stderr) = generator.end();
        assert_eq!(status.code(), Some(expected), "{stderr}");
        assert_eq!(stderr.lines().count(), 1, "{stderr}");
        assert!(50 <= generator.samples().len());
    }
}
