//! What goes wrong before a trial ends in one clear line.

use std::{fs, net::TcpListener, path::PathBuf, process::Command};

use lab_harness::{
    exit::ExitCode,
    machine::lock::MachineLock,
    stack::{
        BackendChoice, Stack, StackError,
        binaries::{self, Binaries},
    },
};

use crate::common::{Run, options};

async fn start(run: &Run, binaries: Binaries) -> StackError {
    let options = options(BackendChoice::Process);
    let started = Stack::start_programs(binaries, &options, &run.directory, &run.spawner).await;
    started.expect_err("these programs are no servers")
}

/// A program of these words, written by another process: were it open for writing here, a test
/// that starts a process at that moment would hand the open file on to it, and the kernel starts
/// no program that somebody can still write to (`ETXTBSY`).
fn script(run: &Run, name: &str, text: &str) -> PathBuf {
    let path = run.path(name);
    let status = Command::new("sh")
        .args(["-c", r#"printf '%s' "$2" >"$1" && chmod 755 "$1""#, "sh"])
        .args([path.as_os_str(), text.as_ref()])
        .status()
        .unwrap();
    assert!(status.success());
    path
}

#[tokio::test]
async fn a_postgres_that_does_not_start_is_one_line_with_its_own_words() {
    let run = Run::new();
    let found = binaries::find().unwrap();
    let postgres = script(
        &run,
        "broken",
        "#!/bin/sh\necho 'FATAL:  the disk is on fire' >&2\necho 'LOG:  shut down' >&2\nexit 1\n",
    );
    let error = start(&run, Binaries { postgres, ..found }).await;
    let line = error.to_string();
    assert!(line.starts_with("postgres did not start: FATAL:  the disk is on fire"), "{line}");
    assert!(!line.contains('\n'));
    assert_eq!(error.exit_code(), ExitCode::Stack);
}

#[tokio::test]
async fn a_program_that_is_missing_is_named() {
    let run = Run::new();
    let found = binaries::find().unwrap();
    let redis_server = run.path("no-such-program");
    let error = start(&run, Binaries { redis_server, ..found }).await.to_string();
    assert!(error.starts_with("redis: cannot start "), "{error}");
    assert!(error.contains("no-such-program") && !error.contains('\n'), "{error}");
}

#[tokio::test]
async fn a_cluster_that_cannot_be_made_is_one_line() {
    let run = Run::new();
    let found = binaries::find().unwrap();
    let initdb =
        script(&run, "initdb", "#!/bin/sh\necho 'initdb: error: no space left' >&2\nexit 1\n");
    let error = start(&run, Binaries { initdb, ..found }).await.to_string();
    assert!(error.starts_with("postgres did not start: initdb: error: no space left"), "{error}");
}

#[tokio::test]
async fn a_port_that_somebody_took_meanwhile_is_one_line() {
    let run = Run::new();
    let found = binaries::find().unwrap();
    // Its port was free when the lab chose it; when Redis asks for it, somebody has it.
    let holder = TcpListener::bind("127.0.0.1:0").unwrap();
    let (redis, port) = (found.redis_server.display(), holder.local_addr().unwrap().port());
    let text = format!("#!/bin/sh\nexec {redis} --bind 127.0.0.1 --port {port} --save ''\n");
    let redis_server = script(&run, "late-redis", &text);
    let error = start(&run, Binaries { redis_server, ..found }).await.to_string();
    drop(holder);
    assert!(error.contains(&format!("Failed listening on port {port}")), "{error}");
}

#[test]
fn a_bench_that_died_does_not_keep_the_lock() {
    let base = tempfile::tempdir().unwrap();
    fs::write(base.path().join("lock"), "1\n").unwrap();
    assert!(MachineLock::acquire_in(base.path()).is_ok(), "a file alone is no lock");
}
