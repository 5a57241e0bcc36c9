//! A server in a container on the host's network.
//!
//! The host's network, because a published port costs two thirds of Redis' throughput and changes
//! when the container restarts. The container runs as the user that owns the run's folder, with
//! that folder mounted, so that data and logs are where those of a plain process would be.

use std::{
    fs,
    path::PathBuf,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use lab_core::{clock::MonotonicNs, units::Ratio};
use nix::{
    sys::signal::Signal,
    unistd::{getegid, geteuid},
};
use testcontainers::{
    ContainerAsync, ContainerRequest, GenericImage, ImageExt,
    bollard::{Docker, query_parameters::KillContainerOptionsBuilder},
    core::{AccessMode, Mount},
    runners::AsyncRunner,
};
use tokio::time::{sleep, timeout};

use super::{docker, error::StackError, images, install};
use crate::{
    machine::{cpu_quota, run_dir::RunDirectoryError},
    process::{ProcessIdentity, tree::signal_descendants},
};

/// Where the run's folder of this server is inside the container.
pub(super) const FOLDER: &str = "/lab";
/// Time between the request to end and the kill.
const GRACE: Duration = Duration::from_secs(5);

/// What a container is started with.
#[derive(Debug, Clone)]
pub(super) struct ContainerSpec {
    pub(super) name: &'static str,
    pub(super) image: String,
    /// Shell line whose last command is the server itself, by `exec`.
    pub(super) line: String,
    /// Folder of this machine that is mounted at [`FOLDER`].
    pub(super) folder: PathBuf,
    pub(super) cpus: Vec<usize>,
    /// Share of one core; `None`: no cap.
    pub(super) cpu_quota: Option<Ratio>,
    pub(super) run_id: String,
    pub(super) stop_signal: Signal,
}

/// A server in a container on the host's network.
#[derive(Debug)]
pub(super) struct ContainerServer {
    spec: ContainerSpec,
    docker: Docker,
    image: String,
    container: tokio::sync::Mutex<Option<ContainerAsync<GenericImage>>>,
    process: Mutex<ServerProcess>,
}

#[derive(Debug, Default)]
struct ServerProcess {
    identity: Option<ProcessIdentity>,
    asked_to_end: bool,
}

impl ContainerServer {
    /// Prepares the container; nothing runs yet. **Errors**: no engine answers.
    pub(super) async fn new(spec: ContainerSpec) -> Result<Self, StackError> {
        let docker =
            docker::connect().await.map_err(|reason| StackError::DockerUnusable { reason })?;
        let image = docker::describe_image(&docker, &spec.image).await;
        Ok(Self {
            spec,
            docker,
            image,
            container: tokio::sync::Mutex::new(None),
            process: Mutex::new(ServerProcess::default()),
        })
    }

    /// The image, with its id.
    pub(super) fn image(&self) -> &str {
        &self.image
    }

    pub(super) async fn start(&self) -> Result<(), StackError> {
        if self.pid().is_some() {
            return Err(self.wrong_state("started", "runs already"));
        }
        let mut container = self.container.lock().await;
        let id = match &*container {
            Some(existing) => {
                let started = self.docker.start_container(existing.id(), None).await;
                started.map_err(|error| self.refused("start", &error))?;
                existing.id().to_owned()
            }
            None => {
                let started = self.request()?.start().await;
                let created = started.map_err(|error| self.refused("create", &error))?;
                container.insert(created).id().to_owned()
            }
        };
        drop(container);
        let identity = self.process_of(&id).await;
        *self.process() = ServerProcess { identity, asked_to_end: false };
        Ok(())
    }

    pub(super) async fn stop(&self) -> Result<(), StackError> {
        let Some(id) = self.id().await else { return Ok(()) };
        if !self.is_running().await {
            return Ok(());
        }
        self.process().asked_to_end = true;
        // An engine refuses to signal what has ended, which is what is wanted.
        self.signal_backends(Signal::SIGCONT);
        self.send(&id, self.spec.stop_signal).await.ok();
        self.send(&id, Signal::SIGCONT).await.ok();
        if timeout(GRACE, self.ended()).await.is_err() {
            self.send(&id, Signal::SIGKILL).await.ok();
            self.ended().await;
        }
        Ok(())
    }

    pub(super) async fn remove(&self) -> Result<(), StackError> {
        self.stop().await?;
        let Some(container) = self.container.lock().await.take() else { return Ok(()) };
        container.rm().await.map_err(|error| self.refused("remove", &error))
    }

    pub(super) async fn kill(&self) -> Result<MonotonicNs, StackError> {
        let id = self.running_id("killed").await?;
        self.process().asked_to_end = true;
        self.send(&id, Signal::SIGKILL).await
    }

    pub(super) async fn pause(&self) -> Result<MonotonicNs, StackError> {
        let id = self.running_id("paused").await?;
        let at = self.send(&id, Signal::SIGSTOP).await?;
        if self.signal_backends(Signal::SIGSTOP) { Ok(MonotonicNs::now()) } else { Ok(at) }
    }

    pub(super) async fn resume(&self) -> Result<MonotonicNs, StackError> {
        let id = self.running_id("resumed").await?;
        self.signal_backends(Signal::SIGCONT);
        self.send(&id, Signal::SIGCONT).await
    }

    /// `None` while it is down.
    pub(super) fn pid(&self) -> Option<u32> {
        self.process().identity.filter(|it| it.is_alive()).map(|it| it.pid)
    }

    pub(super) fn unexpected_end(&self) -> Option<String> {
        let process = self.process();
        let ended = process.identity.is_some_and(|it| !it.is_alive());
        (ended && !process.asked_to_end).then(|| format!("{}: its container ended", self.spec.name))
    }

    pub(super) async fn is_running(&self) -> bool {
        match self.id().await {
            Some(id) => self.is_running_now(&id).await,
            None => false,
        }
    }

    /// PostgreSQL's backends are processes of their own, and the engine's signal reaches only the
    /// first. They run as the lab's user, or the lab is root, so it may signal them itself; the
    /// engine's own pause needs a freezer that not every machine has. Returns whether there were
    /// any.
    fn signal_backends(&self, signal: Signal) -> bool {
        self.pid().is_some_and(|pid| 0 < signal_descendants(pid, signal))
    }

    async fn is_running_now(&self, id: &str) -> bool {
        let inspected = self.docker.inspect_container(id, None).await;
        inspected.ok().and_then(|it| it.state?.running).unwrap_or(false)
    }

    async fn ended(&self) {
        while self.is_running().await {
            sleep(Duration::from_millis(10)).await;
        }
    }

    async fn process_of(&self, id: &str) -> Option<ProcessIdentity> {
        let inspected = self.docker.inspect_container(id, None).await.ok()?;
        ProcessIdentity::of(u32::try_from(inspected.state?.pid?).ok()?)
    }

    async fn send(&self, id: &str, signal: Signal) -> Result<MonotonicNs, StackError> {
        let options = KillContainerOptionsBuilder::new().signal(signal.as_str()).build();
        let sent = self.docker.kill_container(id, Some(options)).await;
        let at = MonotonicNs::now();
        sent.map_err(|error| self.refused("signal", &error))?;
        Ok(at)
    }

    fn request(&self) -> Result<ContainerRequest<GenericImage>, StackError> {
        let spec = &self.spec;
        let (user, group) =
            install::server_user().unwrap_or((geteuid().as_raw(), getegid().as_raw()));
        let passwd = self.write_passwd(user, group)?;
        let (cpus, cpu_quota) = (cpu_list(&spec.cpus), spec.cpu_quota);
        let mount = |from: &PathBuf, to: &str| Mount::bind_mount(from.display().to_string(), to);
        Ok(images::generic(&spec.image)
            .with_entrypoint("sh")
            .with_cmd(["-c", spec.line.as_str()])
            .with_user(format!("{user}:{group}"))
            .with_working_dir(FOLDER)
            .with_env_var("LC_ALL", "C")
            .with_labels(docker::labels(&spec.run_id))
            .with_mount(mount(&spec.folder, FOLDER))
            .with_mount(mount(&passwd, "/etc/passwd").with_access_mode(AccessMode::ReadOnly))
            .with_startup_timeout(Duration::from_secs(60))
            .with_host_config_modifier(move |host| {
                host.network_mode = Some("host".to_owned());
                host.publish_all_ports = Some(false);
                host.cpuset_cpus.clone_from(&cpus);
                if let Some(share) = cpu_quota {
                    host.cpu_period = Some(cpu_quota::PERIOD_US.cast_signed());
                    host.cpu_quota = Some(cpu_quota::quota_us(share).cast_signed());
                }
            }))
    }

    /// `initdb` insists that its user has a name, and the image does not know this machine's.
    fn write_passwd(&self, user: u32, group: u32) -> Result<PathBuf, StackError> {
        let path = self.spec.folder.join("passwd");
        let line = format!("lab:x:{user}:{group}::{FOLDER}:/bin/sh\n");
        let written = fs::write(&path, line);
        written.map_err(|source| RunDirectoryError::Write { path: path.clone(), source })?;
        Ok(path)
    }

    async fn id(&self) -> Option<String> {
        self.container.lock().await.as_ref().map(|it| it.id().to_owned())
    }

    async fn running_id(&self, verb: &'static str) -> Result<String, StackError> {
        let id = self.id().await.filter(|_| self.pid().is_some());
        id.ok_or_else(|| self.wrong_state(verb, "is down"))
    }

    fn process(&self) -> std::sync::MutexGuard<'_, ServerProcess> {
        self.process.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn refused(&self, verb: &'static str, error: &dyn std::error::Error) -> StackError {
        StackError::Docker { verb, name: self.spec.name, reason: error.to_string() }
    }

    fn wrong_state(&self, verb: &'static str, state: &'static str) -> StackError {
        StackError::WrongState { name: self.spec.name, verb, state }
    }
}

/// `None` for an empty list: the engine's default.
fn cpu_list(cpus: &[usize]) -> Option<String> {
    let numbers: Vec<String> = cpus.iter().map(ToString::to_string).collect();
    (!numbers.is_empty()).then(|| numbers.join(","))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn processors_are_named_as_the_engine_wants_them() {
        assert_eq!(cpu_list(&[0, 2]).as_deref(), Some("0,2"));
        assert_eq!(cpu_list(&[]), None);
    }
}
