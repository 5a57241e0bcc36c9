//! The store: quick_cache, bounded by bytes, with the age of every entry.

use std::{
    borrow::Borrow,
    fmt,
    hash::Hash,
    time::{Duration, Instant},
};

use lab_core::settings::{LocalCacheSettings, Mode};
use quick_cache::{Weighter, sync::Cache};
use serde::Serialize;

use super::{Freshness, StalePolicy};
use crate::{striped::StripedCounts, switch::Switch};

/// Bytes of a typical entry: a product page is 2 to 5 KB. quick_cache sizes its shards by the
/// number of entries to expect, and wants no more than the order of magnitude.
const TYPICAL_ENTRY_BYTES: u64 = 4_096;

/// What a negative entry costs beside its key: about what the store keeps per entry. Without it,
/// users who ask for random pages would fill the bound with some 20 bytes each, and the memory
/// with five times that. For a page it is lost in its body.
const NEGATIVE_ENTRY_BYTES: u64 = 100;

/// What a cache knows about a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lookup<V> {
    /// An entry no older than the time to live.
    Fresh(V),
    /// An older entry and its age; [`LocalCache::freshness`] says whether it may stand in when
    /// nothing else answers.
    Expired(V, Duration),
    /// There was no such thing, no longer ago than the negative time to live.
    Negative,
    /// No entry; or the mode is not enforce.
    Absent,
}

/// A cache inside the service, shared by its threads. Weighs keys and values by their bytes; what
/// an entry costs beside them (some 100 bytes) is counted only where there is no value.
///
/// A lookup waits for no other lookup: it takes a read lock of a part of the store, and counts in
/// counters of its thread. It allocates nothing unless cloning `V` does.
pub struct LocalCache<K, V> {
    switch: Switch,
    policy: StalePolicy,
    entries: Cache<K, Entry<V>, Bytes>,
    counts: StripedCounts<4>,
}

/// What a lookup found, as the place of its count.
#[derive(Debug, Clone, Copy)]
enum Found {
    Fresh,
    Expired,
    Negative,
    Nothing,
}

#[derive(Clone)]
struct Entry<V> {
    /// `None`: there is no such thing.
    value: Option<V>,
    made_at: Instant,
    /// Kept so that a hit only compares. `None`: for ever.
    fresh_until: Option<Instant>,
}

#[derive(Clone)]
struct Bytes;

impl<K: AsRef<[u8]>, V: AsRef<[u8]>> Weighter<K, Entry<V>> for Bytes {
    fn weight(&self, key: &K, entry: &Entry<V>) -> u64 {
        // A usize has at most 64 bits on every platform Rust knows.
        let key_bytes = key.as_ref().len() as u64;
        let value_bytes = match &entry.value {
            Some(value) => value.as_ref().len() as u64,
            None => NEGATIVE_ENTRY_BYTES,
        };
        key_bytes.saturating_add(value_bytes)
    }
}

/// What a local cache tells about itself. Lookups are counted under observe and enforce.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct LocalCacheSnapshot {
    /// Off, observe or enforce.
    pub mode: Mode,
    /// Lookups that found a fresh entry.
    pub n_fresh: u64,
    /// Lookups that found an expired entry, usable or not.
    pub n_expired: u64,
    /// Lookups that found that there is no such thing.
    pub n_negative: u64,
    /// Lookups that found nothing.
    pub n_absent: u64,
    /// Entries held now.
    pub n_entries: u64,
    /// Keys and values held now, and 100 for each negative entry.
    pub size_bytes: u64,
}

impl<K, V> LocalCache<K, V>
where
    K: AsRef<[u8]> + Hash + Eq,
    V: AsRef<[u8]> + Clone,
{
    /// Starts empty. An entry larger than the cache (or than one of the parts it is split into,
    /// for threads not to wait for each other) is not kept.
    pub fn new(settings: &LocalCacheSettings) -> Self {
        let n_typical =
            usize::try_from(settings.size_bytes_max / TYPICAL_ENTRY_BYTES).unwrap_or(usize::MAX);
        Self {
            switch: Switch::new(settings.mode),
            policy: StalePolicy::new(settings),
            entries: Cache::with_weighter(n_typical.max(1), settings.size_bytes_max, Bytes),
            counts: StripedCounts::default(),
        }
    }

    /// What is known about `key` at `now`.
    pub fn get<Q>(&self, now: Instant, key: &Q) -> Lookup<V>
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        let mode = self.mode();
        if mode == Mode::Off {
            return Lookup::Absent;
        }
        // The entry stays where the store put it until all is decided. A value of two words that
        // is moved at once costs a hit 10 ns: the processor must wait for both to be stored.
        let entry = self.entries.get(key);
        let Some(Entry { value, made_at, fresh_until }) = &entry else {
            self.count(Found::Nothing);
            return Lookup::Absent;
        };
        let is_fresh = fresh_until.is_none_or(|last| now <= last);
        let (has_value, made_at) = (value.is_some(), *made_at);
        self.count(match (has_value, is_fresh) {
            (true, true) => Found::Fresh,
            (true, false) => Found::Expired,
            (false, true) => Found::Negative,
            (false, false) => Found::Nothing,
        });
        if mode != Mode::Enforce {
            return Lookup::Absent;
        }
        match entry.and_then(|entry| entry.value) {
            Some(value) if is_fresh => Lookup::Fresh(value),
            Some(value) => Lookup::Expired(value, now.saturating_duration_since(made_at)),
            None if is_fresh => Lookup::Negative,
            None => Lookup::Absent,
        }
    }

    /// What an entry of `age` is good for.
    pub fn freshness(&self, age: Duration) -> Freshness {
        self.policy.freshness(age)
    }

    /// Keeps `value`, made at `now`.
    pub fn insert(&self, now: Instant, key: K, value: V) {
        self.insert_aged(now, Duration::ZERO, key, value);
    }

    /// Keeps `value`, made `age` before `now`: read from a cache that knows its age, or loaded
    /// ahead to look as after some traffic. Not kept where the machine's clock does not reach back
    /// so far; Linux's does.
    pub fn insert_aged(&self, now: Instant, age: Duration, key: K, value: V) {
        if let Some(made_at) = now.checked_sub(age) {
            let fresh_until = self.policy.fresh_until(made_at);
            self.put(key, Entry { value: Some(value), made_at, fresh_until });
        }
    }

    /// Remembers that at `now` there was nothing at `key`. Without a negative time to live it only
    /// forgets what was there before, so that it is not served as stale.
    pub fn insert_negative(&self, now: Instant, key: K) {
        if let Some(ttl) = self.policy.negative_ttl() {
            let fresh_until = now.checked_add(ttl);
            self.put(key, Entry { value: None, made_at: now, fresh_until });
        } else if self.mode() != Mode::Off {
            self.entries.remove(&key);
        }
    }

    fn put(&self, key: K, entry: Entry<V>) {
        if self.mode() != Mode::Off {
            self.entries.insert(key, entry);
        }
    }

    #[inline]
    fn count(&self, found: Found) {
        self.counts.add_one(found as usize);
    }

    /// Off, observe or enforce.
    pub fn mode(&self) -> Mode {
        self.switch.mode()
    }

    /// Changes the mode from the next call on. Entries stay, and grow old.
    pub fn set_mode(&self, mode: Mode) {
        self.switch.set_mode(mode);
    }

    /// Mode, counts and size, for the internal port and metrics.
    pub fn snapshot(&self) -> LocalCacheSnapshot {
        let [n_fresh, n_expired, n_negative, n_absent] = self.counts.sums();
        LocalCacheSnapshot {
            mode: self.mode(),
            n_fresh,
            n_expired,
            n_negative,
            n_absent,
            n_entries: self.entries.len() as u64,
            size_bytes: self.entries.weight(),
        }
    }
}

impl<K, V> fmt::Debug for LocalCache<K, V> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("LocalCache")
            .field("switch", &self.switch)
            .field("policy", &self.policy)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
