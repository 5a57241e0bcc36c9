//! A hit of the local cache allocates nothing, when cloning the value does not.

#![expect(unsafe_code, reason = "an allocator cannot be written without")]

use std::{
    alloc::{GlobalAlloc, Layout, System},
    cell::Cell,
    hint::black_box,
    sync::Arc,
    time::Duration,
};

use lab_core::settings::{LocalCacheSettings, Mode};
use lab_mitigation::local_cache::{LocalCache, Lookup};
use lab_testkit::clock::ManualClock;

/// The system's allocator, counting what each thread asks of it.
struct Counting;

thread_local! {
    static N_ALLOCATIONS: Cell<u64> = const { Cell::new(0) };
}

// SAFETY: every call is handed on to the system's allocator as it came.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        N_ALLOCATIONS.set(N_ALLOCATIONS.get() + 1);
        // SAFETY: the caller keeps the contract of `alloc`.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: the caller keeps the contract of `dealloc`, and the pointer is the system's.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

fn n_allocations(work: impl FnOnce()) -> u64 {
    let before = N_ALLOCATIONS.get();
    work();
    N_ALLOCATIONS.get() - before
}

#[test]
fn lookups_allocate_nothing() {
    let cache = LocalCache::<String, Arc<[u8]>>::new(&LocalCacheSettings {
        mode: Mode::Enforce,
        negative_ttl: Some(Duration::from_secs(5)),
        ..LocalCacheSettings::default()
    });
    let now = ManualClock::new().now();
    cache.insert(now, "page".into(), Arc::from([1; 4_096]));
    cache.insert_negative(now, "gone".into());
    // The first lookup of a thread takes its stripe.
    assert_eq!(cache.get(now, "gone"), Lookup::Negative);
    for key in ["page", "gone", "unknown"] {
        let n_allocated = n_allocations(|| {
            for _ in 0..1_000 {
                black_box(cache.get(now, black_box(key)));
            }
        });
        assert_eq!(n_allocated, 0, "{key}");
    }
}

// The negative control: a value whose clone allocates.
#[test]
fn a_value_that_allocates_when_cloned_is_seen() {
    let settings = LocalCacheSettings { mode: Mode::Enforce, ..LocalCacheSettings::default() };
    let (cache, now) = (LocalCache::<String, Vec<u8>>::new(&settings), ManualClock::new().now());
    cache.insert(now, "page".into(), vec![1; 4_096]);
    let n_allocated = n_allocations(|| (0..10).for_each(|_| drop(cache.get(now, "page"))));
    assert_eq!(n_allocated, 10);
}
