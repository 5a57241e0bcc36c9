//! The lab's own connection to PostgreSQL: watches backends, counts queries, audits orders.
//!
//! It belongs to a superuser, so it stays usable when `max_connections` is exhausted, and nothing
//! it does counts as the service's.

use std::{collections::HashSet, sync::Arc, time::Duration};

use anyhow::{Context, Result, bail};
use lab_core::artifact::raw::BackendGroup;
use tokio_postgres::{Client, NoTls};

/// The role whose statements are the service's.
pub(crate) const TARGET_ROLE: &str = "storefront";

/// A connection to the database under test as superuser.
#[derive(Debug, Clone)]
pub(crate) struct Admin {
    client: Arc<Client>,
}

impl Admin {
    /// Connects to `url`. **Errors**: the server refuses.
    pub(crate) async fn connect(url: &str) -> Result<Self> {
        let (client, connection) =
            tokio_postgres::connect(url, NoTls).await.context("connect to PostgreSQL")?;
        // Ends with the client; what went wrong shows in the client's own calls.
        tokio::spawn(connection);
        Ok(Self { client: Arc::new(client) })
    }

    /// The service's backends by state and wait event.
    pub(crate) async fn backends(&self) -> Result<Vec<BackendGroup>> {
        let sql = "select coalesce(state, ''), wait_event_type, wait_event, count(*) \
                   from pg_stat_activity where usename = $1 group by 1, 2, 3 order by 1, 2, 3";
        let rows =
            self.client.query(sql, &[&TARGET_ROLE]).await.context("read pg_stat_activity")?;
        let group = |row: &tokio_postgres::Row| BackendGroup {
            state: row.get(0),
            wait_event_type: row.get(1),
            wait_event: row.get(2),
            n: u32::try_from(row.get::<_, i64>(3)).unwrap_or(u32::MAX),
        };
        Ok(rows.iter().map(group).collect())
    }

    /// Starts the counts of statements anew, with the dirty pages of what came before on disk.
    pub(crate) async fn start_counting(&self) -> Result<()> {
        self.client
            .batch_execute("checkpoint; select pg_stat_statements_reset()")
            .await
            .context("checkpoint and reset pg_stat_statements")
    }

    /// Statements counted for the service's role since [`Self::start_counting`].
    pub(crate) async fn n_queries(&self) -> Result<u64> {
        let sql = "select coalesce(sum(calls), 0)::bigint from pg_stat_statements s \
                   join pg_roles r on r.oid = s.userid where r.rolname = $1";
        let row = self.client.query_one(sql, &[&TARGET_ROLE]).await.context("count statements")?;
        Ok(u64::try_from(row.get::<_, i64>(0)).unwrap_or(0))
    }

    /// Waits until no backend of the service works any more. **Errors**: still busy after `most`.
    pub(crate) async fn wait_until_quiet(&self, most: Duration) -> Result<()> {
        let quiet = async {
            loop {
                let busy = self.backends().await?.iter().any(|it| it.state == "active");
                if !busy {
                    return Ok(());
                }
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        match tokio::time::timeout(most, quiet).await {
            Ok(result) => result,
            Err(_) => bail!("the database is still busy after {most:?}"),
        }
    }

    /// How many of `acknowledged` idempotency keys are not in the database.
    pub(crate) async fn n_orders_missing(&self, acknowledged: &[String]) -> Result<u64> {
        let rows = self
            .client
            .query("select idempotency_key from orders", &[])
            .await
            .context("read the orders")?;
        let stored: HashSet<&str> = rows.iter().map(|row| row.get(0)).collect();
        Ok(acknowledged.iter().filter(|key| !stored.contains(key.as_str())).count() as u64)
    }

    /// Views that reached the database.
    pub(crate) async fn n_views(&self) -> Result<u64> {
        let sql = "select coalesce(sum(n_views), 0)::bigint from product_views";
        let row = self.client.query_one(sql, &[]).await.context("count the views")?;
        Ok(u64::try_from(row.get::<_, i64>(0)).unwrap_or(0))
    }
}
