//! The deadline of a request, handed on to everything that is done for it.
//!
//! **States.** A request gets one [`Deadline`] when it arrives: the arrival plus the budget that
//! its client states, or a default. From then on every call made for it (Redis, the wait for a
//! connection, a query) takes at most what is left, and a call that would have less than
//! `min_remaining` is not begun.
//!
//! **Helps** when work is done in steps: with a timeout per step, a request that lost its time in
//! the first step still claims a connection and a query in the last, for a user who has left. A
//! deadline gives that capacity to requests that can still be answered, most of all under
//! overload, where nearly everything is late.
//!
//! **Hurts** when the client states a budget it does not mean: too short, and answers that would
//! have been waited for are thrown away. It cuts off only the wait: a query goes on in the
//! database unless it is told, with a `statement_timeout` or a cancel request, and a write that
//! was cut off may have happened. A call that was cut off because its request began late says
//! nothing about the dependency; a breaker that counts it as a failure trips on its own users'
//! impatience. This is why [`DeadlineError`] keeps the two apart.
//!
//! **Clocks.** Only a budget crosses the wire, never a point in time: clocks of two machines
//! differ. The way to the service is not counted, so the client leaves a little earlier than the
//! service believes.
//!
//! **Modes.** *Off* and *observe* leave every call its own timeout. Observe counts the calls that
//! enforce would have refused or cut short.
//!
//! **Source**: Nygard, *Release It!*, "Timeouts" and "Fail Fast"; *Site Reliability Engineering*,
//! chapter 22, "Latency and Deadlines"; the syntax of the budget is gRPC's (`grpc-timeout`, at
//! most eight digits), in milliseconds only.

mod error;
mod policy;
mod propagation;

pub use lab_core::target::BUDGET_HEADER;

pub use error::{DeadlineError, DeadlineExceeded, InvalidBudget};
pub use policy::{Deadline, DeadlinePolicy, parse_budget};
pub use propagation::{DeadlinePropagation, DeadlineSnapshot};
