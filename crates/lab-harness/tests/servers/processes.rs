//! Children: what they inherit, how they end, and that none outlives the lab.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::Duration,
};

use lab_core::units::Ratio;
use lab_harness::{
    clean,
    machine::{
        cpu_quota::{self, CpuGroup, SERVICE_KEY},
        cpus,
        run_dir::RunDirectory,
    },
    process::{Child, ChildSpec, ProcessIdentity, Spawner, registry},
    stack::install,
};
use nix::sys::signal::Signal;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};

use crate::common::{Run, Used, eventually};

/// Tells [`parent_that_is_killed`] that it is the child program, and where its run goes.
const ROLE: &str = "OUTAGE_LAB_TEST_BASE";

fn shell(run: &Run, line: &str) -> ChildSpec {
    ChildSpec {
        args: vec!["-c".into(), line.into()],
        ..ChildSpec::logged(Path::new("sh"), &run.path("log"))
    }
}

#[tokio::test]
async fn a_child_gets_its_processors_its_user_and_only_the_allowed_variables() {
    let run = Run::new();
    let cpu = *cpus::allowed().last().unwrap();
    let mut spec = shell(&run, "grep Cpus_allowed_list /proc/self/status; id -u; env; pwd");
    spec.env = vec![("GIVEN".into(), "yes".into())];
    spec.cpus = vec![cpu];
    spec.cwd = Some("/".into());
    spec.run_as = install::server_user();
    let child = run.spawner.spawn(spec).unwrap();
    assert!(child.wait().await.unwrap().success());
    let log = fs::read_to_string(run.path("log")).unwrap();
    assert!(log.contains(&format!("Cpus_allowed_list:\t{cpu}\n")), "{log}");
    assert!(log.contains("GIVEN=yes") && log.contains("PATH="), "{log}");
    assert!(!log.contains("CARGO_"), "the lab's own variables leaked: {log}");
    if let Some((user, _)) = install::server_user() {
        assert!(log.contains(&format!("\n{user}\n")), "{log}");
    }
}

#[tokio::test]
async fn a_piped_child_is_talked_to_and_its_end_is_seen() {
    let run = Run::new();
    let spec = ChildSpec { piped: true, ..shell(&run, "read line; echo \"got $line\"; exit 3") };
    let mut child = run.spawner.spawn(spec).unwrap();
    child.take_stdin().unwrap().write_all(b"start 7\n").await.unwrap();
    let mut lines = BufReader::new(child.take_stdout().unwrap()).lines();
    assert_eq!(lines.next_line().await.unwrap().as_deref(), Some("got start 7"));
    assert_eq!(child.wait().await.unwrap().code(), Some(3));
    assert_eq!(child.unexpected_end().as_deref(), Some("sh: exit status: 3"));
    let error = child.signal(Signal::SIGTERM).unwrap_err().to_string();
    assert_eq!(error, "sh has already ended");
}

#[tokio::test]
async fn a_child_that_ignores_the_request_to_end_is_killed() {
    let run = Run::new();
    let spec = shell(&run, "trap '' TERM; echo deaf; while :; do sleep 1; done");
    let child = run.spawner.spawn(spec).unwrap();
    eventually("the trap is set", || fs::read_to_string(run.path("log")).unwrap() == "deaf\n")
        .await;
    let status = child.terminate(std::time::Duration::from_millis(50)).await.unwrap();
    assert_eq!(std::os::unix::process::ExitStatusExt::signal(&status), Some(9));
    assert_eq!(child.unexpected_end(), None, "it was asked to end");
}

/// The share of a core that `n` children in `group` use when each wants a whole one.
async fn share_burned(run: &Run, group: Option<&CpuGroup>, n: usize) -> f64 {
    let busy = || {
        let cpu_group = group.map(CpuGroup::procs_file);
        run.spawner.spawn(ChildSpec { cpu_group, ..shell(run, "while :; do :; done") }).unwrap()
    };
    let children: Vec<_> = (0..n).map(|_| busy()).collect();
    let pids: Vec<u32> = children.iter().map(Child::pid).collect();
    let used = Used::now(&pids);
    // tidy: real wait, because processor time is used in real time.
    tokio::time::sleep(Duration::from_secs(1)).await;
    let share = used.share_since(&pids);
    for child in children {
        child.terminate(Duration::ZERO).await.unwrap();
    }
    share
}

// Half as much again for what a period at both ends may add; a quarter, because a busy machine may
// not give even the share. Two children of one group have one share together, and two groups of one
// run have one each.
#[tokio::test]
async fn an_instance_gets_its_share_of_a_core_and_no_more() {
    let run = Run::new();
    let share = 0.2;
    let make = |member| {
        CpuGroup::create(SERVICE_KEY, (run.directory.id(), member), Ratio::new(share).unwrap())
    };
    let groups = match (make("storefront"), make("storefront-2")) {
        (Ok(one), Ok(other)) => [one, other],
        (Err(error), _) | (_, Err(error)) => {
            return lab_testkit::skip::skip("control groups", &error.to_string());
        }
    };
    let capped = share_burned(&run, Some(&groups[0]), 2).await;
    let [one, other] = <[f64; 2]>::from(tokio::join!(
        share_burned(&run, Some(&groups[0]), 1),
        share_burned(&run, Some(&groups[1]), 1)
    ));
    let most = capped.max(one).max(other);
    for used in [capped, one, other] {
        assert!(used <= 1.5 * share && 0.25 * share <= used, "{used} of a core");
    }
    let mut whole = 0.0;
    // The same without a cap, which a busy machine may not give at once.
    for _ in 0..10 {
        whole = share_burned(&run, None, 1).await;
        if 1.5 * most < whole {
            break;
        }
    }
    assert!(1.5 * most < whole, "without a cap {whole} of a core, with one {most}");
}

#[test]
fn groups_of_a_dead_run_are_removed_and_those_of_a_living_one_are_not() {
    // Whoever cleans up after dead runs would take both for leftovers.
    let _turn = lab_testkit::turn::take(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let make =
        |run_id| CpuGroup::create(SERVICE_KEY, (run_id, "storefront"), Ratio::new(0.5).unwrap());
    let (living, dead) = match (make("test-living-0"), make("test-dead-0")) {
        (Ok(living), Ok(dead)) => (living, dead),
        (Err(error), _) | (_, Err(error)) => {
            return lab_testkit::skip::skip("control groups", &error.to_string());
        }
    };
    let (removed, _) = cpu_quota::remove_leftovers(|it| it != "test-dead-0");
    assert!(removed.iter().any(|it| dead.procs_file().starts_with(it)), "{removed:?}");
    assert!(!dead.procs_file().exists() && living.procs_file().exists());
    drop(living);
    std::mem::forget(dead);
}

#[tokio::test]
async fn a_program_that_cannot_be_started_is_named() {
    let run = Run::new();
    let spec = ChildSpec::logged(Path::new("/no/such/program"), &run.path("log"));
    let error = run.spawner.spawn(spec).unwrap_err().to_string();
    assert!(error.starts_with("program: cannot start /no/such/program: "), "{error}");
}

/// Not a test by itself: the program that the next two start and kill. It starts one child that
/// dies with it, and one that refuses to, and waits to be killed.
#[test]
fn parent_that_is_killed() {
    let Some(base) = std::env::var_os(ROLE) else { return };
    let run = RunDirectory::create_in(Path::new(&base)).unwrap();
    let spawner = Spawner::start(run.registry().unwrap()).unwrap();
    let log = run.path().join("log");
    let obedient = ChildSpec {
        name: "obedient".into(),
        args: vec!["600".into()],
        run_as: install::server_user(),
        ..ChildSpec::logged(Path::new("sleep"), &log)
    };
    let stubborn = ChildSpec {
        name: "stubborn".into(),
        args: vec!["-c".into(), "trap '' TERM; touch \"$0\"; while :; do sleep 1; done".into()],
        cwd: Some(run.path().into()),
        death_signal: Signal::SIGTERM,
        ..ChildSpec::logged(Path::new("sh"), &log)
    };
    let mut stubborn = stubborn;
    stubborn.args.push(run.path().join("deaf").into());
    let children = [spawner.spawn(obedient).unwrap(), spawner.spawn(stubborn).unwrap()];
    // Standard input never ends before the kill.
    std::io::stdin().read_line(&mut String::new()).unwrap();
    drop(children);
}

/// Starts [`parent_that_is_killed`], kills it, and returns its run's folder.
async fn kill_a_parent(base: &Path) -> PathBuf {
    let mut parent = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "processes::parent_that_is_killed", "--nocapture"])
        .env(ROLE, base)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    let mut folder = None;
    eventually("both children run", || {
        let mut entries = fs::read_dir(base).unwrap().flatten().map(|it| it.path());
        folder = entries.find(|it| it.join("deaf").exists());
        folder.as_deref().is_some_and(|it| registry::read(it).len() == 2)
    })
    .await;
    parent.kill().unwrap();
    parent.wait().unwrap();
    folder.unwrap()
}

#[tokio::test]
async fn children_die_with_a_lab_that_is_killed_and_clean_ends_the_rest() {
    let base = tempfile::tempdir().unwrap();
    // The other user must be able to reach its folder.
    fs::set_permissions(base.path(), std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    let folder = kill_a_parent(base.path()).await;
    let children = registry::read(&folder);
    let find = |name: &str| -> ProcessIdentity {
        children.iter().find(|it| it.name == name).unwrap().identity
    };
    let (obedient, stubborn) = (find("obedient"), find("stubborn"));
    eventually("the child dies with its parent", || !obedient.is_alive()).await;
    assert!(stubborn.is_alive(), "the second child was to refuse");

    let cleaned = clean::run_in(base.path()).await;
    assert!(!stubborn.is_alive());
    assert_eq!(cleaned.processes, [format!("stubborn (pid {})", stubborn.pid)]);
    assert_eq!(cleaned.folders, [folder.display().to_string()]);
    assert!(!folder.exists());
    assert_eq!(clean::run_in(base.path()).await.to_string(), "nothing was left behind");
}

#[tokio::test]
async fn clean_leaves_a_living_run_alone() {
    let base = tempfile::tempdir().unwrap();
    let run = RunDirectory::create_in(base.path()).unwrap();
    let spawner = Spawner::start(run.registry().unwrap()).unwrap();
    let spec = ChildSpec {
        args: vec!["600".into()],
        ..ChildSpec::logged(Path::new("sleep"), &run.path().join("log"))
    };
    let child = spawner.spawn(spec).unwrap();
    assert_eq!(clean::run_in(base.path()).await, clean::Cleaned::default());
    assert_eq!(child.try_wait(), None);
    assert!(run.path().exists());
}
