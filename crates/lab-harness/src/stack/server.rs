//! One server of the stack and what can be done to it, whatever the backend.

use std::{
    fs::{self, Permissions},
    io,
    net::SocketAddr,
    num::NonZeroU32,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    time::Duration,
};

use lab_core::{clock::MonotonicNs, units::Ratio};
use nix::{
    sys::signal::Signal,
    unistd::{Gid, Uid, chown},
};
use tokio::time::sleep;

use super::{
    choice::Programs,
    container_server::{ContainerServer, ContainerSpec, FOLDER},
    error::StackError,
    install,
    postgres::{self, ClusterSource},
    probe::{Seen, ping},
    process_server::{Cluster, ProcessServer},
    redis,
};
use crate::{
    machine::{
        cpu_quota::{CpuGroup, DATABASE_KEY},
        cpus::CpuPlan,
        run_dir::{RunDirectory, RunDirectoryError},
    },
    process::{ChildSpec, Spawner},
};

/// Longest wait for the first answer after a start.
const READY_TIMEOUT: Duration = Duration::from_secs(60);
/// Time between two probes of a server that comes up. Finer than any figure that depends on it.
const PROBE_INTERVAL: Duration = Duration::from_millis(5);

/// Where the servers of a run go.
#[derive(Debug, Clone, Copy)]
pub(super) struct Layout<'a> {
    pub(super) run_dir: &'a RunDirectory,
    pub(super) spawner: &'a Spawner,
    pub(super) max_connections: NonZeroU32,
    /// Each PostgreSQL has this share of one core.
    pub(super) postgres_cpu_quota: Option<Ratio>,
    pub(super) cpus: &'a CpuPlan,
}

/// Which server it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// Redis with data in it.
    Redis,
    /// Redis as a sentinel.
    Sentinel,
    Postgres,
}

/// One process of the side of Redis.
#[derive(Debug, Clone, Copy)]
pub(super) struct RedisProcess {
    pub(super) kind: Kind,
    /// For messages.
    pub(super) name: &'static str,
    /// Its folder inside the run's: the name of the topology, where it has one of several.
    pub(super) parent: &'static str,
    pub(super) address: SocketAddr,
}

/// One PostgreSQL.
#[derive(Debug, Clone, Copy)]
pub(super) struct PostgresProcess {
    /// For messages; the name of its folder and of its control group as well.
    pub(super) name: &'static str,
    pub(super) address: SocketAddr,
    pub(super) source: ClusterSource,
}

/// How it runs.
#[derive(Debug)]
enum Runner {
    Process(Box<ProcessServer>),
    Container(Box<ContainerServer>),
}

/// One server of the stack.
#[derive(Debug)]
pub struct Server {
    kind: Kind,
    name: &'static str,
    address: SocketAddr,
    origin: String,
    /// Its folder as this machine sees it.
    folder: PathBuf,
    /// Whose that folder is; `None`: the lab's user's.
    owner: Option<(u32, u32)>,
    log: PathBuf,
    runner: Runner,
}

impl Server {
    /// Starts it and waits until it answers. Returns the time of the answer.
    ///
    /// **Errors**: it runs already, it ends before it answers, or it does not answer within 60 s.
    pub async fn start(&self) -> Result<MonotonicNs, StackError> {
        self.launch().await?;
        self.wait_until_ready().await
    }

    /// Starts it and does not wait for an answer. **Errors**: it runs already.
    pub async fn launch(&self) -> Result<(), StackError> {
        match &self.runner {
            Runner::Process(it) => it.start().await,
            Runner::Container(it) => it.start().await,
        }
    }

    /// Settings of Redis' next starts, one on a line, beside those that it always has; PostgreSQL
    /// does not read them. **Errors**: they cannot be written.
    pub fn set_start_settings(&self, lines: &str) -> Result<(), StackError> {
        let path = self.folder.join(redis::SETTINGS_FILE);
        // Redis itself may write there, and its user need not be the lab's.
        let write = || -> io::Result<()> {
            fs::write(&path, lines)?;
            fs::set_permissions(&path, Permissions::from_mode(0o644))?;
            let Some((user, group)) = self.owner else { return Ok(()) };
            Ok(chown(&path, Some(Uid::from_raw(user)), Some(Gid::from_raw(group)))?)
        };
        write().map_err(|source| RunDirectoryError::Write { path: path.clone(), source }.into())
    }

    /// Ends it in order and waits for the end: SIGTERM for Redis, SIGQUIT for PostgreSQL, SIGKILL
    /// for what is still there after 5 s. A server that is down stays down.
    ///
    /// **Errors**: the engine refuses.
    pub async fn stop(&self) -> Result<(), StackError> {
        match &self.runner {
            Runner::Process(it) => it.stop().await,
            Runner::Container(it) => it.stop().await,
        }
    }

    /// Sends SIGKILL and returns the time right after the call returned. It does not wait for the
    /// end on the process backend; a Docker engine itself waits for it, some 50 ms.
    ///
    /// **Errors**: the server is down.
    pub async fn kill(&self) -> Result<MonotonicNs, StackError> {
        match &self.runner {
            Runner::Process(it) => it.kill(),
            Runner::Container(it) => it.kill().await,
        }
    }

    /// Stops all its processes where they are (SIGSTOP), PostgreSQL's backends after their parent,
    /// and returns the time right after the last call returned.
    ///
    /// **Errors**: the server is down.
    pub async fn pause(&self) -> Result<MonotonicNs, StackError> {
        match &self.runner {
            Runner::Process(it) => it.pause(),
            Runner::Container(it) => it.pause().await,
        }
    }

    /// Lets its processes go on and returns the time right after the call returned.
    ///
    /// **Errors**: the server is down.
    pub async fn resume(&self) -> Result<MonotonicNs, StackError> {
        match &self.runner {
            Runner::Process(it) => it.resume(),
            Runner::Container(it) => it.resume().await,
        }
    }

    /// Kills it if it runs, starts it again with an empty memory and its usual settings, and returns
    /// the time of its first answer. PostgreSQL keeps its data.
    ///
    /// **Errors**: as [`Self::start`].
    pub async fn restart_cold(&self) -> Result<MonotonicNs, StackError> {
        self.forget("").await?;
        self.start().await
    }

    /// Kills it if it runs, and has it know nothing at its next start but the settings `lines`.
    /// PostgreSQL keeps its data.
    ///
    /// **Errors**: it cannot be killed, or a file cannot be written or removed.
    pub(super) async fn forget(&self, lines: &str) -> Result<(), StackError> {
        if self.is_running().await {
            self.kill().await?;
        }
        if self.kind == Kind::Postgres {
            return Ok(());
        }
        self.set_start_settings(lines)?;
        for name in [redis::SNAPSHOT_FILE, redis::NODES_FILE] {
            let path = self.folder.join(name);
            match fs::remove_file(&path) {
                Err(source) if source.kind() != io::ErrorKind::NotFound => {
                    return Err(RunDirectoryError::Write { path, source }.into());
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// Whether it answers in its own protocol now; else what was seen instead.
    pub async fn ready(&self) -> Result<(), String> {
        match self.kind {
            Kind::Redis | Kind::Sentinel => {
                match ping(self.address, Duration::from_millis(250)).await {
                    Seen::Answered => Ok(()),
                    seen => Err(seen.to_string()),
                }
            }
            Kind::Postgres => postgres::select_one(self.address).await,
        }
    }

    /// Ends it for good and removes what it leaves in the system.
    pub(super) async fn remove(&self) -> Result<(), StackError> {
        match &self.runner {
            Runner::Process(it) => it.stop().await,
            Runner::Container(it) => it.remove().await,
        }
    }

    /// Where it listens; the same after every restart.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Its first process as this machine counts; `None` while it is down.
    pub fn pid(&self) -> Option<u32> {
        match &self.runner {
            Runner::Process(it) => it.pid(),
            Runner::Container(it) => it.pid(),
        }
    }

    /// Its log.
    pub fn log(&self) -> &Path {
        &self.log
    }

    /// The program or image it comes from.
    pub fn origin(&self) -> &str {
        &self.origin
    }

    /// How it ended, when nobody asked it to.
    pub fn unexpected_end(&self) -> Option<String> {
        match &self.runner {
            Runner::Process(it) => it.unexpected_end(),
            Runner::Container(it) => it.unexpected_end(),
        }
    }

    /// Whether its process is there, whatever it does.
    pub(super) async fn is_running(&self) -> bool {
        match &self.runner {
            Runner::Process(it) => it.pid().is_some(),
            Runner::Container(it) => it.is_running().await,
        }
    }

    /// What messages call it.
    pub fn name(&self) -> &'static str {
        self.name
    }

    async fn wait_until_ready(&self) -> Result<MonotonicNs, StackError> {
        let start = MonotonicNs::now();
        let deadline = start.plus(READY_TIMEOUT);
        loop {
            let Err(saw) = self.ready().await else { return Ok(MonotonicNs::now()) };
            if !self.is_running().await {
                return Err(StackError::DidNotStart {
                    name: self.name,
                    last_line: last_telling_line(&self.log),
                    log: self.log.clone(),
                });
            }
            if deadline <= MonotonicNs::now() {
                let waited_s = READY_TIMEOUT.as_secs();
                return Err(StackError::NotReady { name: self.name, waited_s, saw });
            }
            sleep(PROBE_INTERVAL).await;
        }
    }
}

/// The last line that says why: PostgreSQL goes on to write after its FATAL, and Redis frames its
/// complaint with lines of stars.
pub(super) fn last_telling_line(log: &Path) -> String {
    let text = fs::read_to_string(log).unwrap_or_default();
    let told = |line: &&str| line.chars().any(char::is_alphanumeric);
    let complaint = |line: &&str| {
        let words = ["FATAL", "ERROR", "error", "Failed", "Fatal"];
        told(line) && words.iter().any(|word| line.contains(word))
    };
    let line = text.lines().rfind(complaint).or_else(|| text.lines().rfind(told));
    line.unwrap_or("it ended without a word").trim().to_owned()
}

/// Prepares a process of Redis, which is not started yet.
pub(super) async fn redis(
    programs: &Programs,
    layout: &Layout<'_>,
    process: RedisProcess,
) -> Result<Server, StackError> {
    let RedisProcess { kind, name, parent, address } = process;
    let run_dir = layout.run_dir;
    let user = install::server_user();
    let folder = run_dir.subfolder(&Path::new(parent).join(name).display().to_string(), user)?;
    let log = folder.join("redis.log");
    let arguments = |folder: &Path| match kind {
        Kind::Sentinel => redis::sentinel_arguments(folder),
        Kind::Redis | Kind::Postgres => redis::arguments(address, folder),
    };
    let (origin, runner) = match programs {
        Programs::Process(binaries) => {
            let spec = ChildSpec {
                args: arguments(&folder).into_iter().map(Into::into).collect(),
                cwd: Some(folder.clone()),
                cpus: layout.cpus.others.clone(),
                run_as: user,
                ..ChildSpec::logged(&binaries.redis_server, &log)
            };
            let spec = ChildSpec { name: name.into(), env: c_locale(), ..spec };
            let server = ProcessServer::new(name, spec, Signal::SIGTERM, layout.spawner.clone());
            (binaries.redis_server.display().to_string(), Runner::Process(Box::new(server)))
        }
        Programs::Docker(images) => {
            let arguments = quoted(&arguments(Path::new(FOLDER)));
            let line = format!("exec redis-server {arguments} >>{FOLDER}/redis.log 2>&1");
            let spec = ContainerSpec {
                name,
                image: images.redis.clone(),
                line,
                folder: folder.clone(),
                cpus: layout.cpus.others.clone(),
                cpu_quota: None,
                run_id: run_dir.id().to_owned(),
                stop_signal: Signal::SIGTERM,
            };
            let server = ContainerServer::new(spec).await?;
            (server.image().to_owned(), Runner::Container(Box::new(server)))
        }
    };
    let server = Server { kind, name, address, origin, folder, owner: user, log, runner };
    server.set_start_settings("")?;
    Ok(server)
}

/// Prepares a PostgreSQL, which is not started yet. Its data folder is made at its first start.
pub(super) async fn postgres(
    programs: &Programs,
    layout: &Layout<'_>,
    process: PostgresProcess,
) -> Result<Server, StackError> {
    let PostgresProcess { name, address, source } = process;
    let run_dir = layout.run_dir;
    let user = install::server_user();
    let folder = run_dir.subfolder(name, user)?;
    let log = folder.join("postgres.log");
    let arguments = |folder: &Path| {
        let data = postgres::data_folder(folder);
        postgres::arguments(address, &data, folder, layout.max_connections)
    };
    let (origin, runner) = match programs {
        Programs::Process(binaries) => {
            let spec = ChildSpec {
                name: name.into(),
                args: arguments(&folder).into_iter().map(Into::into).collect(),
                env: c_locale(),
                cwd: Some(folder.clone()),
                cpus: layout.cpus.postgres.clone(),
                run_as: user,
                death_signal: Signal::SIGQUIT,
                ..ChildSpec::logged(&binaries.postgres, &log)
            };
            let data = postgres::data_folder(&folder);
            let maker = ChildSpec {
                name: source.program().into(),
                program: match source {
                    ClusterSource::Empty => binaries.initdb.clone(),
                    ClusterSource::Primary(_) => binaries.initdb.with_file_name(source.program()),
                },
                args: source.arguments(&data).into_iter().map(Into::into).collect(),
                death_signal: Signal::SIGKILL,
                ..spec.clone()
            };
            let cap = |share| CpuGroup::create(DATABASE_KEY, (run_dir.id(), name), share);
            let group = layout.postgres_cpu_quota.map(cap).transpose()?;
            let cpu_group = group.as_ref().map(CpuGroup::procs_file);
            let spec = ChildSpec { cpu_group, ..spec };
            let server = ProcessServer::new(name, spec, Signal::SIGQUIT, layout.spawner.clone());
            let server = server.with_cluster(Cluster { data, maker }).with_cpu_group(group);
            (binaries.postgres.display().to_string(), Runner::Process(Box::new(server)))
        }
        Programs::Docker(images) => {
            let spec = ContainerSpec {
                name,
                image: images.postgres.clone(),
                line: postgres_line(source, &arguments(Path::new(FOLDER))),
                folder: folder.clone(),
                cpus: layout.cpus.postgres.clone(),
                cpu_quota: layout.postgres_cpu_quota,
                run_id: run_dir.id().to_owned(),
                stop_signal: Signal::SIGQUIT,
            };
            let server = ContainerServer::new(spec).await?;
            (server.image().to_owned(), Runner::Container(Box::new(server)))
        }
    };
    let kind = Kind::Postgres;
    Ok(Server { kind, name, address, origin, folder, owner: user, log, runner })
}

/// What a container of PostgreSQL runs: what makes the data folder where there is none, then the
/// server with `arguments`. Not every image has the former in PATH; it stands beside the server.
fn postgres_line(source: ClusterSource, arguments: &[String]) -> String {
    let data = postgres::data_folder(Path::new(FOLDER));
    let (data_path, version_file) = (data.display(), postgres::VERSION_FILE);
    let maker = source.program();
    let maker_arguments = quoted(&source.arguments(&data));
    let arguments = quoted(arguments);
    format!(
        "exec >>{FOLDER}/postgres.log 2>&1; set -e; \
         programs=$(dirname \"$(readlink -f \"$(command -v postgres)\")\"); \
         test -s {data_path}/{version_file} || \"$programs/{maker}\" {maker_arguments}; \
         exec postgres {arguments}"
    )
}

/// Messages and sorting as in the C locale, whatever the user's.
fn c_locale() -> Vec<(String, String)> {
    vec![("LC_ALL".to_owned(), "C".to_owned())]
}

/// Arguments for a shell. None of the lab's holds a quote.
fn quoted(arguments: &[String]) -> String {
    arguments.iter().map(|it| format!("'{it}'")).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_line_that_tells_why_is_found_behind_later_ones() {
        let folder = tempfile::tempdir().unwrap();
        let log = folder.path().join("log");
        for (text, expected) in [
            ("", "it ended without a word"),
            ("one\ntwo\n***\n", "two"),
            ("x FATAL:  no such file\ny LOG:  system is shut down\n", "x FATAL:  no such file"),
        ] {
            fs::write(&log, text).unwrap();
            assert_eq!(last_telling_line(&log), expected);
        }
    }

    #[test]
    fn an_empty_argument_survives_the_shell() {
        assert_eq!(quoted(&["--save".into(), String::new()]), "'--save' ''");
    }
}
