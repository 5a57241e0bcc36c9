//! Runs the service from the first listener to the last request.

use std::{io, net::SocketAddr, sync::Arc, time::Duration};

use lab_core::target::TargetConfig;
use tokio::{
    signal::unix::{Signal, SignalKind, signal},
    sync::watch,
    task::JoinHandle,
    time::{Instant, interval, timeout_at},
};

use crate::{
    http::{internal, public},
    registry,
    shop::{Shop, ShopError},
};

/// How long requests may go on after the signal.
const DRAIN_TIMEOUT: Duration = Duration::from_millis(1_200);

/// How long moving view counts may go on after the signal: all the time that there is, because it
/// may need a new connection. The process must be gone within 2 s; the rest is for its end.
const FLUSH_TIMEOUT: Duration = Duration::from_millis(1_800);

/// How often recorded waits are folded into their histogram.
const UPKEEP_INTERVAL: Duration = Duration::from_secs(5);

/// Why the service did not run.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ServeError {
    /// A port is taken or not ours.
    #[error("{key} {address}: {source}")]
    Listen {
        /// The key in the configuration.
        key: &'static str,
        /// The address.
        address: SocketAddr,
        /// Why not.
        source: io::Error,
    },
    /// Something it is made of could not be set up.
    #[error(transparent)]
    SetUp(#[from] ShopError),
    /// The system refused a signal handler, a thread or a socket.
    #[error(transparent)]
    Io(#[from] io::Error),
}

/// Serves until SIGTERM or SIGINT, then stops accepting, lets requests finish and view counts reach
/// the database, and returns within 2 s. Starts while Redis and PostgreSQL are down.
///
/// **Errors**: see [`ServeError`].
pub(crate) async fn serve(config: TargetConfig) -> Result<(), ServeError> {
    let (stop, stopped) = watch::channel(());
    let (finish, finished) = watch::channel(());
    let mut signals = Signals::new()?;
    let public_listener = tokio::net::TcpListener::bind(config.listen)
        .await
        .map_err(|source| listen_error("listen", config.listen, source))?;
    let internal_listener = std::net::TcpListener::bind(config.internal_listen)
        .map_err(|source| listen_error("internal_listen", config.internal_listen, source))?;
    tracing::info!(listen = %config.listen, internal = %config.internal_listen, "serving");

    let shop = Arc::new(Shop::new(config)?);
    internal::spawn(Arc::clone(&shop), internal_listener)?;
    let flusher = spawn_background(&shop, finished);

    let mut stopping = stopped;
    let server = axum::serve(public_listener, public::router(Arc::clone(&shop)))
        .with_graceful_shutdown(async move { drop(stopping.changed().await) });
    let server = tokio::spawn(server.into_future());

    signals.recv().await;
    let signalled_at = Instant::now();
    tracing::info!("stopping");
    // Nobody listening any more is what stopping is for.
    let _ = stop.send(());
    if timeout_at(signalled_at + DRAIN_TIMEOUT, server).await.is_err() {
        tracing::info!(pending = shop.totals.pending_requests(), "requests cut off");
    }
    // Only now, because the last requests record views too.
    let _ = finish.send(());
    if timeout_at(signalled_at + FLUSH_TIMEOUT, flusher).await.is_err() {
        tracing::info!("moving view counts cut off");
    }
    shop.events.close();
    Ok(())
}

/// Starts what runs beside the requests; returns the task that must be given time to end once there
/// are no more requests.
fn spawn_background(shop: &Arc<Shop>, finished: watch::Receiver<()>) -> JoinHandle<()> {
    let loader = Arc::clone(shop);
    tokio::task::spawn_blocking(move || loader.load_local_cache());
    // Connect to Redis before the first user needs it; if that fails, the first user does.
    let connector = Arc::clone(shop);
    tokio::spawn(async move { connector.pages.redis.connect().await });
    let upkeep = Arc::clone(shop);
    tokio::spawn(async move {
        let mut ticks = interval(UPKEEP_INTERVAL);
        loop {
            ticks.tick().await;
            upkeep.metrics.run_upkeep();
        }
    });
    if shop.config.registers {
        let entered = Arc::clone(shop);
        tokio::spawn(async move {
            registry::stay_entered(&entered.pages.redis, entered.config.listen).await;
        });
    }
    let measured = Arc::clone(shop);
    tokio::spawn(async move { measured.measure_pressure().await });
    let flushing = Arc::clone(shop);
    tokio::spawn(async move { flushing.views.run(finished).await })
}

struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    fn new() -> io::Result<Self> {
        let terminate = signal(SignalKind::terminate())?;
        Ok(Self { terminate, interrupt: signal(SignalKind::interrupt())? })
    }

    async fn recv(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}

fn listen_error(key: &'static str, address: SocketAddr, source: io::Error) -> ServeError {
    ServeError::Listen { key, address, source }
}
