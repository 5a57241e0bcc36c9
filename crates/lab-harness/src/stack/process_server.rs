//! A server that is a plain child process of the lab.

use std::{
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use lab_core::clock::MonotonicNs;
use nix::sys::signal::Signal;

use super::{error::StackError, postgres, server::last_telling_line};
use crate::{
    machine::cpu_quota::CpuGroup,
    process::{Child, ChildSpec, Spawner, tree::signal_descendants},
};

/// Time between the request to end and the kill.
const GRACE: Duration = Duration::from_secs(5);

/// The data folder of a PostgreSQL.
#[derive(Debug)]
pub(super) struct Cluster {
    pub(super) data: PathBuf,
    /// What makes it, before the first start.
    pub(super) maker: ChildSpec,
}

/// A server that is a plain child process of the lab.
#[derive(Debug)]
pub(super) struct ProcessServer {
    name: &'static str,
    spec: ChildSpec,
    stop_signal: Signal,
    spawner: Spawner,
    /// PostgreSQL's data folder.
    cluster: Option<Cluster>,
    child: Mutex<Option<Arc<Child>>>,
    /// Caps its processor time. After the child, so that it is empty when it is dropped.
    _cpu_group: Option<CpuGroup>,
}

impl ProcessServer {
    pub(super) fn new(
        name: &'static str,
        spec: ChildSpec,
        stop_signal: Signal,
        spawner: Spawner,
    ) -> Self {
        let child = Mutex::new(None);
        Self { name, spec, stop_signal, spawner, cluster: None, child, _cpu_group: None }
    }

    pub(super) fn with_cluster(self, cluster: Cluster) -> Self {
        Self { cluster: Some(cluster), ..self }
    }

    pub(super) fn with_cpu_group(self, group: Option<CpuGroup>) -> Self {
        Self { _cpu_group: group, ..self }
    }

    /// Starts it, once its data folder is made; a child that was just killed is waited for first, so
    /// that its port is free.
    pub(super) async fn start(&self) -> Result<(), StackError> {
        if let Some(child) = self.child() {
            if child.unexpected_end().is_none() && !child.is_asked_to_end() {
                return Err(self.wrong_state("started", "runs already"));
            }
            // Its exit status, or the lack of one, changes nothing: it is gone.
            child.wait().await.ok();
        }
        if let Some(cluster) = &self.cluster {
            postgres::wait_until_abandoned(&cluster.data).await;
            self.make(cluster).await?;
        }
        let child = Arc::new(self.spawner.spawn(self.spec.clone())?);
        *self.child.lock().unwrap_or_else(PoisonError::into_inner) = Some(child);
        Ok(())
    }

    /// Makes the data folder where there is none. **Errors**: its maker fails; its last line is quoted.
    async fn make(&self, cluster: &Cluster) -> Result<(), StackError> {
        if cluster.data.join(postgres::VERSION_FILE).exists() {
            return Ok(());
        }
        let status = self.spawner.spawn(cluster.maker.clone())?.wait().await;
        if status.is_ok_and(|it| it.success()) {
            return Ok(());
        }
        let log = cluster.maker.log_path.clone();
        Err(StackError::DidNotStart { name: self.name, last_line: last_telling_line(&log), log })
    }

    pub(super) async fn stop(&self) -> Result<(), StackError> {
        if let Some(child) = self.child() {
            // As in `start`: however it ended, it is gone.
            self.signal_backends(&child, Signal::SIGCONT);
            child.end_with(self.stop_signal, GRACE).await.ok();
        }
        if let Some(cluster) = &self.cluster {
            postgres::remove_shared_memory(&cluster.data).await;
        }
        Ok(())
    }

    pub(super) fn kill(&self) -> Result<MonotonicNs, StackError> {
        let child = self.running("killed")?;
        // Stopped backends would never notice that their parent is gone.
        self.signal_backends(&child, Signal::SIGCONT);
        Ok(child.signal(Signal::SIGKILL)?)
    }

    pub(super) fn pause(&self) -> Result<MonotonicNs, StackError> {
        let child = self.running("paused")?;
        let at = child.signal(Signal::SIGSTOP)?;
        if self.signal_backends(&child, Signal::SIGSTOP) { Ok(MonotonicNs::now()) } else { Ok(at) }
    }

    pub(super) fn resume(&self) -> Result<MonotonicNs, StackError> {
        let child = self.running("resumed")?;
        self.signal_backends(&child, Signal::SIGCONT);
        Ok(child.signal(Signal::SIGCONT)?)
    }

    /// `None` while it is down.
    pub(super) fn pid(&self) -> Option<u32> {
        let child = self.child()?;
        child.try_wait().is_none().then(|| child.pid())
    }

    pub(super) fn unexpected_end(&self) -> Option<String> {
        self.child()?.unexpected_end()
    }

    /// PostgreSQL's backends are processes of their own. Returns whether there were any.
    fn signal_backends(&self, child: &Child, signal: Signal) -> bool {
        let running = self.cluster.is_some() && child.try_wait().is_none();
        running && 0 < signal_descendants(child.pid(), signal)
    }

    fn child(&self) -> Option<Arc<Child>> {
        self.child.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn running(&self, verb: &'static str) -> Result<Arc<Child>, StackError> {
        let running = self.child().filter(|it| it.try_wait().is_none());
        running.ok_or_else(|| self.wrong_state(verb, "is down"))
    }

    fn wrong_state(&self, verb: &'static str, state: &'static str) -> StackError {
        StackError::WrongState { name: self.name, verb, state }
    }
}
