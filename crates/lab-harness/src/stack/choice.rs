//! Which backend is taken, and why.

use super::{
    binaries::Binaries,
    docker,
    error::StackError,
    images::Images,
    install::{self, InstallPolicy},
};
use crate::{machine::run_dir::RunDirectory, process::Spawner};

/// How servers are run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Backend {
    /// Containers on the host's network.
    Docker,
    /// Plain processes.
    Process,
}

impl Backend {
    /// The name in artifacts.
    pub fn name(self) -> &'static str {
        match self {
            Self::Docker => "docker",
            Self::Process => "process",
        }
    }
}

/// What the command line asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BackendChoice {
    /// Docker when an engine answers and the official images are there or can be pulled, else
    /// processes. Stand-ins do not count: a backend must not change because a test once built them.
    Auto,
    /// Docker, with stand-ins where the official images cannot be had.
    Docker,
    /// Processes.
    Process,
}

/// Where the servers come from.
#[derive(Debug)]
pub(super) enum Programs {
    Process(Binaries),
    Docker(Images),
}

/// A backend that can be used, and why it was taken.
#[derive(Debug)]
pub(super) struct Chosen {
    pub(super) programs: Programs,
    pub(super) reason: String,
}

impl Chosen {
    pub(super) fn backend(&self) -> Backend {
        match self.programs {
            Programs::Process(_) => Backend::Process,
            Programs::Docker(_) => Backend::Docker,
        }
    }
}

/// Chooses, and gets what the choice needs: pulls images, builds stand-ins or installs packages.
///
/// **Errors**: what was asked for cannot be had; the message says what to do.
pub(super) async fn choose(
    choice: BackendChoice,
    policy: InstallPolicy,
    run_dir: &RunDirectory,
    spawner: &Spawner,
) -> Result<Chosen, StackError> {
    match choice {
        BackendChoice::Process => processes(policy, "asked for".to_owned()).await,
        BackendChoice::Docker => containers(run_dir, spawner).await,
        BackendChoice::Auto => match official_images().await {
            Ok(reason) => Ok(Chosen { programs: Programs::Docker(Images::official()), reason }),
            Err(reason) => processes(policy, reason).await,
        },
    }
}

async fn processes(policy: InstallPolicy, reason: String) -> Result<Chosen, StackError> {
    let binaries = install::find_or_install(policy).await?;
    Ok(Chosen { programs: Programs::Process(binaries), reason })
}

/// Makes sure of the official images. **Errors**: why they cannot be used.
async fn official_images() -> Result<String, String> {
    let docker = docker::connect().await?;
    let official = Images::official();
    if docker::has(&docker, &official).await {
        return Ok("an engine answers and has the official images".to_owned());
    }
    // The engine's own words may name hosts; they go to the log, not into results.
    let cannot = |words: String| {
        tracing::info!(words, "the official images cannot be pulled");
        "the official images are not there and cannot be pulled (`lab doctor` says why)".to_owned()
    };
    docker::can_pull(&docker, &official).await.map_err(cannot)?;
    docker::pull(&docker, &official).await.map_err(cannot)?;
    Ok("an engine answers and the official images were pulled".to_owned())
}

async fn containers(run_dir: &RunDirectory, spawner: &Spawner) -> Result<Chosen, StackError> {
    let unusable = |reason| StackError::DockerUnusable { reason };
    let docker = docker::connect().await.map_err(unusable)?;
    let why_not = match official_images().await {
        Ok(reason) => {
            let reason = format!("asked for; {reason}");
            return Ok(Chosen { programs: Programs::Docker(Images::official()), reason });
        }
        Err(reason) => reason,
    };
    let stand_ins = Images::stand_ins();
    if !docker::has(&docker, &stand_ins).await {
        let folder = run_dir.subfolder("images", None)?;
        let failed = |reason| unusable(format!("{why_not}; and stand-ins: {reason}"));
        docker::build_stand_ins(&folder, spawner).await.map_err(failed)?;
    }
    let reason = format!("asked for; stand-ins built from this machine's packages: {why_not}");
    Ok(Chosen { programs: Programs::Docker(stand_ins), reason })
}
