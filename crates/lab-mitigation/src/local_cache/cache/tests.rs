//! The store by hand: ages, bytes, modes, and what does not exist.

use super::*;

const TTL: Duration = Duration::from_secs(60);
const NEGATIVE_TTL: Duration = Duration::from_secs(5);

fn cache(mode: Mode, size_bytes_max: u64) -> LocalCache<String, Vec<u8>> {
    LocalCache::new(&LocalCacheSettings {
        mode,
        size_bytes_max,
        ttl: TTL,
        stale_on_error_max_age: Some(2 * TTL),
        negative_ttl: Some(NEGATIVE_TTL),
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

#[test]
fn what_does_not_exist_is_remembered_for_its_own_time_and_then_unknown() {
    let (cache, t0) = (cache(Mode::Enforce, 1 << 20), start());
    cache.insert_negative(t0, "page".into());
    assert_eq!(cache.get(t0 + NEGATIVE_TTL, "page"), Lookup::Negative);
    let late = t0 + NEGATIVE_TTL + Duration::from_nanos(1);
    assert_eq!(cache.get(late, "page"), Lookup::Absent, "nothing stale says that it is not there");
    let snapshot = cache.snapshot();
    assert_eq!((snapshot.n_negative, snapshot.n_absent), (1, 1));
}

#[test]
fn a_page_that_is_made_or_deleted_takes_the_place_of_what_was_known() {
    let (cache, t0) = (cache(Mode::Enforce, 1 << 20), start());
    cache.insert_negative(t0, "page".into());
    cache.insert(t0, "page".into(), vec![1]);
    assert_eq!(cache.get(t0, "page"), Lookup::Fresh(vec![1]));
    cache.insert_negative(t0, "page".into());
    assert_eq!(cache.get(t0, "page"), Lookup::Negative);
}

#[test]
fn without_a_negative_ttl_a_deleted_page_is_forgotten_and_not_served_as_stale() {
    let settings = LocalCacheSettings {
        mode: Mode::Enforce,
        stale_on_error_max_age: Some(10 * TTL),
        ..LocalCacheSettings::default()
    };
    let (cache, t0) = (LocalCache::<String, Vec<u8>>::new(&settings), start());
    cache.insert(t0, "page".into(), vec![1]);
    cache.insert_negative(t0, "page".into());
    assert_eq!(cache.get(t0 + 2 * TTL, "page"), Lookup::Absent);
    assert_eq!(cache.snapshot().n_entries, 0);
}

// Worked by hand: a key of 4 bytes and 100 for the entry, twice.
#[test]
fn a_negative_entry_weighs_its_key_and_what_the_store_keeps_beside_it() {
    let (cache, t0) = (cache(Mode::Enforce, 1 << 20), start());
    cache.insert_negative(t0, "key1".into());
    cache.insert_negative(t0, "key2".into());
    assert_eq!(cache.snapshot().size_bytes, 208);
}

#[test]
fn negative_entries_are_observed_and_switched_off_as_the_others_are() {
    let (cache, t0) = (cache(Mode::Observe, 1 << 20), start());
    cache.insert_negative(t0, "page".into());
    assert_eq!(cache.get(t0, "page"), Lookup::Absent);
    assert_eq!(cache.snapshot().n_negative, 1);
    cache.set_mode(Mode::Off);
    cache.insert_negative(t0, "other".into());
    assert_eq!(cache.snapshot().n_entries, 1);
}

// Worked by hand: 4 threads with 1,000 lookups each, of which one in four finds each kind.
#[test]
fn lookups_of_several_threads_are_all_counted() {
    let (cache, t0) = (cache(Mode::Enforce, 1 << 20), start());
    cache.insert_aged(t0, 2 * TTL, "old".into(), vec![1]);
    cache.insert(t0, "new".into(), vec![2]);
    cache.insert_negative(t0, "gone".into());
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for n in 0..1_000 {
                    cache.get(t0, ["old", "new", "gone", "unknown"][n % 4]);
                }
            });
        }
    });
    let snapshot = cache.snapshot();
    let counts = [snapshot.n_fresh, snapshot.n_expired, snapshot.n_negative, snapshot.n_absent];
    assert_eq!(counts, [1_000; 4]);
}
