//! A replica of PostgreSQL beside its primary, and the proof that it follows.
//!
//! The replica is a copy of the primary's data folder that repeats the primary's log as it comes. It
//! is asked itself what it has repeated; that it is connected, the primary is asked.

use std::net::SocketAddr;

use lab_core::scenario::Topology;

use super::{
    error::StackError,
    health::until_healthy,
    postgres::{TARGET, ask},
};

/// The database that every server has.
const ANY_DATABASE: &str = "postgres";
/// What makes a server read tables ahead.
const WARMER: &str = "CREATE EXTENSION IF NOT EXISTS pg_prewarm";
/// Reads all tables and indexes into the server's own memory, where they fit.
const WARM_ALL: &str =
    "SELECT sum(pg_prewarm(oid::regclass))::text FROM pg_class WHERE relkind IN ('r', 'i', 't')";

/// Gives `primary` what its replicas need to have. **Errors**: it refuses.
pub(super) async fn prepare(primary: SocketAddr) -> Result<(), StackError> {
    tell(primary, WARMER).await
}

/// Reads the service's data into the memory of `replica`, where a primary that has worked for a while
/// has them. **Errors**: it refuses.
pub(super) async fn warm(replica: SocketAddr) -> Result<(), StackError> {
    tell(replica, WARM_ALL).await
}

async fn tell(server: SocketAddr, sql: &str) -> Result<(), StackError> {
    let refused = |reason| StackError::SetUp { statement: sql.to_owned(), reason };
    ask(server, TARGET, sql).await.map(drop).map_err(refused)
}

/// Waits until `replica` follows `primary` and has repeated all that the primary had written when
/// this was called. **Errors**: it has not, for 30 s; with what was seen.
pub(super) async fn until_replayed(
    primary: SocketAddr,
    replica: SocketAddr,
) -> Result<(), StackError> {
    let sql = "SELECT pg_current_wal_lsn()::text";
    let refused = |reason| StackError::SetUp { statement: sql.to_owned(), reason };
    let written = ask(primary, ANY_DATABASE, sql).await.map_err(refused)?.unwrap_or_default();
    until_healthy(Topology::Replica, || has_replayed(primary, replica, &written)).await
}

/// **Errors**: the replica is none, is not connected, or has not repeated the log up to `written`.
async fn has_replayed(
    primary: SocketAddr,
    replica: SocketAddr,
    written: &str,
) -> Result<(), String> {
    let sql = "SELECT string_agg(state, ', ') FROM pg_stat_replication";
    let state = ask(primary, ANY_DATABASE, sql).await?.unwrap_or_else(|| "no replica".into());
    if state != "streaming" {
        return Err(format!("the primary says: {state}"));
    }
    let sql = "SELECT pg_is_in_recovery()::text";
    let in_recovery = ask(replica, ANY_DATABASE, sql).await?;
    if in_recovery.as_deref() != Some("true") {
        return Err("the replica takes itself for a primary".to_owned());
    }
    let sql = format!("SELECT (pg_last_wal_replay_lsn() >= '{written}'::pg_lsn)::text");
    match ask(replica, ANY_DATABASE, &sql).await?.as_deref() {
        Some("true") => Ok(()),
        _ => Err(format!("the replica has not replayed up to {written}")),
    }
}
