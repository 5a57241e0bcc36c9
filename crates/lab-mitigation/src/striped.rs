//! Counts that many threads add to at once without waiting for each other.
//!
//! One counter that two processors add to costs tens of nanoseconds an addition: its cache line
//! travels between them. Here every thread has a stripe of its own, and whoever reads adds them
//! up. A stripe has one writer, so adding is a load and a store, with no locked instruction.

use std::{
    array,
    sync::atomic::{
        AtomicU64,
        Ordering::{Acquire, Relaxed, Release},
    },
};

use crossbeam_utils::CachePadded;

/// Threads that have a stripe of their own at one time. Those beyond share one more. Few under
/// loom, whose threads have stacks of some kilobytes, on which counts are made.
const N_OWNED: usize = if cfg!(loom) { 2 } else { 32 };

/// `N` counts. Each is exact; read while threads add, one may be some additions apart from the
/// next.
#[derive(Debug)]
pub(crate) struct StripedCounts<const N: usize> {
    /// A stripe for every owner, and the shared one at the end.
    stripes: [CachePadded<[AtomicU64; N]>; N_OWNED + 1],
}

impl<const N: usize> StripedCounts<N> {
    /// Adds one to the count `which`; beyond the last count, to none.
    #[inline]
    pub(crate) fn add_one(&self, which: usize) {
        let owned = Slot::of_this_thread();
        let stripe = self.stripes.get(owned.unwrap_or(N_OWNED));
        let Some(count) = stripe.and_then(|stripe| stripe.get(which)) else { return };
        if owned.is_some() {
            // No other thread writes here while this one owns the slot.
            count.store(count.load(Relaxed).wrapping_add(1), Relaxed);
        } else {
            count.fetch_add(1, Relaxed);
        }
    }

    /// All counts.
    pub(crate) fn sums(&self) -> [u64; N] {
        let mut sums = [0_u64; N];
        for stripe in &self.stripes {
            for (sum, count) in sums.iter_mut().zip(stripe.iter()) {
                *sum = sum.wrapping_add(count.load(Relaxed));
            }
        }
        sums
    }
}

impl<const N: usize> Default for StripedCounts<N> {
    fn default() -> Self {
        let stripe = |_| CachePadded::new(array::from_fn(|_| AtomicU64::new(0)));
        Self { stripes: array::from_fn(stripe) }
    }
}

/// One bit for every slot that no thread owns.
static FREE: AtomicU64 = AtomicU64::new((1 << N_OWNED) - 1);

thread_local! {
    static SLOT: Slot = Slot::claim();
}

/// The right to write to the stripe of this number, in every set of counts, until the thread ends.
struct Slot(Option<usize>);

impl Slot {
    /// This thread's; `None` when there are more threads than slots, or it is about to end.
    #[inline]
    fn of_this_thread() -> Option<usize> {
        SLOT.try_with(|slot| slot.0).unwrap_or(None)
    }

    fn claim() -> Self {
        // Acquire: what the last owner of the slot counted is seen before this one adds to it.
        let claimed = FREE.fetch_update(Acquire, Relaxed, |free| {
            // The lowest bit that is set, cleared.
            (free != 0).then(|| free & free.wrapping_sub(1))
        });
        Self(claimed.ok().map(|free| free.trailing_zeros() as usize))
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        if let Some(slot) = self.0 {
            // Release: see `claim`.
            FREE.fetch_or(1 << slot, Release);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Barrier;

    use super::*;

    // More threads than slots, all alive at once, so that some share.
    #[test]
    fn nothing_is_lost_however_many_threads_add_at_once() {
        const N_THREADS: usize = N_OWNED + 8;
        const N_EACH: u64 = 2_000;
        let (counts, barrier) = (StripedCounts::<2>::default(), Barrier::new(N_THREADS));
        std::thread::scope(|scope| {
            for _ in 0..N_THREADS {
                scope.spawn(|| {
                    barrier.wait();
                    (0..N_EACH).for_each(|n| counts.add_one(usize::from(n % 4 == 0)));
                    // Nobody ends, and hands its slot on, before everybody has one or none.
                    barrier.wait();
                });
            }
        });
        let n_all = N_EACH * N_THREADS as u64;
        assert_eq!(counts.sums(), [n_all / 4 * 3, n_all / 4]);
    }

    #[test]
    fn a_thread_that_follows_another_counts_on_where_it_stopped() {
        let counts = StripedCounts::<1>::default();
        for _ in 0..3 * N_OWNED {
            std::thread::scope(|scope| {
                scope.spawn(|| counts.add_one(0));
            });
        }
        assert_eq!(counts.sums(), [3 * N_OWNED as u64]);
    }

    #[test]
    fn a_count_that_is_not_there_is_not_added_to() {
        let counts = StripedCounts::<1>::default();
        counts.add_one(1);
        assert_eq!(counts.sums(), [0]);
    }
}
