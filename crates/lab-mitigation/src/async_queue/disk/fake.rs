//! A disk that a test can fill, break or hold still. What it does write is on the real one.

use std::sync::{
    Arc, Condvar, Mutex, PoisonError,
    atomic::{AtomicBool, AtomicU64, Ordering::SeqCst},
};

use super::{Disk, Path, SegmentFile, SystemDisk, io};

/// The knobs. Clones turn the same ones.
#[derive(Debug, Clone, Default)]
pub(crate) struct FakeDisk {
    knobs: Arc<Knobs>,
}

#[derive(Debug, Default)]
struct Knobs {
    is_full: AtomicBool,
    is_sync_broken: AtomicBool,
    is_truncate_broken: AtomicBool,
    /// Bytes that still get through when the disk is full.
    n_bytes_left: AtomicU64,
    n_syncs: AtomicU64,
    n_appends: AtomicU64,
    are_syncs_held: Mutex<bool>,
    syncs_released: Condvar,
}

impl FakeDisk {
    /// The disk takes `n_bytes_left` more bytes and no file.
    pub(crate) fn fill(&self, n_bytes_left: u64) {
        self.knobs.n_bytes_left.store(n_bytes_left, SeqCst);
        self.knobs.is_full.store(true, SeqCst);
    }

    /// Syncs fail, and cutting a file off too.
    pub(crate) fn break_syncs(&self) {
        self.knobs.is_sync_broken.store(true, SeqCst);
    }

    /// Cutting a file off fails.
    pub(crate) fn break_truncates(&self) {
        self.knobs.is_truncate_broken.store(true, SeqCst);
    }

    /// Everything works again.
    pub(crate) fn repair(&self) {
        self.knobs.is_full.store(false, SeqCst);
        self.knobs.is_sync_broken.store(false, SeqCst);
        self.knobs.is_truncate_broken.store(false, SeqCst);
    }

    /// Syncs wait until the guard is dropped.
    pub(crate) fn hold_syncs(&self) -> HeldSyncs {
        self.knobs.hold_syncs(true);
        HeldSyncs { knobs: Arc::clone(&self.knobs) }
    }

    /// Syncs of appended bytes that returned.
    pub(crate) fn n_syncs(&self) -> u64 {
        self.knobs.n_syncs.load(SeqCst)
    }

    /// Appends that began.
    pub(crate) fn n_appends(&self) -> u64 {
        self.knobs.n_appends.load(SeqCst)
    }

    fn wrap(&self, file: Box<dyn SegmentFile>) -> Box<dyn SegmentFile> {
        Box::new(FakeFile { knobs: Arc::clone(&self.knobs), file })
    }
}

impl Knobs {
    fn hold_syncs(&self, is_held: bool) {
        *self.are_syncs_held.lock().unwrap_or_else(PoisonError::into_inner) = is_held;
        self.syncs_released.notify_all();
    }

    fn wait_while_held(&self) {
        let is_held = self.are_syncs_held.lock().unwrap_or_else(PoisonError::into_inner);
        drop(self.syncs_released.wait_while(is_held, |it| *it));
    }
}

/// Syncs wait until this is dropped.
#[derive(Debug)]
pub(crate) struct HeldSyncs {
    knobs: Arc<Knobs>,
}

impl Drop for HeldSyncs {
    fn drop(&mut self) {
        self.knobs.hold_syncs(false);
    }
}

impl Disk for FakeDisk {
    fn create(&self, path: &Path) -> io::Result<Box<dyn SegmentFile>> {
        if self.knobs.is_full.load(SeqCst) {
            return Err(io::ErrorKind::StorageFull.into());
        }
        SystemDisk.create(path).map(|it| self.wrap(it))
    }

    fn open(&self, path: &Path) -> io::Result<Box<dyn SegmentFile>> {
        SystemDisk.open(path).map(|it| self.wrap(it))
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        SystemDisk.remove(path)
    }
}

struct FakeFile {
    knobs: Arc<Knobs>,
    file: Box<dyn SegmentFile>,
}

impl SegmentFile for FakeFile {
    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.knobs.n_appends.fetch_add(1, SeqCst);
        if self.knobs.is_full.load(SeqCst) {
            let left = usize::try_from(self.knobs.n_bytes_left.load(SeqCst)).unwrap_or(usize::MAX);
            self.file.append(&bytes[..left.min(bytes.len())])?;
            return Err(io::ErrorKind::StorageFull.into());
        }
        self.file.append(bytes)
    }

    fn sync(&mut self) -> io::Result<()> {
        self.knobs.wait_while_held();
        if self.knobs.is_sync_broken.load(SeqCst) {
            return Err(io::Error::other("the disk lost what it was given"));
        }
        self.knobs.n_syncs.fetch_add(1, SeqCst);
        self.file.sync()
    }

    fn truncate(&mut self, n_bytes: u64) -> io::Result<()> {
        let knobs = &self.knobs;
        if knobs.is_truncate_broken.load(SeqCst) || knobs.is_sync_broken.load(SeqCst) {
            return Err(io::Error::other("the file cannot be cut off"));
        }
        self.file.truncate(n_bytes)
    }
}
