//! Why an item is not in the queue, and why a queue does not open.

use std::{io, path::PathBuf, sync::Arc};

/// As many items or bytes wait as may. Nothing was written; the caller writes by itself, or
/// refuses.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("queue full: {n_items} of {items_max} items, {size_bytes} of {size_bytes_max} bytes")]
pub struct QueueFull {
    /// Items that wait, those not yet durable included.
    pub n_items: u64,
    /// Most items.
    pub items_max: u64,
    /// Bytes of those items.
    pub size_bytes: u64,
    /// Most bytes.
    pub size_bytes_max: u64,
}

/// What went wrong with a queue. Whoever gets it from an enqueue has no acknowledgement. One
/// failed write is told to every caller whose item was in it, so it can be cloned.
#[derive(Debug, Clone, thiserror::Error)]
pub enum QueueError {
    /// No room.
    #[error(transparent)]
    Full(#[from] QueueFull),
    /// The item alone is larger than any may be.
    #[error("item of {size_bytes} bytes, at most {size_bytes_max} allowed")]
    ItemTooLarge {
        /// Bytes of the item.
        size_bytes: u64,
        /// Most bytes of an item.
        size_bytes_max: u64,
    },
    /// The operating system refused.
    #[error("cannot {operation} {}", path.display())]
    Io {
        /// What was tried, as a verb.
        operation: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// Its reason.
        source: Arc<io::Error>,
    },
    /// A file does not hold what was written to it.
    #[error("{}: corrupt at byte {offset}: {reason}", path.display())]
    Corrupt {
        /// The file.
        path: PathBuf,
        /// Where the record begins that cannot be read.
        offset: u64,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// Somebody has the folder open: another process, or another queue of this one.
    #[error("{}: in use by another queue", path.display())]
    InUse {
        /// The folder.
        path: PathBuf,
    },
    /// The queue was closed, or its writer is gone.
    #[error("{}: queue is closed", path.display())]
    Closed {
        /// The folder.
        path: PathBuf,
    },
}

impl QueueError {
    /// The operating system refused to do `operation` with `path`.
    pub(super) fn io(operation: &'static str, path: impl Into<PathBuf>, source: io::Error) -> Self {
        Self::Io { operation, path: path.into(), source: Arc::new(source) }
    }
}
