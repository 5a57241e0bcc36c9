//! Three primaries that share the slots in equal parts, and a replica of each.

use std::{net::SocketAddr, ops::RangeInclusive};

use lab_core::{
    clock::MonotonicNs,
    scenario::{Topology, TopologySettings},
};

use super::{
    RedisGroup, Server,
    client::{check_field, send},
    sentinel::{REPLICATION, is_in_sync},
    start_all, until_healthy,
};
use crate::stack::error::StackError;

/// Primaries; as many replicas follow.
const N_PRIMARIES: usize = 3;
/// Slots of every Redis Cluster.
const N_SLOTS: usize = 16_384;

pub(super) async fn restart_cold(
    group: &RedisGroup,
    settings: TopologySettings,
) -> Result<MonotonicNs, StackError> {
    let servers = &group.servers[..];
    for (server, bus_port) in servers.iter().zip(&group.bus_ports) {
        server.forget(&node_settings(*bus_port, settings)).await?;
    }
    start_all(servers).await?;
    introduce(servers, &group.bus_ports).await?;
    let (primaries, replicas) = servers.split_at(N_PRIMARIES);
    for (replica, primary) in replicas.iter().zip(primaries) {
        let id: String = send(primary.address(), &["CLUSTER", "MYID"]).await?;
        let () = send(replica.address(), &["CLUSTER", "REPLICATE", &id]).await?;
    }
    for replica in replicas {
        until_healthy(Topology::Cluster, || is_in_sync(replica.address())).await?;
    }
    for server in servers {
        until_healthy(Topology::Cluster, || is_whole(server.address())).await?;
    }
    Ok(MonotonicNs::now())
}

/// The second port is one of the lab's: the usual one, 10,000 above the first, is not.
fn node_settings(bus_port: u16, settings: TopologySettings) -> String {
    let node_timeout_ms = settings.node_timeout().as_millis();
    format!(
        "{REPLICATION}cluster-enabled yes
cluster-port {bus_port}
cluster-node-timeout {node_timeout_ms}
cluster-announce-ip 127.0.0.1
"
    )
}

/// Gives out the slots and has every node meet every other, until each knows all.
async fn introduce(servers: &[Server], bus_ports: &[u16]) -> Result<(), StackError> {
    for (at, server) in servers.iter().enumerate() {
        let epoch = (at + 1).to_string();
        let () = send(server.address(), &["CLUSTER", "SET-CONFIG-EPOCH", &epoch]).await?;
        if at < N_PRIMARIES {
            let slots = slots_of(at);
            let (first, last) = (slots.start().to_string(), slots.end().to_string());
            let words = ["CLUSTER", "ADDSLOTSRANGE", &first, &last];
            let () = send(server.address(), &words).await?;
        }
    }
    for (at, server) in servers.iter().enumerate() {
        for (other, bus_port) in servers.iter().zip(bus_ports).skip(at + 1) {
            let (host, port) = (other.address().ip().to_string(), other.address().port());
            let (port, bus_port) = (port.to_string(), bus_port.to_string());
            let words = ["CLUSTER", "MEET", &host, &port, &bus_port];
            let () = send(server.address(), &words).await?;
        }
    }
    for server in servers {
        until_healthy(Topology::Cluster, || knows_all(server.address(), servers.len())).await?;
    }
    Ok(())
}

/// The slots of the primary with number `at`, from 0.
fn slots_of(at: usize) -> RangeInclusive<usize> {
    at * N_SLOTS / N_PRIMARIES..=(at + 1) * N_SLOTS / N_PRIMARIES - 1
}

/// **Errors**: the node has not shaken hands with all others yet.
async fn knows_all(node: SocketAddr, n: usize) -> Result<(), String> {
    let told = send::<String>(node, &["CLUSTER", "NODES"]).await;
    let told = told.map_err(|error| error.to_string())?;
    let n_known = told.lines().filter(|it| !it.contains("handshake")).count();
    if n_known == n { Ok(()) } else { Err(format!("{n_known} of {n} nodes are known")) }
}

/// **Errors**: as this node sees it, a slot has no owner, or the cluster does not serve yet.
async fn is_whole(node: SocketAddr) -> Result<(), String> {
    let told = send::<String>(node, &["CLUSTER", "INFO"]).await;
    let told = told.map_err(|error| error.to_string())?;
    check_field(&told, "cluster_state", "ok")?;
    check_field(&told, "cluster_slots_ok", &N_SLOTS.to_string())
}

/// Has a replica of the subject ask it for its slots.
pub(super) async fn hand_over(group: &RedisGroup) -> Result<MonotonicNs, StackError> {
    let subject = group.subject().address();
    let id: String = send(subject, &["CLUSTER", "MYID"]).await?;
    let replicas: Vec<String> = send(subject, &["CLUSTER", "REPLICAS", &id]).await?;
    let addresses = group.servers.iter().map(Server::address);
    let replica = addresses.into_iter().find(|it| {
        // The second word of such a line is the address, with the second port behind an `@`.
        let at = format!(" {it}@");
        replicas.iter().any(|line| line.contains(&at))
    });
    let saw = || format!("{subject} has no replica: {}", replicas.join("; "));
    let replica = replica.ok_or_else(|| StackError::NoPrimary { saw: saw() })?;
    let () = send(replica, &["CLUSTER", "FAILOVER"]).await?;
    Ok(MonotonicNs::now())
}

#[cfg(test)]
mod tests {
    use super::*;

    // Worked by hand: 16,384 / 3 is 5,461.3.
    #[test]
    fn every_slot_has_one_primary() {
        let slots: Vec<_> = (0..N_PRIMARIES).map(slots_of).collect();
        assert_eq!(slots, [0..=5_460, 5_461..=10_921, 10_922..=16_383]);
    }
}
