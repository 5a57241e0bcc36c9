//! The store: quick_cache, bounded by bytes, with the age of every entry.

use std::{
    borrow::Borrow,
    fmt,
    hash::Hash,
    sync::atomic::{AtomicU64, Ordering::Relaxed},
    time::{Duration, Instant},
};

use lab_core::settings::{LocalCacheSettings, Mode};
use quick_cache::{Weighter, sync::Cache};
use serde::Serialize;

use super::{Freshness, StalePolicy};
use crate::switch::Switch;

/// Bytes of a typical entry: a product page is 2 to 5 KB. quick_cache sizes its shards by the
/// number of entries to expect, and wants no more than the order of magnitude.
const TYPICAL_ENTRY_BYTES: u64 = 4_096;

/// What a cache knows about a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lookup<V> {
    /// An entry no older than the time to live.
    Fresh(V),
    /// An older entry and its age; [`LocalCache::freshness`] says whether it may stand in when
    /// nothing else answers.
    Expired(V, Duration),
    /// No entry; or the mode is not enforce.
    Absent,
}

/// A cache inside the service, shared by its threads. Weighs keys and values by their bytes; what
/// an entry costs beside them (some 100 bytes) is not counted.
pub struct LocalCache<K, V> {
    switch: Switch,
    policy: StalePolicy,
    entries: Cache<K, Entry<V>, Bytes>,
    n_fresh: AtomicU64,
    n_expired: AtomicU64,
    n_absent: AtomicU64,
}

#[derive(Clone)]
struct Entry<V> {
    value: V,
    inserted_at: Instant,
    /// How old it was when it came in.
    age_at_insert: Duration,
}

#[derive(Clone)]
struct Bytes;

impl<K: AsRef<[u8]>, V: AsRef<[u8]>> Weighter<K, Entry<V>> for Bytes {
    fn weight(&self, key: &K, entry: &Entry<V>) -> u64 {
        // A usize has at most 64 bits on every platform Rust knows.
        (key.as_ref().len() + entry.value.as_ref().len()) as u64
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
    /// Lookups that found nothing.
    pub n_absent: u64,
    /// Entries held now.
    pub n_entries: u64,
    /// Keys and values held now.
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
            n_fresh: AtomicU64::new(0),
            n_expired: AtomicU64::new(0),
            n_absent: AtomicU64::new(0),
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
        let (count, lookup) = match self.entries.get(key) {
            None => (&self.n_absent, Lookup::Absent),
            Some(entry) => {
                let age = entry.age(now);
                match self.freshness(age) {
                    Freshness::Fresh => (&self.n_fresh, Lookup::Fresh(entry.value)),
                    Freshness::StaleUsable | Freshness::TooOld => {
                        (&self.n_expired, Lookup::Expired(entry.value, age))
                    }
                }
            }
        };
        count.fetch_add(1, Relaxed);
        if mode == Mode::Enforce { lookup } else { Lookup::Absent }
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
    /// ahead to look as after some traffic.
    pub fn insert_aged(&self, now: Instant, age: Duration, key: K, value: V) {
        if self.mode() != Mode::Off {
            self.entries.insert(key, Entry { value, inserted_at: now, age_at_insert: age });
        }
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
        LocalCacheSnapshot {
            mode: self.mode(),
            n_fresh: self.n_fresh.load(Relaxed),
            n_expired: self.n_expired.load(Relaxed),
            n_absent: self.n_absent.load(Relaxed),
            n_entries: self.entries.len() as u64,
            size_bytes: self.entries.weight(),
        }
    }
}

impl<V> Entry<V> {
    fn age(&self, now: Instant) -> Duration {
        self.age_at_insert + now.saturating_duration_since(self.inserted_at)
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
mod tests {
    use super::*;

    const TTL: Duration = Duration::from_secs(60);

    fn cache(mode: Mode, size_bytes_max: u64) -> LocalCache<String, Vec<u8>> {
        LocalCache::new(&LocalCacheSettings {
            mode,
            size_bytes_max,
            ttl: TTL,
            stale_on_error_max_age: Some(2 * TTL),
        })
    }

    fn start() -> Instant {
        tokio::time::Instant::now().into_std()
    }

    #[test]
    fn an_entry_is_fresh_then_expired_with_its_age() {
        let (cache, t0) = (cache(Mode::Enforce, 1 << 20), start());
        assert_eq!(cache.get(t0, "page"), Lookup::Absent);
        cache.insert(t0, "page".into(), b"body".to_vec());
        assert_eq!(cache.get(t0 + TTL, "page"), Lookup::Fresh(b"body".to_vec()));
        let late = TTL + Duration::from_nanos(1);
        assert_eq!(cache.get(t0 + late, "page"), Lookup::Expired(b"body".to_vec(), late));
        assert_eq!(cache.freshness(late), Freshness::StaleUsable);
        assert_eq!(cache.freshness(3 * TTL), Freshness::TooOld);
    }

    #[test]
    fn an_entry_loaded_ahead_has_the_age_it_came_with() {
        let (cache, t0) = (cache(Mode::Enforce, 1 << 20), start());
        cache.insert_aged(t0, Duration::from_secs(50), "page".into(), vec![1]);
        let later = t0 + Duration::from_secs(11);
        assert_eq!(cache.get(later, "page"), Lookup::Expired(vec![1], Duration::from_secs(61)));
    }

    #[test]
    fn a_new_value_takes_the_place_and_the_age_of_the_old_one() {
        let (cache, t0) = (cache(Mode::Enforce, 1 << 20), start());
        cache.insert(t0, "page".into(), vec![1]);
        cache.insert(t0 + 2 * TTL, "page".into(), vec![2]);
        assert_eq!(cache.get(t0 + 3 * TTL, "page"), Lookup::Fresh(vec![2]));
        assert_eq!(cache.snapshot().n_entries, 1);
    }

    // Worked by hand: a key of 4 bytes and a body of 6 weigh 10.
    #[test]
    fn size_is_counted_in_bytes_of_keys_and_bodies() {
        let (cache, t0) = (cache(Mode::Enforce, 1 << 20), start());
        cache.insert(t0, "key1".into(), vec![0; 6]);
        cache.insert(t0, "key2".into(), vec![0; 90]);
        assert_eq!(cache.snapshot().size_bytes, 104);
    }

    #[test]
    fn the_cache_never_holds_more_bytes_than_it_may() {
        let (size_bytes_max, t0) = (64 * 1024, start());
        let cache = cache(Mode::Enforce, size_bytes_max);
        for n in 0..1_000 {
            cache.insert(t0, format!("key{n}"), vec![0; 1_000]);
            assert!(cache.snapshot().size_bytes <= size_bytes_max, "after {n} inserts");
        }
        assert!(size_bytes_max / 2 < cache.snapshot().size_bytes, "and it is used");
    }

    #[test]
    fn a_cache_of_no_bytes_keeps_nothing() {
        let (cache, t0) = (cache(Mode::Enforce, 0), start());
        cache.insert(t0, "page".into(), vec![1]);
        assert_eq!(cache.get(t0, "page"), Lookup::Absent);
    }

    #[test]
    fn observing_counts_what_would_have_been_served_and_serves_nothing() {
        let (cache, t0) = (cache(Mode::Observe, 1 << 20), start());
        cache.insert(t0, "page".into(), vec![1]);
        assert_eq!(cache.get(t0, "page"), Lookup::Absent);
        assert_eq!(cache.snapshot().n_fresh, 1);
        cache.set_mode(Mode::Enforce);
        assert_eq!(cache.get(t0, "page"), Lookup::Fresh(vec![1]));
    }

    #[test]
    fn switched_off_it_stores_answers_and_counts_nothing() {
        let (cache, t0) = (cache(Mode::Off, 1 << 20), start());
        cache.insert(t0, "page".into(), vec![1]);
        assert_eq!(cache.get(t0, "page"), Lookup::Absent);
        let snapshot = cache.snapshot();
        assert_eq!((snapshot.n_entries, snapshot.n_absent), (0, 0));
    }
}
