//! Watches for another primary while a fault is on: when the *servers* are back. When the service
//! is back is seen by its users, and another figure.

use std::{net::SocketAddr, time::Duration};

use lab_core::clock::MonotonicNs;
use tokio::{sync::watch, time::sleep};

use super::Background;
use crate::stack::{RedisGroup, redis_group::discovery::Discovery};

/// Time between two looks, and so how exact the time is. A failover takes a second or more; each
/// look costs a few connections.
const LOOK_INTERVAL: Duration = Duration::from_millis(20);
/// How long one look waits for each server.
const PATIENCE: Duration = Duration::from_millis(100);

/// Another primary.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Takeover {
    /// Where it is.
    pub primary: SocketAddr,
    /// When it accepted a write.
    pub at: MonotonicNs,
}

/// Looks for another primary until there is one.
#[derive(Debug)]
pub(super) struct TakeoverWatch {
    seen: watch::Receiver<Option<Takeover>>,
    _looking: Background<()>,
}

impl TakeoverWatch {
    /// Begins to look for a primary that is not the subject of the fault.
    pub(super) fn begin(group: &RedisGroup) -> Self {
        let (tell, seen) = watch::channel(None);
        let looking = look(group.discovery(), group.subject().address(), tell);
        Self { seen, _looking: Background(tokio::spawn(looking)) }
    }

    /// The first other primary that accepted a write.
    pub(super) fn seen(&self) -> Option<Takeover> {
        *self.seen.borrow()
    }
}

async fn look(discovery: Discovery, subject: SocketAddr, tell: watch::Sender<Option<Takeover>>) {
    loop {
        if let Ok(primary) = discovery.writable_primary(Some(subject), PATIENCE).await {
            tell.send_replace(Some(Takeover { primary, at: MonotonicNs::now() }));
            return;
        }
        sleep(LOOK_INTERVAL).await;
    }
}
