//! Runs the real `lab` command in tests.

use std::{
    ffi::OsStr,
    fs,
    io::{BufRead, BufReader},
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    time::{Duration, SystemTime},
};

use lab_core::artifact::summary::Summary;
use lab_harness::machine::{BASE, run_dir};
use lab_testkit::turn::{self, Turn};
use nix::sys::signal::Signal;
use tempfile::TempDir;

use crate::scenarios;

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

    /// Trials of `variants` at a rate that a debug build carries, without calibration.
    pub(crate) fn bench(variants: &str, out: &Path) -> Self {
        Self::new(&["bench", "--variant", variants, "--rate", "60", "--backend", "process"])
            .args(&["--out"])
            .arg(out)
    }

    /// A trial of `bounded-timeouts` as in [`scenarios::write_short`], called from `scratch`.
    pub(crate) fn short(scratch: &TempDir, out: &Path) -> Self {
        if !scratch.path().join("scenarios").exists() {
            scenarios::write_short(scratch.path());
        }
        Self::bench("bounded-timeouts", out).within(scratch.path())
    }

    pub(crate) fn arg(mut self, arg: impl AsRef<OsStr>) -> Self {
        self.0.arg(arg);
        self
    }

    pub(crate) fn args(mut self, args: &[&str]) -> Self {
        self.0.args(args);
        self
    }

    pub(crate) fn env(mut self, key: &str, value: &str) -> Self {
        self.0.env(key, value);
        self
    }

    /// Called from `folder`.
    pub(crate) fn within(mut self, folder: &Path) -> Self {
        self.0.current_dir(folder);
        self
    }

    /// The same call from a shell that has run `setup` before.
    pub(crate) fn after_shell(self, setup: &str) -> Self {
        let mut command = Command::new("sh");
        command.arg("-c").arg(format!("{setup} && exec \"$0\" \"$@\""));
        command.arg(self.0.get_program()).args(self.0.get_args());
        command.current_dir(self.0.get_current_dir().unwrap());
        Self(command)
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

/// One bench runs at a time on a machine.
pub(crate) fn one_at_a_time() -> Turn {
    turn::take(env!("CARGO_TARGET_TMPDIR")).unwrap()
}

/// A JSON file of a result.
pub(crate) fn read<T: serde::de::DeserializeOwned>(path: &Path) -> T {
    let text = fs::read(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    serde_json::from_slice(&text).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The summary of a result.
pub(crate) fn summary(out: &Path) -> Summary {
    read(&out.join("summary.json"))
}

/// What is still there of a run into `scratch`, and of any run whose lab is gone: processes,
/// folders, shared memory. Sockets go with their processes, or stand in the folders.
#[expect(clippy::disallowed_methods, reason = "no runtime here whose clock could be paused")]
pub(crate) fn leftovers(scratch: &TempDir) -> Vec<String> {
    let ours = processes().filter(|it| it.folder.starts_with(scratch.path()));
    let ours: Vec<_> = ours.map(|it| it.command).collect();
    let since = fs::metadata(scratch.path()).and_then(|it| it.created()).unwrap();
    let mut servers = leftover_servers(since);
    if !servers.is_empty() {
        // Other tests have servers too, which begin and end: what is left over is still there later.
        // tidy: real wait, because servers of other processes take their time.
        std::thread::sleep(Duration::from_secs(3));
        let still_there = leftover_servers(since);
        servers.retain(|it| still_there.contains(it));
    }
    ours.into_iter().chain(servers).collect()
}

/// What seems to be left of servers whose lab is gone.
fn leftover_servers(since: SystemTime) -> Vec<String> {
    let processes = processes().filter(Process::is_of_a_dead_run).map(|it| it.command);
    let folders = run_dir::dead_runs(Path::new(BASE));
    let folders = folders.into_iter().map(|it| it.path.display().to_string());
    processes.chain(folders).chain(shared_memory_since(since)).collect()
}

/// PostgreSQL's segments made after `since` that no process uses. Servers of somebody else on this
/// machine use theirs.
fn shared_memory_since(since: SystemTime) -> Vec<String> {
    let since_s = since.duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs();
    let system_v = fs::read_to_string("/proc/sysvipc/shm").unwrap();
    let mut lines = system_v.lines();
    let header: Vec<_> = lines.next().unwrap().split_whitespace().collect();
    let orphans = lines.filter(|line| {
        let number = |name| {
            let at = header.iter().position(|it| *it == name).unwrap();
            line.split_whitespace().nth(at).unwrap().parse::<u64>().unwrap()
        };
        number("nattch") == 0 && since_s <= number("ctime")
    });
    orphans.map(|line| format!("segment {line}")).collect()
}

struct Process {
    pid: i32,
    command: String,
    folder: PathBuf,
}

impl Process {
    /// Whether it serves a run whose lab is gone, and goes on without it.
    fn is_of_a_dead_run(&self) -> bool {
        let run = self.command.split_once("/run-").filter(|it| it.0.ends_with(BASE));
        let id = run.and_then(|it| it.1.split(['/', ' ']).next());
        id.is_some_and(|id| !run_dir::is_alive(Path::new(BASE), id))
    }
}

fn processes() -> impl Iterator<Item = Process> {
    fs::read_dir("/proc").unwrap().flatten().filter_map(|entry| {
        let pid = entry.file_name().to_str()?.parse().ok()?;
        let command = fs::read(entry.path().join("cmdline")).ok()?;
        let command = String::from_utf8_lossy(&command).replace('\0', " ");
        let folder = fs::read_link(entry.path().join("cwd")).ok()?;
        Some(Process { pid, command, folder })
    })
}

/// Kills the process of a trial in `scratch` whose command has `part`.
pub(crate) fn kill(scratch: &TempDir, part: &str) {
    let mut found =
        processes().filter(|it| it.folder.starts_with(scratch.path()) && it.command.contains(part));
    let process = found.next().unwrap_or_else(|| panic!("no process with {part}"));
    nix::sys::signal::kill(nix::unistd::Pid::from_raw(process.pid), Signal::SIGKILL).unwrap();
}
