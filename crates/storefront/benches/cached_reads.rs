//! What all mitigations together cost a page that Redis has.
//!
//! One storefront on real servers. Its mitigations are all switched off and all switched to
//! enforce in turn, and the same clients ask for the same pages as fast as they get them. A pair
//! is two neighbouring halves of a second, and every other pair begins with the other mode, so that a machine
//! that becomes slower favours neither. The figure is the ratio within a pair.
//!
//! `local_cache` stays off: what it has is not read from Redis at all.
//!
//! `cargo bench -p storefront --bench cached_reads`, on a machine that does nothing else.

#![allow(clippy::unwrap_used, reason = "a bench ends where something is not as it must be")]
#![allow(clippy::disallowed_methods, reason = "a bench measures real time")]
#![allow(clippy::print_stdout, reason = "the figures are what was asked for")]

#[expect(dead_code, reason = "tests use more of it")]
#[path = "../tests/service/stack.rs"]
mod stack;

use std::{
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::{SocketAddr, TcpStream},
    thread,
    time::{Duration, Instant},
};

use lab_core::target::SWITCHES;
use serde_json::json;
use stack::{Storefront, eventually};

const N_PAIRS: usize = 60;
const LENGTH: Duration = Duration::from_millis(500);
/// Enough that the service's one worker always has a request to work on.
const N_CLIENTS: usize = 8;
const N_PAGES: usize = 100;
/// Of 60 ratios in order, the 22nd and the 39th hold their median between them in 97.3 % of all
/// cases, however they are distributed: the binomial distribution of 60 fair coins.
const INTERVAL: (usize, usize) = (21, 38);

#[tokio::main]
async fn main() {
    // `cargo test --benches` only wants to know that it builds.
    if !std::env::args().any(|it| it == "--bench") {
        return;
    }
    let Some(stack) = stack::start().await else { return };
    let storefront = stack
        .serve(json!({
            "redis": { "call_timeout": "50ms" },
            "database": { "acquire_timeout": "500ms" },
            "rate_limit": { "permits_per_sec": 1e6 },
            "paced_refill": { "fills_per_sec": 1e6 },
        }))
        .await;
    for page in 0..N_PAGES {
        eventually("the page is in Redis", async || {
            storefront.get(&path(page)).await.served_by == "redis"
        })
        .await;
    }
    let mut ratios = Vec::new();
    for pair in 0..N_PAIRS {
        let mut rates = [0.0; 2];
        for half in [pair % 2, 1 - pair % 2] {
            let mode = ["off", "enforce"][half];
            switch_all(&storefront, mode).await;
            rates[half] = rate_per_sec(storefront.config.listen);
        }
        let [off, enforce] = rates;
        let ratio = enforce / off;
        println!("pair {pair:2}: off {off:6.0}/s, enforce {enforce:6.0}/s, ratio {ratio:.3}");
        ratios.push(ratio);
    }
    ratios.sort_by(f64::total_cmp);
    let median = (ratios[N_PAIRS / 2 - 1] + ratios[N_PAIRS / 2]) / 2.0;
    let (low, high) = (ratios[INTERVAL.0], ratios[INTERVAL.1]);
    println!("throughput with all in enforce over all off: {median:.3} ({low:.3} to {high:.3})");
}

fn path(page: usize) -> String {
    format!("/products/{page}")
}

async fn switch_all(storefront: &Storefront, mode: &str) {
    for name in SWITCHES.into_iter().filter(|it| *it != "local_cache") {
        let reply = storefront.set_mode(name, mode).await;
        assert_eq!(reply.status, 200, "{name}: {}", reply.text());
    }
}

/// Pages per second that all clients together get in [`LENGTH`].
fn rate_per_sec(address: SocketAddr) -> f64 {
    let start = Instant::now();
    let n_pages: u32 = thread::scope(|scope| {
        let clients: Vec<_> = (0..N_CLIENTS)
            .map(|client| scope.spawn(move || n_pages_until(address, client, start + LENGTH)))
            .collect();
        clients.into_iter().map(|it| it.join().unwrap()).sum()
    });
    f64::from(n_pages) / start.elapsed().as_secs_f64()
}

/// Asks over one connection, one page after the other, until `end`.
fn n_pages_until(address: SocketAddr, client: usize, end: Instant) -> u32 {
    let mut connection = TcpStream::connect(address).unwrap();
    connection.set_nodelay(true).unwrap();
    let mut replies = BufReader::new(connection.try_clone().unwrap());
    let (mut line, mut body, mut n_pages) = (String::new(), Vec::new(), 0);
    while Instant::now() < end {
        let page = path((client + n_pages as usize * 7) % N_PAGES);
        let request = format!("GET {page} HTTP/1.1\r\nhost: storefront\r\n\r\n");
        connection.write_all(request.as_bytes()).unwrap();
        let (mut length, mut is_from_redis) = (0, false);
        loop {
            line.clear();
            replies.read_line(&mut line).unwrap();
            let header = line.trim_end().to_ascii_lowercase();
            if let Some(bytes) = header.strip_prefix("content-length: ") {
                length = bytes.parse().unwrap();
            }
            is_from_redis |= header == "x-served-by: redis";
            if header.is_empty() {
                break;
            }
        }
        body.resize(length, 0);
        replies.read_exact(&mut body).unwrap();
        assert!(is_from_redis, "a page was read from elsewhere");
        n_pages += 1;
    }
    n_pages
}
