//! Which fill a caller belongs to: pure, single-threaded, knows neither futures nor clocks.
//!
//! A *flight* is the time for which one fill of one key is shared. The shared state is all here and
//! is changed only under one lock, one call at a time: every interleaving of threads is therefore a
//! sequence of these calls, and the property test draws such sequences. What happens between them,
//! a fill that ends and callers who leave, `tests/loom/coalesce.rs` has in many orders. The one thing
//! outside the lock is whether a flight still has callers, which the standard library's `Weak`
//! answers atomically; both answers are in both tests.

use std::{collections::HashMap, hash::Hash};

/// Names a flight, so that the late end of one never ends another of the same key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FlightId(u64);

/// What a caller is to do.
#[derive(Debug, PartialEq, Eq)]
pub enum Arrival<J, B> {
    /// Fill, and [`end`](Flights::end) the flight when that is done.
    Leads(FlightId, B),
    /// Wait for the fill that goes on.
    Joins(J),
}

/// What a caller would have done, had coalescing been enforced.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ObservedArrival {
    /// Begin a fill. To be handed back to [`Flights::leave`].
    WouldLead(FlightId),
    /// Wait for another's. To be handed back to [`Flights::leave`].
    WouldJoin(FlightId),
    /// Wait for a fill that was begun while coalescing was enforced. Nothing to hand back.
    WouldJoinEnforced,
}

/// How an observed caller ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Seat {
    /// Its own fill ended.
    Filled,
    /// It left before.
    Left,
}

/// The flights that go on now, by key. `H` is what it takes to join one.
#[derive(Debug)]
pub struct Flights<K, H> {
    by_key: HashMap<K, Flight<H>>,
    n_begun: u64,
}

#[derive(Debug)]
struct Flight<H> {
    id: FlightId,
    kind: Kind<H>,
}

#[derive(Debug)]
enum Kind<H> {
    Enforced(H),
    /// Every caller fills for itself. Enforced, they would all wait for the first of them; if it
    /// has left, then for the first of the others who is done.
    Observed {
        n_present: u64,
        is_leader_present: bool,
    },
}

impl<K: Hash + Eq + Clone, H> Flights<K, H> {
    /// Starts with no flight.
    pub fn new() -> Self {
        Self { by_key: HashMap::new(), n_begun: 0 }
    }

    /// Keys that are being filled now.
    pub fn len(&self) -> usize {
        self.by_key.len()
    }

    /// Whether nothing is being filled.
    pub fn is_empty(&self) -> bool {
        self.by_key.is_empty()
    }

    /// A caller comes for `key`. `join` says how to join a flight, or `None` when all of its
    /// callers have left; `begin` makes the handle of a new one, and what its leader needs.
    pub fn arrive<J, B>(
        &mut self,
        key: &K,
        join: impl FnOnce(&H) -> Option<J>,
        begin: impl FnOnce() -> (H, B),
    ) -> Arrival<J, B> {
        let present = self.by_key.get(key).and_then(|flight| match &flight.kind {
            Kind::Enforced(handle) => join(handle),
            Kind::Observed { .. } => None,
        });
        if let Some(joined) = present {
            return Arrival::Joins(joined);
        }
        let (handle, begun) = begin();
        Arrival::Leads(self.insert(key, Kind::Enforced(handle)), begun)
    }

    /// The fill of a flight is over. Returns its handle, for the caller to drop when no lock is
    /// held; `None` when `key` has another flight by now.
    pub fn end(&mut self, key: &K, id: FlightId) -> Option<H> {
        self.by_key.get(key).filter(|flight| flight.id == id)?;
        match self.by_key.remove(key)?.kind {
            Kind::Enforced(handle) => Some(handle),
            Kind::Observed { .. } => None,
        }
    }

    /// A caller comes for `key` and will fill for itself, whatever this says. `is_joinable` says
    /// whether a flight still has callers.
    pub fn observe(&mut self, key: &K, is_joinable: impl FnOnce(&H) -> bool) -> ObservedArrival {
        if let Some(flight) = self.by_key.get_mut(key) {
            match &mut flight.kind {
                Kind::Observed { n_present, .. } => {
                    *n_present += 1;
                    return ObservedArrival::WouldJoin(flight.id);
                }
                Kind::Enforced(handle) if is_joinable(handle) => {
                    return ObservedArrival::WouldJoinEnforced;
                }
                Kind::Enforced(_) => {}
            }
        }
        let alone = Kind::Observed { n_present: 1, is_leader_present: true };
        ObservedArrival::WouldLead(self.insert(key, alone))
    }

    /// An observed caller ends.
    pub fn leave(&mut self, key: &K, arrival: ObservedArrival, seat: Seat) {
        let (id, is_leader) = match arrival {
            ObservedArrival::WouldLead(id) => (id, true),
            ObservedArrival::WouldJoin(id) => (id, false),
            ObservedArrival::WouldJoinEnforced => return,
        };
        let Some(flight) = self.by_key.get_mut(key).filter(|flight| flight.id == id) else {
            return;
        };
        let Kind::Observed { n_present, is_leader_present } = &mut flight.kind else {
            return;
        };
        let is_over = seat == Seat::Filled && (is_leader || !*is_leader_present);
        *n_present = n_present.saturating_sub(1);
        *is_leader_present &= !is_leader;
        if is_over || *n_present == 0 {
            self.by_key.remove(key);
        }
    }

    fn insert(&mut self, key: &K, kind: Kind<H>) -> FlightId {
        let id = FlightId(self.n_begun);
        self.n_begun += 1;
        self.by_key.insert(key.clone(), Flight { id, kind });
        id
    }
}

impl<K: Hash + Eq + Clone, H> Default for Flights<K, H> {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests;
