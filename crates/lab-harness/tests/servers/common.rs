//! What the tests against real servers share: a run of their own, and small clients.

use std::{net::SocketAddr, num::NonZeroU32, path::PathBuf, time::Duration};

use lab_core::{clock::MonotonicNs, scenario::Fault};
use lab_harness::{
    faults::{ArmedFault, Confirmation},
    machine::{cpu_time::tree_cpu_seconds, cpus::CpuPlan, run_dir::RunDirectory},
    process::Spawner,
    stack::{BackendChoice, InstallPolicy, Stack, StackError, StackOptions, docker},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};
use tokio_postgres::NoTls;

/// The same cases for each backend.
macro_rules! on_both_backends {
    ($($case:ident),* $(,)?) => {
        mod process {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $case() {
                super::$case(super::BackendChoice::Process).await;
            })*
        }
        mod docker_engine {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $case() {
                super::$case(super::BackendChoice::Docker).await;
            })*
        }
    };
}
pub(crate) use on_both_backends;

/// Longest wait for anything in these tests; only a failure ever takes so long.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// A run of its own, for one test.
pub(crate) struct Run {
    pub(crate) spawner: Spawner,
    pub(crate) directory: RunDirectory,
}

impl Run {
    pub(crate) fn new() -> Self {
        let directory = RunDirectory::create().unwrap();
        let spawner = Spawner::start(directory.registry().unwrap()).unwrap();
        Self { spawner, directory }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// Starts a stack; `None`, with the skip printed, when Docker is wanted and no engine answers.
    pub(crate) async fn stack(&self, choice: BackendChoice) -> Option<Stack> {
        self.stack_with(&options(choice)).await
    }

    /// As [`Run::stack`], with options of the test's own; also skipped when a cap on processor time
    /// is wanted and this user may not set one.
    pub(crate) async fn stack_with(&self, options: &StackOptions) -> Option<Stack> {
        if options.choice == BackendChoice::Docker
            && let Err(reason) = docker::connect().await
        {
            lab_testkit::skip::skip("docker", &reason);
            return None;
        }
        match Stack::start(options, &self.directory, &self.spawner).await {
            Err(StackError::CpuQuota(reason)) => {
                lab_testkit::skip::skip("a cap on processor time", &reason.source.to_string());
                None
            }
            started => Some(started.unwrap()),
        }
    }
}

pub(crate) fn options(choice: BackendChoice) -> StackOptions {
    StackOptions {
        choice,
        max_connections: NonZeroU32::new(40).unwrap(),
        postgres_cpu_quota: None,
        install: InstallPolicy::Forbidden,
        cpus: CpuPlan::of_this_machine(),
    }
}

/// Sends one command to Redis on a connection of its own and returns the first line of the reply.
pub(crate) async fn redis_command(address: SocketAddr, command: &str) -> String {
    let talk = async {
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.write_all(format!("{command}\r\n").as_bytes()).await.unwrap();
        let mut reply = Vec::new();
        while !reply.ends_with(b"\r\n") {
            assert_ne!(stream.read_buf(&mut reply).await.unwrap(), 0, "{command}: cut short");
        }
        String::from_utf8(reply).unwrap().lines().next().unwrap_or_default().to_owned()
    };
    timeout(PATIENCE, talk).await.unwrap()
}

/// The first column of the first row, as text.
pub(crate) async fn query(url: &str, statement: &str) -> String {
    let (client, connection) = tokio_postgres::connect(url, NoTls).await.unwrap();
    tokio::spawn(connection);
    let rows = client.simple_query(statement).await.unwrap();
    let row = rows.iter().find_map(|message| match message {
        tokio_postgres::SimpleQueryMessage::Row(row) => row.get(0).map(str::to_owned),
        _ => None,
    });
    row.unwrap_or_default()
}

/// Polls until `condition` holds. Panics with `what` when it never does.
pub(crate) async fn eventually(what: &str, mut condition: impl FnMut() -> bool) {
    let deadline = MonotonicNs::now().plus(PATIENCE);
    while !condition() {
        assert!(MonotonicNs::now() < deadline, "{what}: not within {PATIENCE:?}");
        // tidy: real wait, because the condition is about a real process or server.
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

/// Looks that have to see a fault that nobody injected before it counts as seen: one that is on shows
/// in each of them, and what a machine does that stalls for a moment in one.
const N_CONTROLS: usize = 3;

/// Arms `fault` and is sure that nothing of it is seen, but `control`.
pub(crate) async fn arm(stack: &Stack, fault: Fault, control: &str) -> ArmedFault {
    let mut armed = ArmedFault::arm(fault, stack).await.unwrap();
    let mut seen = Vec::new();
    while seen.len() < N_CONTROLS {
        match armed.confirm(stack).await {
            Err(unseen) if unseen.saw == control => return armed,
            Err(other) | Ok(other) => seen.push(other.saw),
        }
    }
    panic!("{fault}: nobody injected it, and instead of `{control}` was seen: {seen:?}");
}

/// Looks until it sees the fault. (That a trial is invalid when this takes more than 250 ms is for
/// the analysis to say.)
pub(crate) async fn confirmed(fault: &mut ArmedFault, stack: &Stack) -> Confirmation {
    let deadline = MonotonicNs::now().plus(PATIENCE);
    loop {
        match fault.confirm(stack).await {
            Ok(seen) => return seen,
            Err(unseen) => assert!(unseen.at < deadline, "not seen: {}", unseen.saw),
        }
    }
}

/// The share of a core that PostgreSQL uses, replica included, while each of `urls` is asked for a
/// whole one for 4 s.
pub(crate) async fn share_burned(stack: &Stack, urls: &[String]) -> f64 {
    let busy = "DO $$ BEGIN
        WHILE clock_timestamp() < now() + interval '4 seconds' LOOP END LOOP;
    END $$";
    let burn = |url: &String| {
        let url = url.clone();
        tokio::spawn(async move { query(&url, busy).await })
    };
    let burning: Vec<_> = urls.iter().map(burn).collect();
    // tidy: real wait, because processor time is used in real time. The queries have begun by then.
    tokio::time::sleep(Duration::from_secs(1)).await;
    let used = Used::now(&stack.postgres_pids());
    // tidy: real wait, as above.
    tokio::time::sleep(Duration::from_secs(2)).await;
    let share = used.share_since(&stack.postgres_pids());
    for query in burning {
        query.await.unwrap();
    }
    share
}

/// Processor time that processes had used at a time.
pub(crate) struct Used {
    cpu_s: f64,
    at: MonotonicNs,
}

impl Used {
    pub(crate) fn now(pids: &[u32]) -> Self {
        let cpu_s = pids.iter().map(|it| tree_cpu_seconds(*it).unwrap_or(0.0)).sum();
        Self { cpu_s, at: MonotonicNs::now() }
    }

    /// The share of a core that they used since, of the time that really went by.
    pub(crate) fn share_since(&self, pids: &[u32]) -> f64 {
        let now = Self::now(pids);
        (now.cpu_s - self.cpu_s) / now.at.saturating_since(self.at).as_secs_f64()
    }
}
