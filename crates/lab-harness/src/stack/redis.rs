//! What Redis is started with, the same on both backends.

use std::net::SocketAddr;

/// Arguments of `redis-server`: loopback only, nothing on disk, so that a restart is an empty one.
pub fn arguments(address: SocketAddr) -> Vec<String> {
    let (host, port) = (address.ip().to_string(), address.port().to_string());
    [
        ["--bind", &host],
        ["--port", &port],
        ["--protected-mode", "yes"],
        ["--daemonize", "no"],
        ["--save", ""],
        ["--appendonly", "no"],
    ]
    .into_iter()
    .flatten()
    .map(str::to_owned)
    .collect()
}
