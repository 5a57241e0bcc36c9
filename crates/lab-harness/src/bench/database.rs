//! The lab's own connections to PostgreSQL: watch backends and replication, count queries, audit
//! orders.
//!
//! They belong to a superuser, so they stay usable when `max_connections` is exhausted, and nothing
//! they do counts as the service's.

use std::{collections::HashSet, sync::Arc, time::Duration};

use anyhow::{Context, Result, bail};
use futures_util::future::try_join_all;
use lab_core::artifact::raw::{BackendGroup, ReplicationLag};
use tokio_postgres::{Client, NoTls};

/// The role whose statements are the service's.
pub(crate) const TARGET_ROLE: &str = "storefront";

/// A connection as superuser to each server of the database under test.
#[derive(Debug, Clone)]
pub(crate) struct Admin {
    /// The one that accepts writes.
    primary: Arc<Client>,
    /// The one that answers reads beside it, if any.
    replica: Option<Arc<Client>>,
}

impl Admin {
    /// Connects to the primary at `url`. **Errors**: the server refuses.
    pub(crate) async fn connect(url: &str) -> Result<Self> {
        Ok(Self { primary: connect(url).await?, replica: None })
    }

    /// The same with a replica at `url`; `None`: there is none. **Errors**: the replica refuses.
    pub(crate) async fn beside(&self, url: Option<String>) -> Result<Self> {
        let replica = match url {
            Some(url) => Some(connect(&url).await?),
            None => None,
        };
        Ok(Self { primary: Arc::clone(&self.primary), replica })
    }

    /// The service's backends by state and wait event, the primary's first.
    pub(crate) async fn backends(&self) -> Result<Vec<BackendGroup>> {
        Ok(try_join_all(self.servers().map(backends)).await?.concat())
    }

    /// How far the replica is behind; `None` without one, or while it is not connected.
    pub(crate) async fn replication_lag(&self) -> Result<Option<ReplicationLag>> {
        if self.replica.is_none() {
            return Ok(None);
        }
        let sql = "select pg_wal_lsn_diff(pg_current_wal_lsn(), replay_lsn)::bigint, \
                   (extract(epoch from replay_lag) * 1000000)::bigint \
                   from pg_stat_replication where replay_lsn is not null";
        let row = self.primary.query_opt(sql, &[]).await.context("read pg_stat_replication")?;
        let lag = |row: tokio_postgres::Row| ReplicationLag {
            bytes: whole(row.get(0)),
            replay_us: row.get::<_, Option<i64>>(1).map(whole),
        };
        Ok(row.map(lag))
    }

    /// Starts the counts of statements anew, with the dirty pages of what came before on disk.
    pub(crate) async fn start_counting(&self) -> Result<()> {
        for server in self.servers() {
            server
                .batch_execute("checkpoint; select pg_stat_statements_reset()")
                .await
                .context("checkpoint and reset pg_stat_statements")?;
        }
        Ok(())
    }

    /// Statements counted for the service's role since [`Self::start_counting`], on all servers.
    pub(crate) async fn n_queries(&self) -> Result<u64> {
        Ok(try_join_all(self.servers().map(n_queries)).await?.into_iter().sum())
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
            .primary
            .query("select idempotency_key from orders", &[])
            .await
            .context("read the orders")?;
        let stored: HashSet<&str> = rows.iter().map(|row| row.get(0)).collect();
        Ok(acknowledged.iter().filter(|key| !stored.contains(key.as_str())).count() as u64)
    }

    /// Views that reached the database.
    pub(crate) async fn n_views(&self) -> Result<u64> {
        let sql = "select coalesce(sum(n_views), 0)::bigint from product_views";
        let row = self.primary.query_one(sql, &[]).await.context("count the views")?;
        Ok(whole(row.get(0)))
    }

    fn servers(&self) -> impl Iterator<Item = &Arc<Client>> {
        std::iter::once(&self.primary).chain(&self.replica)
    }
}

async fn connect(url: &str) -> Result<Arc<Client>> {
    let (client, connection) =
        tokio_postgres::connect(url, NoTls).await.context("connect to PostgreSQL")?;
    // Ends with the client; what went wrong shows in the client's own calls.
    tokio::spawn(connection);
    Ok(Arc::new(client))
}

async fn backends(server: &Arc<Client>) -> Result<Vec<BackendGroup>> {
    let sql = "select coalesce(state, ''), wait_event_type, wait_event, count(*) \
               from pg_stat_activity where usename = $1 group by 1, 2, 3 order by 1, 2, 3";
    let rows = server.query(sql, &[&TARGET_ROLE]).await.context("read pg_stat_activity")?;
    let group = |row: &tokio_postgres::Row| BackendGroup {
        state: row.get(0),
        wait_event_type: row.get(1),
        wait_event: row.get(2),
        n: u32::try_from(row.get::<_, i64>(3)).unwrap_or(u32::MAX),
    };
    Ok(rows.iter().map(group).collect())
}

async fn n_queries(server: &Arc<Client>) -> Result<u64> {
    let sql = "select coalesce(sum(calls), 0)::bigint from pg_stat_statements s \
               join pg_roles r on r.oid = s.userid where r.rolname = $1";
    let row = server.query_one(sql, &[&TARGET_ROLE]).await.context("count statements")?;
    Ok(whole(row.get(0)))
}

/// What PostgreSQL counts in signed numbers and is never below 0, but for a moment between two
/// readings.
fn whole(n: i64) -> u64 {
    u64::try_from(n).unwrap_or(0)
}
