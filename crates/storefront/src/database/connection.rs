//! One connection of the pool while a request holds it, and every statement that is sent over it.

use std::{
    sync::atomic::{AtomicBool, Ordering::Relaxed},
    time::Duration,
};

use deadpool_postgres::Object;
use lab_core::settings::Mode;
use lab_mitigation::deadline::DeadlineError;
use tokio::{runtime::Handle, time::timeout};
use tokio_postgres::{NoTls, Row, error::SqlState, types::ToSql};

use super::InUse;
use crate::{error::DatabaseError, request::RequestContext};

/// Longest wait for a cancelled statement to end, after which its connection is given up.
const CANCEL_TIMEOUT: Duration = Duration::from_secs(2);

/// A connection of the pool, for as long as it is held.
///
/// **Cancellation**: a statement that was sent and whose caller has left runs on, and the next
/// caller with this connection waits for it. Where deadlines are enforced it is cancelled instead:
/// PostgreSQL is asked to end it, and the connection goes back to the pool once it has.
#[derive(Debug)]
pub(crate) struct Connection {
    /// `None` only while it is dropped.
    client: Option<Object>,
    in_use: Option<InUse>,
    context: RequestContext,
    /// Whether a statement was sent that has not been answered.
    in_flight: AtomicBool,
}

impl Connection {
    pub(super) fn new(client: Object, in_use: InUse, context: RequestContext) -> Self {
        let in_flight = AtomicBool::new(false);
        Self { client: Some(client), in_use: Some(in_use), context, in_flight }
    }

    /// Sends one statement, prepared once per connection, and returns its rows.
    ///
    /// **Errors**: PostgreSQL cancelled or failed it, the connection broke, or the request's time
    /// is up.
    pub(super) async fn query(
        &self,
        sql: &'static str,
        parameters: &[&(dyn ToSql + Sync)],
    ) -> Result<Vec<Row>, DatabaseError> {
        let deadlines = &self.in_use().0.deadlines;
        let sent = deadlines.within(self.context.deadline, None, self.send(sql, parameters)).await;
        match sent {
            Ok(rows) => rows,
            Err(DeadlineError::Exceeded(exceeded)) => Err(exceeded.into()),
            // It has no timeout of its own.
            Err(DeadlineError::TimedOut(_)) => Err(DatabaseError::StatementTimeout),
        }
    }

    async fn send(
        &self,
        sql: &'static str,
        parameters: &[&(dyn ToSql + Sync)],
    ) -> Result<Vec<Row>, DatabaseError> {
        let client = self.client.as_ref().expect("it is taken only when this is dropped");
        let statement = client.prepare_cached(sql).await.map_err(statement_error)?;
        let database = &self.in_use().0;
        database.statements_sent.add_one();
        self.in_flight.store(true, Relaxed);
        let rows = client.query(&statement, parameters).await;
        self.in_flight.store(false, Relaxed);
        rows.map_err(|error| {
            database.statements_failed.add_one();
            statement_error(error)
        })
    }

    /// As [`Connection::query`], for statements that return at most one row.
    pub(super) async fn query_opt(
        &self,
        sql: &'static str,
        parameters: &[&(dyn ToSql + Sync)],
    ) -> Result<Option<Row>, DatabaseError> {
        Ok(self.query(sql, parameters).await?.into_iter().next())
    }

    /// As [`Connection::query`], for statements that always return a row: aggregates, and rows
    /// that a foreign key points to.
    pub(super) async fn query_one(
        &self,
        sql: &'static str,
        parameters: &[&(dyn ToSql + Sync)],
    ) -> Result<Row, DatabaseError> {
        let row = self.query_opt(sql, parameters).await?;
        Ok(row.expect("an aggregate has a row, and what a foreign key points to exists"))
    }

    fn in_use(&self) -> &InUse {
        self.in_use.as_ref().expect("it is taken only when this is dropped")
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        let (Some(client), Some(in_use)) = (self.client.take(), self.in_use.take()) else { return };
        let is_abandoned = self.in_flight.load(Relaxed);
        let runtime = Handle::try_current().ok();
        if let Some(runtime) = runtime
            && is_abandoned
            && in_use.0.deadlines.mode() == Mode::Enforce
        {
            in_use.0.statements_cancelled.add_one();
            runtime.spawn(cancel(client, in_use));
        }
    }
}

/// Has PostgreSQL end the statement that runs on `client`, and only then gives it back: a cancel
/// that comes late would hit the statement of the next caller.
async fn cancel(client: Object, in_use: InUse) {
    let ended = timeout(CANCEL_TIMEOUT, async {
        // Who cannot be asked to end it lets it run on.
        client.cancel_token().cancel_query(NoTls).await.ok();
        // Answered after the cancelled statement, so then nothing runs. PostgreSQL does not count
        // an empty statement.
        client.simple_query("").await.ok();
    });
    if ended.await.is_err() {
        // Its state is unknown: it is closed and not given back.
        drop(Object::take(client));
    } else {
        drop(client);
    }
    // A cancelled statement is not in PostgreSQL's counts. One that ended just before is: the two
    // counts can differ by as many as were cancelled too late.
    in_use.0.statements_failed.add_one();
    drop(in_use);
}

fn statement_error(error: tokio_postgres::Error) -> DatabaseError {
    if error.code() == Some(&SqlState::QUERY_CANCELED) {
        DatabaseError::StatementTimeout
    } else {
        DatabaseError::Statement(error)
    }
}
