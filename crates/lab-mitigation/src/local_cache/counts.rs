//! Counts of lookups that threads bump without waiting for each other.
//!
//! A hit takes some 30 ns. One counter for all threads would make each wait for the cache line of
//! the others, and even alone an atomic addition costs 6 ns. So each of the first threads has
//! counters of its own, to which nobody else writes: a load and a store are enough there.

use std::{
    cell::Cell,
    sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed},
};

/// Threads with counters of their own: more than a small service has workers. All later threads
/// share one more set, which counts as exactly and is slower.
const N_OWNERS: usize = 16;
const SHARED: usize = N_OWNERS;

/// What a lookup found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Found {
    Fresh,
    Expired,
    Negative,
    Nothing,
}

/// One set of counters. Two cache lines wide, because processors fetch them in pairs.
#[derive(Debug, Default)]
#[repr(align(128))]
struct Stripe([AtomicU64; 4]);

/// Counts lookups by what they found. Each count is exact; a snapshot taken under load may be some
/// lookups apart between one count and the next.
#[derive(Debug, Default)]
pub(super) struct LookupCounts([Stripe; N_OWNERS + 1]);

impl LookupCounts {
    #[inline]
    pub(super) fn add_one(&self, found: Found) {
        let stripe = stripe();
        let count = &self.0[stripe].0[found as usize];
        if stripe == SHARED {
            count.fetch_add(1, Relaxed);
        } else {
            // Only this thread writes here.
            count.store(count.load(Relaxed).wrapping_add(1), Relaxed);
        }
    }

    pub(super) fn total(&self, found: Found) -> u64 {
        self.0.iter().map(|stripe| stripe.0[found as usize].load(Relaxed)).sum()
    }
}

/// The stripe of this thread, the same for its whole life, and no other thread's unless shared.
#[inline]
fn stripe() -> usize {
    const UNKNOWN: usize = usize::MAX;
    static N_THREADS: AtomicUsize = AtomicUsize::new(0);
    thread_local! {
        static STRIPE: Cell<usize> = const { Cell::new(UNKNOWN) };
    }
    STRIPE.with(|stripe| {
        if stripe.get() == UNKNOWN {
            // A thread's number is given once and never again.
            stripe.set(N_THREADS.fetch_add(1, Relaxed).min(SHARED));
        }
        stripe.get()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    // More threads than have counters of their own, so both ways of counting are taken.
    #[test]
    fn no_count_is_lost_however_many_threads_there_are() {
        let counts = LookupCounts::default();
        std::thread::scope(|scope| {
            for _ in 0..3 * N_OWNERS {
                scope.spawn(|| (0..100).for_each(|_| counts.add_one(Found::Fresh)));
            }
        });
        assert_eq!(counts.total(Found::Fresh), 4_800);
        assert_eq!(counts.total(Found::Expired), 0);
    }
}
