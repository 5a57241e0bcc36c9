//! The proxy between the service and Redis forwards everything unharmed: Redis' own programs work
//! through it, in both versions of the protocol, with pipelines and with pub/sub. So does the narrow
//! link to PostgreSQL.

use std::{
    io::{BufRead, BufReader},
    net::SocketAddr,
    process::{Command, Stdio},
};

use lab_core::{clock::MonotonicNs, units::PerSec};
use lab_harness::{
    stack::{BackendChoice, Stack, postgres},
    wire::NarrowLink,
};
use tokio_postgres::NoTls;

use crate::common::{PATIENCE, Run, redis_command};

/// A stack with a proxy, on plain processes: the proxy is the same on both backends.
async fn with_proxy(run: &Run) -> (Stack, SocketAddr) {
    let mut stack = run.stack(BackendChoice::Process).await.unwrap();
    stack.lay_wire().unwrap();
    let wire = stack.wire().unwrap().address();
    assert_ne!(wire, stack.redis_addr());
    (stack, wire)
}

/// One of Redis' own programs, told to connect to `address`; `None`, with the skip printed, where
/// it is not installed.
fn program(name: &str, address: SocketAddr) -> Option<Command> {
    let mut command = Command::new(name);
    let found = Command::new(name).arg("--version").stdout(Stdio::null()).status();
    if found.is_err() {
        lab_testkit::skip::skip(name, "it is not installed");
        return None;
    }
    command.args(["-h", &address.ip().to_string(), "-p", &address.port().to_string()]);
    Some(command)
}

fn output(command: &mut Command) -> String {
    let output = command.output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn redis_cli_works_through_it_in_both_protocols() {
    let run = Run::new();
    let (stack, wire) = with_proxy(&run).await;
    // A map of RESP3 is shown as one.
    for (protocol, pairs) in [("-2", "a\n1\nb\n2\n"), ("-3", "a 1\nb 2\n")] {
        let Some(mut set) = program("redis-cli", wire) else { return };
        assert_eq!(output(set.args([protocol, "HSET", "hash", "a", "1", "b", "2"])).trim(), "2");
        let mut get = program("redis-cli", wire).unwrap();
        assert_eq!(output(get.args([protocol, "HGETALL", "hash"])), pairs, "{protocol}");
        let mut missing = program("redis-cli", wire).unwrap();
        let none = output(missing.args([protocol, "--no-raw", "MGET", "no", "neither"]));
        assert_eq!(none, "1) (nil)\n2) (nil)\n", "{protocol}");
        assert_eq!(redis_command(stack.redis_addr(), "DEL hash").await, ":1");
    }
    stack.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn redis_benchmark_works_through_it_with_pipelines() {
    let run = Run::new();
    let (stack, wire) = with_proxy(&run).await;
    let Some(mut benchmark) = program("redis-benchmark", wire) else { return };
    benchmark.args(["-t", "ping,set,get,incr,lpush,mset", "-n", "5000", "-c", "20", "-P", "16"]);
    benchmark.args(["-d", "3000", "-q"]);
    let told = output(&mut benchmark);
    assert_eq!(told.matches("requests per second").count(), 7, "{told}");
    assert!(!told.contains("rror"), "{told}");
    assert_eq!(redis_command(stack.redis_addr(), "STRLEN key:__rand_int__").await, ":3000");
    stack.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn messages_arrive_that_nobody_asked_for() {
    let run = Run::new();
    let (stack, wire) = with_proxy(&run).await;
    for protocol in ["-2", "-3"] {
        let Some(mut subscriber) = program("redis-cli", wire) else { return };
        subscriber.args([protocol, "SUBSCRIBE", "news"]).stdout(Stdio::piped());
        let mut subscriber = subscriber.spawn().unwrap();
        let mut lines = BufReader::new(subscriber.stdout.take().unwrap()).lines();
        let subscribed: Vec<String> = lines.by_ref().take(3).map(Result::unwrap).collect();
        assert_eq!(subscribed, ["subscribe", "news", "1"], "{protocol}");
        for n in 0..3 {
            let publish = format!("PUBLISH news {n}");
            assert_eq!(redis_command(wire, &publish).await, ":1", "{protocol}");
            let message: Vec<String> = lines.by_ref().take(3).map(Result::unwrap).collect();
            assert_eq!(message, ["message", "news", &n.to_string()], "{protocol}");
        }
        subscriber.kill().unwrap();
        subscriber.wait().unwrap();
    }
    stack.stop().await.unwrap();
}

/// A client that closes its side may still listen, and one whose Redis dies is told at once.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_end_of_a_connection_goes_through_in_both_directions() {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let run = Run::new();
    let (stack, wire) = with_proxy(&run).await;
    let mut client = tokio::net::TcpStream::connect(wire).await.unwrap();
    client.write_all(b"PING\r\nECHO last\r\n").await.unwrap();
    client.shutdown().await.unwrap();
    let mut all = String::new();
    tokio::time::timeout(PATIENCE, client.read_to_string(&mut all)).await.unwrap().unwrap();
    assert_eq!(all, "+PONG\r\n$4\r\nlast\r\n");

    let mut client = tokio::net::TcpStream::connect(wire).await.unwrap();
    client.write_all(b"PING\r\n").await.unwrap();
    let mut pong = [0; 7];
    client.read_exact(&mut pong).await.unwrap();
    stack.redis().kill().await.unwrap();
    let end = tokio::time::timeout(PATIENCE, client.read(&mut pong)).await.unwrap();
    assert!(matches!(end, Ok(0) | Err(_)), "{end:?}");
    stack.stop().await.unwrap();
}

#[path = "../../fuzz/invariants.rs"]
mod invariants;

/// The corpus of the fuzz target, and every beginning of each entry.
#[test]
fn the_corpus_of_the_fuzz_target_is_read_without_a_panic() {
    let corpus = concat!(env!("CARGO_MANIFEST_DIR"), "/fuzz/corpus/frames");
    let mut n_entries = 0;
    for entry in std::fs::read_dir(corpus).unwrap() {
        let bytes = std::fs::read(entry.unwrap().path()).unwrap();
        (0..=bytes.len().min(200)).for_each(|n| invariants::hold_for(&bytes[..n]));
        invariants::hold_for(&bytes);
        n_entries += 1;
    }
    assert!(10 <= n_entries, "{n_entries} entries in {corpus}");
}

// 400,000 bytes at 400,000 bytes/s take a second, however fast the machine is. The control is a wide
// link, over which the same bytes arrive unharmed.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_postgres_says_comes_whole_through_a_narrow_link_and_no_faster_than_it_is_wide() {
    let run = Run::new();
    let stack = run.stack(BackendChoice::Process).await.unwrap();
    for (bytes_per_sec, least_s) in [(1e9, 0.0), (400_000.0, 0.95)] {
        let width = PerSec::new(bytes_per_sec).unwrap();
        let link = NarrowLink::start(stack.postgres_addr(), width).unwrap();
        let url = postgres::target_url(link.address());
        let (client, connection) = tokio_postgres::connect(&url, NoTls).await.unwrap();
        let connection = tokio::spawn(connection);
        let asked_at = MonotonicNs::now();
        let row = client.query_one("SELECT repeat('x', 400000)", &[]).await.unwrap();
        let took_s = MonotonicNs::now().since(asked_at) as f64 / 1e9;
        assert_eq!(row.get::<_, String>(0), "x".repeat(400_000));
        let n_bytes = link.n_bytes_to_clients();
        assert!((400_000..410_000).contains(&n_bytes), "{n_bytes} bytes were counted");
        assert!(least_s <= took_s, "{took_s} s at {bytes_per_sec} bytes/s");
        drop(client);
        connection.await.unwrap().unwrap();
    }
    stack.stop().await.unwrap();
}
