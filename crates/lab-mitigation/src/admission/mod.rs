//! What the mitigations that cap calls in flight share: a pure policy that says who gets a place,
//! and a gate that enforces it on waiting tasks.
//!
//! The policies are [`crate::bulkhead::FifoAdmission`] and
//! [`crate::priority_shedding::PriorityAdmission`]. A policy keeps two promises, which its tests
//! hold it to: never more than `max_concurrent_calls` in flight by its own choice, and exactly one
//! verdict for each waiter that does not leave.

mod gate;

use std::time::Instant;

use serde::Serialize;

pub(crate) use self::gate::{Begun, Gate, Pass, Refusal, Wait};
pub use self::gate::{GateSnapshot, WaitCounts};

/// A waiter, by a number that its policy never gives twice.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct WaiterId(pub(crate) u64);

/// A caller who was let into the queue.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Enqueued {
    /// Whom the verdict will be about.
    pub id: WaiterId,
    /// The verdict comes at this time at the latest, if [`AdmissionPolicy::settle`] is called then.
    pub until: Instant,
}

/// How a wait ended, unless the waiter left.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// The waiter has a place now, to be given back with [`AdmissionPolicy::release`].
    Admitted,
    /// The waiter's time is up, or it had to make way.
    Refused,
}

/// How full a policy is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Occupancy {
    /// Calls that hold a place. Above `max_concurrent_calls` only after that was lowered, or by
    /// calls that were admitted before.
    pub in_flight: u32,
    /// Places.
    pub max_concurrent_calls: u32,
    /// Callers that wait for a place.
    pub queue_depth: u32,
}

/// Says who gets a place. Pure: it reads no clock and wakes nobody, and single-threaded.
///
/// While anybody waits every place is taken: whoever calls [`AdmissionPolicy::release`] calls
/// [`AdmissionPolicy::settle`] next when the queue is not empty. Verdicts are collected with
/// [`AdmissionPolicy::pop_verdict`].
pub trait AdmissionPolicy {
    /// What callers are told apart by.
    type Class: Copy;

    /// Takes a place if there is one and nobody waits for it.
    fn try_admit(&mut self) -> bool;

    /// Lets a caller wait from `now` on, or does not: `None` refuses it at once. To be called
    /// after [`AdmissionPolicy::try_admit`] said no.
    fn enqueue(&mut self, now: Instant, class: Self::Class) -> Option<Enqueued>;

    /// A waiter is gone without a verdict; it gets none. An unknown one is nobody.
    fn leave(&mut self, id: WaiterId);

    /// A call that held a place ended.
    fn release(&mut self);

    /// Refuses the waiters whose time is up at `now`, and gives free places to others.
    fn settle(&mut self, now: Instant);

    /// The next verdict that was not collected yet.
    fn pop_verdict(&mut self) -> Option<(WaiterId, Verdict)>;

    /// How full it is, as of the last change.
    fn occupancy(&self) -> Occupancy;
}
