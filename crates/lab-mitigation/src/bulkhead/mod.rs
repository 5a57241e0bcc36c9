//! A bulkhead: a cap on the calls in flight to one dependency, one for each class of routes.
//!
//! **States.** A compartment has `max_concurrent_calls` places. A call takes one and gives it back
//! when it ends. Without a free place a caller waits its turn, first come, first served, for
//! `max_wait_duration` at most, or is refused at once when that is zero.
//!
//! **Helps** when one kind of work can fill what another needs: slow recommendations that take
//! every connection of the pool also take down the product page, unless they may have only two.
//! It also bounds the queue in front of the dependency, which then answers in time those it
//! answers at all.
//!
//! **Hurts** when the cap is a guess. What one compartment does not use the other cannot have, so
//! caps that are safe are often too low on healthy days. A long wait adds its length to every
//! response under overload and saves nobody.
//!
//! **Callers that leave** give their place back, or leave the queue and are passed over.
//!
//! **Source**: Nygard, *Release It!*, "Bulkheads"; strategy row S31; names and defaults as in
//! resilience4j. The cap can be changed while calls are in flight, as a connection pool's can.

mod compartment;
mod error;
mod layer;
mod policy;
mod service;

pub use compartment::{Bulkhead, BulkheadPermit, RouteBulkheads, RouteBulkheadsSnapshot};
pub use error::{BulkheadError, BulkheadFull};
pub use layer::BulkheadLayer;
pub use policy::FifoAdmission;
pub use service::BulkheadService;
