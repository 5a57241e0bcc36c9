//! Sessions in a table of the database.

use std::{sync::Arc, time::Duration};

use super::Database;
use crate::{error::DatabaseError, request::RequestContext};

const OPEN_SESSION: &str = "
INSERT INTO sessions (token, user_id, expires_at)
VALUES ($1, $2, now() + $3 * interval '1 second')";

const SESSION_USER: &str = "SELECT user_id FROM sessions WHERE token = $1 AND now() < expires_at";

impl Database {
    /// Keeps a session for `ttl`. When this returns, it is durable.
    pub(crate) async fn open_session(
        self: &Arc<Self>,
        context: RequestContext,
        token: &str,
        user: u32,
        ttl: Duration,
    ) -> Result<(), DatabaseError> {
        let connection = self.acquire(context).await?;
        let parameters: [&(dyn tokio_postgres::types::ToSql + Sync); 3] =
            [&token, &i64::from(user), &ttl.as_secs_f64()];
        connection.query(OPEN_SESSION, &parameters).await.map(drop)
    }

    /// The user of a session, or `None` when there is none, or it has expired.
    pub(crate) async fn session_user(
        self: &Arc<Self>,
        context: RequestContext,
        token: &str,
    ) -> Result<Option<u32>, DatabaseError> {
        let row = self.acquire(context).await?.query_opt(SESSION_USER, &[&token]).await?;
        Ok(row.and_then(|it| u32::try_from(it.get::<_, i64>(0)).ok()))
    }
}
