//! One connection through the proxy: what the client sends, what Redis replies, and what of it
//! arrives when.

use std::{
    future::pending,
    io,
    net::SocketAddr,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering::Relaxed},
    },
};

use lab_core::seed;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{
        TcpStream,
        tcp::{ReadHalf, WriteHalf},
    },
    sync::{
        Notify,
        mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel},
        watch,
    },
    time::{Instant, sleep_until},
};

use super::{
    Condition,
    frames::{first_command, first_reply},
    lateness,
    pace::{PACKET, Pace},
    slots::Slots,
};

/// Commands after which replies no longer follow commands one by one: from there on the proxy only
/// passes on.
const UNORDERED: [&str; 6] =
    ["SUBSCRIBE", "PSUBSCRIBE", "SSUBSCRIBE", "MONITOR", "CLIENT REPLY", "PSYNC"];
/// Most bytes that wait for the client before the proxy stops reading from Redis: as much as the
/// buffers of a real connection hold.
const WAITING_MAX: usize = 4 << 20;
/// How many connections there have been, so that each draws its own lots.
static N_LINKS: AtomicU64 = AtomicU64::new(0);

/// What the two directions of a connection share.
struct Link {
    condition: watch::Receiver<Condition>,
    slots: Mutex<Slots>,
    /// Replies can no longer be told apart.
    unordered: AtomicBool,
    lots: u64,
    start: Instant,
    /// Bytes that wait for the client.
    n_waiting: AtomicUsize,
    /// Some of them have gone.
    gone: Notify,
}

/// What is on its way to the client.
enum Sent {
    /// Bytes, and when they were sent.
    Bytes(Instant, Vec<u8>),
    /// Redis has closed the connection.
    End,
}

/// Serves one client until either side closes, or the wire breaks.
pub(super) async fn serve(
    mut client: TcpStream,
    redis: SocketAddr,
    condition: watch::Receiver<Condition>,
) {
    let link = Link {
        condition,
        slots: Mutex::default(),
        unordered: AtomicBool::new(false),
        lots: seed::mix(N_LINKS.fetch_add(1, Relaxed)),
        start: Instant::now(),
        n_waiting: AtomicUsize::new(0),
        gone: Notify::new(),
    };
    let end = tokio::select! {
        end = link.pass(&mut client, redis) => end,
        () = link.until(|it| it == Condition::Reset) => End::Reset,
    };
    if end == End::Reset {
        // The kernel then sends RST instead of a farewell.
        client.set_zero_linger().ok();
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    Closed,
    Reset,
}

impl Link {
    async fn pass(&self, client: &mut TcpStream, redis: SocketAddr) -> End {
        // Redis is down: so is this connection, at once, as if there were no proxy.
        let Ok(mut upstream) = TcpStream::connect(redis).await else { return End::Reset };
        client.set_nodelay(true).and(upstream.set_nodelay(true)).ok();
        let (from_client, to_client) = client.split();
        let (from_redis, to_redis) = upstream.split();
        let (tell, told) = unbounded_channel();
        let upwards = async {
            self.commands(from_client, to_redis, &tell).await?;
            // A client that has said all it has to say may still listen.
            pending::<io::Result<()>>().await
        };
        let downwards = async {
            tokio::try_join!(self.replies(from_redis, &tell), self.deliver(told, to_client))
        };
        let passed = tokio::select! {
            it = upwards => it,
            it = downwards => it.map(|_| ()),
        };
        if passed.is_ok() { End::Closed } else { End::Reset }
    }

    fn now(&self) -> Condition {
        *self.condition.borrow()
    }

    /// Waits for a condition.
    async fn until(&self, is_it: impl Fn(Condition) -> bool) {
        let mut condition = self.condition.clone();
        if condition.wait_for(|it| is_it(*it)).await.is_err() {
            // The proxy is gone, and this link goes with it.
            pending().await
        }
    }

    async fn until_passable(&self) {
        self.until(|it| it != Condition::BlackHole).await;
    }

    async fn commands(
        &self,
        mut from: ReadHalf<'_>,
        mut to: WriteHalf<'_>,
        answers: &UnboundedSender<Sent>,
    ) -> io::Result<()> {
        let mut bytes = Vec::new();
        let mut n_commands = 0_u64;
        loop {
            self.until_passable().await;
            if from.read_buf(&mut bytes).await? == 0 {
                self.until_passable().await;
                return to.shutdown().await;
            }
            self.until_passable().await;
            let mut forward = Vec::new();
            while !self.unordered.load(Relaxed) {
                let command = match first_command(&bytes) {
                    Ok(Some(command)) => command,
                    Ok(None) => break,
                    Err(_) => {
                        self.unordered.store(true, Relaxed);
                        break;
                    }
                };
                let rest = bytes.split_off(command.length);
                let whole = std::mem::replace(&mut bytes, rest);
                if command.name.is_empty() {
                    continue;
                }
                n_commands += 1;
                match self.answer(n_commands) {
                    _ if UNORDERED.contains(&command.name.as_str()) => {
                        self.unordered.store(true, Relaxed);
                        forward.extend(whole);
                    }
                    Some(answer) => {
                        for ready in self.slots().answered(answer) {
                            self.send(answers, Instant::now(), ready);
                        }
                    }
                    None => {
                        self.slots().forwarded();
                        forward.extend(whole);
                    }
                }
            }
            if self.unordered.load(Relaxed) {
                forward.append(&mut bytes);
            }
            to.write_all(&forward).await?;
        }
    }

    /// Puts bytes on their way to the client.
    fn send(&self, deliver: &UnboundedSender<Sent>, at: Instant, bytes: Vec<u8>) {
        self.n_waiting.fetch_add(bytes.len(), Relaxed);
        // Without a receiver the connection is at its end, and nobody waits for them.
        deliver.send(Sent::Bytes(at, bytes)).ok();
    }

    /// The error with which the proxy answers this command, if its lot is drawn.
    fn answer(&self, n_commands: u64) -> Option<Vec<u8>> {
        let Condition::Partial { share, error } = self.now() else { return None };
        let lot = seed::share(seed::mix(self.lots ^ n_commands.wrapping_mul(0x2545_f491)));
        (lot < share).then(|| format!("-{error}\r\n").into_bytes())
    }

    async fn replies(
        &self,
        mut from: ReadHalf<'_>,
        deliver: &UnboundedSender<Sent>,
    ) -> io::Result<()> {
        let mut bytes = Vec::new();
        loop {
            self.until_passable().await;
            while WAITING_MAX < self.n_waiting.load(Relaxed) {
                self.gone.notified().await;
            }
            if from.read_buf(&mut bytes).await? == 0 {
                deliver.send(Sent::End).ok();
                return Ok(());
            }
            let at = Instant::now();
            let send = |reply| self.send(deliver, at, reply);
            while !self.unordered.load(Relaxed) {
                let reply = match first_reply(&bytes) {
                    Ok(Some(reply)) => reply,
                    Ok(None) => break,
                    Err(_) => {
                        self.unordered.store(true, Relaxed);
                        break;
                    }
                };
                let rest = bytes.split_off(reply.length);
                let whole = std::mem::replace(&mut bytes, rest);
                if reply.is_push {
                    send(whole);
                } else {
                    for ready in self.slots().replied(whole) {
                        send(ready);
                    }
                }
            }
            if self.unordered.load(Relaxed) {
                send(std::mem::take(&mut bytes));
            }
        }
    }

    /// Writes what is due to the client, in order.
    async fn deliver(
        &self,
        mut sent: UnboundedReceiver<Sent>,
        mut to: WriteHalf<'_>,
    ) -> io::Result<()> {
        let mut pace = Pace::from(self.start);
        while let Some(Sent::Bytes(at, bytes)) = sent.recv().await {
            sleep_until(at + lateness(self.now(), at - self.start)).await;
            self.until_passable().await;
            match self.now() {
                Condition::HalfReply => {
                    to.write_all(&bytes[..bytes.len() / 2]).await?;
                    self.until(|it| it != Condition::HalfReply).await;
                    // The client cannot make sense of what would follow.
                    return Err(io::ErrorKind::ConnectionReset.into());
                }
                Condition::Bandwidth { bytes_per_sec } => {
                    for part in bytes.chunks(PACKET) {
                        sleep_until(pace.carry(Instant::now(), part.len(), bytes_per_sec)).await;
                        to.write_all(part).await?;
                    }
                }
                _ => to.write_all(&bytes).await?,
            }
            self.n_waiting.fetch_sub(bytes.len(), Relaxed);
            self.gone.notify_one();
        }
        Ok(())
    }

    fn slots(&self) -> std::sync::MutexGuard<'_, Slots> {
        self.slots.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
