//! The sums: what is buffered and what is being written, within the bounds.

use std::collections::BTreeMap;

use lab_core::settings::BatchWritesSettings;

use super::BufferFull;

/// Sums by key. The order of keys is theirs, so that two writers that each lock many rows lock
/// them in the same order.
#[derive(Debug)]
pub(super) struct Buffer<K> {
    keys_max: usize,
    count_max: u64,
    counts: BTreeMap<K, u64>,
    /// The sum of `counts`.
    n_buffered: u64,
    /// Keys and increments that are being written. They keep their room: they may come back.
    n_keys_taken: usize,
    n_taken: u64,
}

impl<K: Ord> Buffer<K> {
    pub(super) fn new(settings: &BatchWritesSettings) -> Self {
        Self {
            // A usize has at least 32 bits wherever this runs; where not, less fits anyway.
            keys_max: usize::try_from(settings.keys_max.get()).unwrap_or(usize::MAX),
            count_max: settings.count_max.get().into(),
            counts: BTreeMap::new(),
            n_buffered: 0,
            n_keys_taken: 0,
            n_taken: 0,
        }
    }

    /// Whether `by` more of `key` fit.
    pub(super) fn check_room(&self, key: &K, by: u64) -> Result<(), BufferFull> {
        let is_new = !self.counts.contains_key(key);
        let n_keys = self.counts.len().saturating_add(self.n_keys_taken);
        let count = self.n_buffered.saturating_add(self.n_taken);
        let fits = (!is_new || n_keys < self.keys_max)
            && count.checked_add(by).is_some_and(|it| it <= self.count_max);
        if fits {
            return Ok(());
        }
        Err(BufferFull { n_keys, keys_max: self.keys_max, count, count_max: self.count_max })
    }

    /// Whether `by` would fit if nothing were held.
    pub(super) fn check_empty_room(&self, by: u64) -> Result<(), BufferFull> {
        if by <= self.count_max {
            return Ok(());
        }
        let (keys_max, count_max) = (self.keys_max, self.count_max);
        Err(BufferFull { n_keys: 0, keys_max, count: 0, count_max })
    }

    /// Adds what [`Buffer::check_room`] said fits.
    pub(super) fn add(&mut self, key: K, by: u64) {
        let sum = self.counts.entry(key).or_default();
        *sum = sum.saturating_add(by);
        self.n_buffered = self.n_buffered.saturating_add(by);
    }

    /// Moves everything out, to be written. It counts as held until [`Buffer::on_written`] or
    /// [`Buffer::restore`].
    pub(super) fn take(&mut self) -> BTreeMap<K, u64> {
        let counts = std::mem::take(&mut self.counts);
        self.n_keys_taken = self.n_keys_taken.saturating_add(counts.len());
        self.n_taken = self.n_taken.saturating_add(std::mem::take(&mut self.n_buffered));
        counts
    }

    /// What was taken is written: its room is free.
    pub(super) fn on_written(&mut self, counts: &BTreeMap<K, u64>) {
        self.n_keys_taken = self.n_keys_taken.saturating_sub(counts.len());
        self.n_taken = self.n_taken.saturating_sub(total(counts));
    }

    /// What was taken was not written: it is buffered again.
    pub(super) fn restore(&mut self, counts: BTreeMap<K, u64>) {
        self.on_written(&counts);
        for (key, by) in counts {
            self.add(key, by);
        }
    }

    /// Increments to be taken next.
    pub(super) fn n_buffered(&self) -> u64 {
        self.n_buffered
    }

    /// Increments that are being written.
    pub(super) fn n_taken(&self) -> u64 {
        self.n_taken
    }

    /// Keys held, those being written included; a key may be both.
    pub(super) fn n_keys(&self) -> usize {
        self.counts.len().saturating_add(self.n_keys_taken)
    }
}

fn total<K>(counts: &BTreeMap<K, u64>) -> u64 {
    counts.values().fold(0, |sum, by| sum.saturating_add(*by))
}
