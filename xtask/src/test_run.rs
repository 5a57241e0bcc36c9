//! `cargo xtask test`: every test, and a list of what was skipped and why.
//!
//! A test that cannot run on this machine prints one line `SKIPPED <what>: <reason>` and passes
//! (`lab_testkit::skip` does so). The test harness keeps what passing tests print, so the tests run
//! with `--show-output`, which gives it back; of that only the skipped lines are shown, at the end.
//!
//! Cargo would run one test program after the other, and most of them wait for servers most of the
//! time. So cargo builds them, and they run here, [`N_LANES`] at once.

use std::{
    collections::VecDeque,
    io::{BufRead, BufReader},
    path::Path,
    process::{Command, Stdio},
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use crate::{
    lab::{Lab, Tool},
    workspace::{Workspace, succeed},
};

/// Test programs that run at once: the one that starts benches, which go one at a time and take as
/// long as all others together, and one of the others.
const N_LANES: usize = 2;
/// The one that starts benches.
const LONGEST: &str = "lab-harness command";
/// Shorter ones are not listed at the end.
const LISTED_FROM: Duration = Duration::from_secs(5);

/// What the tests said.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct TestReport {
    /// Tests that passed, those that skipped themselves included.
    pub(crate) n_passed: u64,
    /// Tests that failed.
    pub(crate) n_failed: u64,
    /// One line per skip: what, and why.
    pub(crate) skipped: Vec<String>,
}

impl TestReport {
    fn add(&mut self, other: Self) {
        self.n_passed += other.n_passed;
        self.n_failed += other.n_failed;
        self.skipped.extend(other.skipped);
    }
}

/// A test program, or cargo where it alone can run the tests.
#[derive(Debug)]
struct Program {
    name: String,
    command: Command,
}

impl Program {
    fn of_cargo(name: &str, mut command: Command) -> Self {
        command.args(["--", "--show-output"]);
        Self { name: name.to_owned(), command }
    }
}

/// How a program ended.
#[derive(Debug)]
struct Ended {
    name: String,
    took: Duration,
    /// What it said, or why it did not run to its end.
    report: Result<TestReport>,
}

/// Builds the binaries that the end-to-end tests start, makes sure of the servers, then runs every
/// test, examples in documentation and models of concurrent code included.
///
/// **Errors**: a test failed, something did not build, or the servers are missing and may not be
/// installed.
pub(crate) fn run(workspace: &Workspace) -> Result<TestReport> {
    let mut programs = build(workspace)?;
    // What `bench` does by itself: tests against servers need servers.
    succeed(Lab::dev(workspace).tool(Tool::Lab).arg("prepare"))?;
    succeed(models(workspace).arg("--no-run"))?;
    programs.push(Program::of_cargo("models", models(workspace)));
    let mut ended = run_all(programs);
    // On their own, because they are compiled one by one.
    let examples = workspace.cargo(&["test", "--workspace", "--doc", "--no-fail-fast"]);
    ended.push(run_one(Program::of_cargo("examples", examples)));
    ended.sort_by_key(|it| std::cmp::Reverse(it.took));
    for it in ended.iter().filter(|it| LISTED_FROM <= it.took) {
        eprintln!("{:>5} s  {}", it.took.as_secs(), it.name);
    }
    summed(ended)
}

/// The reports of all. **Errors**: one has a test that failed, or did not run to its end.
fn summed(ended: Vec<Ended>) -> Result<TestReport> {
    let mut sum = TestReport::default();
    let mut failures = Vec::new();
    for Ended { name, report, .. } in ended {
        match report {
            Ok(report) => {
                if 0 < report.n_failed {
                    failures.push(name);
                }
                sum.add(report);
            }
            Err(error) => failures.push(format!("{name} ({error:#})")),
        }
    }
    eprintln!("{} tests passed, {} failed", sum.n_passed, sum.n_failed);
    for line in &sum.skipped {
        eprintln!("{line}");
    }
    ensure!(failures.is_empty(), "tests failed in {}", failures.join(", "));
    Ok(sum)
}

/// Has cargo build everything and say where the test programs are. The longest comes first, and
/// tests with servers before those without.
fn build(workspace: &Workspace) -> Result<Vec<Program>> {
    let mut command = workspace.cargo(&["build", "--workspace", "--bins", "--tests"]);
    let output = command
        .arg("--message-format=json-render-diagnostics")
        .stderr(Stdio::inherit())
        .output()
        .context("start cargo build")?;
    ensure!(output.status.success(), "cargo build ended with {}", output.status);
    let mut built: Vec<_> = String::from_utf8_lossy(&output.stdout)
        .lines()
        .filter_map(|line| Built::of(&serde_json::from_str(line).ok()?))
        .collect();
    ensure!(!built.is_empty(), "cargo built no test program");
    built.sort_by_key(|it| (it.name != LONGEST, !it.is_integration, it.name.clone()));
    Ok(built.iter().map(Built::program).collect())
}

/// A test program that cargo has built.
#[derive(Debug, PartialEq, Eq)]
struct Built {
    name: String,
    is_integration: bool,
    executable: String,
    /// Folder of its package, where cargo starts tests.
    folder: String,
}

impl Built {
    /// What cargo says in `message`, when that is about a test program.
    fn of(message: &Value) -> Option<Self> {
        if message["reason"] != "compiler-artifact" || message["profile"]["test"] != true {
            return None;
        }
        let folder = Path::new(message["manifest_path"].as_str()?).parent()?;
        let package = folder.file_name()?.to_str()?;
        let target = message["target"]["name"].as_str()?;
        let is_integration = message["target"]["kind"][0] == "test";
        Some(Self {
            // A binary of the same name as its package has its unit tests too.
            name: if is_integration {
                format!("{package} {target}")
            } else {
                format!("{package} units of {target}")
            },
            is_integration,
            executable: message["executable"].as_str()?.to_owned(),
            folder: folder.to_str()?.to_owned(),
        })
    }

    fn program(&self) -> Program {
        let mut command = Command::new(&self.executable);
        command.arg("--show-output").current_dir(&self.folder);
        command.env("CARGO_MANIFEST_DIR", &self.folder);
        Program { name: self.name.clone(), command }
    }
}

/// loom's models: they need another standard library, as it were, and so a build of their own,
/// which lies beside the usual one for neither to be thrown away.
fn models(workspace: &Workspace) -> Command {
    let mut command = workspace.cargo(&["test", "--package", "lab-mitigation", "--test", "loom"]);
    command.env("RUSTFLAGS", "--cfg loom");
    command.env("CARGO_TARGET_DIR", workspace.target_dir.join("loom"));
    command
}

/// Runs all, in this order, [`N_LANES`] at once.
fn run_all(programs: Vec<Program>) -> Vec<Ended> {
    let waiting = Mutex::new(VecDeque::from(programs));
    let ended = Mutex::new(Vec::new());
    // A function of its own, so that the lock is given back before the program runs.
    let next = || lock(&waiting).pop_front();
    let lane = || {
        while let Some(program) = next() {
            let it = run_one(program);
            lock(&ended).push(it);
        }
    };
    std::thread::scope(|scope| {
        (0..N_LANES).for_each(|_| drop(scope.spawn(lane)));
    });
    ended.into_inner().unwrap_or_else(PoisonError::into_inner)
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[expect(clippy::disallowed_methods, reason = "says how long tests took; nothing depends on it")]
fn run_one(Program { name, command }: Program) -> Ended {
    let started_at = Instant::now();
    let report = report_of(command, &name);
    Ended { name, took: started_at.elapsed(), report }
}

/// Runs one program and reads what it says. **Errors**: it did not run to its end.
fn report_of(mut command: Command, name: &str) -> Result<TestReport> {
    let mut child = command.stdout(Stdio::piped()).spawn().context("cannot be started")?;
    let stdout = child.stdout.take().context("its output cannot be read")?;
    let mut report = TestReport::default();
    let failures = read(BufReader::new(stdout), &mut report, |line| eprintln!("{name}: {line}"))?;
    let status = child.wait().context("its end cannot be seen")?;
    if !failures.is_empty() {
        eprintln!("== {name}\n{}", failures.join("\n"));
    }
    ensure!(status.success() || 0 < report.n_failed, "ended with {status}");
    Ok(report)
}

/// Shows what a reader wants to see of `input` as it comes, counts, and returns what is said of the
/// tests that failed: several programs talk at once, and that belongs together.
fn read(
    input: impl BufRead,
    report: &mut TestReport,
    mut show: impl FnMut(&str),
) -> Result<Vec<String>> {
    let mut failures = Vec::new();
    let mut part = Part::Progress;
    for line in input.lines() {
        let line = line.context("its output cannot be read")?;
        if line.starts_with("SKIPPED") {
            report.skipped.push(line.clone());
        }
        if let Some((n_passed, n_failed)) = closing_counts(&line) {
            report.n_passed += n_passed;
            report.n_failed += n_failed;
            part = Part::Progress;
        }
        part = match line.as_str() {
            "successes:" => Part::Successes,
            "failures:" => Part::Failures,
            _ => part,
        };
        match part {
            Part::Progress if !line.is_empty() => show(&line),
            Part::Failures => failures.push(line),
            Part::Progress | Part::Successes => {}
        }
    }
    Ok(failures)
}

/// What a test program is telling.
#[derive(Debug, Clone, Copy)]
enum Part {
    /// Which test it has run.
    Progress,
    /// What tests printed that passed.
    Successes,
    /// What tests printed that failed, and which these are.
    Failures,
}

/// Passed and failed of `test result: ok. 3 passed; 0 failed; …`.
fn closing_counts(line: &str) -> Option<(u64, u64)> {
    let counts = line.strip_prefix("test result: ")?;
    let before =
        |word: &str| -> Option<u64> { counts.split_once(word)?.0.rsplit(' ').next()?.parse().ok() };
    Some((before(" passed")?, before(" failed")?))
}

#[cfg(test)]
mod tests {
    use super::*;

    // The output of a real `cargo test -- --show-output`, shortened.
    const OUTPUT: &str = "
running 2 tests
test a ... ok
test b ... ok

successes:

---- a stdout ----
some chatter
SKIPPED docker: no engine answers

successes:
    a
    b

test result: ok. 2 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.00s

running 2 tests
successes:
    d
failures:
---- c stdout ----
assertion failed
failures:
    c
test result: FAILED. 1 passed; 1 failed; 0 ignored; 0 measured; 0 filtered out
";

    fn report_and_lines() -> (TestReport, Vec<String>, Vec<String>) {
        let mut report = TestReport::default();
        let mut shown = Vec::new();
        let failures =
            read(OUTPUT.as_bytes(), &mut report, |line| shown.push(line.to_owned())).unwrap();
        (report, shown, failures)
    }

    #[test]
    fn skips_and_totals_come_from_the_whole_output() {
        let skipped = vec!["SKIPPED docker: no engine answers".to_owned()];
        assert_eq!(report_and_lines().0, TestReport { n_passed: 3, n_failed: 1, skipped });
    }

    #[test]
    fn progress_is_shown_as_it_comes_and_failures_at_the_end() {
        let (_, shown, failures) = report_and_lines();
        let said = ["running 2 tests", "test a ... ok", "test b ... ok", "test result: ok. 2"];
        assert!(said.iter().zip(&shown).all(|(said, it)| it.starts_with(said)), "{shown:?}");
        assert_eq!(shown.len(), 6, "{shown:?}");
        let told = ["failures:", "---- c stdout ----", "assertion failed", "failures:", "    c"];
        assert_eq!(failures, told);
    }

    #[test]
    fn a_test_program_is_known_by_what_cargo_says_of_it() {
        let message = |kind: &str, is_test: bool| {
            serde_json::json!({
                "reason": "compiler-artifact",
                "manifest_path": "/w/crates/lab-core/Cargo.toml",
                "target": { "name": "servers", "kind": [kind] },
                "profile": { "test": is_test },
                "executable": "/t/servers-1",
            })
        };
        let built = Built::of(&message("test", true)).unwrap();
        assert_eq!(built.name, "lab-core servers");
        assert_eq!(
            (built.folder.as_str(), built.executable.as_str()),
            ("/w/crates/lab-core", "/t/servers-1")
        );
        assert_eq!(Built::of(&message("lib", true)).unwrap().name, "lab-core units of servers");
        assert_eq!(Built::of(&message("bin", false)), None, "a program, but no test");
        assert_eq!(Built::of(&serde_json::json!({ "reason": "build-finished" })), None);
    }

    fn shell(script: &str) -> Program {
        let mut command = Command::new("sh");
        command.arg("-c").arg(script);
        Program { name: script.to_owned(), command }
    }

    // Each waits for the other, for ten seconds at most.
    #[test]
    fn two_programs_run_at_once() {
        let dir = tempfile::tempdir().unwrap();
        let wait = |own: &str, other: &str| {
            let [own, other] = [own, other].map(|it| dir.path().join(it).display().to_string());
            shell(&format!(
                "touch {own}; for i in $(seq 1000); do \
                     if [ -e {other} ]; then echo 'test result: ok. 1 passed; 0 failed;'; exit; fi; \
                     sleep 0.01; \
                 done"
            ))
        };
        assert_eq!(summed(run_all(vec![wait("a", "b"), wait("b", "a")])).unwrap().n_passed, 2);
    }

    #[test]
    fn a_program_that_fails_is_named_and_the_others_count() {
        let ok = shell("echo 'test result: ok. 2 passed; 0 failed;'");
        assert_eq!(summed(run_all(vec![ok])).unwrap().n_passed, 2);
        for (script, named) in [
            ("echo 'test result: FAILED. 1 passed; 1 failed;'; exit 101", "1 failed"),
            ("kill -9 $$", "signal: 9"),
        ] {
            let ok = shell("echo 'test result: ok. 2 passed; 0 failed;'");
            let error = summed(run_all(vec![ok, shell(script)])).unwrap_err().to_string();
            assert!(error.starts_with("tests failed in ") && error.contains(named), "{error}");
        }
    }

    #[test]
    fn only_a_closing_line_counts() {
        assert_eq!(
            closing_counts("test result: ok. 12 passed; 3 failed; 0 ignored"),
            Some((12, 3))
        );
        assert_eq!(closing_counts("test a ... ok"), None);
    }
}
