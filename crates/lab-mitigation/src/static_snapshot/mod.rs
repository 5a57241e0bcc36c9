//! Pages rendered ahead, held in memory and served with their age.
//!
//! **States.** *Empty* until the first rendering is done; after that there is always one whole
//! rendering, and a new one takes its place in one step: no request ever sees half of the old and
//! half of the new. When a rendering fails the one before stays, and grows old.
//!
//! **Helps** when the pages that matter are few and may be some minutes old: the home page and the
//! best sellers then need neither Redis nor the database, for every user, however long the outage
//! lasts. Rendered ahead there is no first miss, unlike in a cache.
//!
//! **Hurts** by its age: everybody sees the same old page, prices included, which is why a page is
//! handed out together with its age and counts as `Degraded` where it is older than a fresh one
//! may be. Rendering all pages is load at the worst time if it is not paced, and it takes the
//! memory of two snapshots while one replaces the other. It has nothing for a page that was not
//! rendered, or that is one user's own.
//!
//! **Modes.** *Off* answers nothing and keeps what it has. *Observe* counts what would have been
//! served, and answers nothing.
//!
//! **Source**: strategy row S17.

mod error;
mod policy;
mod snapshot;

pub use error::SnapshotTooLarge;
pub use policy::AgePolicy;
pub use snapshot::{StaticSnapshot, StaticSnapshotStatus};
