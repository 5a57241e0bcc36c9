//! What a Redis server that was killed has in its memory when it is back.

use serde::{Deserialize, Serialize};

use super::fault::Fault;

/// What a server that was killed starts with.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Restore {
    /// Nothing: it keeps nothing on disk.
    #[default]
    Empty,
    /// A snapshot of the cache as it was loaded ahead, before the first request. What was written
    /// later is gone, and so are entries whose time to live ended while the server was down: that
    /// time runs on.
    Snapshot,
}

/// A snapshot that nobody would read.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[error(
    "variant `{variant}` restarts Redis from a snapshot (restore), and fault `{fault}` does not \
     restart it empty; take one of them away"
)]
pub struct NothingToRestore {
    /// The variant that asks for the snapshot.
    pub variant: String,
    /// The fault.
    pub fault: Fault,
}

impl Restore {
    /// Whether `fault` restarts the server, so that it matters with what.
    pub fn matters_under(self, fault: Fault) -> bool {
        match self {
            Self::Empty => true,
            Self::Snapshot => fault.restarts_empty(),
        }
    }
}
