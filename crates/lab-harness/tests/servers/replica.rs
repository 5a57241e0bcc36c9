//! A replica of PostgreSQL on real servers, the same cases on both backends.
//!
//! Each case asks both servers itself, and has its negative control: without the topology nobody
//! listens where the replica would be, and a replica that is stopped does not get what was written.

use std::{net::TcpStream, time::Duration};

use lab_core::{
    clock::MonotonicNs,
    scenario::{Fault, Servers, Topology},
    units::Ratio,
};
use lab_harness::stack::{BackendChoice, Stack, StackOptions};

use crate::common::{
    Run, arm, confirmed, eventually, on_both_backends, options, query, share_burned,
};

on_both_backends! {
    a_replica_comes_up_and_follows_and_leaves_nothing,
    a_replica_that_is_needed_again_goes_on_from_where_it_was,
    two_smaller_servers_have_two_shares_of_a_core,
    faults_are_those_of_one_redis_and_somebody_else_uses_the_primary,
    a_replica_that_dies_unasked_is_told,
}

/// How long a topology may take to be up and known to be well: what the lab promises for a
/// PostgreSQL that has a core.
const UP_WITHIN: Duration = Duration::from_secs(15);

/// Has a replica up, and returns how long that took.
async fn replicate(stack: &Stack, choice: BackendChoice) -> Duration {
    let began_at = MonotonicNs::now();
    stack.replicate(Topology::Replica).await.unwrap();
    let took = MonotonicNs::now().saturating_since(began_at);
    eprintln!("replica on {choice:?}: up and well after {took:?}");
    took
}

/// Makes a table with ten rows on the primary.
async fn write(stack: &Stack, table: &str) {
    let sql = format!("CREATE TABLE {table} AS SELECT generate_series(1, 10) AS n");
    query(&stack.admin_url(), &sql).await;
}

async fn n_rows(url: &str, table: &str) -> String {
    query(url, &format!("SELECT count(*) FROM {table}")).await
}

fn listens(stack: &Stack) -> bool {
    TcpStream::connect(stack.replica().address()).is_ok()
}

async fn a_replica_comes_up_and_follows_and_leaves_nothing(choice: BackendChoice) {
    let run = Run::new();
    let Some(stack) = run.stack(choice).await else { return };
    write(&stack, "before").await;
    stack.replicate(Topology::Single).await.unwrap();
    assert!(!listens(&stack) && stack.replica_admin_url().is_none());
    assert_eq!(stack.replica_target_url(Topology::Single), None);
    assert_eq!(stack.postgres_pids().len(), 1);

    let took = replicate(&stack, choice).await;
    assert!(took < UP_WITHIN, "{took:?}");
    assert!((20_000..30_000).contains(&stack.replica().address().port()));
    let (primary, replica) = (stack.admin_url(), stack.replica_admin_url().unwrap());
    assert_eq!(query(&primary, "SELECT pg_is_in_recovery()").await, "f");
    assert_eq!(query(&replica, "SELECT pg_is_in_recovery()").await, "t");
    assert_eq!(query(&primary, "SELECT state FROM pg_stat_replication").await, "streaming");
    assert_eq!(n_rows(&replica, "before").await, "10");
    write(&stack, "after").await;
    stack.wait_until_replayed().await.unwrap();
    assert_eq!(n_rows(&replica, "after").await, "10");
    for setting in ["fsync", "synchronous_commit"] {
        assert_eq!(query(&primary, &format!("SHOW {setting}")).await, "on", "{setting}");
    }
    let target = stack.replica_target_url(Topology::Replica).unwrap();
    assert_eq!(query(&target, "SELECT current_user").await, "storefront");
    assert_eq!(stack.postgres_pids().len(), 2);
    // A second trial on it finds it up.
    replicate(&stack, choice).await;

    stack.replicate(Topology::Sentinel).await.unwrap();
    assert!(!listens(&stack) && stack.replica().pid().is_none());
    assert_eq!(stack.unexpected_deaths(), Vec::<String>::new());
    stack.stop().await.unwrap();
}

async fn a_replica_that_is_needed_again_goes_on_from_where_it_was(choice: BackendChoice) {
    let run = Run::new();
    let Some(stack) = run.stack(choice).await else { return };
    replicate(&stack, choice).await;
    stack.replicate(Topology::Single).await.unwrap();
    write(&stack, "meanwhile").await;
    // The log goes on to other files; what the replica lacks must be kept for it all the same.
    for _ in 0..3 {
        query(&stack.admin_url(), "SELECT pg_switch_wal()").await;
        query(&stack.admin_url(), "CHECKPOINT").await;
    }
    replicate(&stack, choice).await;
    let replica = stack.replica_admin_url().unwrap();
    assert_eq!(n_rows(&replica, "meanwhile").await, "10");
    stack.stop().await.unwrap();
}

async fn two_smaller_servers_have_two_shares_of_a_core(choice: BackendChoice) {
    let share = 0.25;
    let run = Run::new();
    let quota = Some(Ratio::new(share).unwrap());
    let capped = StackOptions { postgres_cpu_quota: quota, ..options(choice) };
    let Some(stack) = run.stack_with(&capped).await else { return };
    replicate(&stack, choice).await;
    let (primary, replica) = (stack.admin_url(), stack.replica_admin_url().unwrap());
    let mut both = 0.0;
    // A busy machine may not give them all of their shares at once.
    for _ in 0..10 {
        both = share_burned(&stack, &[primary.clone(), replica.clone()]).await;
        if 1.5 * share < both {
            break;
        }
    }
    assert!(1.5 * share < both, "{both} of a core is one share for both");
    // Half as much again for what a period at both ends may add.
    assert!(both <= 1.5 * 2.0 * share, "{both} of a core");
    stack.stop().await.unwrap();
}

/// Backends of PostgreSQL that belong to somebody else.
async fn n_neighbours(url: &str) -> String {
    query(url, "SELECT count(*) FROM pg_stat_activity WHERE usename = 'neighbour'").await
}

async fn faults_are_those_of_one_redis_and_somebody_else_uses_the_primary(choice: BackendChoice) {
    let run = Run::new();
    let Some(stack) = run.stack(choice).await else { return };
    let servers = Servers { topology: Topology::Replica, ..Servers::default() };
    stack.restart_redis(servers).await.unwrap();
    replicate(&stack, choice).await;
    let (primary, replica) = (stack.admin_url(), stack.replica_admin_url().unwrap());
    let location = stack.redis_location(Topology::Replica, Fault::Crash);
    assert_eq!(location.single(), Some(stack.redis_addr()));

    let control = "PING answered, 0 of somebody else's connections to PostgreSQL";
    let nobody = ("0".to_owned(), "0".to_owned());
    for (kind, effect) in [
        // Half of the 40 that the primary has.
        (Fault::DatabaseConnections, "connection refused, 20 of somebody else's"),
        // As many compute; between two of its statements one is idle for a moment.
        (Fault::DatabaseSlow, "connection refused, "),
    ] {
        let mut fault = arm(&stack, kind, control).await;
        assert_eq!((n_neighbours(&primary).await, n_neighbours(&replica).await), nobody, "{kind}");
        fault.inject(&stack).await.unwrap();
        let seen = confirmed(&mut fault, &stack).await;
        assert!(seen.saw.starts_with(effect), "{kind}: {}", seen.saw);
        assert_eq!(
            (n_neighbours(&primary).await, n_neighbours(&replica).await),
            ("20".into(), "0".into()),
            "{kind}"
        );
        fault.heal(&stack).await.unwrap();
        fault.confirm_healed(&stack).await.unwrap();
        assert_eq!((n_neighbours(&primary).await, n_neighbours(&replica).await), nobody, "{kind}");
    }
    assert_eq!(stack.unexpected_deaths(), Vec::<String>::new());
    stack.stop().await.unwrap();
}

async fn a_replica_that_dies_unasked_is_told(choice: BackendChoice) {
    let run = Run::new();
    let Some(stack) = run.stack(choice).await else { return };
    replicate(&stack, choice).await;
    let pid = nix::unistd::Pid::from_raw(stack.replica().pid().unwrap().cast_signed());
    // Not SIGKILL, after which PostgreSQL's shared memory would stay behind.
    nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGQUIT).unwrap();
    eventually("the death is told", || !stack.unexpected_deaths().is_empty()).await;
    let told = stack.unexpected_deaths();
    assert!(told.len() == 1 && told[0].starts_with("postgres-replica: "), "{told:?}");
    stack.stop().await.unwrap();
}
