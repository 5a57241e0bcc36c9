//! A circuit breaker: after some failures in a row, stop calling and let a few probes find out
//! when calling makes sense again.
//!
//! **States.** *Closed*: calls pass, failures in a row are counted. *Open*: calls are refused at
//! once, for `wait_duration_in_open`. *Half-open*: at most `half_open_permits` probes are in
//! flight, every other call is refused; one failed probe opens the circuit again for a full wait,
//! `half_open_successes` successful ones close it.
//!
//! **Helps** when a call to a dead dependency costs more than an error: a timeout, a thread, a
//! place in a queue. After the trip only probes pay it.
//!
//! **Hurts** when the refused call's replacement is the scarcer thing: a breaker in front of a
//! cache sends every refused read to the database, faster than the timeouts would have. It also
//! turns a partial failure into a total one, and counts failures in a row, which one success in
//! five keeps from ever tripping.
//!
//! **Callers that leave.** A call whose future is dropped has no result. When it had waited
//! `slow_call_bound` or longer its [`Permit`] reports a failure, else nothing. Without that rule a
//! breaker around a client library that waits longer than the users do never sees a failure, and
//! never trips.
//!
//! **Source**: Nygard, *Release It!*, "Circuit Breaker"; names and half-open permits as in
//! resilience4j; thresholds from strategy row S18. The half-open limit and the cycle number that
//! makes late results harmless are this project's answer to the strategy's listing, which has
//! neither (`tests/strategy_listing.rs`).

mod breaker;
mod error;
mod event;
mod layer;
mod policy;
mod service;

pub use breaker::{CircuitBreaker, CircuitBreakerSnapshot, Permit};
pub use error::{CallNotPermitted, CircuitBreakerError};
pub use event::{CircuitEvent, OpenReason};
pub use layer::CircuitBreakerLayer;
pub use policy::{Admitted, CallResult, CircuitState, ConsecutiveFailures, Ticket};
pub use service::CircuitBreakerService;
