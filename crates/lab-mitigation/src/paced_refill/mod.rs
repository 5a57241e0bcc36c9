//! A paced refill: when the shared cache comes back empty, let the misses through to the database
//! at a rate that it can carry, until the cache is warm again.
//!
//! **States.** *Idle*: every miss passes. *Refilling*, from the moment the cache is back for
//! `duration`: a miss takes one permit and reads the database for a refill, or is told
//! [`Deferred`] and when to come again. The rate may grow evenly from `initial_ratio` of the
//! permitted one to all of it. A second recovery during a refill starts it over.
//!
//! **Helps** in the minute after the outage. A cache that restarts is empty: every read is a miss,
//! the database is asked for all of them at once, answers too late, and what answers too late
//! fills no cache. That state holds itself up long after the fault is gone. Paced, each permitted
//! read comes back in time and makes its page a hit, and the hottest pages are read first.
//!
//! **Hurts** when the cache kept its data: misses are few then, and the rate hardly matters, but a
//! rate below the everyday rate of misses defers users for nothing. It defers by turn, not by
//! worth: a page that nobody asks for again takes a permit as a hot one does. `duration` is a
//! guess; when it ends too early the rest of the stampede is only late.
//!
//! [`jittered_ttl`] keeps the refilled entries from expiring together one time to live later,
//! which would be the second stampede.
//!
//! **Source**: Bronson et al., "Metastable Failures in Distributed Systems" (HotOS 2021), whose
//! look-aside cache is this case, measured in Huang et al. (OSDI 2022), section 5.3; Honeycomb's
//! incident of 2 May, in which only blocking all traffic refilled the cache.

mod error;
mod event;
mod jitter;
mod policy;
mod refill;

pub use error::{Deferred, PacedRefillSettingsError};
pub use event::RefillEvent;
pub use jitter::jittered_ttl;
pub use policy::RefillPace;
pub use refill::{PacedRefill, PacedRefillSnapshot};
