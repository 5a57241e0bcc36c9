//! The pages: built whole beside the ones that are served, then put in their place.

use std::{
    borrow::Borrow,
    collections::HashMap,
    fmt,
    hash::Hash,
    sync::{
        Arc, PoisonError, RwLock,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use lab_core::settings::{Mode, StaticSnapshotSettings};
use serde::Serialize;

use super::{AgePolicy, SnapshotTooLarge};
use crate::switch::Switch;

/// One rendering of all pages, shared by the service's threads.
///
/// The lock is held to copy or to replace one pointer, never while pages are rendered, looked up
/// or freed.
pub struct StaticSnapshot<K, V> {
    switch: Switch,
    policy: AgePolicy,
    size_bytes_max: u64,
    rendering: RwLock<Option<Arc<Rendering<K, V>>>>,
    n_served: AtomicU64,
    n_too_old: AtomicU64,
    n_absent: AtomicU64,
    n_rebuilds: AtomicU64,
}

struct Rendering<K, V> {
    pages: HashMap<K, V>,
    rendered_at: Instant,
    size_bytes: u64,
}

/// What a static snapshot tells about itself. Lookups are counted under observe and enforce.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct StaticSnapshotStatus {
    /// Off, observe or enforce.
    pub mode: Mode,
    /// Lookups that found a page young enough to serve.
    pub n_served: u64,
    /// Lookups that found a page too old to serve.
    pub n_too_old: u64,
    /// Lookups that found no page.
    pub n_absent: u64,
    /// Renderings that took the place of the one before.
    pub n_rebuilds: u64,
    /// Pages held now.
    pub n_pages: u64,
    /// Keys and pages held now.
    pub size_bytes: u64,
    /// Age of the pages in milliseconds; none before the first rendering.
    pub age_ms: Option<u64>,
}

impl<K, V> StaticSnapshot<K, V>
where
    K: AsRef<[u8]> + Hash + Eq,
    V: AsRef<[u8]> + Clone,
{
    /// Starts without pages.
    pub fn new(settings: &StaticSnapshotSettings) -> Self {
        Self {
            switch: Switch::new(settings.mode),
            policy: AgePolicy::new(settings),
            size_bytes_max: settings.size_bytes_max,
            rendering: RwLock::new(None),
            n_served: AtomicU64::new(0),
            n_too_old: AtomicU64::new(0),
            n_absent: AtomicU64::new(0),
            n_rebuilds: AtomicU64::new(0),
        }
    }

    /// Puts `pages` in the place of all pages there are, in one step. A key that comes twice has
    /// the later page. A copy of `V` is made for each request, so `V` should be cheap to copy
    /// (`Arc<[u8]>`, `Bytes`).
    ///
    /// `rendered_at` is when the rendering **began**: a page may be as old as the first thing that
    /// was read for it.
    ///
    /// **Errors**: the pages have more bytes than they may; nothing changed. `pages` is not asked
    /// for more after that.
    pub fn replace(
        &self,
        rendered_at: Instant,
        pages: impl IntoIterator<Item = (K, V)>,
    ) -> Result<(), SnapshotTooLarge> {
        let size_bytes_max = self.size_bytes_max;
        let bytes = |it: &[u8]| it.len() as u64;
        let (mut kept, mut size_bytes) = (HashMap::new(), 0_u64);
        for (key, page) in pages {
            let key_bytes = bytes(key.as_ref());
            size_bytes = size_bytes.saturating_add(key_bytes + bytes(page.as_ref()));
            if let Some(earlier) = kept.insert(key, page) {
                size_bytes = size_bytes.saturating_sub(key_bytes + bytes(earlier.as_ref()));
            }
            if size_bytes_max < size_bytes {
                let n_pages = kept.len() as u64;
                return Err(SnapshotTooLarge { size_bytes, n_pages, size_bytes_max });
            }
        }
        let rendering = Arc::new(Rendering { pages: kept, rendered_at, size_bytes });
        let earlier = {
            let mut place = self.rendering.write().unwrap_or_else(PoisonError::into_inner);
            place.replace(rendering)
        };
        self.n_rebuilds.fetch_add(1, Relaxed);
        // The old pages are freed here, or by the last request that still reads them.
        drop(earlier);
        Ok(())
    }

    /// The page of `key` and its age at `now`; `None` when there is none, when it is too old, or
    /// when the mode is not enforce.
    pub fn page<Q>(&self, now: Instant, key: &Q) -> Option<(V, Duration)>
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        let mode = self.mode();
        if mode == Mode::Off {
            return None;
        }
        let rendering = self.rendering();
        let found = rendering.as_ref().and_then(|it| Some((it, it.pages.get(key)?)));
        let Some((rendering, page)) = found else {
            self.n_absent.fetch_add(1, Relaxed);
            return None;
        };
        let age = rendering.age(now);
        if !self.policy.is_servable(age) {
            self.n_too_old.fetch_add(1, Relaxed);
            return None;
        }
        self.n_served.fetch_add(1, Relaxed);
        (mode == Mode::Enforce).then(|| (page.clone(), age))
    }

    /// Whether it is time to render again. Always at first; after that an interval after the last
    /// rendering *that took its place*: whoever fails to render waits before the next try.
    pub fn is_rebuild_due(&self, now: Instant) -> bool {
        self.policy.is_rebuild_due(now, self.rendering().map(|it| it.rendered_at))
    }

    /// Off, observe or enforce.
    pub fn mode(&self) -> Mode {
        self.switch.mode()
    }

    /// Changes the mode from the next call on. Pages stay, and grow old.
    pub fn set_mode(&self, mode: Mode) {
        self.switch.set_mode(mode);
    }

    /// Mode, counts, size and age at `now`, for the internal port and metrics.
    pub fn snapshot(&self, now: Instant) -> StaticSnapshotStatus {
        let rendering = self.rendering();
        let age_ms = |age: Duration| u64::try_from(age.as_millis()).unwrap_or(u64::MAX);
        StaticSnapshotStatus {
            mode: self.mode(),
            n_served: self.n_served.load(Relaxed),
            n_too_old: self.n_too_old.load(Relaxed),
            n_absent: self.n_absent.load(Relaxed),
            n_rebuilds: self.n_rebuilds.load(Relaxed),
            n_pages: rendering.as_ref().map_or(0, |it| it.pages.len() as u64),
            size_bytes: rendering.as_ref().map_or(0, |it| it.size_bytes),
            age_ms: rendering.map(|it| age_ms(it.age(now))),
        }
    }

    fn rendering(&self) -> Option<Arc<Rendering<K, V>>> {
        self.rendering.read().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl<K, V> Rendering<K, V> {
    fn age(&self, now: Instant) -> Duration {
        now.saturating_duration_since(self.rendered_at)
    }
}

impl<K, V> fmt::Debug for StaticSnapshot<K, V> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("StaticSnapshot")
            .field("switch", &self.switch)
            .field("policy", &self.policy)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    type Pages = StaticSnapshot<String, Arc<[u8]>>;

    fn pages(mode: Mode) -> Pages {
        StaticSnapshot::new(&StaticSnapshotSettings {
            mode,
            rebuild_interval: Duration::from_secs(60),
            max_age: Some(Duration::from_secs(600)),
            size_bytes_max: 100,
        })
    }

    fn start() -> Instant {
        tokio::time::Instant::now().into_std()
    }

    fn rendered<const N: usize>(all: [(&str, &str); N]) -> Vec<(String, Arc<[u8]>)> {
        all.into_iter().map(|(key, page)| (key.into(), page.as_bytes().into())).collect()
    }

    fn body(pages: &Pages, now: Instant, key: &str) -> Option<(String, u64)> {
        let (page, age) = pages.page(now, key)?;
        Some((String::from_utf8(page.to_vec()).unwrap(), age.as_secs()))
    }

    #[test]
    fn a_page_is_served_with_its_age_until_it_is_too_old() {
        let (pages, t0) = (pages(Mode::Enforce), start());
        assert_eq!(body(&pages, t0, "home"), None);
        pages.replace(t0, rendered([("home", "a")])).unwrap();
        let at = |seconds| t0 + Duration::from_secs(seconds);
        assert_eq!(body(&pages, at(30), "home"), Some(("a".into(), 30)));
        assert_eq!(body(&pages, at(600), "home"), Some(("a".into(), 600)));
        assert_eq!(body(&pages, at(601), "home"), None);
        assert_eq!(body(&pages, at(30), "absent"), None);
        let status = pages.snapshot(at(601));
        assert_eq!((status.n_served, status.n_too_old, status.n_absent), (2, 1, 2));
        assert_eq!(status.age_ms, Some(601_000));
    }

    #[test]
    fn a_new_snapshot_takes_the_place_of_the_whole_old_one() {
        let (pages, t0) = (pages(Mode::Enforce), start());
        pages.replace(t0, rendered([("home", "a"), ("gone", "a")])).unwrap();
        let t1 = t0 + Duration::from_secs(60);
        assert!(!pages.is_rebuild_due(t1 - Duration::from_nanos(1)) && pages.is_rebuild_due(t1));
        pages.replace(t1, rendered([("home", "b")])).unwrap();
        assert_eq!(body(&pages, t1, "home"), Some(("b".into(), 0)));
        assert_eq!(body(&pages, t1, "gone"), None);
        assert!(!pages.is_rebuild_due(t1));
    }

    // Worked by hand: 4 + 6 bytes, and 4 + 90; together 104, which is 4 too many.
    #[test]
    fn a_snapshot_that_is_too_large_leaves_the_old_one_in_place() {
        let (pages, t0) = (pages(Mode::Enforce), start());
        pages.replace(t0, rendered([("key1", "123456")])).unwrap();
        let (small, large) = ("s".repeat(6), "l".repeat(90));
        let error =
            pages.replace(t0, rendered([("key1", &*small), ("key2", &*large)])).unwrap_err();
        let want = SnapshotTooLarge { size_bytes: 104, n_pages: 2, size_bytes_max: 100 };
        assert_eq!(error, want);
        assert_eq!(body(&pages, t0, "key1"), Some(("123456".into(), 0)));
        let status = pages.snapshot(t0);
        assert_eq!((status.size_bytes, status.n_pages, status.n_rebuilds), (10, 1, 1));
    }

    #[test]
    fn pages_without_end_are_not_collected_beyond_the_limit() {
        let (pages, n_rendered) = (pages(Mode::Enforce), AtomicU64::new(0));
        let endless = std::iter::repeat_with(|| {
            let n = n_rendered.fetch_add(1, Relaxed);
            (format!("{n:04}"), Arc::from(&b"123456"[..]))
        });
        assert!(pages.replace(start(), endless).is_err());
        assert_eq!(n_rendered.load(Relaxed), 11);
    }

    #[test]
    fn a_key_that_comes_twice_counts_once() {
        let (pages, t0) = (pages(Mode::Enforce), start());
        pages.replace(t0, rendered([("key1", "123456"), ("key1", "1")])).unwrap();
        assert_eq!(body(&pages, t0, "key1"), Some(("1".into(), 0)));
        assert_eq!(pages.snapshot(t0).size_bytes, 5);
    }

    #[test]
    fn a_rendering_that_panics_leaves_the_old_one_in_place() {
        let (pages, t0) = (pages(Mode::Enforce), start());
        pages.replace(t0, rendered([("home", "a")])).unwrap();
        let panicking = std::iter::from_fn(|| panic!("the template does"));
        let result =
            std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| pages.replace(t0, panicking)));
        assert!(result.is_err());
        assert_eq!(body(&pages, t0, "home"), Some(("a".into(), 0)));
    }

    #[test]
    fn observing_counts_what_would_have_been_served_and_serves_nothing() {
        let (pages, t0) = (pages(Mode::Observe), start());
        pages.replace(t0, rendered([("home", "a")])).unwrap();
        assert_eq!(body(&pages, t0, "home"), None);
        assert_eq!(pages.snapshot(t0).n_served, 1);
        pages.set_mode(Mode::Enforce);
        assert!(body(&pages, t0, "home").is_some());
        pages.set_mode(Mode::Off);
        assert_eq!(body(&pages, t0, "home"), None);
        assert_eq!(pages.snapshot(t0).n_served, 2, "switched off it counts nothing");
    }

    #[test]
    fn until_the_last_page_is_rendered_readers_have_all_pages_of_before_and_then_all_new_ones() {
        let (pages, t0) = (pages(Mode::Enforce), start());
        let keys = ["first", "second"];
        let served = |now| keys.map(|key| body(&pages, now, key).unwrap());
        pages.replace(t0, rendered(keys.map(|key| (key, "old")))).unwrap();
        let t1 = t0 + Duration::from_secs(1);
        let mut n_looks = 0;
        let one_by_one = rendered(keys.map(|key| (key, "new"))).into_iter().inspect(|_| {
            assert_eq!(served(t1), ["old", "old"].map(|page| (page.to_owned(), 1)));
            n_looks += 1;
        });
        pages.replace(t1, one_by_one).unwrap();
        assert_eq!(n_looks, 2);
        assert_eq!(served(t1), ["new", "new"].map(|page| (page.to_owned(), 0)));
    }
}
