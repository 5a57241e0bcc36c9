//! One running child: wait for it, signal it, end it.

use std::{
    io,
    process::ExitStatus,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::Duration,
};

use lab_core::clock::MonotonicNs;
use nix::{
    errno::Errno,
    sys::{
        signal::{Signal, kill},
        wait::{Id, WaitPidFlag, waitid},
    },
    unistd::Pid,
};
use tokio::{
    process::{ChildStdin, ChildStdout},
    sync::watch,
    time::timeout,
};

use super::{spawn::Spawner, spec::ChildSpec, stat::ProcessIdentity};

/// A signal that could not be sent.
#[derive(Debug, thiserror::Error)]
pub enum SignalError {
    /// The child has already ended.
    #[error("{name} has already ended")]
    Ended {
        /// What the lab calls it.
        name: String,
    },
    /// The kernel refused.
    #[error("cannot send {signal} to {name}: {source}")]
    Refused {
        /// The signal.
        signal: Signal,
        /// What the lab calls it.
        name: String,
        /// Why.
        source: Errno,
    },
}

/// A running child. Dropping it sends its death signal.
#[derive(Debug)]
pub struct Child {
    name: String,
    identity: ProcessIdentity,
    death_signal: Signal,
    state: Arc<State>,
    exit: watch::Receiver<Option<ExitStatus>>,
    stdin: Option<ChildStdin>,
    stdout: Option<ChildStdout>,
    /// The spawner's thread must outlive the child.
    _spawner: Spawner,
}

#[derive(Debug, Default)]
struct State {
    /// Whether the pid has been given back to the kernel. Signals are sent under this lock, so
    /// they never reach a stranger that got the same pid.
    reaped: Mutex<bool>,
    /// Whether the lab itself sent a signal that ends it.
    asked_to_end: AtomicBool,
}

impl Child {
    /// Takes over a process just started. **Errors**: no thread to wait for it, or a pipe that
    /// tokio cannot use.
    pub(super) fn watch(
        spec: &ChildSpec,
        identity: ProcessIdentity,
        mut process: std::process::Child,
        spawner: Spawner,
    ) -> io::Result<Self> {
        let stdin = process.stdin.take().map(ChildStdin::from_std).transpose()?;
        let stdout = process.stdout.take().map(ChildStdout::from_std).transpose()?;
        let state = Arc::new(State::default());
        let (sender, exit) = watch::channel(None);
        let shared = Arc::clone(&state);
        thread::Builder::new().name(format!("wait-{}", spec.name)).spawn(move || {
            // Whoever is gone by now does not need the answer.
            sender.send(reap(&mut process, &shared)).ok();
        })?;
        Ok(Self {
            name: spec.name.clone(),
            identity,
            death_signal: spec.death_signal,
            state,
            exit,
            stdin,
            stdout,
            _spawner: spawner,
        })
    }

    /// Process id, as this machine counts.
    pub fn pid(&self) -> u32 {
        self.identity.pid
    }

    /// What the lab calls it.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Standard input, once, when it is piped.
    pub fn take_stdin(&mut self) -> Option<ChildStdin> {
        self.stdin.take()
    }

    /// Standard output, once, when it is piped.
    pub fn take_stdout(&mut self) -> Option<ChildStdout> {
        self.stdout.take()
    }

    /// Waits for the end. **Cancellation**: safe; the child goes on.
    /// **Errors**: somebody else has already taken its exit status.
    pub async fn wait(&self) -> io::Result<ExitStatus> {
        let mut exit = self.exit.clone();
        let ended = exit.wait_for(Option::is_some).await;
        ended.ok().and_then(|it| *it).ok_or_else(|| Errno::ECHILD.into())
    }

    /// How it ended; `None` while it runs.
    pub fn try_wait(&self) -> Option<ExitStatus> {
        *self.exit.borrow()
    }

    /// Sends `signal` and reads the clock right after the system call returned.
    ///
    /// **Errors**: the child has ended, or the kernel refused.
    pub fn signal(&self, signal: Signal) -> Result<MonotonicNs, SignalError> {
        let reaped = self.state.reaped.lock().unwrap_or_else(PoisonError::into_inner);
        if *reaped {
            return Err(SignalError::Ended { name: self.name.clone() });
        }
        if !matches!(signal, Signal::SIGSTOP | Signal::SIGCONT) {
            self.state.asked_to_end.store(true, Ordering::Release);
        }
        let pid = Pid::from_raw(self.identity.pid.cast_signed());
        let sent = kill(pid, signal);
        let at = MonotonicNs::now();
        sent.map_err(|source| SignalError::Refused { signal, name: self.name.clone(), source })?;
        Ok(at)
    }

    /// Sends SIGTERM, then SIGKILL to what is still there after `grace`, and waits for the end.
    pub async fn terminate(&self, grace: Duration) -> io::Result<ExitStatus> {
        self.end_with(Signal::SIGTERM, grace).await
    }

    /// Like [`Self::terminate`], with another first signal. A stopped child is continued, so that
    /// it can act on the signal.
    pub async fn end_with(&self, first: Signal, grace: Duration) -> io::Result<ExitStatus> {
        // A child that has ended already needs no signal: each error here means just that.
        self.signal(first).ok();
        self.signal(Signal::SIGCONT).ok();
        if let Ok(ended) = timeout(grace, self.wait()).await {
            return ended;
        }
        self.signal(Signal::SIGKILL).ok();
        self.wait().await
    }

    /// Whether the lab has sent it a signal that ends it.
    pub fn is_asked_to_end(&self) -> bool {
        self.state.asked_to_end.load(Ordering::Acquire)
    }

    /// How it ended, when nobody asked it to; `None` while it runs or when the lab ended it.
    pub fn unexpected_end(&self) -> Option<String> {
        let status = self.try_wait()?;
        (!self.is_asked_to_end()).then(|| format!("{}: {status}", self.name))
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        // Both fail when the child has ended, which is what is wanted.
        self.signal(self.death_signal).ok();
        self.signal(Signal::SIGCONT).ok();
    }
}

/// Waits until the process has ended and gives its pid back. `None` only if it cannot be waited
/// for, which would mean that somebody else reaped it.
fn reap(process: &mut std::process::Child, state: &State) -> Option<ExitStatus> {
    let pid = Pid::from_raw(process.id().cast_signed());
    let flags = WaitPidFlag::WEXITED | WaitPidFlag::WNOWAIT;
    while waitid(Id::Pid(pid), flags) == Err(Errno::EINTR) {}
    let mut reaped = state.reaped.lock().unwrap_or_else(PoisonError::into_inner);
    let status = process.wait().ok();
    *reaped = true;
    status
}
