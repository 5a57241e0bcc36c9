//! The pool in front of PostgreSQL and every statement the service sends.
//!
//! All statements go through [`Connection`], which counts them in one place. Nothing else is sent:
//! no `SET`, no `BEGIN`, no ping when a connection is handed out; `statement_timeout` travels as a
//! connection option. So the count can be reconciled with `pg_stat_statements`.

mod demand;
mod optimized;
mod pages;
pub(crate) mod schema;
mod writes;

use std::{
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use deadpool_postgres::{
    BuildError, Manager, ManagerConfig, Object, Pool, PoolError, RecyclingMethod, Runtime,
    TimeoutType,
};
use lab_core::{settings::DatabaseSettings, target::TargetConfig};
use tokio::time::Instant;
use tokio_postgres::{NoTls, Row, error::SqlState, types::ToSql};

use self::demand::Demand;
pub(crate) use self::{demand::DemandSample, writes::Order};
use crate::{error::DatabaseError, metrics::AcquireWaits, totals::Counter};

/// A pool of connections and what it is asked for.
#[derive(Debug)]
pub(crate) struct Database {
    pool: Pool,
    acquire_timeout: Option<Duration>,
    demand: Mutex<Demand>,
    waits: AcquireWaits,
    acquire_timeouts: Counter,
    statements_sent: Counter,
    statements_failed: Counter,
}

/// Why no pool can be made.
#[derive(Debug, thiserror::Error)]
pub enum PoolSettingsError {
    /// The address of PostgreSQL is none.
    #[error("database_url: {0}")]
    Url(#[from] tokio_postgres::Error),
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
    /// Statements sent.
    pub(crate) statements_sent: u64,
    /// Statements that PostgreSQL cancelled or failed; `pg_stat_statements` does not count these.
    pub(crate) statements_failed: u64,
}

impl Database {
    /// A pool that opens connections as they are needed. **Errors**: see [`PoolSettingsError`].
    pub(crate) fn new(
        config: &TargetConfig,
        waits: AcquireWaits,
    ) -> Result<Self, PoolSettingsError> {
        let settings = &config.settings.database;
        let connect = connect_config(&config.database_url, settings)?;
        let manager_config = ManagerConfig { recycling_method: RecyclingMethod::Fast };
        let manager = Manager::from_config(connect, NoTls, manager_config);
        let pool_size = settings.pool_size.unwrap_or(config.pool_size).get();
        let pool = Pool::builder(manager)
            .max_size(usize::try_from(pool_size).unwrap_or(usize::MAX))
            .wait_timeout(settings.acquire_timeout)
            .runtime(Runtime::Tokio1)
            .build()?;
        Ok(Self {
            pool,
            acquire_timeout: settings.acquire_timeout,
            demand: Mutex::new(Demand::new(Instant::now().into_std())),
            waits,
            acquire_timeouts: Counter::default(),
            statements_sent: Counter::default(),
            statements_failed: Counter::default(),
        })
    }

    /// Takes a connection out of the pool; it goes back when dropped.
    ///
    /// **Errors**: none within `acquire_timeout`, or none could be opened.
    /// **Cancellation**: the caller no longer counts as waiting. A statement that it had sent runs
    /// on, and the next caller with this connection waits for it.
    pub(crate) async fn acquire(&self) -> Result<Connection<'_>, DatabaseError> {
        let pending = Pending::new(self);
        let client = match self.pool.get().await {
            Ok(client) => client,
            Err(error) => return Err(self.acquire_error(error)),
        };
        let in_use = pending.into_in_use();
        Ok(Connection { client, database: self, _in_use: in_use })
    }

    /// Whether PostgreSQL answers. **Errors**: it does not.
    pub(crate) async fn ping(&self) -> Result<(), DatabaseError> {
        self.acquire().await?.query("SELECT 1", &[]).await.map(drop)
    }

    /// Callers waiting for a connection, and connections handed out, now.
    pub(crate) fn pending_and_in_use(&self) -> (u32, u32) {
        self.lock_demand().now()
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
            statements_sent: self.statements_sent.get(),
            statements_failed: self.statements_failed.get(),
        }
    }

    fn acquire_error(&self, error: PoolError) -> DatabaseError {
        match error {
            PoolError::Timeout(TimeoutType::Wait | TimeoutType::Create | TimeoutType::Recycle) => {
                self.acquire_timeouts.add_one();
                DatabaseError::AcquireTimeout { waited: self.acquire_timeout.unwrap_or_default() }
            }
            PoolError::Backend(error) => DatabaseError::Connect(error),
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

/// A connection of the pool, for as long as it is held.
#[derive(Debug)]
pub(crate) struct Connection<'a> {
    client: Object,
    database: &'a Database,
    _in_use: InUse<'a>,
}

impl Connection<'_> {
    /// Sends one statement, prepared once per connection, and returns its rows.
    ///
    /// **Errors**: PostgreSQL cancelled or failed it, or the connection broke.
    /// **Cancellation**: once counted it is sent, and PostgreSQL finishes it.
    pub(crate) async fn query(
        &self,
        sql: &'static str,
        parameters: &[&(dyn ToSql + Sync)],
    ) -> Result<Vec<Row>, DatabaseError> {
        let statement = self.client.prepare_cached(sql).await.map_err(statement_error)?;
        self.database.statements_sent.add_one();
        self.client.query(&statement, parameters).await.map_err(|error| {
            self.database.statements_failed.add_one();
            statement_error(error)
        })
    }

    /// As [`Connection::query`], for statements that return at most one row.
    pub(crate) async fn query_opt(
        &self,
        sql: &'static str,
        parameters: &[&(dyn ToSql + Sync)],
    ) -> Result<Option<Row>, DatabaseError> {
        Ok(self.query(sql, parameters).await?.into_iter().next())
    }

    /// As [`Connection::query`], for statements that always return a row: aggregates, and rows
    /// that a foreign key points to.
    pub(crate) async fn query_one(
        &self,
        sql: &'static str,
        parameters: &[&(dyn ToSql + Sync)],
    ) -> Result<Row, DatabaseError> {
        let row = self.query_opt(sql, parameters).await?;
        Ok(row.expect("an aggregate has a row, and what a foreign key points to exists"))
    }
}

fn statement_error(error: tokio_postgres::Error) -> DatabaseError {
    if error.code() == Some(&SqlState::QUERY_CANCELED) {
        DatabaseError::StatementTimeout
    } else {
        DatabaseError::Statement(error)
    }
}

/// Counts its caller as waiting until it is dropped or becomes an [`InUse`].
struct Pending<'a> {
    database: Option<&'a Database>,
    asked_at: Instant,
}

impl<'a> Pending<'a> {
    fn new(database: &'a Database) -> Self {
        let asked_at = Instant::now();
        database.lock_demand().asked(asked_at.into_std());
        Self { database: Some(database), asked_at }
    }

    fn into_in_use(mut self) -> InUse<'a> {
        let database = self.database.take().expect("only this and the drop take it");
        let now = Instant::now();
        let waited = now - self.asked_at;
        database.lock_demand().acquired(now.into_std(), waited);
        database.waits.record(waited);
        InUse(database)
    }
}

impl Drop for Pending<'_> {
    fn drop(&mut self) {
        if let Some(database) = self.database.take() {
            database.lock_demand().left(Instant::now().into_std());
        }
    }
}

/// Counts a connection as handed out until it is dropped.
#[derive(Debug)]
struct InUse<'a>(&'a Database);

impl Drop for InUse<'_> {
    fn drop(&mut self) {
        self.0.lock_demand().released(Instant::now().into_std());
    }
}
