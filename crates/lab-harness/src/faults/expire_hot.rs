//! Expire hot: the keys that are read most are gone, all at once.

use lab_core::clock::MonotonicNs;
use redis::aio::MultiplexedConnection;

use super::{FaultError, Injection, PROBE_PATIENCE, admin};
use crate::stack::{
    Stack,
    probe::{Seen, ask},
};

/// How many keys go. Chosen: of the catalogue's Zipf popularity the first 200 pages take more than
/// half of all reads.
const N_KEYS: usize = 200;
/// Commands that are sent at once.
const BATCH: usize = 1_000;

/// `UNLINK` of the 200 hottest keys, by Redis' own count of reads (`OBJECT FREQ`). Everything else
/// stays.
#[derive(Debug, Default)]
pub(super) struct ExpireHot {
    /// Those that went; before the fault, those that would.
    keys: Vec<String>,
}

impl ExpireHot {
    #[cfg(test)]
    pub(super) fn of(keys: Vec<String>) -> Self {
        Self { keys }
    }
}

impl Injection for ExpireHot {
    async fn inject(&mut self, stack: &Stack) -> Result<MonotonicNs, FaultError> {
        self.keys = hottest(&mut admin::connect(stack).await?).await?;
        let unlink: Vec<&str> =
            std::iter::once("UNLINK").chain(self.keys.iter().map(String::as_str)).collect();
        admin::run(stack, &unlink).await
    }

    /// How many of them are there. The service brings the first back within milliseconds and the
    /// last within seconds.
    async fn look(&mut self, stack: &Stack) -> Seen {
        if self.keys.is_empty() {
            match hottest_of(stack).await {
                Ok(keys) => self.keys = keys,
                Err(error) => return Seen::Other(error.to_string()),
            }
        }
        let exists = std::iter::once("EXISTS".to_owned()).chain(self.keys.iter().cloned());
        ask(stack.redis_addr(), &exists.collect::<Vec<_>>(), PROBE_PATIENCE).await
    }

    fn is_effect(&self, seen: &Seen) -> bool {
        n_there(seen).is_some_and(|n| n < self.keys.len() / 2)
    }

    /// It answers: what is gone comes back by itself.
    fn is_well(&self, seen: &Seen) -> bool {
        n_there(seen).is_some()
    }

    /// Nothing to end: the fault is over when the keys are read again.
    async fn heal(&mut self, _stack: &Stack) -> Result<MonotonicNs, FaultError> {
        Ok(MonotonicNs::now())
    }
}

/// The number in an answer to `EXISTS`.
fn n_there(seen: &Seen) -> Option<usize> {
    let Seen::Replied(reply) = seen else { return None };
    reply.strip_prefix(':')?.parse().ok()
}

async fn hottest_of(stack: &Stack) -> Result<Vec<String>, FaultError> {
    hottest(&mut admin::connect(stack).await?).await
}

/// The keys that are read most, the hottest first.
async fn hottest(connection: &mut MultiplexedConnection) -> Result<Vec<String>, FaultError> {
    let failed = |source| FaultError::Command { command: "SCAN and OBJECT FREQ".into(), source };
    let mut counted: Vec<(i64, String)> = Vec::new();
    let mut cursor = 0_u64;
    loop {
        let mut scan = redis::cmd("SCAN");
        scan.arg(cursor).arg("COUNT").arg(BATCH);
        let (next, keys): (u64, Vec<String>) =
            scan.query_async(connection).await.map_err(failed)?;
        let mut asked = redis::pipe();
        for key in &keys {
            asked.cmd("OBJECT").arg("FREQ").arg(key);
        }
        // A key that expired in between has no count.
        let counts: Vec<Option<i64>> = match keys.is_empty() {
            true => Vec::new(),
            false => asked.query_async(connection).await.map_err(failed)?,
        };
        counted.extend(counts.into_iter().zip(keys).filter_map(|(n, key)| Some((n?, key))));
        cursor = next;
        if cursor == 0 {
            break;
        }
    }
    counted.sort_by(|a, b| b.cmp(a));
    counted.dedup_by(|a, b| a.1 == b.1);
    Ok(counted.into_iter().take(N_KEYS).map(|(_, key)| key).collect())
}
