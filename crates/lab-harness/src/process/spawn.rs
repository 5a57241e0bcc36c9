//! Starts every child from one thread that lives as long as the run.
//!
//! The parent-death signal fires when the *thread* that forked the child ends, so a pool thread
//! must not fork. It is also cleared when the child changes its user: std runs the `pre_exec`
//! closure after that change, so the signal is set there.

use std::{
    fs::{File, OpenOptions},
    io::{self, Write as _},
    os::unix::process::CommandExt,
    path::PathBuf,
    process::{Command, Stdio},
    sync::mpsc,
    thread,
};

use nix::{
    errno::Errno,
    sched::{CpuSet, sched_setaffinity},
    sys::prctl,
    unistd::{Pid, getppid},
};

pub use super::{child::Child, spec::ChildSpec};
use super::{
    kernel::{self, REAL_TIME_GENERATOR},
    registry::{Entry, Registry},
    spec::{INHERITED_ENV, Priority},
    stat::ProcessIdentity,
};

/// Nice value of what is under test, on top of the lab's own. Chosen.
const NICE_UNDER_TEST: i32 = 5;

/// A child that did not start.
#[derive(Debug, thiserror::Error)]
pub enum SpawnError {
    /// The program is missing, not executable, or could not be given its user or processors.
    #[error("{name}: cannot start {}: {source}", program.display())]
    Start {
        /// What the lab calls it.
        name: String,
        /// The program.
        program: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The log file cannot be opened.
    #[error("{name}: cannot write {}: {source}", path.display())]
    Log {
        /// What the lab calls it.
        name: String,
        /// The log file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The child could not be put on the run's list, and was ended.
    #[error("{name}: cannot note the child in {}: {source}", path.display())]
    Registry {
        /// What the lab calls it.
        name: String,
        /// The list.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

/// Starts children. Clones share one thread, which ends with the last clone and the last [`Child`].
#[derive(Debug, Clone)]
pub struct Spawner {
    requests: mpsc::Sender<Request>,
    registry: Registry,
}

#[derive(Debug)]
struct Request {
    command: Command,
    reply: mpsc::SyncSender<io::Result<std::process::Child>>,
}

impl Spawner {
    /// Starts the thread. **Errors**: the system has no thread to give.
    pub fn start(registry: Registry) -> io::Result<Self> {
        let (requests, incoming) = mpsc::channel::<Request>();
        thread::Builder::new().name("spawner".into()).spawn(move || {
            for mut request in incoming {
                // The asker waits for this reply; if it is gone, the child ends with its pipes.
                request.reply.send(request.command.spawn()).ok();
            }
        })?;
        Ok(Self { requests, registry })
    }

    /// Starts one child and puts it on the run's list. Blocks for the fork, a millisecond or so.
    ///
    /// A piped child must be started inside a tokio runtime.
    /// **Errors**: the program or its log cannot be opened.
    pub fn spawn(&self, spec: ChildSpec) -> Result<Child, SpawnError> {
        let start_error = |source| SpawnError::Start {
            name: spec.name.clone(),
            program: spec.program.clone(),
            source,
        };
        let command = command(&spec)?;
        let (reply, answer) = mpsc::sync_channel(1);
        let gone = || io::Error::other("the spawner has ended");
        let sent = self.requests.send(Request { command, reply });
        let process = sent
            .map_err(|_| gone())
            .and_then(|()| answer.recv().map_err(|_| gone())?)
            .map_err(start_error)?;
        // An unreaped child keeps its entry in /proc, even if it has already ended.
        let identity = ProcessIdentity::of(process.id())
            .ok_or_else(|| start_error(io::Error::other("/proc does not show the child")))?;
        let child = Child::watch(&spec, identity, process, self.clone()).map_err(start_error)?;
        let entry =
            Entry { name: spec.name.clone(), identity, death_signal: spec.death_signal as i32 };
        self.registry.add(&entry).map_err(|source| SpawnError::Registry {
            name: spec.name.clone(),
            path: self.registry.path().to_path_buf(),
            source,
        })?;
        Ok(child)
    }
}

fn command(spec: &ChildSpec) -> Result<Command, SpawnError> {
    let mut command = Command::new(&spec.program);
    command.args(&spec.args).env_clear();
    let inherited = INHERITED_ENV.iter().filter_map(|key| Some((key, std::env::var_os(key)?)));
    command.envs(inherited).envs(spec.env.iter().map(|(key, value)| (key, value)));
    if let Some(cwd) = &spec.cwd {
        command.current_dir(cwd);
    }
    let log = open_log(spec)?;
    if spec.piped {
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(log);
    } else {
        let copy = log.try_clone().map_err(|source| log_error(spec, source))?;
        command.stdin(Stdio::null()).stdout(copy).stderr(log);
    }
    // Its own process group: Ctrl-C on the terminal is for the lab alone, which then stops the
    // children in order.
    command.process_group(0);
    if let Some((user, group)) = spec.run_as {
        command.uid(user).gid(group);
    }
    prepare_in_child(&mut command, spec, open_cpu_group(spec)?);
    Ok(command)
}

fn open_log(spec: &ChildSpec) -> Result<File, SpawnError> {
    let opened = OpenOptions::new().create(true).append(true).open(&spec.log_path);
    opened.map_err(|source| log_error(spec, source))
}

fn log_error(spec: &ChildSpec, source: io::Error) -> SpawnError {
    SpawnError::Log { name: spec.name.clone(), path: spec.log_path.clone(), source }
}

/// Opened before the change of user: the kernel asks who opened the file, not who writes.
fn open_cpu_group(spec: &ChildSpec) -> Result<Option<File>, SpawnError> {
    let open = |path: &PathBuf| OpenOptions::new().write(true).open(path);
    spec.cpu_group.as_ref().map(open).transpose().map_err(|source| SpawnError::Start {
        name: spec.name.clone(),
        program: spec.program.clone(),
        source,
    })
}

/// What happens between fork and exec, after the change of user.
fn prepare_in_child(command: &mut Command, spec: &ChildSpec, cpu_group: Option<File>) {
    let (lab, death_signal) = (Pid::this(), spec.death_signal);
    let (cpus, priority) = (cpu_set(&spec.cpus), spec.priority);
    let prepare = move || {
        prctl::set_pdeathsig(death_signal)?;
        if getppid() != lab {
            // The lab died before the signal was set.
            return Err(Errno::ESRCH.into());
        }
        if let Some(mut group) = cpu_group.as_ref() {
            group.write_all(b"0")?;
        }
        if let Some(cpus) = &cpus {
            sched_setaffinity(Pid::from_raw(0), cpus)?;
        }
        take_place(priority)
    };
    kernel::before_exec(command, prepare);
}

/// Gives this process its place in the scheduler's queue.
fn take_place(priority: Priority) -> io::Result<()> {
    match priority {
        Priority::Usual => {}
        Priority::UnderTest => kernel::step_back(NICE_UNDER_TEST)?,
        // A system that grants neither only makes the generator later, and its lateness is recorded.
        Priority::OnTime => {
            if kernel::run_in_real_time(REAL_TIME_GENERATOR).is_err() {
                kernel::take_short_slices();
            }
        }
    }
    Ok(())
}

/// `None` for an empty list. Numbers beyond what the kernel knows are left out.
fn cpu_set(cpus: &[usize]) -> Option<CpuSet> {
    let mut set = CpuSet::new();
    let n_set = cpus.iter().filter(|&&cpu| set.set(cpu).is_ok()).count();
    (0 < n_set).then_some(set)
}
