//! The lab's vocabulary: units, outcomes, events, scenarios, the catalogue and the artifact schema.
//!
//! Everything that two processes of the lab must agree on lives here, and nothing else.
//! There is no tokio and no I/O below this line, apart from the one function that reads the
//! monotonic clock ([`clock::MonotonicNs::now`]).

pub mod artifact;
pub mod catalogue;
pub mod clock;
pub mod event;
pub mod load_plan;
pub mod outcome;
pub mod route;
pub mod sample;
pub mod scenario;
pub mod seed;
pub mod settings;
pub mod strategy;
pub mod target;
pub mod units;
pub mod zipf;
