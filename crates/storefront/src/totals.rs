//! Totals since the service started, for the lab's sampler and for metrics.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// A number that many threads add to.
#[derive(Debug, Default)]
pub(crate) struct Counter(AtomicU64);

impl Counter {
    pub(crate) fn add_one(&self) {
        self.0.fetch_add(1, Relaxed);
    }

    pub(crate) fn get(&self) -> u64 {
        self.0.load(Relaxed)
    }
}

/// What requests and Redis calls came to.
#[derive(Debug, Default)]
pub(crate) struct Totals {
    /// Requests accepted.
    pub(crate) requests: Counter,
    /// Cached reads that Redis answered with an entry.
    pub(crate) cache_hits: Counter,
    /// Cached reads that Redis answered with "not there".
    pub(crate) cache_misses: Counter,
    /// Redis calls that failed, timed out or were not permitted.
    pub(crate) redis_errors: Counter,
    /// Stale entries served.
    pub(crate) stale_served: Counter,
    pending_requests: AtomicU64,
}

impl Totals {
    /// Counts a request as accepted, and as pending until the guard is dropped.
    pub(crate) fn begin_request(&self) -> PendingRequest<'_> {
        self.requests.add_one();
        self.pending_requests.fetch_add(1, Relaxed);
        PendingRequest(self)
    }

    /// Requests accepted whose response is not finished.
    pub(crate) fn pending_requests(&self) -> u64 {
        self.pending_requests.load(Relaxed)
    }
}

/// **Cancellation**: a request whose client left is dropped, and is no longer pending.
#[derive(Debug)]
pub(crate) struct PendingRequest<'a>(&'a Totals);

impl Drop for PendingRequest<'_> {
    fn drop(&mut self) {
        self.0.pending_requests.fetch_sub(1, Relaxed);
    }
}
