//! How a client finds the primary: it asks the sentinels, or any node; and the proof that it is one:
//! it accepts a write.

use std::{net::SocketAddr, time::Duration};

use lab_core::scenario::Topology;

use crate::stack::probe::{Seen, ask, ask_strings};

/// The name under which the sentinels watch the primary.
pub const MASTER: &str = "redis";

/// A key of the lab's own, gone a second after it was written. Its slot is that of the storefront's
/// view counters, so that of a cluster's primaries it is theirs that is looked at.
pub const PROBE_KEY: &str = "outage-lab:probe{views}";

/// Whom a client asks.
#[derive(Debug, Clone)]
pub struct Discovery {
    pub(super) topology: Topology,
    pub(super) servers: Vec<SocketAddr>,
    pub(super) sentinels: Vec<SocketAddr>,
}

impl Discovery {
    /// The primary that a client finds and that accepts a write; never `except`, which is not even
    /// asked. Each server may take `patience` for its connection and its answer.
    ///
    /// **Errors**: there is none; what was seen last.
    pub async fn writable_primary(
        &self,
        except: Option<SocketAddr>,
        patience: Duration,
    ) -> Result<SocketAddr, String> {
        let mut saw = "nobody to ask".to_owned();
        for candidate in self.candidates(patience).await? {
            if Some(candidate) == except {
                saw = format!("the primary is still {candidate}");
                continue;
            }
            match write(candidate, patience).await {
                Seen::Replied(reply) if reply == "+OK" => return Ok(candidate),
                seen => saw = format!("{candidate}: {seen}"),
            }
        }
        Err(saw)
    }

    /// Servers that may be the primary: those that sentinels name, or all.
    async fn candidates(&self, patience: Duration) -> Result<Vec<SocketAddr>, String> {
        if self.topology != Topology::Sentinel {
            return Ok(self.servers.clone());
        }
        let mut named = Vec::new();
        let mut saw = String::new();
        for sentinel in &self.sentinels {
            match named_by(*sentinel, patience).await {
                Ok(address) if named.contains(&address) => {}
                Ok(address) => named.push(address),
                Err(seen) => saw = format!("sentinel {sentinel}: {seen}"),
            }
        }
        if named.is_empty() { Err(saw) } else { Ok(named) }
    }
}

/// What a new client meets at `address` that writes the key of the lab's own.
pub async fn write(address: SocketAddr, patience: Duration) -> Seen {
    ask(address, &["SET", PROBE_KEY, "1", "PX", "1000"], patience).await
}

/// The primary that `sentinel` names. **Errors**: what was seen instead.
pub async fn named_by(sentinel: SocketAddr, patience: Duration) -> Result<SocketAddr, Seen> {
    let question = ["SENTINEL", "GET-MASTER-ADDR-BY-NAME", MASTER];
    let answer = ask_strings(sentinel, &question, patience).await?;
    let address = match &answer[..] {
        [host, port] => format!("{host}:{port}").parse().ok(),
        _ => None,
    };
    address.ok_or_else(|| Seen::Other(format!("named `{}`", answer.join(" "))))
}
