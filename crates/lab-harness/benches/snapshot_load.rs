//! How long Redis takes to read a snapshot of a million entries of the storefront's size.
//!
//! The process backend's Redis is filled with pages as the storefront caches them, told to keep a
//! snapshot, and then killed and started again three times. Two times are told of each: reading
//! alone, by the server's own account, and from the order to start to the first answer. The control
//! is a start without a snapshot.
//!
//! `cargo bench -p lab-harness --bench snapshot_load`, on a machine that does nothing else. It takes
//! some 3 GB of memory.

#![allow(clippy::unwrap_used, reason = "a bench ends where something is not as it must be")]
#![allow(clippy::print_stdout, reason = "the figures are what was asked for")]

use std::{fs, num::NonZeroU32, time::Duration};

use lab_core::{
    catalogue::{Catalogue, CatalogueSpec},
    clock::MonotonicNs,
    seed::Seed,
};
use lab_harness::{
    machine::{cpus::CpuPlan, run_dir::RunDirectory},
    process::Spawner,
    stack::{BackendChoice, InstallPolicy, Stack, StackError, StackOptions, redis::SNAPSHOT_FILE},
};
use lab_testkit::skip::skip;
use redis::{AsyncConnectionConfig, Client};

const N_KEYS: usize = 1_000_000;
const N_TIMES: usize = 3;
/// Entries that are sent at once.
const N_AT_ONCE: usize = 1_000;
/// No entry expires while the bench runs.
const TTL: Duration = Duration::from_secs(3_600);
/// Longest wait for one answer while Redis is filled.
const PATIENCE: Duration = Duration::from_secs(30);

#[tokio::main]
async fn main() {
    // `cargo test --benches` only wants to know that it builds.
    if !std::env::args().any(|it| it == "--bench") {
        return;
    }
    let directory = RunDirectory::create().unwrap();
    let spawner = Spawner::start(directory.registry().unwrap()).unwrap();
    let options = StackOptions {
        choice: BackendChoice::Process,
        max_connections: NonZeroU32::new(10).unwrap(),
        postgres_cpu_quota: None,
        install: InstallPolicy::Forbidden,
        cpus: CpuPlan::of_this_machine(),
    };
    let stack = match Stack::start(&options, &directory, &spawner).await {
        Err(StackError::Install(missing)) => return skip("snapshot_load", &missing.to_string()),
        started => started.unwrap(),
    };
    let value_bytes = fill(&stack).await;
    let group = stack.redis_group();
    group.keep_snapshot().await.unwrap();
    let snapshot = stack.redis().log().with_file_name(SNAPSHOT_FILE);
    println!(
        "{N_KEYS} entries, {} MB of values, {} MB on disk",
        value_bytes / 1_000_000,
        fs::metadata(&snapshot).unwrap().len() / 1_000_000
    );
    let (mut reading, mut restart) = (Vec::new(), Vec::new());
    for time in 1..=N_TIMES {
        let took = restart_killed(&stack).await;
        let load = group.snapshot_load().await.unwrap().unwrap();
        assert_eq!((load.n_keys, load.n_expired), (N_KEYS as u64, 0));
        println!("start {time}: read in {:?}, first answer after {took:?}", load.took);
        reading.push(load.took);
        restart.push(took);
    }
    fs::remove_file(&snapshot).unwrap();
    let empty = restart_killed(&stack).await;
    println!(
        "a million entries are read in {:?}, first answer after {:?} (medians of {N_TIMES}); \
         without a snapshot after {empty:?}",
        median(reading),
        median(restart)
    );
    stack.stop().await.unwrap();
}

/// Puts pages under their keys until there are [`N_KEYS`]: those of 20,000 products, again and again.
/// Returns how many bytes the values have together.
async fn fill(stack: &Stack) -> usize {
    let bodies = bodies();
    let limits = AsyncConnectionConfig::new().set_response_timeout(Some(PATIENCE));
    let client = Client::open(format!("redis://{}/", stack.redis_addr())).unwrap();
    let mut redis = client.get_multiplexed_async_connection_with_config(&limits).await.unwrap();
    let ttl_ms = TTL.as_millis().to_string();
    let mut value_bytes = 0;
    for first in (0..N_KEYS).step_by(N_AT_ONCE) {
        let mut pipeline = redis::pipe();
        for at in first..first + N_AT_ONCE {
            let body = &bodies[at % bodies.len()];
            let (kind, id) = (["product", "recommendations"][at % 2], at / 2);
            let key = format!("page:1:{kind}:{id}");
            pipeline.cmd("SET").arg(key).arg(body).arg("PX").arg(&ttl_ms).ignore();
            value_bytes += body.len();
        }
        let () = pipeline.query_async(&mut redis).await.unwrap();
    }
    value_bytes
}

/// The product's page and its recommendations by turns, of each product of a catalogue of the usual
/// size.
fn bodies() -> Vec<Vec<u8>> {
    let number = |n| NonZeroU32::new(n).unwrap();
    let catalogue = Catalogue::generate(&CatalogueSpec {
        products: number(20_000),
        reviews: number(200_000),
        authors: number(5_000),
        categories: number(40),
        seed: Seed(1),
    });
    let of_product = |id: u32| {
        [
            serde_json::to_vec(&catalogue.product_page(id)).unwrap(),
            serde_json::to_vec(&catalogue.recommendations(id)).unwrap(),
        ]
    };
    (0..20_000).flat_map(of_product).collect()
}

/// Kills Redis, starts it again and returns how long it took to its first answer.
async fn restart_killed(stack: &Stack) -> Duration {
    stack.redis().kill().await.unwrap();
    let ordered_at = MonotonicNs::now();
    let answered_at = stack.redis().start().await.unwrap();
    answered_at.saturating_since(ordered_at)
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort_unstable();
    times[times.len() / 2]
}
