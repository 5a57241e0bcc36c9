//! Takes connections and hands each to its link.

use std::{io, net::SocketAddr, sync::Arc, time::Duration};

use nix::sys::socket::{Backlog, listen};
use tokio::{
    net::{TcpListener, TcpSocket, TcpStream},
    sync::watch,
    task::{JoinHandle, JoinSet},
    time::{sleep, timeout},
};

use super::{Condition, link};
use crate::machine::ports;

/// Connections that the kernel completes ahead of the proxy.
const BACKLOG: u32 = 1_024;
/// Most connections of its own with which the proxy fills a queue of one place.
const FILLERS: usize = 4;
/// A connection over loopback that has not come about by then does not come about.
const FULL_AFTER: Duration = Duration::from_millis(50);

/// Pause after a connection that could not be taken.
const TAKE_AGAIN_AFTER: Duration = Duration::from_millis(10);

/// The proxy cannot listen.
#[derive(Debug, thiserror::Error)]
pub enum ProxyError {
    /// No port is free.
    #[error(transparent)]
    Ports(#[from] ports::NoFreePort),
    /// The port cannot be used.
    #[error("the proxy cannot listen at {address}: {source}")]
    Listen {
        /// Where.
        address: SocketAddr,
        /// Why.
        source: io::Error,
    },
}

/// A proxy between whoever connects to it and one Redis. Dropping it closes every connection.
#[derive(Debug)]
pub struct Proxy {
    address: SocketAddr,
    switch: Switch,
    task: JoinHandle<()>,
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Proxy {
    /// Listens on a port of the lab's and connects to `redis` for each connection that it takes.
    ///
    /// **Errors**: no port.
    pub fn start(redis: SocketAddr) -> Result<Self, ProxyError> {
        let port = ports::pick(1)?[0];
        let address = SocketAddr::from(([127, 0, 0, 1], port));
        let bind = || -> io::Result<TcpListener> {
            let socket = TcpSocket::new_v4()?;
            socket.set_reuseaddr(true)?;
            socket.bind(address)?;
            socket.listen(BACKLOG)
        };
        let listener = bind().map_err(|source| ProxyError::Listen { address, source })?;
        let (condition, told) = watch::channel(Condition::Clear);
        let task = tokio::spawn(accept(Arc::new(listener), redis, told));
        Ok(Self { address, switch: Switch(condition), task })
    }

    /// Where to connect.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// What changes its condition.
    pub fn switch(&self) -> Switch {
        self.switch.clone()
    }
}

/// Changes the condition of a proxy; of a proxy that is gone it changes nothing.
#[derive(Debug, Clone)]
pub struct Switch(watch::Sender<Condition>);

impl Switch {
    /// Changes the condition of all connections, those to come included.
    pub fn set(&self, condition: Condition) {
        self.0.send_replace(condition);
    }
}

async fn accept(
    listener: Arc<TcpListener>,
    redis: SocketAddr,
    mut condition: watch::Receiver<Condition>,
) {
    let mut links = JoinSet::new();
    let mut queue = Queue::new(Arc::clone(&listener));
    loop {
        let now = *condition.borrow_and_update();
        queue.set_full(now == Condition::BlackHole).await;
        tokio::select! {
            changed = condition.changed() => if changed.is_err() { return },
            accepted = listener.accept(), if now != Condition::BlackHole => match accepted {
                Ok((client, _)) => {
                    links.spawn(link::serve(client, redis, condition.clone()));
                }
                Err(error) => {
                    tracing::warn!(%error, "the proxy cannot take a connection");
                    // Out of files: some link will end and free one.
                    sleep(TAKE_AGAIN_AFTER).await;
                }
            },
            Some(_) = links.join_next(), if !links.is_empty() => {}
        }
    }
}

/// The queue in which the kernel keeps connections until the proxy takes them. When it is full, the
/// handshake of a new one is never completed, as with a host that is not there.
struct Queue {
    listener: Arc<TcpListener>,
    fillers: Vec<TcpStream>,
}

impl Queue {
    fn new(listener: Arc<TcpListener>) -> Self {
        Self { listener, fillers: Vec::new() }
    }

    async fn set_full(&mut self, full: bool) {
        if full != self.fillers.is_empty() {
            return;
        }
        self.fillers.clear();
        self.set_length(if full { 0 } else { BACKLOG });
        let Ok(address) = self.listener.local_addr() else { return };
        while full && self.fillers.len() < FILLERS {
            match timeout(FULL_AFTER, TcpStream::connect(address)).await {
                Ok(Ok(filler)) => self.fillers.push(filler),
                Ok(Err(_)) | Err(_) => break,
            }
        }
    }

    fn set_length(&self, n: u32) {
        let backlog = Backlog::new(i32::try_from(n).unwrap_or(i32::MAX));
        if let Err(error) = backlog.and_then(|it| listen(&*self.listener, it)) {
            tracing::warn!(%error, "the proxy cannot change its queue");
        }
    }
}
