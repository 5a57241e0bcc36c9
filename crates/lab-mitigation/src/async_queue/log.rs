//! The files of a queue: appends a record and syncs it, begins new files, deletes applied ones.
//!
//! Belongs to one thread. Blocks.

use std::{
    collections::VecDeque,
    fs::{self, File, TryLockError},
    path::{Path, PathBuf},
    sync::Arc,
};

use super::{
    QueueError, QueueItem,
    disk::{Disk, SegmentFile, sync_folder_of},
    record::encode,
    recovery::{Contents, Recovered, Segment, read},
};

/// Locked for as long as a queue is open; empty. The lock goes when the process does.
const LOCK_FILE: &str = "lock";

/// An open folder of segments.
pub(super) struct Log {
    folder: PathBuf,
    disk: Box<dyn Disk>,
    segment_bytes: u64,
    /// Never empty; the last one is `file`.
    segments: VecDeque<Segment>,
    file: Box<dyn SegmentFile>,
    /// Bytes of `file` that are synced.
    file_bytes: u64,
    /// `file` may hold something after `file_bytes`.
    is_dirty: bool,
    /// The sequence of the next item.
    next: u64,
    /// Every item below this was applied, durably.
    applied: u64,
    #[cfg_attr(not(test), expect(dead_code, reason = "held, not read"))]
    lock: FolderLock,
}

impl Log {
    /// Opens `folder`, makes it if it is not there, and cuts off an unfinished record.
    pub(super) fn open(
        folder: &Path,
        segment_bytes: u64,
        disk: Box<dyn Disk>,
    ) -> Result<(Self, VecDeque<QueueItem>, Recovered), QueueError> {
        make_folder(folder)?;
        let lock = FolderLock::acquire(folder)?;
        let Contents { mut segments, last_bytes, items, applied, next, torn_tail } = read(folder)?;
        let file = match segments.back() {
            Some(last) => {
                let failed = |error| QueueError::io("continue", &last.path, error);
                let mut file = disk.open(&last.path).map_err(failed)?;
                if torn_tail.is_some() {
                    file.truncate(last_bytes).map_err(failed)?;
                }
                // A killed writer may have written a whole record and not synced it.
                file.sync().map_err(failed)?;
                file
            }
            None => {
                let first = Segment::beginning_at(next, folder);
                let file = disk
                    .create(&first.path)
                    .map_err(|error| QueueError::io("create", &first.path, error))?;
                segments.push_back(first);
                file
            }
        };
        let n_items = items.len() as u64;
        let size_bytes = items.iter().map(|it| it.payload.len() as u64).sum();
        let log = Self {
            folder: folder.to_owned(),
            disk,
            segment_bytes,
            segments,
            file,
            file_bytes: last_bytes,
            is_dirty: false,
            next,
            applied,
            lock,
        };
        Ok((log, items, Recovered { n_items, size_bytes, torn_tail }))
    }

    /// Writes `items`, and that every item below `applied` was applied, as one record. Returns the
    /// sequence of the first item, when the record is durable.
    ///
    /// **Errors**: nothing is durable, or nobody can tell. The file is cut back before the next
    /// record is written.
    pub(super) fn append(&mut self, items: &[Arc<[u8]>], applied: u64) -> Result<u64, QueueError> {
        self.cut_back()?;
        self.begin_segment_if_full()?;
        let applied = applied.max(self.applied).min(self.next);
        let record = encode(self.next, applied, items);
        self.is_dirty = true;
        self.file.append(&record).map_err(|error| self.failed("write", error))?;
        self.file.sync().map_err(|error| self.failed("sync", error))?;
        self.is_dirty = false;
        self.file_bytes = self.file_bytes.saturating_add(record.len() as u64);
        self.applied = applied;
        let first = self.next;
        self.next = self.next.saturating_add(items.len() as u64);
        Ok(first)
    }

    /// Deletes the segments in which every item is below `applied`, but never the last one. Needs
    /// no room, so that a full disk gets some; that a segment is gone says that it was applied.
    ///
    /// **Errors**: one cannot be deleted; it and those after it stay until the next time.
    pub(super) fn delete_applied(&mut self, applied: u64) -> Result<(), QueueError> {
        while self.segments.get(1).is_some_and(|after| after.first <= applied) {
            let oldest = &self.segments[0];
            self.disk
                .remove(&oldest.path)
                .map_err(|error| QueueError::io("delete", &oldest.path, error))?;
            self.segments.pop_front();
        }
        Ok(())
    }

    /// The sequence of the next item.
    pub(super) fn next(&self) -> u64 {
        self.next
    }

    pub(super) fn n_segments(&self) -> u64 {
        self.segments.len() as u64
    }

    /// Cuts off what a failed append left. After a failed sync the kernel may have dropped the
    /// bytes or not, so they are written anew rather than synced again.
    fn cut_back(&mut self) -> Result<(), QueueError> {
        if self.is_dirty {
            self.file.truncate(self.file_bytes).map_err(|error| self.failed("cut back", error))?;
            self.is_dirty = false;
        }
        Ok(())
    }

    /// A segment without items is not left: the next one would have the same name.
    fn begin_segment_if_full(&mut self) -> Result<(), QueueError> {
        let has_items = self.segments.back().is_some_and(|it| it.first < self.next);
        if self.file_bytes < self.segment_bytes || !has_items {
            return Ok(());
        }
        let segment = Segment::beginning_at(self.next, &self.folder);
        self.file = self
            .disk
            .create(&segment.path)
            .map_err(|error| QueueError::io("create", &segment.path, error))?;
        self.file_bytes = 0;
        self.segments.push_back(segment);
        Ok(())
    }

    fn failed(&self, operation: &'static str, error: std::io::Error) -> QueueError {
        let path = self.segments.back().map_or(&self.folder, |it| &it.path);
        QueueError::io(operation, path, error)
    }
}

fn make_folder(folder: &Path) -> Result<(), QueueError> {
    if folder.is_dir() {
        return Ok(());
    }
    fs::create_dir(folder)
        .and_then(|()| sync_folder_of(folder))
        .map_err(|error| QueueError::io("create", folder, error))
}

/// Given back when it is dropped, or when the process ends. Closing the file would not do: a child
/// that another thread has just forked shares it.
struct FolderLock(File);

impl FolderLock {
    fn acquire(folder: &Path) -> Result<Self, QueueError> {
        let path = folder.join(LOCK_FILE);
        let file = File::options()
            .write(true)
            .create(true)
            .truncate(false)
            .open(&path)
            .map_err(|error| QueueError::io("create", &path, error))?;
        match file.try_lock() {
            Ok(()) => Ok(Self(file)),
            Err(TryLockError::WouldBlock) => Err(QueueError::InUse { path: folder.to_owned() }),
            Err(TryLockError::Error(error)) => Err(QueueError::io("lock", &path, error)),
        }
    }
}

impl Drop for FolderLock {
    fn drop(&mut self) {
        self.0.unlock().ok();
    }
}

#[cfg(test)]
mod tests;
