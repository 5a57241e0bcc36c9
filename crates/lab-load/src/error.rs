//! Why a load run cannot begin or cannot be trusted, and the exit code that says so.

use std::path::PathBuf;

use goose::GooseError;
use nix::errno::Errno;

/// A run that must not be used. What the target answers is never an error here: it is an outcome.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LoadError {
    /// The plan cannot be read.
    #[error("cannot read the plan {path}: {source}", path = path.display())]
    ReadPlan {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The plan is not a load plan.
    #[error("{path} is not a load plan: {source}", path = path.display())]
    ParsePlan {
        /// The file.
        path: PathBuf,
        /// Where and why.
        source: serde_json::Error,
    },
    /// The shares of the mix do not sum to 1.
    #[error("the shares of `mix` must sum to 1, got {total}")]
    MixTotal {
        /// Their sum.
        total: f64,
    },
    /// The exponent of the popularity is no number of at least 0.
    #[error("`zipf_exponent` must be at least 0, got {got}")]
    ZipfExponent {
        /// The offending value.
        got: f64,
    },
    /// A duration that must be longer than nothing.
    #[error("`{key}` must be longer than 0")]
    ZeroDuration {
        /// Its key in the plan.
        key: &'static str,
    },
    /// A shard that does not exist.
    #[error("`shard.index` must be below `shard.count`, got {index} of {count}")]
    Shard {
        /// Which one was asked for.
        index: u32,
        /// How many there are.
        count: u32,
    },
    /// More arrivals than a sample can name.
    #[error("the schedule holds more than {} arrivals: lower the rate or `duration`", u32::MAX)]
    TooManyArrivals,
    /// The process may not open a connection for each user.
    #[error(
        "{users} users need {needed} open files and this process may have {limit}: raise the hard \
         limit with `ulimit -n {needed}`"
    )]
    TooFewFiles {
        /// Users of the plan.
        users: u32,
        /// Files needed for them.
        needed: u64,
        /// The hard limit.
        limit: u64,
    },
    /// The limit of open files cannot be read or set.
    #[error("cannot raise the limit of open files: {0}")]
    FileLimit(#[source] Errno),
    /// The signals that end a run cannot be taken.
    #[error("cannot take SIGTERM and SIGINT: {0}")]
    Signals(#[source] Errno),
    /// What stood on standard input where `start <nanoseconds>` was due.
    #[error("expected `start <CLOCK_MONOTONIC ns>` on standard input, got `{got}`")]
    StartLine {
        /// The line, or nothing when standard input was closed.
        got: String,
    },
    /// What stood on standard input where `targets <address>,<address>…` was due.
    #[error("expected `targets <address>,<address>…` on standard input, got `{got}`")]
    TargetsLine {
        /// The line.
        got: String,
    },
    /// A start that no clock of this machine can mean.
    #[error("the start instant is {away_s} s away from now, more than {allowed_s} s")]
    StartFarAway {
        /// Seconds from now, in either direction.
        away_s: u64,
        /// The most that is believed.
        allowed_s: u64,
    },
    /// The handshake with the caller failed.
    #[error("cannot talk to the caller: {0}")]
    Handshake(#[source] std::io::Error),
    /// A thread or the runtime cannot be started.
    #[error("cannot start {what}: {source}")]
    Spawn {
        /// Which one.
        what: &'static str,
        /// What the system said.
        source: std::io::Error,
    },
    /// Samples cannot be written.
    #[error("cannot write samples to {path}: {source}", path = path.display())]
    Samples {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// goose refused its settings or stopped.
    #[error("goose failed: {0:?}")]
    Goose(#[source] Box<GooseError>),
    /// goose stopped although its users had not finished.
    #[error("goose stopped before the schedule was carried out")]
    GooseStopped,
    /// Requests outlived the time after which all of them must have been given up.
    #[error("requests are still open after the client should have given up on all of them")]
    Unfinished,
    /// Some arrival has no outcome, or two.
    #[error("{scheduled} arrivals were scheduled and {recorded} outcomes recorded")]
    NotConserved {
        /// Arrivals handed out or given up.
        scheduled: u64,
        /// Samples written.
        recorded: u64,
    },
}

impl LoadError {
    /// 2 for wrong usage or configuration, 4 when the generator itself failed.
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::ReadPlan { .. }
            | Self::ParsePlan { .. }
            | Self::MixTotal { .. }
            | Self::ZipfExponent { .. }
            | Self::ZeroDuration { .. }
            | Self::Shard { .. }
            | Self::TooManyArrivals
            | Self::TooFewFiles { .. }
            | Self::StartLine { .. }
            | Self::TargetsLine { .. }
            | Self::StartFarAway { .. } => 2,
            Self::FileLimit(_)
            | Self::Signals(_)
            | Self::Handshake(_)
            | Self::Spawn { .. }
            | Self::Samples { .. }
            | Self::Goose(_)
            | Self::GooseStopped
            | Self::Unfinished
            | Self::NotConserved { .. } => 4,
        }
    }
}

impl From<GooseError> for LoadError {
    fn from(error: GooseError) -> Self {
        Self::Goose(Box::new(error))
    }
}
