//! Random numbers of a trial's seed, drawn from many threads.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use lab_core::seed::{Seed, mix};

/// A stream of numbers of which each of 64 bits is as likely as any other. The numbers follow from
/// the seed; which caller gets which does not.
#[derive(Debug)]
pub(crate) struct Random {
    seed: Seed,
    n_drawn: AtomicU64,
}

impl Random {
    /// The stream `name` of `seed`; other names are other streams.
    pub(crate) fn new(seed: Seed, name: &str) -> Self {
        Self { seed: seed.derive(name), n_drawn: AtomicU64::new(0) }
    }

    /// The next number.
    pub(crate) fn next(&self) -> u64 {
        mix(self.seed.0 ^ mix(self.n_drawn.fetch_add(1, Relaxed)))
    }
}
