//! A narrow link: carries bytes of any protocol, in each direction at most so many per second, all
//! connections together. That is how a network is shared by the instances of a service.

use std::{
    io,
    net::SocketAddr,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use lab_core::units::PerSec;
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    task::{JoinHandle, JoinSet},
    time::{Instant, sleep, sleep_until},
};

use super::pace::{PACKET, Pace};
use crate::machine::ports;

/// What the timer cannot tell apart: a packet that is due sooner goes at once, and the next ones wait
/// for it.
const GRAIN: Duration = Duration::from_millis(1);
/// Pause after a connection that could not be taken.
const TAKE_AGAIN_AFTER: Duration = Duration::from_millis(10);

/// The link cannot listen.
#[derive(Debug, thiserror::Error)]
pub enum NarrowLinkError {
    /// No port is free.
    #[error(transparent)]
    Ports(#[from] ports::NoFreePort),
    /// The port cannot be used.
    #[error("the narrow link cannot listen at {address}: {source}")]
    Listen {
        /// Where.
        address: SocketAddr,
        /// Why.
        source: io::Error,
    },
}

/// A link between whoever connects to it and one server. Dropping it closes every connection.
#[derive(Debug)]
pub struct NarrowLink {
    address: SocketAddr,
    down: Arc<Lane>,
    task: JoinHandle<()>,
}

impl Drop for NarrowLink {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl NarrowLink {
    /// Listens on a port of the lab's and connects to `server` for each connection that it takes.
    /// Needs a tokio runtime. **Errors**: no port.
    pub fn start(server: SocketAddr, bytes_per_sec: PerSec) -> Result<Self, NarrowLinkError> {
        let port = ports::pick(1)?[0];
        let address = SocketAddr::from(([127, 0, 0, 1], port));
        let listen = || -> io::Result<TcpListener> {
            let listener = std::net::TcpListener::bind(address)?;
            listener.set_nonblocking(true)?;
            TcpListener::from_std(listener)
        };
        let listener = listen().map_err(|source| NarrowLinkError::Listen { address, source })?;
        let (up, down) = (Lane::new(bytes_per_sec), Lane::new(bytes_per_sec));
        let task = tokio::spawn(accept(listener, server, (up, Arc::clone(&down))));
        Ok(Self { address, down, task })
    }

    /// Where to connect.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// What the server has said so far, over all connections.
    pub fn n_bytes_to_clients(&self) -> u64 {
        self.down.n_bytes.load(Relaxed)
    }
}

async fn accept(listener: TcpListener, server: SocketAddr, (up, down): (Arc<Lane>, Arc<Lane>)) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((client, _)) => {
                    connections.spawn(serve(client, server, Arc::clone(&up), Arc::clone(&down)));
                }
                Err(error) => {
                    tracing::warn!(%error, "the narrow link cannot take a connection");
                    // Out of files: some connection will end and free one.
                    sleep(TAKE_AGAIN_AFTER).await;
                }
            },
            Some(_) = connections.join_next(), if !connections.is_empty() => {}
        }
    }
}

/// Serves one client until either side closes.
async fn serve(mut client: TcpStream, server: SocketAddr, up: Arc<Lane>, down: Arc<Lane>) {
    // A server that is not there: the client is told by the end of its connection.
    let Ok(mut server) = TcpStream::connect(server).await else { return };
    client.set_nodelay(true).and(server.set_nodelay(true)).ok();
    let (from_client, to_client) = client.split();
    let (from_server, to_server) = server.split();
    // Whoever ends first ends both; why makes no difference.
    tokio::select! {
        _ = up.carry(from_client, to_server) => {}
        _ = down.carry(from_server, to_client) => {}
    }
}

/// One direction of the link, which all connections share.
#[derive(Debug)]
struct Lane {
    pace: Mutex<Pace>,
    bytes_per_sec: PerSec,
    n_bytes: AtomicU64,
}

impl Lane {
    fn new(bytes_per_sec: PerSec) -> Arc<Self> {
        let pace = Mutex::new(Pace::from(Instant::now()));
        Arc::new(Self { pace, bytes_per_sec, n_bytes: AtomicU64::new(0) })
    }

    /// Passes on what `from` says, packet by packet, until it has said all. A connection that waits
    /// for the lane reads no further, so that its sender waits too.
    async fn carry(
        &self,
        mut from: impl AsyncRead + Unpin,
        mut to: impl AsyncWrite + Unpin,
    ) -> io::Result<()> {
        let mut packet = [0; PACKET];
        loop {
            let n = from.read(&mut packet).await?;
            if n == 0 {
                return to.shutdown().await;
            }
            let arrival = self.arrival_of(n);
            if GRAIN <= arrival.saturating_duration_since(Instant::now()) {
                sleep_until(arrival).await;
            }
            // Counted first: whoever has received a byte finds it counted.
            self.n_bytes.fetch_add(n as u64, Relaxed);
            to.write_all(&packet[..n]).await?;
        }
    }

    fn arrival_of(&self, n_bytes: usize) -> Instant {
        let mut pace = self.pace.lock().unwrap_or_else(PoisonError::into_inner);
        pace.carry(Instant::now(), n_bytes, self.bytes_per_sec.get())
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::duplex;

    use super::*;

    // 100 packets of 1,460 bytes over two connections at 146,000 bytes/s take a second, however the
    // connections share it. Virtual time, in-memory pipes; the timer's grain is 1 ms, and the last
    // packet may be early by as much.
    #[tokio::test(start_paused = true)]
    async fn all_connections_together_get_the_width_of_the_lane() {
        let lane = Lane::new(PerSec::new(146_000.0).unwrap());
        let start = Instant::now();
        let send = || async {
            let (mut sender, from) = duplex(1 << 20);
            let (to, mut receiver) = duplex(1 << 20);
            sender.write_all(&[7; 50 * PACKET]).await.unwrap();
            drop(sender);
            lane.carry(from, to).await.unwrap();
            let mut got = Vec::new();
            receiver.read_to_end(&mut got).await.unwrap();
            got
        };
        let (one, other) = tokio::join!(send(), send());
        assert!(one == [7; 50 * PACKET] && other == one);
        assert_eq!(lane.n_bytes.load(Relaxed), 100 * PACKET as u64);
        let took = start.elapsed();
        let (least, most) = (Duration::from_millis(999), Duration::from_millis(1_002));
        assert!((least..most).contains(&took), "{took:?}");
    }
}
