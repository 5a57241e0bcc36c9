//! What can go wrong with the servers, each in one line that says what to do.

use std::path::PathBuf;

use super::install::InstallError;
use crate::{
    exit::ExitCode,
    machine::{cpu_quota::CpuQuotaError, ports::NoFreePort, run_dir::RunDirectoryError},
    process::{child::SignalError, spawn::SpawnError},
    wire::ProxyError,
};

/// A stack that cannot be brought up, or a verb that cannot be done.
#[derive(Debug, thiserror::Error)]
pub enum StackError {
    /// No servers are installed and none may be.
    #[error(transparent)]
    Install(#[from] InstallError),
    /// Docker was asked for and cannot be used.
    #[error("--backend docker: {reason}")]
    DockerUnusable {
        /// Why.
        reason: String,
    },
    /// The Docker engine refused.
    #[error("docker cannot {verb} {name}: {reason}")]
    Docker {
        /// What was wanted.
        verb: &'static str,
        /// Which server.
        name: &'static str,
        /// What the engine said.
        reason: String,
    },
    /// No ports.
    #[error(transparent)]
    Ports(#[from] NoFreePort),
    /// The proxy cannot listen.
    #[error(transparent)]
    Wire(#[from] ProxyError),
    /// The database cannot be made smaller.
    #[error(transparent)]
    CpuQuota(#[from] CpuQuotaError),
    /// The run's folder cannot be used.
    #[error(transparent)]
    RunDirectory(#[from] RunDirectoryError),
    /// A program that does not start.
    #[error(transparent)]
    Spawn(#[from] SpawnError),
    /// A signal that cannot be sent.
    #[error(transparent)]
    Signal(#[from] SignalError),
    /// A server ended before it answered.
    #[error("{name} did not start: {last_line} (log: {})", log.display())]
    DidNotStart {
        /// Which server.
        name: &'static str,
        /// The last line of its log.
        last_line: String,
        /// Its log.
        log: PathBuf,
    },
    /// A server that runs and does not answer.
    #[error("{name} runs but gave no answer within {waited_s} s: {saw}")]
    NotReady {
        /// Which server.
        name: &'static str,
        /// How long the lab waited, in seconds.
        waited_s: u64,
        /// What the last probe saw.
        saw: String,
    },
    /// A server of Redis refused a command of the set-up.
    #[error("redis refused `{command}`: {reason}")]
    RedisCommand {
        /// The command.
        command: String,
        /// What it said.
        reason: String,
    },
    /// No server of Redis accepts writes, or could.
    #[error("no primary: {saw}")]
    NoPrimary {
        /// What was seen instead.
        saw: String,
    },
    /// A server was to start from a snapshot and did not.
    #[error("{name} read no snapshot when it was started, although one was kept")]
    NoSnapshot {
        /// Which server.
        name: &'static str,
    },
    /// A verb that does not fit the state.
    #[error("{name} cannot be {verb}: it {state}")]
    WrongState {
        /// Which server.
        name: &'static str,
        /// The verb, in the past tense.
        verb: &'static str,
        /// The state.
        state: &'static str,
    },
    /// PostgreSQL refused a statement of the set-up.
    #[error("postgres refused `{statement}`: {reason}")]
    SetUp {
        /// The statement.
        statement: String,
        /// What it said.
        reason: String,
    },
    /// A server did not tell its version.
    #[error("{name} does not tell its version")]
    NoVersion {
        /// Which server.
        name: &'static str,
    },
}

impl StackError {
    /// How `lab` ends with this error.
    pub fn exit_code(&self) -> ExitCode {
        match self {
            Self::Install(_) | Self::DockerUnusable { .. } | Self::CpuQuota(_) => ExitCode::Usage,
            Self::RunDirectory(_) => ExitCode::Storage,
            Self::Docker { .. }
            | Self::Ports(_)
            | Self::Wire(_)
            | Self::Spawn(_)
            | Self::Signal(_)
            | Self::DidNotStart { .. }
            | Self::NotReady { .. }
            | Self::RedisCommand { .. }
            | Self::NoPrimary { .. }
            | Self::NoSnapshot { .. }
            | Self::WrongState { .. }
            | Self::SetUp { .. }
            | Self::NoVersion { .. } => ExitCode::Stack,
        }
    }
}
