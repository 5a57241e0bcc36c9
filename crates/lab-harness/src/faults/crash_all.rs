//! Crash all: SIGKILL for every Redis server, and a restart of all with an empty memory.

use futures_util::future::try_join_all;
use lab_core::clock::MonotonicNs;

use super::{FaultError, Injection, PROBE_PATIENCE};
use crate::stack::{
    Server, Stack,
    probe::{Seen, ping},
};

/// SIGKILL for primaries and replicas at the same time: nobody is left to take over. Sentinels live
/// on and have nobody to name.
#[derive(Debug, Default)]
pub(super) struct CrashAll;

impl Injection for CrashAll {
    /// The origin is the last of the kills: from then on nobody answers.
    async fn inject(&mut self, stack: &Stack) -> Result<MonotonicNs, FaultError> {
        try_join_all(stack.redis_group().servers().iter().map(Server::kill)).await?;
        Ok(MonotonicNs::now())
    }

    /// The first server that is not gone, if any.
    async fn look(&mut self, stack: &Stack) -> Seen {
        for server in stack.redis_group().servers() {
            let seen = ping(server.address(), PROBE_PATIENCE).await;
            if seen != Seen::Refused {
                return seen;
            }
        }
        Seen::Refused
    }

    fn is_effect(&self, seen: &Seen) -> bool {
        *seen == Seen::Refused
    }

    async fn heal(&mut self, stack: &Stack) -> Result<MonotonicNs, FaultError> {
        let started = stack.redis_group().servers().iter().map(Server::start);
        let answered = try_join_all(started).await?;
        Ok(answered.into_iter().max().unwrap_or_else(MonotonicNs::now))
    }
}
