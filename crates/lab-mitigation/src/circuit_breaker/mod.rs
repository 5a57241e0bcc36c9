//! A circuit breaker: when too many calls fail, stop calling, and let a few probes find out when
//! calling makes sense again.
//!
//! **States.** *Closed*: calls pass, and their results are counted as `trip` says. *Open*: calls
//! are refused at once, for `wait_duration_in_open` or, with a `backoff`, for a random time that
//! grows with every opening in a row. *Half-open*: a few probes pass, every other call is refused,
//! and what becomes of them opens or closes the circuit. An operator can hold it open or closed
//! ([`CircuitBreaker::force`]).
//!
//! **What trips it.** `consecutive`: so many failures in a row. `count_window`, `time_window`: the
//! share of failed calls, or of slow ones, among the last calls or those of the last while, once
//! there are enough of them to mean anything.
//!
//! **Half-open.** With `consecutive`, at most `half_open_permits` probes are in flight, one failed
//! probe opens the circuit again, and `half_open_successes` successful ones close it. With a
//! window, `half_open_permits` probes are made in all and the same rates decide over them, as in
//! resilience4j: a breaker that tolerates one failure in five must not be held open by one. It
//! opens as soon as the probes that are missing could not change that. A probe may have a shorter
//! bound than other calls (`probe_timeout`, [`Permit::call_timeout`]); one that never returns is
//! written off after `wait_duration_in_open`.
//!
//! **Helps** when a call to a dead dependency costs more than an error: a timeout, a thread, a
//! place in a queue. After the trip only probes pay it.
//!
//! **Hurts** when the refused call's replacement is the scarcer thing: a breaker in front of a
//! cache sends every refused read to the database, faster than the timeouts would have. It also
//! turns a partial failure into a total one. Failures in a row never trip it while one call in
//! five succeeds; a rate does, and is slower: `minimum_number_of_calls` pay first.
//!
//! **Callers that leave.** A call whose future is dropped has no result. When it had waited
//! `slow_call_bound` or longer its [`Permit`] reports a failure, else nothing. Without that rule a
//! breaker around a client library that waits longer than the users do never sees a failure, and
//! never trips.
//!
//! **How it is built.** [`CircuitPolicy`] is the truth, pure and behind a lock. In front of the
//! lock stands a mirror, one word that says what most calls need to know, so that a healthy call
//! and a refused one take no lock (`tests/loom/breaker.rs` enumerates the interleavings,
//! `tests/allocations.rs` shows that nothing is allocated, `benches/circuit_breaker.rs` prices it).
//!
//! **Source**: Nygard, *Release It!*, "Circuit Breaker"; names, windows, slow calls and half-open
//! permits as in resilience4j; thresholds from strategy row S18; the shorter bound of probes from
//! Shopify's semian; full jitter from Brooker, "Exponential Backoff and Jitter". The half-open
//! limit and the cycle number that makes late results harmless are this project's answer to the
//! strategy's listing, which has neither (`tests/strategy_listing.rs`).

mod breaker;
mod circuit;
mod error;
mod event;
mod layer;
mod mirror;
mod permit;
mod policy;
mod service;

pub use breaker::{CircuitBreaker, CircuitBreakerSnapshot};
pub use error::{CallNotPermitted, CircuitBreakerError};
pub use event::{CircuitEvent, OpenReason};
pub use layer::CircuitBreakerLayer;
pub use permit::{OwnedPermit, Permit};
pub use policy::{
    Admitted, CallResult, CircuitPolicy, CircuitState, CircuitStatus, Forced, Jitter, Ticket,
};
pub use service::{CircuitBreakerFuture, CircuitBreakerService};
