//! What the tests against real servers share: a run of their own, and small clients.

#![allow(
    dead_code,
    unused_imports,
    unused_macros,
    reason = "each test program uses its part of this module"
)]

use std::{net::SocketAddr, num::NonZeroU32, path::PathBuf, time::Duration};

use lab_core::clock::MonotonicNs;
use lab_harness::{
    machine::{cpus::CpuPlan, run_dir::RunDirectory},
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
