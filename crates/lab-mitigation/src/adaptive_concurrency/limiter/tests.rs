//! The shared limiter: results, dropped permits, refusals, modes.

use lab_testkit::{clock::ManualClock, recorder::Recorder};

use super::*;

const BOUND: Duration = Duration::from_millis(50);

/// Halves on a lost call, grows by one on a success, and shows what it was told.
#[derive(Debug)]
struct Scripted {
    limit: u32,
    told: Recorder<Sample>,
}

impl Limit for Scripted {
    fn limit(&self) -> NonZeroU32 {
        NonZeroU32::new(self.limit).unwrap()
    }

    fn on_sample(&mut self, sample: &Sample) {
        self.told.push(*sample);
        self.limit = match sample.result {
            SampleResult::Success => self.limit + 1,
            SampleResult::Dropped => self.limit / 2,
            SampleResult::Ignored => self.limit,
        };
    }
}

struct Fixture {
    limiter: AdaptiveConcurrency,
    clock: ManualClock,
    told: Recorder<Sample>,
}

impl Fixture {
    fn new(mode: Mode) -> Self {
        let settings = AdaptiveConcurrencySettings {
            mode,
            slow_call_bound: BOUND,
            ..AdaptiveConcurrencySettings::default()
        };
        let (clock, told) = (ManualClock::new(), Recorder::new());
        let limit = Scripted { limit: 2, told: told.clone() };
        let limiter = AdaptiveConcurrency::with_limit(&settings, limit, clock.reader());
        Self { limiter, clock, told }
    }

    async fn acquire(&self) -> Result<AdaptivePermit, ConcurrencyLimited> {
        self.limiter.acquire().await
    }

    fn told(&self) -> Vec<(u128, u32, SampleResult)> {
        self.told.take().iter().map(|it| (it.rtt.as_millis(), it.in_flight, it.result)).collect()
    }

    fn counts(&self) -> (u64, u64, u64) {
        let counts = self.limiter.snapshot().gate.counts;
        (counts.n_permitted, counts.n_rejected, counts.n_would_reject)
    }
}

#[tokio::test(start_paused = true)]
async fn the_excess_is_refused_and_each_result_moves_the_limit() {
    let it = Fixture::new(Mode::Enforce);
    let (first, second) = (it.acquire().await.unwrap(), it.acquire().await.unwrap());
    let limited = ConcurrencyLimited { in_flight: 2, limit: 2, waited: Duration::ZERO };
    assert_eq!(it.acquire().await.unwrap_err(), limited);
    it.clock.advance(Duration::from_millis(10));
    first.on_result(it.clock.now(), SampleResult::Success);
    assert_eq!(it.limiter.limit().get(), 3);
    let more = [it.acquire().await.unwrap(), it.acquire().await.unwrap()];
    assert!(it.acquire().await.is_err());
    second.on_result(it.clock.now(), SampleResult::Dropped);
    assert_eq!(it.limiter.snapshot().gate.occupancy.max_concurrent_calls, 1);
    assert_eq!(it.told(), [(10, 1, SampleResult::Success), (10, 2, SampleResult::Dropped)]);
    drop(more);
    assert_eq!(it.limiter.snapshot().gate.occupancy.in_flight, 0);
    assert_eq!(it.counts(), (4, 2, 0));
}

#[tokio::test(start_paused = true)]
async fn a_dropped_permit_is_a_lost_call_only_after_the_bound() {
    let it = Fixture::new(Mode::Enforce);
    for (waited_ms, want) in [(49, SampleResult::Ignored), (50, SampleResult::Dropped)] {
        let permit = it.acquire().await.unwrap();
        it.clock.advance(Duration::from_millis(waited_ms));
        drop(permit);
        assert_eq!(it.told(), [(u128::from(waited_ms), 1, want)]);
        assert_eq!(it.limiter.snapshot().gate.occupancy.in_flight, 0);
    }
}

#[tokio::test(start_paused = true)]
async fn observing_it_refuses_nobody_and_learns_only_from_calls_it_would_have_let_in() {
    let it = Fixture::new(Mode::Observe);
    let permits =
        [it.acquire().await.unwrap(), it.acquire().await.unwrap(), it.acquire().await.unwrap()];
    for permit in permits {
        permit.on_result(it.clock.now(), SampleResult::Success);
    }
    assert_eq!((it.told().len(), it.counts()), (2, (2, 0, 1)));
    assert_eq!(it.limiter.snapshot().gate.occupancy.in_flight, 0);
}

#[tokio::test(start_paused = true)]
async fn switched_off_it_passes_everything_and_learns_nothing() {
    let it = Fixture::new(Mode::Off);
    let permits =
        [it.acquire().await.unwrap(), it.acquire().await.unwrap(), it.acquire().await.unwrap()];
    it.limiter.set_mode(Mode::Enforce);
    drop(permits);
    assert_eq!((it.told().len(), it.counts()), (0, (0, 0, 0)));
    assert_eq!(it.limiter.snapshot().gate.occupancy.in_flight, 0);
}

#[tokio::test(start_paused = true)]
async fn a_limit_that_grows_lets_a_waiter_in() {
    let settings = AdaptiveConcurrencySettings {
        mode: Mode::Enforce,
        max_wait_duration: Duration::from_secs(1),
        ..AdaptiveConcurrencySettings::default()
    };
    let limit = Scripted { limit: 1, told: Recorder::new() };
    let limiter = AdaptiveConcurrency::with_limit(&settings, limit, SystemClock);
    let permit = limiter.acquire().await.unwrap();
    let waiting: Vec<_> = (0..2)
        .map(|_| {
            let limiter = limiter.clone();
            tokio::spawn(async move { limiter.acquire().await })
        })
        .collect();
    tokio::task::yield_now().await;
    assert_eq!(limiter.snapshot().gate.occupancy.queue_depth, 2);
    permit.on_result(limiter.now(), SampleResult::Success);
    let mut permits = Vec::new();
    for waiter in waiting {
        permits.push(waiter.await.unwrap().unwrap());
    }
    assert_eq!((limiter.limit().get(), permits.len()), (2, 2));
}

#[test]
fn the_settings_choose_the_algorithm() {
    for (algorithm, name) in
        [(LimitAlgorithm::Aimd, "Aimd"), (LimitAlgorithm::Gradient, "Gradient")]
    {
        let settings =
            AdaptiveConcurrencySettings { algorithm, ..AdaptiveConcurrencySettings::default() };
        let limiter = AdaptiveConcurrency::new(&settings);
        assert!(format!("{limiter:?}").contains(&format!("{name} {{")), "{limiter:?}");
        assert_eq!(limiter.limit().get(), 20);
    }
}

/// Says anything: no limit to speak of, then one, and panics in between.
#[derive(Debug, Default)]
struct Nonsense {
    n_samples: u32,
}

impl Limit for Nonsense {
    fn limit(&self) -> NonZeroU32 {
        if self.n_samples.is_multiple_of(2) { NonZeroU32::MAX } else { NonZeroU32::MIN }
    }

    fn on_sample(&mut self, _sample: &Sample) {
        self.n_samples += 1;
        assert!(self.n_samples != 2, "an algorithm that panics");
    }
}

// Five calls one after another: each gets its place and gives it back, whatever the algorithm says
// of it, and whether a result or a drop tells it.
#[tokio::test]
async fn an_algorithm_of_nonsense_takes_no_call_with_it() {
    let settings = AdaptiveConcurrencySettings {
        mode: Mode::Enforce,
        slow_call_bound: BOUND,
        ..AdaptiveConcurrencySettings::default()
    };
    let clock = ManualClock::new();
    let limiter = AdaptiveConcurrency::with_limit(&settings, Nonsense::default(), clock.reader());
    for n in 0..5 {
        let permit = limiter.acquire().await.unwrap();
        if n % 2 == 0 {
            permit.on_result(limiter.now(), SampleResult::Success);
        } else {
            drop(permit);
        }
        assert_eq!(limiter.snapshot().gate.occupancy.in_flight, 0, "call {n}");
    }
    assert_eq!(limiter.snapshot().gate.counts.n_permitted, 5);
}
