//! A cache inside the service, which may serve what is too old when nothing else answers.
//!
//! **States of an entry**, by its age: *fresh* up to `ttl`; *stale but usable* up to
//! `stale_on_error_max_age`, for the caller to serve when neither the shared cache nor the
//! database answers; *too old* after that. A *negative* entry says that there is no such page; it
//! is good up to `negative_ttl` and never stale.
//!
//! **Helps** when reads are skewed: a few thousand hot keys in memory carry most of the traffic
//! through an outage of the shared cache, at no cost to the database. It needs no network.
//!
//! **Hurts** by being one more copy: each instance has its own, filled by its own share of the
//! traffic and empty after a restart, which is why restarting the service in an outage makes it
//! worse. Entries live up to `ttl` longer than in the shared cache in front of it, and nothing
//! invalidates them before. A page that is made while a negative entry says otherwise stays away
//! for up to `negative_ttl`, and a flood of made-up keys pushes out pages.
//!
//! **Off** answers "absent" and stores nothing; what was stored stays and grows old. **Observe**
//! stores and counts, and answers "absent".
//!
//! **Source**: strategy row S14; stale on error as in RFC 5861, section 4 (`stale-if-error`);
//! negative entries as in RFC 2308 (DNS), bounded by a time of their own; the store is quick_cache.

mod cache;
mod policy;

pub use cache::{LocalCache, LocalCacheSnapshot, Lookup};
pub use policy::{Freshness, StalePolicy};
