//! The fidelity of every fault on a real Redis, the same cases on both backends.
//!
//! Each case begins with the negative control: armed and not injected, the probe must see nothing.
//! Then a client that is neither the injector nor the probe meets what the fault claims.

use std::{net::SocketAddr, ops::RangeInclusive, time::Duration};

use lab_core::{
    clock::MonotonicNs,
    scenario::{Fault, Servers, Topology},
};
use lab_harness::{
    faults::ArmedFault,
    stack::{
        BackendChoice, Stack,
        probe::{Seen, ping},
    },
};
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader},
    net::TcpStream,
    time::timeout,
};
use tokio_postgres::NoTls;

use crate::common::{
    PATIENCE, Run, arm, confirmed, eventually, on_both_backends, query, redis_command,
};

on_both_backends! {
    a_crash_refuses_connections_and_empties,
    a_crash_with_a_snapshot_brings_back_what_was_in_it,
    a_snapshot_that_was_not_read_is_no_restore,
    a_pause_is_silent_and_loses_nothing,
    a_slow_server_answers_late,
    a_cold_cache_answers_and_has_nothing,
    the_hottest_keys_are_gone_and_no_others,
    a_loading_redis_says_so_and_comes_back_full,
    a_read_only_redis_reads_and_does_not_write,
    a_full_redis_reads_and_does_not_write,
    a_redis_without_connections_closes_ours_and_refuses_new_ones,
    a_slow_database_has_neighbours_at_work,
    a_crowded_database_refuses_whoever_wants_more,
    latency_delays_every_reply,
    bandwidth_makes_long_replies_late,
    a_black_hole_lets_nobody_in,
    a_reset_breaks_every_connection,
    half_a_reply_is_all_that_comes,
    a_part_of_the_commands_fails,
    a_flapping_redis_comes_and_goes,
    a_restart_ends_whatever_a_fault_left,
}

/// Entries of [`fill`]: some more than [`N_HOT`], of which 200 are the hottest.
const N_ENTRIES: usize = 2_000;
/// Entries that were read.
const N_HOT: usize = 250;

/// A time to live that ends while a test waits, and not before a snapshot is taken.
const BRIEF: Duration = Duration::from_secs(2);

/// Puts entries of a page's size into Redis, `page:1` to `page:2000`, and reads the first 250 of
/// them often. Their text does not shrink in a snapshot.
async fn fill(address: SocketAddr) {
    let fill = format!(
        "EVAL \"for i = 1, {N_ENTRIES} do \
           local text = {{}} \
           for j = 1, 30 do text[j] = redis.sha1hex(i .. '.' .. j) end \
           redis.call('SET', 'page:' .. i, table.concat(text)) \
         end \
         for i = 1, {N_HOT} do for j = 1, 20 do redis.call('GET', 'page:' .. i) end end \
         return 1\" 0"
    );
    assert_eq!(redis_command(address, &fill).await, ":1");
}

/// The command that counts which of the entries are there.
fn exists(entries: RangeInclusive<usize>) -> String {
    let keys: Vec<String> = entries.map(|it| format!("page:{it}")).collect();
    format!("EXISTS {}", keys.join(" "))
}

/// A fault that is on.
struct Injected {
    fault: ArmedFault,
    address: SocketAddr,
    seen_at: MonotonicNs,
}

/// Fills Redis, arms the fault, sees nothing, injects it and sees `effect`.
async fn inject(stack: &Stack, fault: Fault, control: &str, effect: &str) -> Injected {
    let address = stack.redis_addr();
    fill(address).await;
    let mut armed = arm(stack, fault, control).await;
    let injected_at = armed.inject(stack).await.unwrap();
    let seen = confirmed(&mut armed, stack).await;
    assert!(seen.saw.contains(effect), "{fault}: {}", seen.saw);
    assert!(injected_at < seen.at);
    Injected { fault: armed, address, seen_at: seen.at }
}

impl Injected {
    async fn command(&self, command: &str) -> String {
        redis_command(self.address, command).await
    }

    /// Ends it, and has it confirmed that a new client finds Redis well.
    async fn heal(&mut self, stack: &Stack) {
        let healed_at = self.fault.heal(stack).await.unwrap();
        let ready = self.fault.confirm_healed(stack).await.unwrap();
        assert!(self.seen_at < healed_at && healed_at < ready.at);
        assert_eq!(stack.unexpected_deaths(), Vec::<String>::new(), "the fault was asked for");
        assert_eq!(self.command("SET after healed").await, "+OK");
        assert_eq!(self.command("GET after").await, "$6");
    }
}

const PONG: &str = "PING answered";

async fn a_crash_refuses_connections_and_empties(choice: BackendChoice) {
    let run = Run::new();
    let Some(stack) = run.stack(choice).await else { return };
    let mut on = inject(&stack, Fault::Crash, PONG, "connection refused").await;
    on.heal(&stack).await;
    assert_eq!(on.command("GET page:1").await, "$-1");
    stack.stop().await.unwrap();
}

/// Its negative control is the crash before it, and the restart at its end.
async fn a_crash_with_a_snapshot_brings_back_what_was_in_it(choice: BackendChoice) {
    let run = Run::new();
    let Some(stack) = run.stack(choice).await else { return };
    let (address, group) = (stack.redis_addr(), stack.redis_group());
    fill(address).await;
    let ends_at = MonotonicNs::now().plus(BRIEF);
    let brief = format!("SET brief value PX {}", BRIEF.as_millis());
    assert_eq!(redis_command(address, &brief).await, "+OK");
    group.keep_snapshot().await.unwrap();
    assert_eq!(redis_command(address, "SET late value").await, "+OK");
    let mut on = inject(&stack, Fault::Crash, PONG, "connection refused").await;
    eventually("a time to live ends", || ends_at < MonotonicNs::now()).await;
    on.heal(&stack).await;
    let load = group.snapshot_load().await.unwrap().unwrap();
    assert_eq!((load.n_keys, load.n_expired), (N_ENTRIES as u64, 1));
    assert!(load.took < PATIENCE, "{load:?}");
    let all = on.command(&exists(1..=N_ENTRIES)).await;
    assert_eq!(all, format!(":{N_ENTRIES}"));
    assert_eq!(on.command("GET page:1").await, "$1200");
    assert_eq!(on.command("EXISTS brief").await, ":0", "its time ran on while Redis was down");
    assert_eq!(on.command("EXISTS late").await, ":0", "it is younger than the snapshot");

    // The snapshot is no part of the next trial.
    stack.restart_redis(Servers::default()).await.unwrap();
    assert_eq!(on.command("DBSIZE").await, ":0");
    assert_eq!(stack.redis_group().snapshot_load().await.unwrap(), None);
    stack.stop().await.unwrap();
}

/// A trial that promises a warm restart and has a cold one must not pass for warm.
async fn a_snapshot_that_was_not_read_is_no_restore(choice: BackendChoice) {
    let run = Run::new();
    let Some(stack) = run.stack(choice).await else { return };
    let (address, group) = (stack.redis_addr(), stack.redis_group());
    fill(address).await;
    group.keep_snapshot().await.unwrap();
    let mut on = inject(&stack, Fault::Crash, PONG, "connection refused").await;
    std::fs::remove_file(stack.redis().log().with_file_name("dump.rdb")).unwrap();
    on.heal(&stack).await;
    let error = group.snapshot_load().await.unwrap_err().to_string();
    assert!(error.contains("redis read no snapshot"), "{error}");
    stack.stop().await.unwrap();
}

async fn a_pause_is_silent_and_loses_nothing(choice: BackendChoice) {
    let run = Run::new();
    let Some(stack) = run.stack(choice).await else { return };
    let mut on = inject(&stack, Fault::Pause, PONG, "connected, no answer to PING").await;
    on.heal(&stack).await;
    assert_eq!(on.command("GET page:1").await, "$1200");
    stack.stop().await.unwrap();
}

async fn a_slow_server_answers_late(choice: BackendChoice) {
    let run = Run::new();
    let Some(stack) = run.stack(choice).await else { return };
    let mut on = inject(&stack, Fault::SlowServer, PONG, "PING answered after ").await;
    assert_eq!(on.command("GET page:1").await, "$1200", "late, but right");
    on.heal(&stack).await;
    stack.stop().await.unwrap();
}

async fn a_cold_cache_answers_and_has_nothing(choice: BackendChoice) {
    let run = Run::new();
    let Some(stack) = run.stack(choice).await else { return };
    let mut on = inject(&stack, Fault::Cold, "answered with `$1`", "answered with `$-1`").await;
    assert_eq!(on.command("DBSIZE").await, ":0");
    on.heal(&stack).await;
    stack.stop().await.unwrap();
}

async fn the_hottest_keys_are_gone_and_no_others(choice: BackendChoice) {
    let run = Run::new();
    let Some(stack) = run.stack(choice).await else { return };
    let control = "answered with `:200`";
    let mut on = inject(&stack, Fault::ExpireHot, control, "answered with `:0`").await;
    assert_eq!(on.command(&exists(1..=N_HOT)).await, ":50", "of 250 that were read");
    let cold = N_HOT + 1..=N_ENTRIES;
    assert_eq!(on.command(&exists(cold.clone())).await, format!(":{}", cold.count()));
    on.heal(&stack).await;
    stack.stop().await.unwrap();
}

async fn a_loading_redis_says_so_and_comes_back_full(choice: BackendChoice) {
    let run = Run::new();
    let Some(stack) = run.stack(choice).await else { return };
    let mut on = inject(&stack, Fault::Loading, PONG, "-LOADING").await;
    let said = on.command("GET page:1").await;
    assert!(said.starts_with("-LOADING"), "{said}");
    on.heal(&stack).await;
    assert_eq!(on.command("GET page:1").await, "$1200");
    assert_eq!(on.command("DBSIZE").await, format!(":{}", N_ENTRIES + 1));

    // The snapshot is no part of the next trial.
    stack.redis().restart_cold().await.unwrap();
    assert_eq!(on.command("DBSIZE").await, ":0");
    stack.stop().await.unwrap();
}

async fn a_read_only_redis_reads_and_does_not_write(choice: BackendChoice) {
    let run = Run::new();
    let Some(stack) = run.stack(choice).await else { return };
    let control = "answered with `+OK`";
    let mut on = inject(&stack, Fault::ReadOnly, control, "-READONLY").await;
    assert_eq!(on.command("GET page:1").await, "$1200");
    let said = on.command("SET page:1 other").await;
    assert!(said.starts_with("-READONLY"), "{said}");
    on.heal(&stack).await;
    assert_eq!(on.command("GET page:1").await, "$1200");
    stack.stop().await.unwrap();
}

async fn a_full_redis_reads_and_does_not_write(choice: BackendChoice) {
    let run = Run::new();
    let Some(stack) = run.stack(choice).await else { return };
    let mut on = inject(&stack, Fault::OutOfMemory, "answered with `+OK`", "-OOM").await;
    assert_eq!(on.command("GET page:1").await, "$1200");
    let said = on.command("SET page:1 other").await;
    assert!(said.starts_with("-OOM"), "{said}");
    let all = on.command(&exists(1..=N_ENTRIES)).await;
    assert_eq!(all, format!(":{N_ENTRIES}"), "nothing was evicted");
    on.heal(&stack).await;
    stack.stop().await.unwrap();
}

async fn a_redis_without_connections_closes_ours_and_refuses_new_ones(choice: BackendChoice) {
    let run = Run::new();
    let Some(stack) = run.stack(choice).await else { return };
    let mut ours = TcpStream::connect(stack.redis_addr()).await.unwrap();
    let refusal = "-ERR max number of clients reached";
    let mut on = inject(&stack, Fault::MaxClients, PONG, refusal).await;
    let mut nothing = [0; 1];
    assert_eq!(timeout(PATIENCE, ours.read(&mut nothing)).await.unwrap().unwrap(), 0);
    on.heal(&stack).await;
    assert_eq!(on.command("GET page:1").await, "$1200");
    stack.stop().await.unwrap();
}

async fn a_slow_database_has_neighbours_at_work(choice: BackendChoice) {
    let run = Run::new();
    let Some(stack) = run.stack(choice).await else { return };
    let control = "PING answered, 0 of somebody else's connections to PostgreSQL";
    let mut on = inject(&stack, Fault::DatabaseSlow, control, "connection refused, ").await;
    assert_eq!(query(&stack.target_url(), "SELECT 7").await, "7", "late, but right");
    on.heal(&stack).await;
    let working = "SELECT count(*) FROM pg_stat_activity WHERE usename = 'neighbour'";
    assert_eq!(query(&stack.admin_url(), working).await, "0");
    stack.stop().await.unwrap();
}

async fn a_crowded_database_refuses_whoever_wants_more(choice: BackendChoice) {
    let run = Run::new();
    let Some(stack) = run.stack(choice).await else { return };
    let control = "PING answered, 0 of somebody else's connections to PostgreSQL";
    let effect = "connection refused, 20 of somebody else's";
    let mut on = inject(&stack, Fault::DatabaseConnections, control, effect).await;
    // Of 40 the neighbour has 20, and 5 are reserved: 15 are left for the service, a few less while
    // connections of the probe are not quite closed.
    let mut connections = Vec::new();
    let refused = loop {
        match tokio_postgres::connect(&stack.target_url(), NoTls).await {
            Ok((client, connection)) => {
                tokio::spawn(connection);
                connections.push(client);
            }
            Err(error) => break error,
        }
    };
    let code = refused.code().cloned();
    assert_eq!(code, Some(tokio_postgres::error::SqlState::TOO_MANY_CONNECTIONS), "{refused}");
    assert!((12..=15).contains(&connections.len()), "{}", connections.len());
    on.heal(&stack).await;
    assert_eq!(query(&stack.target_url(), "SELECT 7").await, "7");
    stack.stop().await.unwrap();
}

/// A fault on the wire: seen by whoever connects through the proxy, and by nobody who connects to
/// Redis itself.
async fn on_the_wire(stack: &mut Stack, fault: Fault, control: &str, effect: &str) -> Injected {
    stack.lay_wire().unwrap();
    let on = inject(stack, fault, control, effect).await;
    assert_eq!(on.command("PING").await, "+PONG", "{fault}: Redis itself is well");
    on
}

async fn latency_delays_every_reply(choice: BackendChoice) {
    let run = Run::new();
    let Some(mut stack) = run.stack(choice).await else { return };
    let mut on = on_the_wire(&mut stack, Fault::Latency, PONG, "PING answered after ").await;
    let wire = stack.redis_addr_under(Fault::Latency);
    assert_eq!(redis_command(wire, "GET page:1").await, "$1200", "late, but right");
    on.heal(&stack).await;
    stack.stop().await.unwrap();
}

async fn bandwidth_makes_long_replies_late(choice: BackendChoice) {
    let run = Run::new();
    let Some(mut stack) = run.stack(choice).await else { return };
    let mut on = on_the_wire(&mut stack, Fault::Bandwidth, PONG, "PING answered after ").await;
    on.heal(&stack).await;
    stack.stop().await.unwrap();
}

async fn a_black_hole_lets_nobody_in(choice: BackendChoice) {
    let run = Run::new();
    let Some(mut stack) = run.stack(choice).await else { return };
    stack.lay_wire().unwrap();
    let mut open = TcpStream::connect(stack.redis_addr_under(Fault::BlackHole)).await.unwrap();
    assert_eq!(first_line(&mut open, "PING").await, "+PONG");
    let effect = "the handshake was not completed";
    let mut on = inject(&stack, Fault::BlackHole, PONG, effect).await;
    open.write_all(b"GET page:1\r\n").await.unwrap();
    let mut nothing = [0; 1];
    let silent = timeout(Duration::from_millis(200), open.read(&mut nothing)).await;
    assert!(silent.is_err(), "what was sent is not heard of");
    on.heal(&stack).await;
    let answer = timeout(PATIENCE, open.read(&mut nothing)).await.unwrap().unwrap();
    assert_eq!((answer, nothing), (1, *b"$"), "the wire carries again what it held back");
    stack.stop().await.unwrap();
}

async fn a_reset_breaks_every_connection(choice: BackendChoice) {
    let run = Run::new();
    let Some(mut stack) = run.stack(choice).await else { return };
    stack.lay_wire().unwrap();
    let mut open = TcpStream::connect(stack.redis_addr_under(Fault::Reset)).await.unwrap();
    assert_eq!(first_line(&mut open, "PING").await, "+PONG");
    let mut on = inject(&stack, Fault::Reset, PONG, "the connection broke").await;
    let end = timeout(PATIENCE, open.read(&mut [0; 1])).await.unwrap();
    assert_eq!(end.unwrap_err().kind(), std::io::ErrorKind::ConnectionReset);
    on.heal(&stack).await;
    stack.stop().await.unwrap();
}

async fn half_a_reply_is_all_that_comes(choice: BackendChoice) {
    let run = Run::new();
    let Some(mut stack) = run.stack(choice).await else { return };
    let effect = "the answer stopped before its end";
    let mut on = on_the_wire(&mut stack, Fault::HalfReply, PONG, effect).await;
    on.heal(&stack).await;
    stack.stop().await.unwrap();
}

async fn a_part_of_the_commands_fails(choice: BackendChoice) {
    let run = Run::new();
    let Some(mut stack) = run.stack(choice).await else { return };
    let control = "0 of 64 commands failed";
    let mut on = on_the_wire(&mut stack, Fault::Partial, control, " of 64 commands failed").await;
    let wire = stack.redis_addr_under(Fault::Partial);
    let n = 1_000;
    let echoes: String = (0..n).map(|it| format!("ECHO {it}\r\n")).collect();
    let mut stream = BufReader::new(TcpStream::connect(wire).await.unwrap());
    stream.write_all(echoes.as_bytes()).await.unwrap();
    let mut n_failed = 0;
    for expected in 0..n {
        let mut line = String::new();
        timeout(PATIENCE, stream.read_line(&mut line)).await.unwrap().unwrap();
        if line.starts_with("-CLUSTERDOWN") {
            n_failed += 1;
            continue;
        }
        line.clear();
        stream.read_line(&mut line).await.unwrap();
        assert_eq!(line.trim(), expected.to_string(), "replies keep the order of commands");
    }
    // Three of ten, and five times the deviation of as many draws, which is 14.5.
    assert!((227..=373).contains(&n_failed), "{n_failed}");
    on.heal(&stack).await;
    stack.stop().await.unwrap();
}

async fn a_flapping_redis_comes_and_goes(choice: BackendChoice) {
    let run = Run::new();
    let Some(mut stack) = run.stack(choice).await else { return };
    let mut on = on_the_wire(&mut stack, Fault::Flap, PONG, "the connection broke").await;
    let wire = stack.redis_addr_under(Fault::Flap);
    for wanted in [Seen::Answered, Seen::Broken, Seen::Answered] {
        let deadline = MonotonicNs::now().plus(PATIENCE);
        while ping(wire, PATIENCE).await != wanted {
            assert!(MonotonicNs::now() < deadline, "never {wanted}");
        }
    }
    on.heal(&stack).await;
    stack.stop().await.unwrap();
}

/// Sends one command on an open connection and returns the first line of the answer.
async fn first_line(stream: &mut TcpStream, command: &str) -> String {
    let mut stream = BufReader::new(stream);
    stream.write_all(format!("{command}\r\n").as_bytes()).await.unwrap();
    let mut line = String::new();
    timeout(PATIENCE, stream.read_line(&mut line)).await.unwrap().unwrap();
    line.trim().to_owned()
}

/// A trial that is cut short never heals its fault: the next reset must.
async fn a_restart_ends_whatever_a_fault_left(choice: BackendChoice) {
    let run = Run::new();
    let Some(stack) = run.stack(choice).await else { return };
    let on_server = |it: &Fault| Topology::Single.has(*it) && !it.is_on_wire();
    for fault in Fault::ALL.into_iter().filter(on_server) {
        fill(stack.redis_addr()).await;
        let mut cut_short = ArmedFault::arm(fault, &stack).await.unwrap();
        cut_short.inject(&stack).await.unwrap();
        drop(cut_short);
        stack.redis().restart_cold().await.unwrap();
        let command = async |it| redis_command(stack.redis_addr(), it).await;
        assert_eq!(command("DBSIZE").await, ":0", "{fault}");
        assert_eq!(command("SET key value").await, "+OK", "{fault}");
        assert_eq!(command("ROLE").await, "*3", "{fault}: a primary tells three things");
        assert_eq!(stack.unexpected_deaths(), Vec::<String>::new(), "{fault}");
    }
    stack.stop().await.unwrap();
}
