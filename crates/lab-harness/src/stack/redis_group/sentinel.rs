//! A primary, its replica, and three sentinels that find both and each other by themselves.

use std::{collections::HashMap, net::SocketAddr};

use lab_core::{
    clock::MonotonicNs,
    scenario::{Topology, TopologySettings},
};

use super::{
    RedisGroup, Server,
    client::{check_field, send},
    discovery::MASTER,
    start_all, until_healthy,
};
use crate::stack::error::StackError;

/// Sentinels that must agree that the primary is gone: two of three.
const QUORUM: u32 = 2;

/// A replica is filled over its connection and at once, not through a file and after the 5 s for
/// which a primary usually waits for more replicas.
pub(super) const REPLICATION: &str = "\
repl-diskless-sync yes
repl-diskless-sync-delay 0
repl-diskless-load on-empty-db
replica-announce-ip 127.0.0.1
";

pub(super) async fn restart_cold(
    group: &RedisGroup,
    settings: TopologySettings,
) -> Result<MonotonicNs, StackError> {
    let [primary, replica] = &group.servers[..] else { unreachable!("two were prepared") };
    let (host, port) = (primary.address().ip(), primary.address().port());
    // Sentinels that still run would call the end of the primary a death.
    for sentinel in &group.sentinels {
        sentinel
            .forget(&sentinel_settings(sentinel.address(), primary.address(), settings))
            .await?;
    }
    primary.forget(REPLICATION).await?;
    replica.forget(&format!("{REPLICATION}replicaof {host} {port}\n")).await?;
    start_all(&group.servers).await?;
    until_healthy(Topology::Sentinel, || is_in_sync(replica.address())).await?;
    // Only now: a sentinel that meets a primary without its replica looks again after 10 s.
    start_all(&group.sentinels).await?;
    for sentinel in &group.sentinels {
        until_healthy(Topology::Sentinel, || knows_all(sentinel.address())).await?;
    }
    Ok(MonotonicNs::now())
}

fn sentinel_settings(own: SocketAddr, primary: SocketAddr, settings: TopologySettings) -> String {
    let (host, port) = (own.ip(), own.port());
    let (primary_host, primary_port) = (primary.ip(), primary.port());
    let down_after_ms = settings.down_after().as_millis();
    format!(
        "bind {host}
port {port}
protected-mode yes
daemonize no
sentinel announce-ip {host}
sentinel announce-port {port}
sentinel monitor {MASTER} {primary_host} {primary_port} {QUORUM}
sentinel down-after-milliseconds {MASTER} {down_after_ms}
"
    )
}

/// **Errors**: the replica has not got all of the primary's data yet.
pub(super) async fn is_in_sync(replica: SocketAddr) -> Result<(), String> {
    let told = send::<String>(replica, &["INFO", "replication"]).await;
    check_field(&told.map_err(|error| error.to_string())?, "master_link_status", "up")
}

/// **Errors**: the sentinel does not know yet the two other ones, or a replica to fail over to.
async fn knows_all(sentinel: SocketAddr) -> Result<(), String> {
    let facts = |words: [&'static str; 3]| async move {
        let told: Vec<HashMap<String, String>> =
            send(sentinel, &words).await.map_err(|error| error.to_string())?;
        Ok::<_, String>(told)
    };
    let check = |facts: &HashMap<String, String>, key: &str, wanted: &str| {
        let got = facts.get(key).map_or("not told", String::as_str);
        if got == wanted { Ok(()) } else { Err(format!("{key} is {got}, not {wanted}")) }
    };
    let others = facts(["SENTINEL", "SENTINELS", MASTER]).await?;
    if others.len() != 2 {
        return Err(format!("{} other sentinels are known, not 2", others.len()));
    }
    others.iter().try_for_each(|it| check(it, "flags", "sentinel"))?;
    let replicas = facts(["SENTINEL", "REPLICAS", MASTER]).await?;
    let [replica] = &replicas[..] else {
        return Err(format!("{} replicas are known, not 1", replicas.len()));
    };
    check(replica, "flags", "slave")?;
    check(replica, "master-link-status", "ok")
}

/// Has `sentinel` make the replica the primary, as if the primary were gone.
pub(super) async fn hand_over(sentinel: &Server) -> Result<MonotonicNs, StackError> {
    let () = send(sentinel.address(), &["SENTINEL", "FAILOVER", MASTER]).await?;
    Ok(MonotonicNs::now())
}
