//! Both limits in front of a simulated server: they settle near its knee, and follow when it moves.
//!
//! The server has some workers and one queue in arrival order; service times are exponential. The
//! callers are open-loop, after a calm start at twice what the server can do; whoever finds the
//! limit reached is refused. Whoever waited a second is gone, but the server does the work all the same. Simulated
//! time, one seed, no clock.

use std::{
    cmp::Reverse,
    collections::BinaryHeap,
    time::{Duration, Instant},
};

use lab_core::{
    seed::{Seed, share},
    settings::AdaptiveConcurrencySettings,
};
use lab_testkit::clock::ManualClock;
use rand::Rng;

use super::{Aimd, Gradient, Limit, Sample, SampleResult};

const SERVICE_MEAN_S: f64 = 0.010;
const GIVE_UP_AFTER_S: f64 = 1.0;

/// What a stretch of the simulation came to.
#[derive(Debug)]
struct Stretch {
    /// Mean of the limit over the arrivals.
    limit_mean: f64,
    /// Calls answered in time, over what the server can do.
    goodput_ratio: f64,
    rtt_mean_s: f64,
}

struct Simulation<L> {
    limit: L,
    random: Box<dyn FnMut() -> u64>,
    origin: Instant,
    now_s: f64,
    /// When each worker is free.
    workers: Vec<f64>,
    /// Ends of calls in flight, in nanoseconds, with start and in flight.
    calls: BinaryHeap<Reverse<(u64, u64, u32)>>,
}

impl<L: Limit> Simulation<L> {
    fn new(limit: L) -> Self {
        let mut stream = Seed(11).stream("simulation");
        Self {
            limit,
            random: Box::new(move || stream.next_u64()),
            origin: ManualClock::new().now(),
            now_s: 0.0,
            workers: Vec::new(),
            calls: BinaryHeap::new(),
        }
    }

    fn exponential(&mut self, mean_s: f64) -> f64 {
        -mean_s * (1.0 - share((self.random)())).ln()
    }

    fn resize(&mut self, n_workers: usize) {
        self.workers.sort_unstable_by(f64::total_cmp);
        self.workers.resize(n_workers, self.now_s);
    }

    /// Runs for `length_s` at `load` times the capacity, and reports the second half of it.
    fn run(&mut self, length_s: f64, load: f64) -> Stretch {
        let capacity_per_sec = self.workers.len() as f64 / SERVICE_MEAN_S;
        let (middle_s, end_s) = (self.now_s + length_s / 2.0, self.now_s + length_s);
        let (mut n_arrivals, mut limit_sum, mut n_good, mut rtt_sum_s) = (0, 0.0, 0, 0.0);
        while self.now_s < end_s {
            self.now_s += self.exponential(1.0 / (load * capacity_per_sec));
            let until = nanos(self.now_s);
            while self.calls.peek().is_some_and(|it| it.0.0 <= until) {
                let Some(Reverse(call)) = self.calls.pop() else { break };
                let rtt_s = self.end(call);
                if middle_s <= self.now_s {
                    n_good += u32::from(rtt_s < GIVE_UP_AFTER_S);
                    rtt_sum_s += rtt_s;
                }
            }
            if self.calls.len() < self.limit.limit().get() as usize {
                self.call();
            }
            if middle_s <= self.now_s {
                n_arrivals += 1;
                limit_sum += f64::from(self.limit.limit().get());
            }
        }
        Stretch {
            limit_mean: limit_sum / f64::from(n_arrivals),
            goodput_ratio: f64::from(n_good) / (capacity_per_sec * length_s / 2.0),
            rtt_mean_s: rtt_sum_s / f64::from(n_good),
        }
    }

    /// Tells the limit about a call that ended, and how long it took.
    fn end(&mut self, (ended, started, in_flight): (u64, u64, u32)) -> f64 {
        let rtt_s = (ended - started) as f64 / 1e9;
        let is_good = rtt_s < GIVE_UP_AFTER_S;
        self.limit.on_sample(&Sample {
            started_at: self.origin + Duration::from_nanos(started),
            rtt: Duration::from_nanos(ended - started),
            in_flight,
            result: if is_good { SampleResult::Success } else { SampleResult::Dropped },
        });
        rtt_s
    }

    fn call(&mut self) {
        let service_s = self.exponential(SERVICE_MEAN_S);
        let now_s = self.now_s;
        let worker = self.workers.iter_mut().min_by(|a, b| a.total_cmp(b)).unwrap();
        *worker = worker.max(now_s) + service_s;
        let ended_s = worker.min(now_s + GIVE_UP_AFTER_S);
        let in_flight = u32::try_from(self.calls.len()).unwrap() + 1;
        self.calls.push(Reverse((nanos(ended_s), nanos(now_s), in_flight)));
    }
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "some minutes")]
fn nanos(seconds: f64) -> u64 {
    (seconds * 1e9) as u64
}

fn settings() -> AdaptiveConcurrencySettings {
    AdaptiveConcurrencySettings {
        slow_call_bound: Duration::from_millis(50),
        ..AdaptiveConcurrencySettings::default()
    }
}

/// Ten seconds at half load; then twice the load, on ten workers, on three, and on ten again, half
/// a minute each.
fn steps<L: Limit>(limit: L) -> [Stretch; 3] {
    let mut simulation = Simulation::new(limit);
    simulation.resize(10);
    simulation.run(10.0, 0.5);
    [10, 3, 10].map(|n_workers| {
        simulation.resize(n_workers);
        simulation.run(30.0, 2.0)
    })
}

// The knee is one call per worker: 10, 3, 10. Below it workers idle. Above it each call only adds
// to the time of all, which is limit / workers × 10 ms. The gradient rests where limit = 1.5 ×
// workers + its allowance of 4, with some room here for noise and for what it learns meanwhile;
// AIMD stays below what its bound of 50 ms lets through, 5 calls per worker.
#[track_caller]
fn check_near_the_knee(stretches: &[Stretch; 3], limit_max: impl Fn(f64) -> f64) {
    for (stretch, n_workers) in stretches.iter().zip([10.0, 3.0, 10.0]) {
        let Stretch { limit_mean, goodput_ratio, rtt_mean_s } = stretch;
        assert!((n_workers..=limit_max(n_workers)).contains(limit_mean), "{stretches:#?}");
        assert!(0.9 < *goodput_ratio, "{stretches:#?}");
        assert!(*rtt_mean_s < 5.0 * SERVICE_MEAN_S, "{stretches:#?}");
    }
}

#[test]
fn the_gradient_settles_near_the_knee_and_follows_when_it_moves() {
    let limit_max = |n_workers| 1.4 * (1.5 * n_workers + 4.0);
    check_near_the_knee(&steps(Gradient::new(&settings())), limit_max);
}

#[test]
fn aimd_settles_near_the_knee_and_follows_when_it_moves() {
    check_near_the_knee(&steps(Aimd::new(&settings())), |n_workers| 5.0 * n_workers);
}

// The negative control: without a limit the same server answers nobody in time.
#[test]
fn a_limit_that_does_not_move_lets_everybody_queue_until_they_leave() {
    #[derive(Debug)]
    struct Fixed;
    impl Limit for Fixed {
        fn limit(&self) -> std::num::NonZeroU32 {
            std::num::NonZeroU32::MAX
        }
        fn on_sample(&mut self, _sample: &Sample) {}
    }
    let [stretch, ..] = steps(Fixed);
    assert!(stretch.goodput_ratio < 0.1, "{stretch:#?}");
}
