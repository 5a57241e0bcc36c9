//! The primary and its replica, and which of them answers the next read of a page.
//!
//! Pages alone are read from the replica: a page may be as old as the cache's time to live anyway. An
//! order, a session and a view go to the primary, so that who has written reads what was written.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use lab_core::{settings::Mode, target::TargetConfig};
use lab_mitigation::deadline::DeadlinePropagation;

use super::{Database, DatabaseTotals, DemandSample, PoolSettingsError};
use crate::metrics::AcquireWaits;

/// How long a replica that did not answer is left alone: reads that try it meanwhile would each pay
/// for it. Chosen: as long as the circuit breaker waits.
const REST: Duration = Duration::from_secs(1);

/// A server of the database.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ServerRole {
    /// It accepts writes.
    Primary,
    /// It repeats what the primary wrote, and answers reads.
    Replica,
}

impl ServerRole {
    /// The key of the configuration that says where it is.
    pub(super) fn url_key(self) -> &'static str {
        match self {
            Self::Primary => "database_url",
            Self::Replica => "replica_url",
        }
    }
}

/// Callers that hold a connection of a pool or wait for one.
type Demand = u32;

/// Chooses between the two servers. Pure: it takes `now`.
#[derive(Debug, Default)]
struct ReadChoice {
    /// The replica did not answer and is left alone until then.
    rests_until: Option<Instant>,
}

impl ReadChoice {
    /// Who reads a page at `now`: the server with the lower demand, so that what both can do adds up
    /// whatever else the primary has to do; the replica when both have the same.
    fn choose(&self, now: Instant, primary: Demand, replica: Demand) -> ServerRole {
        let rests = self.rests_until.is_some_and(|until| now < until);
        if rests || primary < replica { ServerRole::Primary } else { ServerRole::Replica }
    }

    /// The replica did not answer at `now`. Returns whether that was news.
    fn on_lost(&mut self, now: Instant) -> bool {
        let is_news = self.rests_until.is_none_or(|until| until <= now);
        self.rests_until = Some(now + REST);
        is_news
    }
}

/// A replica and what is known of it.
#[derive(Debug)]
struct Replica {
    database: Arc<Database>,
    choice: Mutex<ReadChoice>,
}

impl Replica {
    fn lock_choice(&self) -> MutexGuard<'_, ReadChoice> {
        self.choice.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Every server of the database, each with a pool of its own of the same size.
#[derive(Debug)]
pub(crate) struct DatabaseServers {
    primary: Arc<Database>,
    replica: Option<Replica>,
}

impl DatabaseServers {
    /// Pools that open connections as they are needed, to a replica only where `config` has one.
    ///
    /// **Errors**: see [`PoolSettingsError`].
    pub(crate) fn new(
        config: &TargetConfig,
        deadlines: &DeadlinePropagation,
        waits: &AcquireWaits,
    ) -> Result<Self, PoolSettingsError> {
        let pool = |role, url: &str| {
            Database::new(config, (role, url), deadlines.clone(), waits.clone()).map(Arc::new)
        };
        let replica = |url: &String| {
            let database = pool(ServerRole::Replica, url)?;
            Ok::<_, PoolSettingsError>(Replica { database, choice: Mutex::default() })
        };
        Ok(Self {
            primary: pool(ServerRole::Primary, &config.database_url)?,
            replica: config.replica_url.as_ref().map(replica).transpose()?,
        })
    }

    /// The server that accepts writes.
    pub(crate) fn primary(&self) -> &Arc<Database> {
        &self.primary
    }

    /// The server to read a page from at `now`; the primary where there is no replica.
    pub(crate) fn choose(&self, now: Instant) -> (ServerRole, &Arc<Database>) {
        let Some(replica) = &self.replica else { return (ServerRole::Primary, &self.primary) };
        let (primary, of_replica) = (self.primary.demand(), replica.database.demand());
        let role = replica.lock_choice().choose(now, primary, of_replica);
        match role {
            ServerRole::Primary => (role, &self.primary),
            ServerRole::Replica => (role, &replica.database),
        }
    }

    /// The replica did not answer at `now`: it is left alone for a second.
    pub(crate) fn on_replica_lost(&self, now: Instant, error: &impl std::fmt::Display) {
        let Some(replica) = &self.replica else { return };
        if replica.lock_choice().on_lost(now) {
            tracing::warn!(%error, "the replica does not answer; the primary does");
        }
    }

    /// Makes the pools larger while `mode` is enforce, see [`Database::set_pool_raise`].
    pub(crate) fn set_pool_raise(&self, config: &TargetConfig, mode: Mode) {
        self.each().for_each(|it| it.set_pool_raise(config, mode));
    }

    /// Callers waiting for a connection, and connections handed out, now, of all pools.
    pub(crate) fn pending_and_in_use(&self) -> (u32, u32) {
        let add = |sum: (u32, u32), it: &Arc<Database>| {
            let (pending, in_use) = it.pending_and_in_use();
            (sum.0 + pending, sum.1 + in_use)
        };
        self.each().fold((0, 0), add)
    }

    /// What was asked of all pools since this was last called.
    pub(crate) fn drain_demand(&self) -> DemandSample {
        let primary = self.primary.drain_demand();
        match &self.replica {
            None => primary,
            Some(replica) => primary.and(replica.database.drain_demand()),
        }
    }

    /// Totals of all pools since the service started.
    pub(crate) fn totals(&self) -> DatabaseTotals {
        let primary = self.primary.totals();
        match &self.replica {
            None => primary,
            Some(replica) => primary.and(replica.database.totals()),
        }
    }

    fn each(&self) -> impl Iterator<Item = &Arc<Database>> {
        std::iter::once(&self.primary).chain(self.replica.as_ref().map(|it| &it.database))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::tests::config;

    fn at(start: Instant, ms: u64) -> Instant {
        start + Duration::from_millis(ms)
    }

    #[test]
    fn the_server_with_the_lower_demand_reads_and_the_replica_where_they_are_equal() {
        let now = tokio::time::Instant::now().into_std();
        let choice = ReadChoice::default();
        for (primary, replica, expected) in [
            (0, 0, ServerRole::Replica),
            (0, 1, ServerRole::Primary),
            (1, 1, ServerRole::Replica),
            (2, 1, ServerRole::Replica),
            (40, 41, ServerRole::Primary),
        ] {
            assert_eq!(choice.choose(now, primary, replica), expected, "{primary} and {replica}");
        }
    }

    // Twelve reads that do not end: each server gets half of them.
    #[test]
    fn reads_are_spread_so_that_both_servers_are_asked_for_the_same() {
        let now = tokio::time::Instant::now().into_std();
        let choice = ReadChoice::default();
        let (mut primary, mut replica) = (0, 0);
        for _ in 0..12 {
            match choice.choose(now, primary, replica) {
                ServerRole::Primary => primary += 1,
                ServerRole::Replica => replica += 1,
            }
        }
        assert_eq!((primary, replica), (6, 6));
    }

    #[test]
    fn a_replica_that_did_not_answer_is_left_alone_for_a_second_and_that_is_said_once() {
        let start = tokio::time::Instant::now().into_std();
        let mut choice = ReadChoice::default();
        assert!(choice.on_lost(start), "it is news");
        assert!(!choice.on_lost(at(start, 10)), "others had asked at the same time");
        assert_eq!(choice.choose(at(start, 1_009), 9, 0), ServerRole::Primary);
        assert_eq!(choice.choose(at(start, 1_010), 9, 0), ServerRole::Replica);
        assert!(choice.on_lost(at(start, 1_010)));
    }

    #[tokio::test]
    async fn without_a_replica_there_is_nobody_but_the_primary() {
        let waits = crate::metrics::Metrics::new().unwrap().acquire_waits();
        let deadlines = DeadlinePropagation::new(&config().settings.deadline_propagation);
        let servers = |config: &TargetConfig| DatabaseServers::new(config, &deadlines, &waits);
        let now = tokio::time::Instant::now().into_std();
        let alone = servers(&config()).unwrap();
        assert_eq!(alone.choose(now).0, ServerRole::Primary);
        assert_eq!(alone.totals().pool_size_max, 2);
        let replica_url = Some("host=127.0.0.1 port=2 user=storefront".to_owned());
        let both = servers(&TargetConfig { replica_url, ..config() }).unwrap();
        assert_eq!(both.choose(now).0, ServerRole::Replica);
        assert_eq!(both.totals().pool_size_max, 4, "each pool has the same size");
        let broken = TargetConfig { replica_url: Some("host".into()), ..config() };
        let error = servers(&broken).unwrap_err().to_string();
        assert!(error.starts_with("replica_url: "), "{error}");
    }
}
