//! `cargo xtask test`: every test, and a list of what was skipped and why.
//!
//! A test that cannot run on this machine prints one line `SKIPPED <what>: <reason>` and passes
//! (`lab_testkit::skip` does so). The test harness keeps what passing tests print, so the tests run
//! with `--show-output`, which gives it back; of that only the skipped lines are shown, at the end.

use std::{
    io::{BufRead, BufReader, Write},
    process::{Command, Stdio},
};

use anyhow::{Context, Result, ensure};

use crate::{
    lab::{Lab, Tool},
    workspace::{Workspace, succeed},
};

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

/// Builds the binaries that the end-to-end tests start, makes sure of the servers, then runs every
/// test, and the models of concurrent code after them.
///
/// **Errors**: a test failed, something did not build, or the servers are missing and may not be
/// installed.
pub(crate) fn run(workspace: &Workspace) -> Result<TestReport> {
    succeed(&mut workspace.cargo(&["build", "--workspace", "--bins", "--tests"]))?;
    // What `bench` does by itself: tests against servers need servers.
    succeed(Lab::dev(workspace).tool(Tool::Lab).arg("prepare"))?;
    let mut report = TestReport::default();
    let tests = run_tests(workspace.cargo(&["test", "--workspace", "--no-fail-fast"]), &mut report);
    let models = run_tests(models(workspace), &mut report);
    eprintln!("{} tests passed, {} failed", report.n_passed, report.n_failed);
    for line in &report.skipped {
        eprintln!("{line}");
    }
    tests.and(models)?;
    Ok(report)
}

/// loom's models: they need another standard library, as it were, and so a build of their own,
/// which lies beside the usual one for neither to be thrown away.
fn models(workspace: &Workspace) -> Command {
    let mut command =
        workspace.cargo(&["test", "--package", "lab-mitigation", "--test", "loom_breaker"]);
    command.env("RUSTFLAGS", "--cfg loom");
    command.env("CARGO_TARGET_DIR", workspace.target_dir.join("loom"));
    command
}

/// Runs one cargo test and adds what it says to `report`. **Errors**: it does not end well.
fn run_tests(mut command: Command, report: &mut TestReport) -> Result<()> {
    command.args(["--", "--show-output"]).stdout(Stdio::piped());
    let mut child = command.spawn().context("start cargo test")?;
    let stdout = child.stdout.take().context("take the output of cargo test")?;
    read(BufReader::new(stdout), std::io::stdout().lock(), report)?;
    let status = child.wait().context("wait for cargo test")?;
    ensure!(status.success(), "cargo test ended with {status}");
    Ok(())
}

/// Copies what a reader wants to see from `input` to `screen`, and counts.
fn read(input: impl BufRead, mut screen: impl Write, report: &mut TestReport) -> Result<()> {
    let mut in_successes = false;
    for line in input.lines() {
        let line = line.context("read the output of cargo test")?;
        if line.starts_with("SKIPPED") {
            report.skipped.push(line.clone());
        }
        if let Some((n_passed, n_failed)) = closing_counts(&line) {
            report.n_passed += n_passed;
            report.n_failed += n_failed;
        }
        in_successes = match line.as_str() {
            "successes:" => true,
            "failures:" => false,
            _ => in_successes && !line.starts_with("test result: "),
        };
        if !in_successes {
            writeln!(screen, "{line}").context("print the output of cargo test")?;
        }
    }
    Ok(())
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

    #[test]
    fn skips_and_totals_come_from_all_binaries() {
        let mut report = TestReport::default();
        read(OUTPUT.as_bytes(), Vec::new(), &mut report).unwrap();
        let skipped = vec!["SKIPPED docker: no engine answers".to_owned()];
        assert_eq!(report, TestReport { n_passed: 3, n_failed: 1, skipped });
    }

    #[test]
    fn failures_and_closing_lines_are_shown_and_chatter_of_passing_tests_is_not() {
        let mut screen = Vec::new();
        read(OUTPUT.as_bytes(), &mut screen, &mut TestReport::default()).unwrap();
        let screen = String::from_utf8(screen).unwrap();
        assert!(screen.contains("assertion failed"), "{screen}");
        assert_eq!(screen.matches("test result: ").count(), 2);
        assert!(!screen.contains("some chatter"), "{screen}");
        assert!(!screen.contains("successes"), "{screen}");
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
