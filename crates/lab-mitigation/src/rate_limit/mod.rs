//! A rate limit inside one process: admits what the work behind it can carry, refuses the rest at
//! once.
//!
//! **States.** A bucket of `burst` permits that fills at the given rate. A call takes one permit,
//! or is refused with the time until there is one. Nobody waits.
//!
//! **Helps** when the work behind it has a known capacity that must not be passed: a database that
//! is asked for more than it can do finishes less than it could, because every answer comes after
//! its user has left.
//!
//! **Hurts** when the rate is a guess: too low wastes capacity and refuses users who could have
//! been served, too high protects nothing. It counts calls, not work, so it is wrong as soon as
//! the mix of calls changes; and n instances admit n times the rate.
//!
//! **Source**: strategy row S8; GCRA as in governor. It is kept in the process on purpose: a limit
//! that is kept in Redis dies with Redis.

mod error;
mod layer;
mod limit;
mod policy;
mod service;

pub use error::{RateLimitError, RateLimitSettingsError, RateLimited};
pub use layer::RateLimitLayer;
pub use limit::{RateLimit, RateLimitSnapshot};
pub use policy::Budget;
pub use service::RateLimitService;
