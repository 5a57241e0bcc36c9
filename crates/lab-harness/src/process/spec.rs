//! What a child process is started with.

use std::{
    ffi::OsString,
    path::{Path, PathBuf},
};

use nix::sys::signal::Signal;

/// Variables that a child inherits; every other one is taken away, so that a trial does not depend
/// on the shell it was started from.
pub const INHERITED_ENV: [&str; 7] =
    ["PATH", "HOME", "TZ", "TMPDIR", "RUST_LOG", "RUST_BACKTRACE", "DOCKER_HOST"];

/// Who goes first when several want one processor.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Priority {
    /// As the lab itself.
    #[default]
    Usual,
    /// What is under test and shares processors with the generator: nice 5, so that a request that
    /// is due is sent first. It loses nothing but its place in the queue, for some tens of
    /// microseconds each. Everybody may do so.
    UnderTest,
    /// The generator. Real time, where the user may (root): it runs before everybody when a request
    /// is due. Elsewhere the shortest time slice that the kernel grants. Without either, a wake-up
    /// waits for the end of others' slices: 4 ms each at 250 ticks per second.
    OnTime,
}

/// What a child process is started with.
#[derive(Debug, Clone)]
pub struct ChildSpec {
    /// What the lab calls it, in messages and in the registry.
    pub name: String,
    /// The program: a path, or a name that is looked up in PATH.
    pub program: PathBuf,
    /// Its arguments.
    pub args: Vec<OsString>,
    /// Variables besides [`INHERITED_ENV`].
    pub env: Vec<(String, String)>,
    /// Working directory; `None`: that of the lab.
    pub cwd: Option<PathBuf>,
    /// Whether the lab writes its input and reads its output, through
    /// [`super::Child::take_stdin`] and [`super::Child::take_stdout`]. Else there is nothing to
    /// read, and the output goes to the log.
    pub piped: bool,
    /// File to which standard error, and output that is not piped, is appended. It is opened by
    /// the lab, so the child's user need not be able to.
    pub log_path: PathBuf,
    /// Processors it may run on; empty: those of the lab.
    pub cpus: Vec<usize>,
    /// `cgroup.procs` of the control group that it and its children belong to.
    pub cpu_group: Option<PathBuf>,
    /// Its place in the queue when a processor is wanted by several.
    pub priority: Priority,
    /// User and group to change to, for a lab that runs as root.
    pub run_as: Option<(u32, u32)>,
    /// What the kernel sends it when the lab dies.
    pub death_signal: Signal,
}

impl ChildSpec {
    /// A child named after its program, without arguments or input, on all processors, killed with
    /// the lab.
    pub fn logged(program: &Path, log_path: &Path) -> Self {
        Self {
            name: program.file_name().unwrap_or_default().to_string_lossy().into_owned(),
            program: program.to_path_buf(),
            args: Vec::new(),
            env: Vec::new(),
            cwd: None,
            piped: false,
            log_path: log_path.to_path_buf(),
            cpus: Vec::new(),
            cpu_group: None,
            priority: Priority::Usual,
            run_as: None,
            death_signal: Signal::SIGKILL,
        }
    }
}
