//! Runs the real `lab` command in tests.
#![allow(dead_code, reason = "each test file uses its own part")]
#![allow(clippy::unwrap_used, reason = "test code")]

use std::{
    ffi::OsStr,
    io::{BufRead, BufReader},
    path::Path,
    process::{Child, Command, ExitStatus, Stdio},
};

/// One call of the command.
pub(crate) struct Lab(Command);

/// How a call ended.
pub(crate) struct End {
    pub(crate) code: i32,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Lab {
    pub(crate) fn new(args: &[&str]) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_lab"));
        command.args(args).current_dir(env!("CARGO_MANIFEST_DIR"));
        Self(command)
    }

    /// A trial of 15 s at a rate that a debug build carries, without calibration.
    pub(crate) fn smoke(out: &Path) -> Self {
        Self::new(&["bench", "--profile", "smoke", "--variant", "bounded-timeouts"])
            .args(&["--rate", "60", "--backend", "process", "--out"])
            .arg(out)
    }

    pub(crate) fn arg(mut self, arg: impl AsRef<OsStr>) -> Self {
        self.0.arg(arg);
        self
    }

    pub(crate) fn args(mut self, args: &[&str]) -> Self {
        self.0.args(args);
        self
    }

    pub(crate) fn run(mut self) -> End {
        let output = self.0.stdin(Stdio::null()).output().unwrap();
        End {
            code: output.status.code().unwrap_or(-1),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }

    pub(crate) fn start(mut self) -> Running {
        let mut child = self
            .0
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stderr.take().unwrap());
        Running { child, lines, said: String::new() }
    }
}

/// A call that goes on.
pub(crate) struct Running {
    child: Child,
    lines: BufReader<std::process::ChildStderr>,
    pub(crate) said: String,
}

impl Running {
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Reads until a line contains `part`; fails with what was said when the call ends before.
    pub(crate) fn wait_for(&mut self, part: &str) {
        loop {
            let mut line = String::new();
            let n = self.lines.read_line(&mut line).unwrap();
            assert!(0 < n, "ended before it said `{part}`:\n{}", self.said);
            self.said.push_str(&line);
            if line.contains(part) {
                return;
            }
        }
    }

    pub(crate) fn signal(&self, signal: nix::sys::signal::Signal) {
        let pid = nix::unistd::Pid::from_raw(self.child.id().cast_signed());
        nix::sys::signal::kill(pid, signal).unwrap();
    }

    pub(crate) fn end(mut self) -> (ExitStatus, String) {
        let mut line = String::new();
        while 0 < self.lines.read_line(&mut line).unwrap() {
            self.said.push_str(&line);
            line.clear();
        }
        (self.child.wait().unwrap(), self.said)
    }
}
