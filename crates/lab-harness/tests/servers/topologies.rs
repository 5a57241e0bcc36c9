//! Sentinel and Redis Cluster on real servers, the same cases on both backends.
//!
//! Each fault begins with its negative control: armed and not injected, neither the probe nor the
//! watch for another primary may see anything. What a client of the topology meets is asked by the
//! test itself.

use std::{net::SocketAddr, time::Duration};

use lab_core::{
    clock::MonotonicNs,
    scenario::{Fault, Servers, Topology, TopologySettings},
};
use lab_harness::{
    faults::{ArmedFault, Takeover},
    stack::{
        BackendChoice, Server, Stack,
        probe::{Seen, ask, ask_strings, ping},
        redis_group::RedisGroup,
    },
};

use crate::common::{PATIENCE, Run, arm, confirmed, eventually, on_both_backends, redis_command};

on_both_backends! {
    sentinel_comes_up_whole_and_leaves_nothing,
    cluster_comes_up_whole_and_leaves_nothing,
    settings_reach_the_servers_and_the_rest_is_as_shipped,
    sentinel_replaces_a_primary_that_crashed,
    sentinel_replaces_a_primary_that_is_silent,
    cluster_replaces_a_primary_that_crashed,
    cluster_replaces_a_primary_that_is_silent,
    a_sentinel_hands_over_on_demand,
    a_cluster_hands_over_on_demand,
    nobody_takes_over_when_all_crash,
    a_primary_takes_the_other_faults_of_a_server,
    a_sentinel_that_dies_unasked_is_told,
}

/// How long a topology may take to be up and known to be well: what the lab promises.
const UP_WITHIN: Duration = Duration::from_secs(15);
/// A key whose slot is that of the view counters, as the faulted primary's is.
const KEY: &str = "kept{views}";

/// Servers that give up one of theirs after a second or two. A sentinel with one second may give up
/// the new primary as well, before it is connected to it, and go back to the old one, which is empty
/// (`docs/limitations.md`).
fn tuned(topology: Topology) -> Servers {
    let second = Some(Duration::from_secs(1));
    let two_seconds = Some(Duration::from_secs(2));
    let settings = match topology {
        Topology::Single | Topology::Replica => TopologySettings::default(),
        Topology::Sentinel => TopologySettings { down_after: two_seconds, node_timeout: None },
        Topology::Cluster => TopologySettings { down_after: None, node_timeout: second },
    };
    Servers { topology, settings, ..Servers::default() }
}

fn as_shipped(topology: Topology) -> Servers {
    Servers { topology, ..Servers::default() }
}

/// A stack on which `servers` run; `None`, said so, when the backend is not to be had.
async fn stack_of(run: &Run, choice: BackendChoice, servers: Servers) -> Option<Stack> {
    let stack = run.stack(choice).await?;
    let began_at = MonotonicNs::now();
    let up_at = stack.restart_redis(servers).await.unwrap();
    let took = Duration::from_nanos(up_at.since(began_at).unsigned_abs());
    eprintln!("{} on {choice:?}: up and well after {took:?}", servers.topology);
    assert!(took < UP_WITHIN, "{} took {took:?}", servers.topology);
    Some(stack)
}

/// How a primary, a replica and a sentinel begin to tell their roles: how many things they tell.
const PRIMARY: &str = "*3";
const REPLICA: &str = "*5";
const SENTINEL: &str = "*2";

async fn comes_up_whole_and_leaves_nothing(
    choice: BackendChoice,
    topology: Topology,
    n: [usize; 3],
) {
    let run = Run::new();
    let Some(stack) = stack_of(&run, choice, as_shipped(topology)).await else { return };
    let group = stack.redis_group();
    let mut roles = Vec::new();
    for server in group.servers().iter().chain(group.sentinels()) {
        assert!((20_000..30_000).contains(&server.address().port()), "{}", server.address());
        roles.push(redis_command(server.address(), "ROLE").await);
    }
    let count = |name: &str| roles.iter().filter(|it| *it == name).count();
    assert_eq!([PRIMARY, REPLICA, SENTINEL].map(count), n, "{roles:?}");
    assert_eq!(group.pids().unwrap().len(), n.iter().sum::<usize>());
    let primary = group.discovery().writable_primary(None, PATIENCE).await.unwrap();
    assert_eq!(redis_command(primary, &format!("SET {KEY} value")).await, "+OK");

    // A second trial starts from nothing, on the same ports.
    stack.restart_redis(as_shipped(topology)).await.unwrap();
    let primary = group.discovery().writable_primary(None, PATIENCE).await.unwrap();
    assert_eq!(redis_command(primary, &format!("GET {KEY}")).await, "$-1");
    assert_eq!(stack.unexpected_deaths(), Vec::<String>::new());

    // And one on another topology finds none of these.
    let all: Vec<&Server> = group.servers().iter().chain(group.sentinels()).collect();
    stack.restart_redis(as_shipped(Topology::Single)).await.unwrap();
    for server in all {
        assert_eq!(ping(server.address(), PATIENCE).await, Seen::Refused, "{}", server.name());
        assert_eq!(server.pid(), None, "{}", server.name());
    }
    assert_eq!(redis_command(stack.redis_addr(), "PING").await, "+PONG");
    assert_eq!(stack.unexpected_deaths(), Vec::<String>::new());
    stack.stop().await.unwrap();
}

async fn sentinel_comes_up_whole_and_leaves_nothing(choice: BackendChoice) {
    comes_up_whole_and_leaves_nothing(choice, Topology::Sentinel, [1, 1, 3]).await;
}

async fn cluster_comes_up_whole_and_leaves_nothing(choice: BackendChoice) {
    comes_up_whole_and_leaves_nothing(choice, Topology::Cluster, [3, 3, 0]).await;
}

async fn settings_reach_the_servers_and_the_rest_is_as_shipped(choice: BackendChoice) {
    let run = Run::new();
    let Some(stack) = run.stack(choice).await else { return };
    let told = async |command: &[&str]| {
        let group = stack.redis_group();
        let server = group.sentinels().first().unwrap_or(group.subject());
        let facts = ask_strings(server.address(), command, PATIENCE).await.unwrap();
        facts.chunks(2).map(|it| it.join(" ")).collect::<Vec<_>>()
    };
    let sentinel = ["SENTINEL", "MASTER", "redis"];
    for (servers, expected) in [
        (as_shipped(Topology::Sentinel), "down-after-milliseconds 30000"),
        (tuned(Topology::Sentinel), "down-after-milliseconds 2000"),
    ] {
        stack.restart_redis(servers).await.unwrap();
        let facts = told(&sentinel).await;
        for fact in [expected, "failover-timeout 180000", "parallel-syncs 1", "quorum 2"] {
            assert!(facts.iter().any(|it| it == fact), "{fact}: {facts:?}");
        }
    }
    for (servers, expected) in [
        (as_shipped(Topology::Cluster), "cluster-node-timeout 15000"),
        (tuned(Topology::Cluster), "cluster-node-timeout 1000"),
    ] {
        stack.restart_redis(servers).await.unwrap();
        assert_eq!(told(&["CONFIG", "GET", "cluster-node-timeout"]).await, [expected]);
        let coverage = told(&["CONFIG", "GET", "cluster-require-full-coverage"]).await;
        assert_eq!(coverage, ["cluster-require-full-coverage yes"]);
    }
    stack.stop().await.unwrap();
}

/// A fault that is on, and the server that it acts on.
struct Injected {
    fault: ArmedFault,
    subject: SocketAddr,
    injected_at: MonotonicNs,
}

/// Writes a key, arms the fault, sees nothing, injects it and sees `effect`.
async fn inject(stack: &Stack, fault: Fault, control: &str, effect: &str) -> Injected {
    let mut armed = arm(stack, fault, control).await;
    let subject = stack.redis_addr();
    assert_eq!(redis_command(subject, &format!("SET {KEY} value")).await, "+OK");
    assert_eq!(armed.takeover(), None, "{fault}: nobody takes over from a primary that is well");
    let injected_at = armed.inject(stack).await.unwrap();
    let seen = confirmed(&mut armed, stack).await;
    assert!(seen.saw.contains(effect), "{fault}: {}", seen.saw);
    assert_eq!(stack.redis_addr(), subject, "{fault} acts on the primary of before");
    Injected { fault: armed, subject, injected_at }
}

impl Injected {
    /// Waits until another server has taken over, and checks that it has the data.
    async fn taken_over(&self) -> Takeover {
        eventually("another server takes over", || self.fault.takeover().is_some()).await;
        let takeover = self.fault.takeover().unwrap();
        assert!(self.injected_at < takeover.at && takeover.primary != self.subject);
        assert_eq!(redis_command(takeover.primary, &format!("GET {KEY}")).await, "$5");
        takeover
    }

    /// Ends it, and has it confirmed that a primary accepts writes.
    async fn heal(&mut self, stack: &Stack) {
        let healed_at = self.fault.heal(stack).await.unwrap();
        let ready = self.fault.confirm_healed(stack).await.unwrap();
        assert!(self.injected_at < healed_at && healed_at <= ready.at);
        assert_eq!(stack.unexpected_deaths(), Vec::<String>::new(), "the fault was asked for");
    }

    /// Waits until the server that was gone is a replica of who took its place. On the way there a
    /// sentinel closes its connections, ours among them.
    async fn rejoins(&self, stack: &Stack) {
        let replica = Seen::Replied(REPLICA.to_owned());
        let deadline = MonotonicNs::now().plus(REJOINS_WITHIN);
        loop {
            let seen = ask(self.subject, &["ROLE"], PATIENCE).await;
            if seen == replica {
                return;
            }
            let logs = || logs(stack.redis_group());
            assert!(MonotonicNs::now() < deadline, "its role: {seen}\n{}", logs());
            // tidy: real wait, because a real server takes its time.
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}

/// What all servers and sentinels say themselves.
fn logs(group: &RedisGroup) -> String {
    let log = |server: &Server| {
        let said = std::fs::read_to_string(server.log()).unwrap_or_default();
        format!("== {} at {}\n{said}", server.name(), server.address())
    };
    group.servers().iter().chain(group.sentinels()).map(log).collect()
}

/// A sentinel asks a server that came back for its role every 10 s, and makes a replica of a primary
/// that it has taken for one, and for well, for 8 s: up to three of its questions in all.
const REJOINS_WITHIN: Duration = Duration::from_secs(40);

const PONG: &str = "PING answered";

/// After one second or two without an answer (Sentinel counts from the last one, which may be a
/// second old) the servers agree, elect and promote: one to five seconds in all.
async fn is_replaced(choice: BackendChoice, topology: Topology, fault: Fault, effect: &str) {
    let run = Run::new();
    let Some(stack) = stack_of(&run, choice, tuned(topology)).await else { return };
    let mut on = inject(&stack, fault, PONG, effect).await;
    let takeover = on.taken_over().await;
    let ms = takeover.at.since(on.injected_at) / 1_000_000;
    eprintln!("{topology} on {choice:?}: {fault}, another primary after {ms} ms");
    on.heal(&stack).await;
    on.rejoins(&stack).await;
    let primary = stack.redis_group().discovery().writable_primary(None, PATIENCE).await;
    assert_eq!(primary, Ok(takeover.primary));
    stack.stop().await.unwrap();
}

async fn sentinel_replaces_a_primary_that_crashed(choice: BackendChoice) {
    is_replaced(choice, Topology::Sentinel, Fault::Crash, "connection refused").await;
}

async fn sentinel_replaces_a_primary_that_is_silent(choice: BackendChoice) {
    is_replaced(choice, Topology::Sentinel, Fault::Pause, "no answer to PING").await;
}

async fn cluster_replaces_a_primary_that_crashed(choice: BackendChoice) {
    is_replaced(choice, Topology::Cluster, Fault::Crash, "connection refused").await;
}

async fn cluster_replaces_a_primary_that_is_silent(choice: BackendChoice) {
    is_replaced(choice, Topology::Cluster, Fault::Pause, "no answer to PING").await;
}

/// With settings as shipped, so that only the demand can have caused it.
async fn hands_over_on_demand(choice: BackendChoice, topology: Topology, control: &str) {
    let run = Run::new();
    let Some(stack) = stack_of(&run, choice, as_shipped(topology)).await else { return };
    let mut on = inject(&stack, Fault::Failover, control, "the primary hands over").await;
    let takeover = on.taken_over().await;
    let ms = takeover.at.since(on.injected_at) / 1_000_000;
    eprintln!("{topology} on {choice:?}: handed over after {ms} ms");
    on.rejoins(&stack).await;
    on.heal(&stack).await;
    stack.stop().await.unwrap();
}

async fn a_sentinel_hands_over_on_demand(choice: BackendChoice) {
    hands_over_on_demand(choice, Topology::Sentinel, PONG).await;
}

async fn a_cluster_hands_over_on_demand(choice: BackendChoice) {
    hands_over_on_demand(choice, Topology::Cluster, "answered with `+OK`").await;
}

async fn nobody_takes_over_when_all_crash(choice: BackendChoice) {
    let run = Run::new();
    let Some(stack) = run.stack(choice).await else { return };
    for topology in [Topology::Sentinel, Topology::Cluster] {
        stack.restart_redis(tuned(topology)).await.unwrap();
        let mut on = inject(&stack, Fault::CrashAll, PONG, "connection refused").await;
        for server in stack.redis_group().servers() {
            assert_eq!(ping(server.address(), PATIENCE).await, Seen::Refused, "{topology}");
        }
        for sentinel in stack.redis_group().sentinels() {
            assert_eq!(ping(sentinel.address(), PATIENCE).await, Seen::Answered, "{topology}");
        }
        // tidy: real wait, because what must not happen has a second and more to happen in.
        tokio::time::sleep(Duration::from_secs(3)).await;
        assert_eq!(on.fault.takeover(), None, "{topology}");
        on.heal(&stack).await;
        let primary = stack.redis_group().discovery().writable_primary(None, PATIENCE).await;
        let got = redis_command(primary.unwrap(), &format!("GET {KEY}")).await;
        assert_eq!(got, "$-1", "{topology}: nobody kept anything");
    }
    stack.stop().await.unwrap();
}

async fn a_primary_takes_the_other_faults_of_a_server(choice: BackendChoice) {
    let run = Run::new();
    let Some(stack) = run.stack(choice).await else { return };
    let none = "PING answered, 0 of somebody else's connections to PostgreSQL";
    for topology in [Topology::Sentinel, Topology::Cluster] {
        let mut seen = 0;
        for (fault, control, effect) in [
            (Fault::SlowServer, PONG, "PING answered after "),
            (Fault::Cold, "answered with `$1`", "answered with `$-1`"),
            (Fault::OutOfMemory, "answered with `+OK`", "-OOM"),
            (Fault::DatabaseSlow, none, "connection refused, "),
            (Fault::DatabaseConnections, none, "connection refused, 20 of somebody else's"),
        ] {
            stack.restart_redis(as_shipped(topology)).await.unwrap();
            let mut on = inject(&stack, fault, control, effect).await;
            on.heal(&stack).await;
            seen += 1;
        }
        let others = [Fault::Crash, Fault::Pause, Fault::CrashAll, Fault::Failover];
        let there = Fault::ALL.into_iter().filter(|it| topology.has(*it)).count();
        assert_eq!(seen + others.len(), there, "{topology}: a fault has no case");
    }
    stack.stop().await.unwrap();
}

async fn a_sentinel_that_dies_unasked_is_told(choice: BackendChoice) {
    let run = Run::new();
    let Some(stack) = stack_of(&run, choice, as_shipped(Topology::Sentinel)).await else { return };
    let pid = stack.redis_group().sentinels()[1].pid().unwrap();
    let pid = nix::unistd::Pid::from_raw(pid.cast_signed());
    nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGKILL).unwrap();
    eventually("the death is told", || !stack.unexpected_deaths().is_empty()).await;
    let told = stack.unexpected_deaths();
    assert!(told.len() == 1 && told[0].starts_with("sentinel-2: "), "{told:?}");
    stack.stop().await.unwrap();
}
