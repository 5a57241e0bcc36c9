//! What one run has up for all its trials: servers, programs, addresses.

use std::{
    env,
    net::{Ipv4Addr, SocketAddr},
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use anyhow::{Context, Result, bail};
use lab_core::{
    artifact::manifest::Environment,
    scenario::{Fault, Restore, Servers},
    seed,
    target::TargetConfig,
    units::Ratio,
};

use super::{database::Admin, instances::name_of, target};
use crate::{
    exit::ExitCode,
    failure::AtExit,
    machine::{
        cpu_quota::{CpuGroup, SERVICE_KEY},
        cpus::CpuPlan,
        facts, ports,
        run_dir::RunDirectory,
    },
    process::Spawner,
    stack::{Stack, StackOptions},
    wire::Condition,
};

/// Longest wait for the backends of an earlier trial to go away.
const LEAVE_TIMEOUT: Duration = Duration::from_secs(15);

/// The lab's other programs, which stand beside its own.
#[derive(Debug)]
pub(crate) struct Binaries {
    /// The service under test.
    pub(crate) storefront: PathBuf,
    /// The load generator.
    pub(crate) lab_load: PathBuf,
    /// The analysis.
    pub(crate) lab_report: PathBuf,
}

impl Binaries {
    /// Finds the programs beside this one. **Errors**: one is missing.
    pub(crate) fn find() -> Result<Self> {
        let own = env::current_exe().context("find the lab's own program")?;
        let folder = own.parent().context("find the lab's own folder")?;
        let find = |name: &str| {
            let path = folder.join(name);
            if path.is_file() {
                return Ok(path);
            }
            bail!("{} is not built; start the lab with `cargo xtask bench`", path.display())
        };
        Ok(Self {
            storefront: find("storefront")?,
            lab_load: find("lab-load")?,
            lab_report: find("lab-report")?,
        })
    }

    /// Runs `lab-report <verb> <folder>` to its end and returns what it printed.
    ///
    /// **Errors**: it fails; in its own words.
    pub(crate) async fn report(&self, verb: &str, folder: &Path) -> Result<String> {
        let output = tokio::process::Command::new(&self.lab_report)
            .arg(verb)
            .arg(folder)
            .kill_on_drop(true)
            .output()
            .await
            .context("run lab-report")?;
        if !output.status.success() {
            bail!("{}", String::from_utf8_lossy(&output.stderr).trim());
        }
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }
}

/// How many instances of the service a run has room for, and how large each may be.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Seating {
    /// Most instances at once.
    pub(crate) n_instances: u32,
    /// Share of one core that each has; `None`: what is left of the machine.
    pub(crate) cpu_quota: Option<Ratio>,
}

impl Seating {
    fn seats(self, run_id: &str) -> Result<Vec<Seat>> {
        let n = usize::try_from(self.n_instances.max(1)).context("count the instances")?;
        let ports = ports::pick(2 * n)?;
        let loopback = |port| SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        let seat = |(number, ports): (u32, &[u16; 2])| -> Result<Seat> {
            let name = name_of(number);
            let cap = |share| CpuGroup::create(SERVICE_KEY, (run_id, &name), share);
            let cpu_group = self.cpu_quota.map(cap).transpose()?;
            let [target, internal] = (*ports).map(loopback);
            Ok(Seat { target, internal, cpu_group })
        };
        (1..).zip(ports.as_chunks().0).map(seat).collect()
    }
}

/// Where one instance of the service goes, the same in every trial of a run.
#[derive(Debug)]
pub(crate) struct Seat {
    /// Address of the public routes.
    pub(crate) target: SocketAddr,
    /// Address of the internal routes.
    pub(crate) internal: SocketAddr,
    /// Caps the processor time of whoever sits here.
    cpu_group: Option<CpuGroup>,
}

impl Seat {
    /// `cgroup.procs` of the control group of whoever sits here.
    pub(crate) fn cpu_group(&self) -> Option<PathBuf> {
        self.cpu_group.as_ref().map(CpuGroup::procs_file)
    }
}

/// What one run has up for all its trials.
#[derive(Debug)]
pub(crate) struct Session {
    /// Redis and PostgreSQL.
    pub(crate) stack: Stack,
    /// Starts processes that die with the lab.
    pub(crate) spawner: Spawner,
    /// The run's own folder; removed at the end.
    pub(crate) run_dir: RunDirectory,
    /// Which processors belong to whom.
    pub(crate) cpus: CpuPlan,
    /// The lab's other programs.
    pub(crate) binaries: Binaries,
    /// Where instances of the service go: at least one.
    pub(crate) seats: Vec<Seat>,
    /// What the service's internal port wants to see.
    pub(crate) internal_token: String,
    /// The lab's own connection to the PostgreSQL that accepts writes.
    pub(crate) admin: Admin,
    /// The machine, the servers and the build.
    pub(crate) environment: Environment,
}

impl Session {
    /// Brings up the servers, and a proxy before Redis if one of `faults` is on the wire.
    ///
    /// **Errors**: a program is missing, or a server does not start.
    pub(crate) async fn start(
        options: &StackOptions,
        faults: &[Fault],
        seating: Seating,
        root: &Path,
    ) -> Result<Self> {
        let binaries = Binaries::find()?;
        let run_dir = RunDirectory::create()?;
        let spawner = Spawner::start(run_dir.registry()?).context("start the spawner")?;
        let mut stack = Stack::start(options, &run_dir, &spawner).await?;
        if faults.iter().any(|it| it.is_on_wire()) {
            stack.lay_wire()?;
        }
        let admin = Admin::connect(&stack.admin_url()).await?;
        let seats = seating.seats(run_dir.id())?;
        let environment = environment(&stack, &options.cpus, root);
        let token = seed::mix(lab_core::clock::MonotonicNs::now().0);
        Ok(Self {
            stack,
            spawner,
            run_dir,
            cpus: options.cpus.clone(),
            binaries,
            seats,
            internal_token: format!("{token:016x}"),
            admin,
            environment,
        })
    }

    /// Puts another build of the service under test, from the next start on. Nothing of the one before
    /// may still run.
    pub(crate) fn put_under_test(&mut self, storefront: &Path, commit: Option<String>) {
        self.binaries.storefront = storefront.to_owned();
        self.environment.commit = commit;
    }

    /// Loads the data set, once per run. **Errors**: the service's `seed` command fails.
    pub(crate) async fn seed(&self, config: &TargetConfig, folder: &Path) -> Result<()> {
        target::run_command(self, "seed", config, folder).await
    }

    /// Brings servers and data to the known state before a trial. Redis is started anew, as the
    /// servers that the trial needs: the one before may have left it down, changed, or in the middle
    /// of its fault. PostgreSQL has a replica, with the same data, where the trial needs one, and
    /// else none.
    ///
    /// **Errors**: a server does not come back, or the service's `reset` command fails.
    pub(crate) async fn reset(
        &self,
        servers: Servers,
        config: &TargetConfig,
        folder: &Path,
    ) -> Result<()> {
        self.admin.wait_until_quiet(LEAVE_TIMEOUT).await?;
        if let Some(wire) = self.stack.wire() {
            wire.switch().set(Condition::Clear);
        }
        self.stack.restart_redis(servers).await.at_exit(ExitCode::Stack)?;
        self.stack.replicate(servers.topology).await.at_exit(ExitCode::Stack)?;
        target::run_command(self, "reset", config, folder).await?;
        self.stack.wait_until_replayed().await.at_exit(ExitCode::Stack)?;
        if servers.restore == Restore::Snapshot {
            self.stack.redis_group().keep_snapshot().await.at_exit(ExitCode::Stack)?;
        }
        // What the reset wrote must not be written back in the middle of the trial.
        tokio::task::spawn_blocking(nix::unistd::sync).await.context("write back dirty pages")
    }

    /// Takes everything down. **Errors**: a server that cannot be stopped.
    pub(crate) async fn stop(self) -> Result<()> {
        drop(self.admin);
        self.stack.stop().await?;
        self.run_dir.remove()?;
        Ok(())
    }
}

fn environment(stack: &Stack, cpus: &CpuPlan, root: &Path) -> Environment {
    let facts = stack.facts();
    let mut versions = facts.versions.clone();
    versions.insert("outage_lab".into(), env!("CARGO_PKG_VERSION").into());
    if let Some(rustc) = first_line(Command::new("rustc").arg("--version")) {
        versions.insert("rustc".into(), rustc);
    }
    Environment {
        backend: facts.backend.name().into(),
        backend_reason: facts.reason.clone(),
        host: facts::host(cpus.n_cpus()),
        versions,
        commit: commit(root),
        servers: facts.servers.clone(),
        cpu_sets: cpus.cpu_sets(),
    }
}

/// The commit of the checkout, with `-dirty` when the work tree differs from it.
fn commit(root: &Path) -> Option<String> {
    let args = ["describe", "--always", "--dirty", "--abbrev=12", "--exclude=*"];
    first_line(Command::new("git").args(args).current_dir(root))
}

fn first_line(command: &mut Command) -> Option<String> {
    let output = command.output().ok().filter(|it| it.status.success())?;
    String::from_utf8(output.stdout).ok()?.lines().next().map(str::to_owned)
}
