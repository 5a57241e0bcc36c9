//! Bad input and bad luck: one clear line and the right exit code.

use std::{path::Path, time::Duration};

use crate::support::*;
use lab_core::load_plan::LoadPlan;

fn assert_refused(generator: &mut Generator, code: i32, part: &str) {
    let (status, stderr) = generator.end();
    assert!(stderr.contains(part), "{stderr}");
    assert_eq!((status.code(), stderr.lines().count()), (Some(code), 1), "{stderr}");
}

fn idle_plan(folder: &Path) -> LoadPlan {
    plan("127.0.0.1:1".parse().unwrap(), folder)
}

#[test]
fn a_plan_that_cannot_work_is_wrong_usage() {
    let folder = tempfile::tempdir().unwrap();
    let plan = LoadPlan { duration: Duration::ZERO, ..idle_plan(folder.path()) };
    assert_refused(&mut Generator::spawn(&plan, ""), 2, "`duration`");
}

#[test]
fn more_users_than_files_names_the_limit_and_the_command() {
    let folder = tempfile::tempdir().unwrap();
    let mut generator = Generator::spawn(&idle_plan(folder.path()), "ulimit -n 100;");
    assert_refused(&mut generator, 2, "may have 100: raise the hard limit with `ulimit -n 114`");
}

#[test]
fn samples_that_cannot_be_written_end_the_run() {
    let folder = tempfile::tempdir().unwrap();
    let mut plan = idle_plan(folder.path());
    plan.samples_path = folder.path().to_owned();
    assert_refused(&mut Generator::spawn(&plan, ""), 4, "cannot write samples to");
}

// The file may grow to 512 bytes (one block of `ulimit -f`): the header and a dozen samples. The
// shell ignores the signal that the kernel sends at that size, so that the write fails instead, as
// it does on a full disk.
#[test]
fn a_disk_that_fills_while_the_load_runs_ends_the_run() {
    let folder = tempfile::tempdir().unwrap();
    let plan = LoadPlan { duration: Duration::from_secs(30), ..idle_plan(folder.path()) };
    let mut generator = Generator::spawn(&plan, "trap '' XFSZ; ulimit -f 1;");
    generator.start(soon());
    assert_refused(&mut generator, 4, "cannot write samples to");
}

#[test]
fn anything_but_a_start_line_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    for (line, part) in [
        ("stop", "expected `start"),
        ("", "expected `start"),
        ("start 1", "the start instant is"),
        ("start 9000000000000000000", "the start instant is"),
    ] {
        let mut generator = Generator::spawn(&idle_plan(folder.path()), "");
        generator.await_ready();
        generator.send_line(line);
        assert_refused(&mut generator, 2, part);
    }
}

#[test]
fn a_list_of_instances_that_names_none_ends_the_run() {
    let folder = tempfile::tempdir().unwrap();
    let plan = LoadPlan { duration: Duration::from_secs(30), ..idle_plan(folder.path()) };
    for line in ["targets ", "targets somewhere", "stop"] {
        let mut generator = Generator::spawn(&plan, "");
        generator.start(soon());
        generator.send_line(line);
        assert_refused(&mut generator, 2, "expected `targets <address>,<address>…`");
    }
}

#[test]
fn a_caller_that_goes_away_before_the_start_ends_the_run() {
    let folder = tempfile::tempdir().unwrap();
    let mut generator = Generator::spawn(&idle_plan(folder.path()), "");
    generator.await_ready();
    drop(generator.child.stdin.take());
    assert_refused(&mut generator, 2, "expected `start");
}
