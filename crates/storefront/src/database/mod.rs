//! The pool in front of PostgreSQL, one for each server of it, and every statement the service sends.
//!
//! All statements go through [`Connection`], which counts them in one place. Nothing else is sent:
//! no `SET`, no `BEGIN`, no ping when a connection is handed out; `statement_timeout` travels as a
//! connection option. So the count can be reconciled with `pg_stat_statements`.

mod connection;
mod demand;
mod documents;
mod optimized;
mod pages;
pub(crate) mod schema;
mod servers;
mod sessions;
mod writes;

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use deadpool_postgres::{
    BuildError, Manager, ManagerConfig, Pool, PoolError, RecyclingMethod, Runtime, TimeoutType,
    Timeouts,
};
use lab_core::{
    settings::{DatabaseSettings, Mode},
    target::TargetConfig,
};
use lab_mitigation::deadline::DeadlinePropagation;
use tokio::time::Instant;
use tokio_postgres::{NoTls, error::SqlState};

use self::{connection::Connection, demand::Demand};
pub(crate) use self::{
    demand::DemandSample,
    servers::{DatabaseServers, ServerRole},
    writes::Order,
};
use crate::{
    error::DatabaseError, metrics::AcquireWaits, request::RequestContext, totals::Counter,
};

/// A pool of connections and what it is asked for.
#[derive(Debug)]
pub(crate) struct Database {
    pool: Pool,
    acquire_timeout: Option<Duration>,
    deadlines: DeadlinePropagation,
    demand: Mutex<Demand>,
    waits: AcquireWaits,
    acquire_timeouts: Counter,
    connections_refused: Counter,
    statements_sent: Counter,
    statements_failed: Counter,
    statements_cancelled: Counter,
}

/// Why no pool can be made.
#[derive(Debug, thiserror::Error)]
pub(crate) enum PoolSettingsError {
    /// The address of a PostgreSQL is none.
    #[error("{key}: {source}")]
    Url {
        /// Which address.
        key: &'static str,
        /// What does not fit.
        source: tokio_postgres::Error,
    },
    /// The pool refused its settings.
    #[error("database pool: {0}")]
    Build(#[from] BuildError),
}

/// Totals of a [`Database`] since the service started.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct DatabaseTotals {
    /// Connections the pool may open.
    pub(crate) pool_size_max: u32,
    /// Connections open.
    pub(crate) pool_size: u32,
    /// Callers that stopped waiting because of `acquire_timeout`.
    pub(crate) acquire_timeouts: u64,
    /// Connections that PostgreSQL refused because it has no more.
    pub(crate) connections_refused: u64,
    /// Statements sent.
    pub(crate) statements_sent: u64,
    /// Statements that PostgreSQL cancelled or failed; `pg_stat_statements` does not count these.
    pub(crate) statements_failed: u64,
    /// Statements that PostgreSQL was asked to cancel because nobody waited for them any more.
    pub(crate) statements_cancelled: u64,
}

impl Database {
    /// A pool that opens connections to `role`'s server as they are needed.
    ///
    /// **Errors**: see [`PoolSettingsError`].
    pub(crate) fn new(
        config: &TargetConfig,
        (role, url): (ServerRole, &str),
        deadlines: DeadlinePropagation,
        waits: AcquireWaits,
    ) -> Result<Self, PoolSettingsError> {
        let settings = &config.settings.database;
        let key = role.url_key();
        let connect = connect_config(url, settings)
            .map_err(|source| PoolSettingsError::Url { key, source })?;
        let manager_config = ManagerConfig { recycling_method: RecyclingMethod::Fast };
        let manager = Manager::from_config(connect, NoTls, manager_config);
        let pool = Pool::builder(manager)
            .max_size(pool_size(config, config.settings.pool_raise.mode))
            .runtime(Runtime::Tokio1)
            .build()?;
        Ok(Self {
            pool,
            acquire_timeout: settings.acquire_timeout,
            deadlines,
            demand: Mutex::new(Demand::new(Instant::now().into_std())),
            waits,
            acquire_timeouts: Counter::default(),
            connections_refused: Counter::default(),
            statements_sent: Counter::default(),
            statements_failed: Counter::default(),
            statements_cancelled: Counter::default(),
        })
    }

    /// Takes a connection out of the pool; it goes back when dropped.
    ///
    /// **Errors**: none within `acquire_timeout` or what is left of the request's time, or none
    /// could be opened.
    /// **Cancellation**: the caller no longer counts as waiting. What becomes of a statement that
    /// it had sent, [`Connection`] says.
    pub(crate) async fn acquire(
        self: &Arc<Self>,
        context: RequestContext,
    ) -> Result<Connection, DatabaseError> {
        let pending = Pending::new(Arc::clone(self));
        let now = pending.asked_at.into_std();
        let wait = self.deadlines.bound(now, context.deadline, self.acquire_timeout)?;
        let timeouts = Timeouts { wait, create: None, recycle: None };
        match self.pool.timeout_get(&timeouts).await {
            Ok(client) => Ok(Connection::new(client, pending.into_in_use(), context)),
            Err(error) => Err(self.acquire_error(error, wait, context)),
        }
    }

    /// Whether PostgreSQL answers. **Errors**: it does not.
    pub(crate) async fn ping(self: &Arc<Self>) -> Result<(), DatabaseError> {
        let context = RequestContext::background(Instant::now().into_std());
        self.acquire(context).await?.query("SELECT 1", &[]).await.map(drop)
    }

    /// Makes the pool larger while `mode` is enforce, and as large as it was otherwise. Connections
    /// that are too many are closed when they come back.
    pub(crate) fn set_pool_raise(&self, config: &TargetConfig, mode: Mode) {
        self.pool.resize(pool_size(config, mode));
    }

    /// Callers waiting for a connection, and connections handed out, now.
    pub(crate) fn pending_and_in_use(&self) -> (u32, u32) {
        self.lock_demand().now()
    }

    /// Both together: what is asked of the server, now.
    fn demand(&self) -> u32 {
        let (pending, in_use) = self.pending_and_in_use();
        pending + in_use
    }

    /// What was asked of the pool since this was last called.
    pub(crate) fn drain_demand(&self) -> DemandSample {
        self.lock_demand().drain(Instant::now().into_std())
    }

    /// Totals since the service started.
    pub(crate) fn totals(&self) -> DatabaseTotals {
        let status = self.pool.status();
        let count = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
        DatabaseTotals {
            pool_size_max: count(status.max_size),
            pool_size: count(status.size),
            acquire_timeouts: self.acquire_timeouts.get(),
            connections_refused: self.connections_refused.get(),
            statements_sent: self.statements_sent.get(),
            statements_failed: self.statements_failed.get(),
            statements_cancelled: self.statements_cancelled.get(),
        }
    }

    fn acquire_error(
        &self,
        error: PoolError,
        wait: Option<Duration>,
        context: RequestContext,
    ) -> DatabaseError {
        match error {
            PoolError::Timeout(TimeoutType::Wait | TimeoutType::Create | TimeoutType::Recycle) => {
                self.acquire_timeouts.add_one();
                if wait == self.acquire_timeout {
                    return DatabaseError::AcquireTimeout { waited: wait.unwrap_or_default() };
                }
                let now = Instant::now().into_std();
                DatabaseError::DeadlineExceeded(context.deadline.exceeded(now))
            }
            PoolError::Backend(error) => {
                if error.code() == Some(&SqlState::TOO_MANY_CONNECTIONS) {
                    self.connections_refused.add_one();
                }
                DatabaseError::Connect(error)
            }
            // The other two need hooks, or a pool without a runtime; this one has neither.
            PoolError::Closed | PoolError::PostCreateHook(_) | PoolError::NoRuntimeSpecified => {
                DatabaseError::PoolClosed
            }
        }
    }

    fn lock_demand(&self) -> MutexGuard<'_, Demand> {
        self.demand.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl DatabaseTotals {
    /// Those of two pools together.
    fn and(self, other: Self) -> Self {
        Self {
            pool_size_max: self.pool_size_max + other.pool_size_max,
            pool_size: self.pool_size + other.pool_size,
            acquire_timeouts: self.acquire_timeouts + other.acquire_timeouts,
            connections_refused: self.connections_refused + other.connections_refused,
            statements_sent: self.statements_sent + other.statements_sent,
            statements_failed: self.statements_failed + other.statements_failed,
            statements_cancelled: self.statements_cancelled + other.statements_cancelled,
        }
    }
}

/// Connections the pool may open while the mitigation `pool_raise` is in the mode.
fn pool_size(config: &TargetConfig, pool_raise: Mode) -> usize {
    let settings = &config.settings;
    let size = match pool_raise {
        Mode::Enforce => settings.pool_raise.pool_size,
        Mode::Observe | Mode::Off => settings.database.pool_size.unwrap_or(config.pool_size),
    };
    usize::try_from(size.get()).unwrap_or(usize::MAX)
}

/// How connections are opened: as `database_url` says, and with `statement_timeout` as an option
/// of the connection, which needs no statement.
pub(crate) fn connect_config(
    database_url: &str,
    settings: &DatabaseSettings,
) -> Result<tokio_postgres::Config, tokio_postgres::Error> {
    let mut config: tokio_postgres::Config = database_url.parse()?;
    if let Some(timeout) = settings.statement_timeout {
        let given = config.get_options().unwrap_or_default();
        let options = format!("{given} -c statement_timeout={}", timeout.as_millis());
        config.options(options.trim_start());
    }
    Ok(config)
}

/// Counts its caller as waiting until it is dropped or becomes an [`InUse`].
struct Pending {
    database: Option<Arc<Database>>,
    asked_at: Instant,
}

impl Pending {
    fn new(database: Arc<Database>) -> Self {
        let asked_at = Instant::now();
        database.lock_demand().asked(asked_at.into_std());
        Self { database: Some(database), asked_at }
    }

    fn into_in_use(mut self) -> InUse {
        let database = self.database.take().expect("only this and the drop take it");
        let now = Instant::now();
        let waited = now - self.asked_at;
        database.lock_demand().acquired(now.into_std(), waited);
        database.waits.record(waited);
        InUse(database)
    }
}

impl Drop for Pending {
    fn drop(&mut self) {
        if let Some(database) = self.database.take() {
            database.lock_demand().left(Instant::now().into_std());
        }
    }
}

/// Counts a connection as handed out until it is dropped.
#[derive(Debug)]
struct InUse(Arc<Database>);

impl Drop for InUse {
    fn drop(&mut self) {
        self.0.lock_demand().released(Instant::now().into_std());
    }
}
