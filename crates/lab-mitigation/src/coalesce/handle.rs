//! The coalescing that many tasks share: the flights behind a lock, a task per fill, counts.

use std::{
    fmt,
    future::Future,
    hash::Hash,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
};

use futures_util::{
    FutureExt,
    future::{Shared, WeakShared},
};
use lab_core::settings::{CoalesceSettings, FillLifetime, Mode};
use serde::Serialize;
use tokio::sync::oneshot;

use super::{Arrival, FillError, FlightId, Flights, ObservedArrival, Seat};
use crate::switch::Switch;

/// What a caller waits for: the one result that the fill's task sends.
type Filling<V, E> = Shared<oneshot::Receiver<Result<V, E>>>;

/// Coalesces the misses of every caller. Cloning is cheap and gives the same flights.
///
/// The lock is held for a look into a hash map, never across an `await`. The map holds the keys
/// that are being filled and nothing else.
pub struct Coalesce<K, V, E> {
    inner: Arc<Inner<K, V, E>>,
}

struct Inner<K, V, E> {
    switch: Switch,
    fill: FillLifetime,
    flights: Mutex<Flights<K, JoinHandle<V, E>>>,
    n_led: AtomicU64,
    n_joined: AtomicU64,
    n_would_join: AtomicU64,
    n_lost: AtomicU64,
}

/// What it takes to join a fill, and what keeps it going.
enum JoinHandle<V, E> {
    /// Nothing but its callers.
    Attached(WeakShared<oneshot::Receiver<Result<V, E>>>),
    /// This.
    Detached(Filling<V, E>),
}

/// Whose fill answered a caller.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// The one that this caller asked for.
    Led,
    /// One that another caller had begun.
    Joined,
}

/// A result and whose fill it is from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Filled<V, E> {
    /// The same for every caller of one fill.
    pub result: Result<V, FillError<E>>,
    /// This caller's part in it.
    pub role: Role,
}

/// What coalescing tells about itself. `n_led`, `n_joined` and `n_would_join` are disjoint: their
/// sum is the number of calls that came while the mode was not off.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct CoalesceSnapshot {
    /// Off, observe or enforce.
    pub mode: Mode,
    /// Attached or detached.
    pub fill: FillLifetime,
    /// Calls that began a fill.
    pub n_led: u64,
    /// Calls that waited for another's fill.
    pub n_joined: u64,
    /// Calls that filled for themselves only because the mode was observe.
    pub n_would_join: u64,
    /// Calls whose fill ended without a result: see [`FillError::Lost`].
    pub n_lost: u64,
    /// Keys that are being filled now.
    pub n_filling: u64,
}

impl<K, V, E> Coalesce<K, V, E>
where
    K: Hash + Eq + Clone + Send + 'static,
    V: Clone + Send + Sync + 'static,
    E: Clone + Send + Sync + 'static,
{
    /// Starts with nothing to fill.
    pub fn new(settings: &CoalesceSettings) -> Self {
        Self {
            inner: Arc::new(Inner {
                switch: Switch::new(settings.mode),
                fill: settings.fill,
                flights: Mutex::new(Flights::new()),
                n_led: AtomicU64::new(0),
                n_joined: AtomicU64::new(0),
                n_would_join: AtomicU64::new(0),
                n_lost: AtomicU64::new(0),
            }),
        }
    }

    /// The value of `key`: from the fill that goes on, or else from `fill`, which is begun.
    ///
    /// Enforced, `fill` runs in a task of its own, so it must carry its own bounds and whatever
    /// else it needs of its caller. What it does after it has its value (keep it in a cache) is
    /// done for all callers once. Values and errors are cloned to every caller: use an `Arc` where
    /// a clone is dear, or where an error has none.
    ///
    /// **Errors**: the fill failed, or ended without a result.
    /// **Panics**: outside of a tokio runtime, when enforced. Off or observed, a fill that panics
    /// takes its caller with it, as it would without this.
    /// **Cancellation**: dropping this leaves the fill to the others who wait for it. When they
    /// have all left, an attached fill is dropped the next time its task runs; a caller who comes
    /// before that begins a new one. A detached fill goes on, and can still be joined.
    pub async fn run<F, Fut>(&self, key: K, fill: F) -> Filled<V, E>
    where
        F: FnOnce() -> Fut + Send + 'static,
        Fut: Future<Output = Result<V, E>> + Send + 'static,
    {
        match self.mode() {
            Mode::Off => Filled::alone(fill().await),
            Mode::Observe => {
                let presence = self.observe(key);
                let result = fill().await;
                presence.on_filled();
                Filled::alone(result)
            }
            Mode::Enforce => {
                let (filling, role) = self.join_or_begin(key, fill);
                let result = match filling.await {
                    Ok(result) => result.map_err(FillError::Failed),
                    Err(_closed) => {
                        self.inner.n_lost.fetch_add(1, Relaxed);
                        Err(FillError::Lost)
                    }
                };
                Filled { result, role }
            }
        }
    }

    /// Off, observe or enforce.
    pub fn mode(&self) -> Mode {
        self.inner.switch.mode()
    }

    /// Changes the mode from the next call on. Fills that go on end as they began.
    pub fn set_mode(&self, mode: Mode) {
        self.inner.switch.set_mode(mode);
    }

    /// Mode and counts, for the internal port and metrics.
    pub fn snapshot(&self) -> CoalesceSnapshot {
        CoalesceSnapshot {
            mode: self.mode(),
            fill: self.inner.fill,
            n_led: self.inner.n_led.load(Relaxed),
            n_joined: self.inner.n_joined.load(Relaxed),
            n_would_join: self.inner.n_would_join.load(Relaxed),
            n_lost: self.inner.n_lost.load(Relaxed),
            n_filling: self.inner.lock().len() as u64,
        }
    }

    fn join_or_begin<F, Fut>(&self, key: K, fill: F) -> (Filling<V, E>, Role)
    where
        F: FnOnce() -> Fut + Send + 'static,
        Fut: Future<Output = Result<V, E>> + Send + 'static,
    {
        let begin = || {
            let (sender, receiver) = oneshot::channel();
            let filling = receiver.shared();
            (JoinHandle::new(self.inner.fill, &filling), (sender, filling))
        };
        let arrival = self.inner.lock().arrive(&key, JoinHandle::join, begin);
        match arrival {
            Arrival::Joins(filling) => {
                self.inner.n_joined.fetch_add(1, Relaxed);
                (filling, Role::Joined)
            }
            Arrival::Leads(id, (sender, filling)) => {
                self.inner.n_led.fetch_add(1, Relaxed);
                let flight = OpenFlight { inner: Arc::clone(&self.inner), key, id };
                tokio::spawn(fill_for_all(sender, flight, fill));
                (filling, Role::Led)
            }
        }
    }

    fn observe(&self, key: K) -> Presence<K, V, E> {
        let is_joinable = |handle: &JoinHandle<V, E>| handle.join().is_some();
        let arrival = self.inner.lock().observe(&key, is_joinable);
        let count = match arrival {
            ObservedArrival::WouldLead(_) => &self.inner.n_led,
            ObservedArrival::WouldJoin(_) | ObservedArrival::WouldJoinEnforced => {
                &self.inner.n_would_join
            }
        };
        count.fetch_add(1, Relaxed);
        Presence { inner: Arc::clone(&self.inner), key, arrival, seat: Seat::Left }
    }
}

/// Fills, ends the flight, and hands the result to everybody who waits.
///
/// A fill that panics unwinds through here. Parameters are dropped last to first: the flight is
/// over before the waiters hear of it, so that whoever asks again begins a new one.
async fn fill_for_all<K, V, E, F, Fut>(
    mut waiters: oneshot::Sender<Result<V, E>>,
    flight: OpenFlight<K, V, E>,
    fill: F,
) where
    K: Hash + Eq + Clone,
    F: FnOnce() -> Fut,
    Fut: Future<Output = Result<V, E>>,
{
    let result = match flight.inner.fill {
        FillLifetime::Attached => tokio::select! {
            biased;
            result = async { fill().await } => result,
            () = waiters.closed() => return,
        },
        FillLifetime::Detached => fill().await,
    };
    drop(flight);
    // Nobody may be waiting any more.
    let _ = waiters.send(result);
}

impl<K: Hash + Eq + Clone, V, E> Inner<K, V, E> {
    /// The flights are whole between any two statements, so a panic elsewhere does not spoil them.
    fn lock(&self) -> MutexGuard<'_, Flights<K, JoinHandle<V, E>>> {
        self.flights.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<V, E> JoinHandle<V, E> {
    fn new(fill: FillLifetime, filling: &Filling<V, E>) -> Self {
        match (fill, filling.downgrade()) {
            (FillLifetime::Attached, Some(filling)) => Self::Attached(filling),
            // There is no weak reference to a fill that was awaited to its end. This one was not.
            (FillLifetime::Attached, None) | (FillLifetime::Detached, _) => {
                Self::Detached(filling.clone())
            }
        }
    }

    fn join(&self) -> Option<Filling<V, E>> {
        match self {
            Self::Attached(filling) => filling.upgrade(),
            Self::Detached(filling) => Some(filling.clone()),
        }
    }
}

/// A flight that its fill has not ended yet. Dropping it ends it, whatever became of the fill.
struct OpenFlight<K: Hash + Eq + Clone, V, E> {
    inner: Arc<Inner<K, V, E>>,
    key: K,
    id: FlightId,
}

impl<K: Hash + Eq + Clone, V, E> Drop for OpenFlight<K, V, E> {
    fn drop(&mut self) {
        let handle = self.inner.lock().end(&self.key, self.id);
        // Dropped without the lock: a value's own `drop` may call anything.
        drop(handle);
    }
}

/// A caller under observe, who would have waited for the fill of another, or led.
struct Presence<K: Hash + Eq + Clone, V, E> {
    inner: Arc<Inner<K, V, E>>,
    key: K,
    arrival: ObservedArrival,
    seat: Seat,
}

impl<K: Hash + Eq + Clone, V, E> Presence<K, V, E> {
    fn on_filled(mut self) {
        self.seat = Seat::Filled;
    }
}

impl<K: Hash + Eq + Clone, V, E> Drop for Presence<K, V, E> {
    fn drop(&mut self) {
        self.inner.lock().leave(&self.key, self.arrival, self.seat);
    }
}

impl<V, E> Filled<V, E> {
    fn alone(result: Result<V, E>) -> Self {
        Self { result: result.map_err(FillError::Failed), role: Role::Led }
    }
}

impl<K, V, E> Clone for Coalesce<K, V, E> {
    fn clone(&self) -> Self {
        Self { inner: Arc::clone(&self.inner) }
    }
}

impl<K, V, E> fmt::Debug for Coalesce<K, V, E> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Coalesce")
            .field("switch", &self.inner.switch)
            .field("fill", &self.inner.fill)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
