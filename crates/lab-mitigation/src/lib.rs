//! Mitigations as reusable parts: pure policies, and the handles and layers that enforce them.
//!
//! One folder per mitigation, the same names in each: `policy.rs` decides and reads no clock (it
//! takes `now`), `service.rs` and `layer.rs` wrap a tower service, `error.rs` says what was
//! refused, and `mod.rs` says what it does, when it helps, when it hurts and where it is from.
//! What a service does with the answer (serve stale, ask the database) does not live here.
//!
//! What is no service around a call, such as a buffer or a queue, is a handle: it has no
//! `service.rs`, and the caller decides where it stands.
//!
//! Every mitigation but [`call_timeout`] and [`session_token`] can be off, observe or enforce, and
//! be switched while calls are in flight; see [`switch`].

pub mod adaptive_concurrency;
pub mod admission;
pub mod async_queue;
pub mod batch_writes;
pub mod bulkhead;
pub mod call_timeout;
pub mod circuit_breaker;
pub mod clock;
pub mod coalesce;
pub mod deadline;
pub mod graceful_degradation;
mod listener;
pub mod local_cache;
pub mod paced_refill;
pub mod priority_shedding;
pub mod rate_limit;
pub mod retry;
pub mod session_token;
pub mod static_snapshot;
mod striped;
pub mod switch;
mod sync;
mod timeline;
