//! What the processes of Redis are started with, the same on both backends.

use std::{net::SocketAddr, path::Path};

/// Settings of the next start: those of the topology, and what a fault asks for. In the server's
/// folder. Sentinel keeps its state there, and a server that is told its new role does so too.
pub const SETTINGS_FILE: &str = "redis.conf";
/// A snapshot, where a fault or a variant had one made. In the server's folder.
pub const SNAPSHOT_FILE: &str = "dump.rdb";
/// What a node of a cluster knows of the others. In the server's folder.
pub const NODES_FILE: &str = "nodes.conf";

/// Arguments of `redis-server`, whose folder is `folder`: loopback only, and no snapshot that
/// nobody asked for, so that a restart is an empty one. It counts how often each key is read, so
/// that a fault can tell the hottest; without a `maxmemory` the policy evicts nothing.
pub fn arguments(address: SocketAddr, folder: &Path) -> Vec<String> {
    let (host, port) = (address.ip().to_string(), address.port().to_string());
    let settings = folder.join(SETTINGS_FILE).display().to_string();
    [settings.as_str()]
        .into_iter()
        .chain(["--bind", &host])
        .chain(["--port", &port])
        .chain(["--protected-mode", "yes"])
        .chain(["--daemonize", "no"])
        .chain(["--save", ""])
        .chain(["--appendonly", "no"])
        .chain(["--maxmemory-policy", "allkeys-lfu"])
        .map(str::to_owned)
        .collect()
}

/// Arguments of a sentinel, whose folder is `folder`. All else is in its settings, which it writes
/// anew whenever it learns something.
pub fn sentinel_arguments(folder: &Path) -> Vec<String> {
    vec![folder.join(SETTINGS_FILE).display().to_string(), "--sentinel".to_owned()]
}
