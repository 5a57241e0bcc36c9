//! A cap on calls in flight that finds its own size from how long calls take.
//!
//! **Parts.** A *limit* is an algorithm: pure, fed with one [`Sample`] per call, it says how many
//! calls may be in flight ([`Aimd`], [`Gradient`]). The *limiter*, [`AdaptiveConcurrency`],
//! enforces it: a caller gets a place now, or waits its turn for `max_wait_duration`, or is
//! refused.
//!
//! **States.** Without signs of queueing the limit grows while callers use at least half of it.
//! When calls take longer than they usually do (gradient), or one is slow or lost (AIMD), it
//! shrinks. It stays between `min_limit` and `max_limit`.
//!
//! **Helps** where the right cap is not known or changes: another page mix, a database that is
//! slower today, one instance more. A fixed bulkhead is right for one of those days.
//!
//! **Hurts** when slowness is not queueing. A page that is expensive by nature looks like a
//! congested database, and the limit falls for everybody. What is slow from the first call on is
//! taken for normal: a service that starts into an overload learns too high a limit. And it needs
//! failures to be told apart: an error that comes back at once must be `Dropped` or `Ignored`,
//! because as a success it says that the dependency is fast. The gradient never falls below twice
//! its `queue_allowance`, by its own formula.
//!
//! **Callers that leave.** A permit dropped without a result is a `Dropped` sample when the call
//! had taken `slow_call_bound` or longer, else `Ignored`.
//!
//! **Source**: Netflix concurrency-limits, `AIMDLimit` and `Gradient2Limit` with its window, for
//! the formulas and defaults. Four things are different here: AIMD adds one per *round trip*, not
//! per call, as TCP does; both back off at most once per round trip, because calls that are lost
//! together tell of one congestion (RFC 5681, section 3.1); the gradient heeds lost calls; and it
//! hardly learns from round trips through a full limit, where the original lets an overload that
//! lasts become the usual, and the limit climb without end.

mod aimd;
mod error;
mod gradient;
mod layer;
mod limiter;
mod policy;
mod service;

pub use aimd::Aimd;
pub use error::{AdaptiveConcurrencyError, ConcurrencyLimited};
pub use gradient::Gradient;
pub use layer::AdaptiveConcurrencyLayer;
pub use limiter::{AdaptiveConcurrency, AdaptiveConcurrencySnapshot, AdaptivePermit};
pub use policy::{Limit, Sample, SampleResult};
pub use service::AdaptiveConcurrencyService;

#[cfg(test)]
mod simulation;
