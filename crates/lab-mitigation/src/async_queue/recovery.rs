//! What a folder of segments holds: read once, when a queue is opened. Changes nothing.

use std::{
    collections::VecDeque,
    fs,
    path::{Path, PathBuf},
};

use serde::Serialize;

use super::{
    QueueError, QueueItem, Sequence,
    record::{Unreadable, parse},
};

const EXTENSION: &str = "segment";
/// Digits of the largest `u64`, so that names sort as their numbers do.
const NAME_DIGITS: usize = 20;

/// What a queue found when it was opened.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Recovered {
    /// Items that were durable and not applied; the consumer sees them first.
    pub n_items: u64,
    /// Bytes of those items.
    pub size_bytes: u64,
    /// The unfinished record at the end, which was cut off.
    pub torn_tail: Option<TornTail>,
}

/// An unfinished record: its writer was killed, or lost power, before it could acknowledge it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct TornTail {
    /// The file.
    pub path: PathBuf,
    /// Where the record begins, and the file ends now.
    pub offset: u64,
    /// Bytes that were cut off.
    pub n_bytes: u64,
}

/// One file of records, named after the sequence of its first item.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Segment {
    pub(super) path: PathBuf,
    pub(super) first: u64,
}

impl Segment {
    pub(super) fn beginning_at(first: u64, folder: &Path) -> Self {
        Self { path: folder.join(format!("{first:0NAME_DIGITS$}.{EXTENSION}")), first }
    }

    fn corrupt(&self, offset: u64, reason: &'static str) -> QueueError {
        QueueError::Corrupt { path: self.path.clone(), offset, reason }
    }
}

/// Everything that a folder's segments say.
#[derive(Debug, Default)]
pub(super) struct Contents {
    /// In order; the last one is continued.
    pub(super) segments: VecDeque<Segment>,
    /// Bytes of the last segment that can be read.
    pub(super) last_bytes: u64,
    /// Items that were not applied, in order.
    pub(super) items: VecDeque<QueueItem>,
    /// Every item below this was applied.
    pub(super) applied: u64,
    /// The sequence of the next item.
    pub(super) next: u64,
    /// What stands after `last_bytes`.
    pub(super) torn_tail: Option<TornTail>,
}

/// Reads the segments of `folder`.
///
/// **Errors**: a file that cannot be read, or that does not hold what was written to it.
pub(super) fn read(folder: &Path) -> Result<Contents, QueueError> {
    let mut contents = Contents::default();
    let segments = list(folder)?;
    if let Some(oldest) = segments.front() {
        // A segment is deleted when everything in it was applied.
        (contents.applied, contents.next) = (oldest.first, oldest.first);
    }
    for (index, segment) in segments.iter().enumerate() {
        if segment.first != contents.next {
            return Err(segment.corrupt(0, "it does not continue the segment before"));
        }
        let bytes = fs::read(&segment.path)
            .map_err(|error| QueueError::io("read", &segment.path, error))?;
        contents.read_segment(segment, &bytes, index + 1 == segments.len())?;
    }
    contents.segments = segments;
    Ok(contents)
}

impl Contents {
    fn read_segment(
        &mut self,
        segment: &Segment,
        bytes: &[u8],
        is_last: bool,
    ) -> Result<(), QueueError> {
        let mut rest = bytes;
        while !rest.is_empty() {
            let offset = (bytes.len() - rest.len()) as u64;
            let record = match parse(rest) {
                Ok(record) => record,
                Err(Unreadable::Torn) if is_last => {
                    let (path, n_bytes) = (segment.path.clone(), rest.len() as u64);
                    self.torn_tail = Some(TornTail { path, offset, n_bytes });
                    break;
                }
                // The next segment was begun when this one was synced to its end.
                Err(Unreadable::Torn) => {
                    return Err(segment.corrupt(offset, "it ends before its last record does"));
                }
                Err(Unreadable::Corrupt(reason)) => return Err(segment.corrupt(offset, reason)),
            };
            if record.first != self.next || self.next < record.applied {
                return Err(segment.corrupt(offset, "it does not continue the record before"));
            }
            for payload in &record.items {
                let sequence = Sequence(self.next);
                self.items.push_back(QueueItem { sequence, payload: (*payload).into() });
                self.next = self.next.saturating_add(1);
            }
            self.applied = self.applied.max(record.applied);
            // As early as can be, so that what was applied long ago takes no memory.
            while self.items.front().is_some_and(|it| it.sequence.0 < self.applied) {
                self.items.pop_front();
            }
            rest = &rest[record.n_bytes..];
        }
        self.last_bytes =
            (bytes.len() as u64).saturating_sub(self.torn_tail.as_ref().map_or(0, |it| it.n_bytes));
        Ok(())
    }
}

/// The segments of `folder`, oldest first. Other files are left alone.
fn list(folder: &Path) -> Result<VecDeque<Segment>, QueueError> {
    let unlisted = |error| QueueError::io("list", folder, error);
    let mut segments = Vec::new();
    for entry in fs::read_dir(folder).map_err(unlisted)? {
        let path = entry.map_err(unlisted)?.path();
        if path.extension().is_none_or(|it| it != EXTENSION) {
            continue;
        }
        let stem = path.file_stem().and_then(|it| it.to_str()).unwrap_or_default();
        match stem.parse() {
            Ok(first) if stem.len() == NAME_DIGITS => segments.push(Segment { path, first }),
            Ok(_) | Err(_) => {
                let reason = "a segment's name is the number of its first item";
                return Err(QueueError::Corrupt { path, offset: 0, reason });
            }
        }
    }
    segments.sort_by_key(|it| it.first);
    Ok(segments.into())
}
