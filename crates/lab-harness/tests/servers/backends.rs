//! The verbs of both servers, the same cases on both backends.
//!
//! Each case starts real servers. On the docker backend it is skipped, and says so, where no
//! engine answers; where the images cannot be pulled the stand-ins are built.

use std::{
    collections::HashMap,
    fs,
    io::{BufRead, BufReader},
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use lab_core::{
    scenario::{Servers, Topology},
    units::Ratio,
};
use lab_harness::{
    clean,
    machine::{BASE, cpu_time::tree_cpu_seconds, cpus::CpuPlan},
    process::{ProcessIdentity, stat::Stat},
    stack::{Backend, BackendChoice, Stack, StackOptions, docker, postgres, probe},
};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};

use crate::common::{
    PATIENCE, Run, eventually, on_both_backends, options, query, redis_command, share_burned,
};

/// Tells [`lab_that_is_killed`] that it is the child program, and which backend to take.
const ROLE: &str = "OUTAGE_LAB_TEST_BACKEND";

on_both_backends! {
    redis_obeys_every_verb_and_keeps_its_port,
    postgres_is_durable_and_survives_a_kill,
    the_database_has_its_roles_limits_and_processor,
    a_smaller_database_gets_its_share_of_a_core_and_no_more,
    a_death_that_nobody_asked_for_is_told,
    nothing_is_left_after_a_stop,
    nothing_is_left_of_a_lab_that_was_killed,
}

async fn redis_obeys_every_verb_and_keeps_its_port(choice: BackendChoice) {
    let run = Run::new();
    let Some(stack) = run.stack(choice).await else { return };
    let (redis, address) = (stack.redis(), stack.redis_addr());
    assert_eq!(redis_command(address, "SET key value").await, "+OK");

    redis.pause().await.unwrap();
    assert_eq!(redis.ready().await.unwrap_err(), "connected, no answer to PING");
    redis.resume().await.unwrap();
    assert_eq!(redis_command(address, "GET key").await, "$5", "a pause loses nothing");

    redis.restart_cold().await.unwrap();
    assert_eq!(redis_command(address, "GET key").await, "$-1", "a restart is an empty one");

    redis.stop().await.unwrap();
    assert_eq!(redis.ready().await.unwrap_err(), "connection refused");
    assert_eq!(stack.redis_pid(), None);
    assert!(redis.kill().await.unwrap_err().to_string().contains("is down"));
    redis.start().await.unwrap();
    assert_eq!(redis.ready().await, Ok(()));
    let again = redis.start().await.unwrap_err().to_string();
    assert_eq!(again, "redis cannot be started: it runs already");

    // A stop reaches a server that is paused.
    redis.pause().await.unwrap();
    redis.stop().await.unwrap();
    assert_eq!(stack.unexpected_deaths(), Vec::<String>::new());
    stack.stop().await.unwrap();
}

async fn postgres_is_durable_and_survives_a_kill(choice: BackendChoice) {
    let run = Run::new();
    let Some(stack) = run.stack(choice).await else { return };
    let (admin, postgres) = (stack.admin_url(), stack.postgres());
    query(&admin, "CREATE TABLE kept AS SELECT 7 AS number").await;

    postgres.kill().await.unwrap();
    postgres.start().await.unwrap();
    assert_eq!(query(&admin, "SELECT number FROM kept").await, "7");

    postgres.pause().await.unwrap();
    let state = |pid| Stat::read(pid).map(|it| it.state);
    let pid = stack.postgres_pid().unwrap();
    eventually("the first process is stopped", || matches!(state(pid), Some('T' | 'D' | 'S')))
        .await;
    let silent =
        tokio::time::timeout(std::time::Duration::from_millis(300), postgres.ready()).await;
    assert!(silent.is_err(), "a paused server answered: {silent:?}");
    postgres.resume().await.unwrap();
    assert_eq!(postgres.ready().await, Ok(()));

    for (setting, expected) in [
        ("fsync", "on"),
        ("synchronous_commit", "on"),
        ("autovacuum", "on"),
        ("jit", "off"),
        ("listen_addresses", "127.0.0.1"),
        ("shared_buffers", "256MB"),
    ] {
        assert_eq!(query(&admin, &format!("SHOW {setting}")).await, expected, "{setting}");
    }
    stack.stop().await.unwrap();
}

async fn the_database_has_its_roles_limits_and_processor(choice: BackendChoice) {
    let run = Run::new();
    let Some(stack) = run.stack(choice).await else { return };
    let (admin, target) = (stack.admin_url(), stack.target_url());
    assert_eq!(query(&admin, "SHOW max_connections").await, "40");
    assert_eq!(query(&admin, "SHOW is_superuser").await, "on");
    assert_eq!(query(&target, "SHOW is_superuser").await, "off");
    query(&target, "CREATE TABLE of_its_own (id int)").await;
    let owner = "SELECT pg_get_userbyid(datdba) FROM pg_database WHERE datname = 'storefront'";
    assert_eq!(query(&admin, owner).await, "storefront");
    let counted = "SELECT count(*) > 0 FROM pg_stat_statements";
    assert_eq!(query(&admin, counted).await, "t");

    let facts = stack.facts();
    let expected = if choice == BackendChoice::Docker { Backend::Docker } else { Backend::Process };
    assert_eq!(facts.backend, expected);
    assert!(facts.reason.starts_with("asked for"), "{}", facts.reason);
    for name in ["redis", "postgres"] {
        assert!(facts.versions[name].starts_with(|it: char| it.is_ascii_digit()), "{facts:?}");
        assert!(!facts.servers[name].is_empty(), "{facts:?}");
    }

    let plan = CpuPlan::of_this_machine();
    let (redis, postgres) = (stack.redis_pid().unwrap(), stack.postgres_pid().unwrap());
    if let [alone] = plan.postgres[..] {
        assert_eq!(allowed_processors(postgres), alone.to_string());
        assert_ne!(allowed_processors(redis), alone.to_string());
    }
    query(&admin, "SELECT count(*) FROM generate_series(1, 1000000)").await;
    assert!(0.0 < tree_cpu_seconds(postgres).unwrap(), "the backends' work is counted");
    stack.stop().await.unwrap();
}

async fn a_smaller_database_gets_its_share_of_a_core_and_no_more(choice: BackendChoice) {
    let share = 0.25;
    let run = Run::new();
    let quota = Some(Ratio::new(share).unwrap());
    let smaller = StackOptions { postgres_cpu_quota: quota, ..options(choice) };
    let Some(stack) = run.stack_with(&smaller).await else { return };
    let capped = share_burned(&stack, &[stack.admin_url()]).await;
    stack.stop().await.unwrap();
    // Half as much again for what a period at both ends may add; a quarter, because a busy machine
    // may not give even the share.
    assert!(capped <= 1.5 * share, "{capped} of a core");
    assert!(0.25 * share <= capped, "{capped} of a core");

    let run = Run::new();
    let Some(stack) = run.stack_with(&options(choice)).await else { return };
    let mut whole = 0.0;
    // The same without a cap, which a busy machine may not give at once.
    for _ in 0..10 {
        whole = share_burned(&stack, &[stack.admin_url()]).await;
        if 1.5 * capped < whole {
            break;
        }
    }
    assert!(1.5 * capped < whole, "without a cap {whole} of a core, with one {capped}");
    stack.stop().await.unwrap();
}

fn allowed_processors(pid: u32) -> String {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find_map(|it| it.strip_prefix("Cpus_allowed_list:"));
    line.unwrap().trim().to_owned()
}

async fn a_death_that_nobody_asked_for_is_told(choice: BackendChoice) {
    let run = Run::new();
    let Some(stack) = run.stack(choice).await else { return };
    let pid = stack.redis_pid().unwrap();
    kill(Pid::from_raw(pid.cast_signed()), Signal::SIGKILL).unwrap();
    eventually("the death is told", || !stack.unexpected_deaths().is_empty()).await;
    let told = stack.unexpected_deaths();
    assert!(told.len() == 1 && told[0].starts_with("redis: "), "{told:?}");
    stack.stop().await.unwrap();
}

async fn nothing_is_left_after_a_stop(choice: BackendChoice) {
    let run = Run::new();
    let Some(stack) = run.stack(choice).await else { return };
    // The hardest case for shared memory: a PostgreSQL that was killed and not started again.
    let [segment] = &shared_memory_of(run.directory.path())[..] else { panic!("of one server") };
    let dynamic = dynamic_memory_of(stack.postgres_pid().unwrap());
    stack.postgres().kill().await.unwrap();
    let servers = [stack.redis_pid(), stack.postgres_pid()].into_iter().flatten();
    let servers: Vec<_> = servers.filter_map(ProcessIdentity::of).collect();
    stack.stop().await.unwrap();

    for server in servers {
        assert!(!server.is_alive(), "{server:?} still runs");
    }
    assert_eq!(probe::ping(stack.redis_addr(), PATIENCE).await, probe::Seen::Refused);
    if choice == BackendChoice::Process {
        assert!(!is_shared_memory_there(segment), "shared memory {segment} is left");
        // It goes with the folder, for which see below.
        assert!(!dynamic.is_empty(), "there was some");
        let elsewhere = dynamic.iter().find(|it| !it.starts_with(run.directory.path()));
        assert_eq!(elsewhere, None, "the run's folder does not hold it");
    }
    assert_eq!(containers_of(run.directory.id()).await, 0);
    let path = run.directory.path().to_path_buf();
    drop((stack, run));
    assert!(!path.exists(), "the run's folder is left");
}

/// The ids of the segments that PostgreSQL's servers noted in the run's folder.
fn shared_memory_of(folder: &Path) -> Vec<String> {
    let notes = postgres::data_folders_in(folder).map(|it| it.join("postmaster.pid"));
    let notes = notes.map(|it| fs::read_to_string(it).unwrap());
    notes
        .map(|it| it.lines().nth(6).unwrap().split_whitespace().nth(1).unwrap().to_owned())
        .collect()
}

/// The files of PostgreSQL's dynamic shared memory that its main process has mapped.
fn dynamic_memory_of(pid: u32) -> Vec<PathBuf> {
    let maps = fs::read_to_string(format!("/proc/{pid}/maps")).unwrap();
    let paths = maps.lines().filter_map(|it| it.split_whitespace().nth(5)).map(PathBuf::from);
    let is_shared =
        |it: &PathBuf| it.starts_with("/dev/shm") || it.to_string_lossy().contains("dynshmem");
    paths.filter(is_shared).collect()
}

fn is_shared_memory_there(segment: &str) -> bool {
    let segments = fs::read_to_string("/proc/sysvipc/shm").unwrap();
    segments.lines().any(|it| it.split_whitespace().nth(1) == Some(segment))
}

async fn containers_of(run_id: &str) -> usize {
    use testcontainers::bollard::query_parameters::ListContainersOptionsBuilder;
    let Ok(engine) = docker::connect().await else { return 0 };
    let label = format!("outage-lab.run={run_id}");
    let filters = HashMap::from([("label", vec![label.as_str()])]);
    let options = ListContainersOptionsBuilder::new().all(true).filters(&filters).build();
    engine.list_containers(Some(options)).await.unwrap().len()
}

/// Not a test by itself: the lab that the next case kills. It brings a stack up and waits.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn lab_that_is_killed() {
    let Ok(backend) = std::env::var(ROLE) else { return };
    let choice = if backend == "docker" { BackendChoice::Docker } else { BackendChoice::Process };
    let run = Run::new();
    let stack = run.stack(choice).await.unwrap();
    // The most servers that there can be.
    let cluster = Servers { topology: Topology::Cluster, ..Servers::default() };
    stack.restart_redis(cluster).await.unwrap();
    stack.replicate(Topology::Replica).await.unwrap();
    let mut pids = stack.redis_group().pids().unwrap();
    pids.extend([stack.postgres(), stack.replica()].map(|it| it.pid().unwrap()));
    let pids: Vec<String> = pids.iter().map(u32::to_string).collect();
    println!("\nup {} {}", run.directory.id(), pids.join(" "));
    // Standard input never ends before the kill.
    std::io::stdin().read_line(&mut String::new()).unwrap();
}

async fn nothing_is_left_of_a_lab_that_was_killed(choice: BackendChoice) {
    if choice == BackendChoice::Docker
        && let Err(reason) = docker::connect().await
    {
        return lab_testkit::skip::skip("docker", &reason);
    }
    let _turn = lab_testkit::turn::take(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let backend = if choice == BackendChoice::Docker { "docker" } else { "process" };
    let mut lab = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "backends::lab_that_is_killed", "--nocapture"])
        .env(ROLE, backend)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(lab.stdout.take().unwrap()).lines().map(Result::unwrap);
    let up = lines.find(|it| it.starts_with("up ")).unwrap();
    let words: Vec<&str> = up.split(' ').collect();
    let server = |word: &str| ProcessIdentity::of(word.parse().unwrap()).unwrap();
    let (run_id, servers) = (words[1], words[2..].iter().map(|it| server(it)));
    let servers: Vec<_> = servers.collect();
    assert_eq!(servers.len(), 8, "{up}");
    let folder = Path::new(BASE).join(format!("run-{run_id}"));
    let segments = shared_memory_of(&folder);
    assert_eq!(segments.len(), 2, "of both servers of PostgreSQL");
    lab.kill().unwrap();
    lab.wait().unwrap();

    if choice == BackendChoice::Process {
        eventually("the servers die with the lab", || servers.iter().all(|it| !it.is_alive()))
            .await;
    }
    // Another lab that starts removes the same containers at the same time.
    let other = tokio::spawn(docker::reap_dead_runs());
    let cleaned = clean::run().await;
    assert!(servers.iter().all(|it| !it.is_alive()), "a server still runs: {cleaned}");
    other.await.unwrap();
    assert_eq!(containers_of(run_id).await, 0);
    assert!(!folder.exists(), "the run's folder is left");
    if choice == BackendChoice::Process {
        let left = segments.iter().find(|it| is_shared_memory_there(it));
        assert_eq!(left, None, "shared memory is left");
    }
}

/// Dropping a stack without stopping it, as a panic does, ends its servers too.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stack_that_is_dropped_takes_its_servers_along() {
    let run = Run::new();
    let stack: Stack = run.stack(BackendChoice::Process).await.unwrap();
    let pids = [stack.redis_pid().unwrap(), stack.postgres_pid().unwrap()];
    let servers = pids.map(|pid| ProcessIdentity::of(pid).unwrap());
    drop(stack);
    eventually("both servers end", || servers.iter().all(|it| !it.is_alive())).await;
}
