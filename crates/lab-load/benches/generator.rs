//! What the generator's own work costs: computing the arrivals of a trial, and recording requests.
//! Each for some input and for twice as much.
//!
//! `cargo bench -p lab-load --features overhead --bench generator`; with `cargo xtask overhead` the
//! figures go to `docs/overhead.md`.

#![allow(clippy::unwrap_used, reason = "a bench that cannot be set up has nothing to say")]
#![allow(clippy::disallowed_methods, reason = "a bench measures real time")]

use std::{
    hint::black_box,
    num::NonZeroU32,
    path::Path,
    time::{Duration, Instant},
};

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use lab_core::{
    catalogue::{Catalogue, CatalogueSpec},
    load_plan::{Arrivals, LoadPlan, Mix, Shard},
    outcome::{Outcome, ServedBy},
    route::Route,
    sample::RequestSample,
    seed::Seed,
    units::{PerSec, Ratio},
};
use lab_load::{Recorder, schedule::Schedule};

/// Arrivals of a trial, some: a quick one at 540/s has as many.
const N_ARRIVALS: [u32; 2] = [20_000, 40_000];
/// Arrivals per second; how many there are is given by how long they come.
const RATE_PER_SEC: u32 = 1_000;
/// Requests between two times that the recorder writes to its file: at 1,000/s.
const N_RECORDED: [u32; 2] = [100, 200];

/// Mix, popularity and catalogue are those of `scenarios/redis-outage.toml`.
fn plan(n_arrivals: u32) -> LoadPlan {
    let share = |it| Ratio::new(it).unwrap();
    let count = |it| NonZeroU32::new(it).unwrap();
    LoadPlan {
        target: "127.0.0.1:1".parse().unwrap(),
        further_targets: Vec::new(),
        seed: Seed(1),
        arrivals: Arrivals::Poisson { rate: PerSec::new(f64::from(RATE_PER_SEC)).unwrap() },
        duration: Duration::from_secs(u64::from(n_arrivals / RATE_PER_SEC)),
        deadline: Duration::from_secs(1),
        give_up_after: Duration::from_secs(1),
        users: count(1_500),
        mix: Mix {
            product: share(0.70),
            recommendations: share(0.14),
            views: share(0.08),
            home: share(0.03),
            sessions: share(0.03),
            orders: share(0.02),
        },
        zipf_exponent: 1.0,
        session_users: count(50),
        catalogue: CatalogueSpec {
            products: count(20_000),
            reviews: count(200_000),
            authors: count(5_000),
            categories: count(40),
            seed: Seed(7),
        },
        shard: Shard::WHOLE,
        samples_path: "samples.bin".into(),
    }
}

fn arrivals(criterion: &mut Criterion) {
    let catalogue = Catalogue::generate(&plan(RATE_PER_SEC).catalogue);
    let mut group = criterion.benchmark_group("arrivals");
    for n_arrivals in N_ARRIVALS {
        let plan = plan(n_arrivals);
        group.throughput(Throughput::Elements(u64::from(n_arrivals)));
        group.bench_function(BenchmarkId::from_parameter(n_arrivals), |it| {
            it.iter(|| Schedule::generate(black_box(&plan), &catalogue).unwrap());
        });
    }
    group.finish();
}

fn sample(arrival: u32) -> RequestSample {
    RequestSample {
        arrival,
        key: arrival,
        route: Route::Product,
        outcome: Outcome::Success,
        served_by: Some(ServedBy::Database),
        status: 200,
        intended_at_ns: u64::from(arrival) * 1_000_000,
        sent_at_ns: u64::from(arrival) * 1_000_000 + 100_000,
        completed_at_ns: u64::from(arrival) * 1_000_000 + 2_000_000,
    }
}

/// The file is `/dev/null`: whoever records never waits for the disk, the recorder's thread does.
/// The buffer is emptied between the batches, outside of the time, as that thread does.
fn recording(criterion: &mut Criterion) {
    let recorder = Recorder::create(Path::new("/dev/null")).unwrap();
    let mut group = criterion.benchmark_group("recording");
    for n_requests in N_RECORDED {
        group.throughput(Throughput::Elements(u64::from(n_requests)));
        group.bench_function(BenchmarkId::from_parameter(n_requests), |it| {
            it.iter_custom(|n_batches| {
                let mut took = Duration::ZERO;
                for _ in 0..n_batches {
                    let started_at = Instant::now();
                    for arrival in 0..n_requests {
                        recorder.record(black_box(&sample(arrival)));
                    }
                    took += started_at.elapsed();
                    recorder.flush().unwrap();
                }
                took
            });
        });
    }
    group.finish();
}

fn config() -> Criterion {
    Criterion::default()
        .warm_up_time(Duration::from_secs(1))
        .measurement_time(Duration::from_secs(3))
        .sample_size(30)
}

criterion_group! {
    name = benches;
    config = config();
    targets = arrivals, recording
}
criterion_main!(benches);
