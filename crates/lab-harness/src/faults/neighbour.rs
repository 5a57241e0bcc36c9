//! Somebody else who uses the same PostgreSQL: connections of a role that is not the service's.

use tokio_postgres::{Client, NoTls};

use super::{Background, FaultError, PROBE_PATIENCE};
use crate::stack::{
    Stack,
    postgres::NEIGHBOUR,
    probe::{Seen, ping},
};

/// A second of a processor's time. The next one follows when it ends, so that a neighbour whose
/// task is gone is gone from PostgreSQL a second later.
const BUSY_SECOND: &str = "DO $$ BEGIN \
    WHILE clock_timestamp() < statement_timestamp() + interval '1 second' LOOP END LOOP; \
    END $$";

/// A connection that stays. Dropping it closes it.
#[derive(Debug)]
pub(super) struct Neighbour {
    client: Client,
}

impl Neighbour {
    /// Connects as the service does, as a role of its own. **Errors**: PostgreSQL refuses.
    pub(super) async fn connect(stack: &Stack) -> Result<Self, FaultError> {
        let (client, connection) = tokio_postgres::connect(&stack.neighbour_url(), NoTls).await?;
        // Ends with the client; what went wrong shows in the client's own calls.
        tokio::spawn(connection);
        Ok(Self { client })
    }

    /// Has it work without a pause.
    pub(super) fn work(self) -> Busy {
        Background(tokio::spawn(async move {
            loop {
                self.client.batch_execute(BUSY_SECOND).await?;
            }
        }))
    }
}

/// A neighbour at work. Dropping it ends its work with the statement that runs.
pub(super) type Busy = Background<Result<(), tokio_postgres::Error>>;

/// Looks at the neighbours, on a connection of the lab's that was there before them: a new one would
/// have to wait for a place on the processor.
#[derive(Debug)]
pub(super) struct Witness {
    client: Client,
}

impl Witness {
    /// **Errors**: PostgreSQL refuses.
    pub(super) async fn connect(stack: &Stack) -> Result<Self, FaultError> {
        let (client, connection) = tokio_postgres::connect(&stack.admin_url(), NoTls).await?;
        // As above.
        tokio::spawn(connection);
        Ok(Self { client })
    }

    /// PostgreSQL's `max_connections`. **Errors**: it does not tell it.
    pub(super) async fn max_connections(&self) -> Result<usize, FaultError> {
        let shown = self.client.query_one("SHOW max_connections", &[]).await?;
        Ok(shown.try_get::<_, String>(0)?.parse().unwrap_or(0))
    }

    /// What a new client of Redis meets, and how many connections PostgreSQL itself says the
    /// neighbours have, or only those `at_work`.
    pub(super) async fn look(&self, stack: &Stack, at_work: bool) -> Seen {
        let sql = "SELECT count(*) FROM pg_stat_activity \
                   WHERE usename = $1 AND (state = 'active' OR NOT $2)";
        let counted = self.client.query_one(sql, &[&NEIGHBOUR, &at_work]).await;
        match counted.and_then(|row| row.try_get::<_, i64>(0)) {
            Ok(n) => {
                let redis = ping(stack.redis_addr(), PROBE_PATIENCE).await;
                redis.with_neighbours(usize::try_from(n).unwrap_or(0))
            }
            Err(error) => Seen::Other(error.to_string()),
        }
    }
}
