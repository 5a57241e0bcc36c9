//! Retries: try again what failed in a way that may pass, after a random wait, out of a budget.
//!
//! **States.** A logical request makes up to `attempts_max` attempts; the first is number 1.
//! After a failed one it stops, with that attempt's own error, when the caller's classification
//! says that another would fail as well ([`Retryable::No`]), when the attempts are used up, when
//! the wait would end at or past the deadline, or when the budget is spent. Else it waits: evenly
//! drawn from zero to `backoff_base`, twice that after the next, and so on up to `backoff_cap`.
//!
//! **The budget** is shared by all requests of one dependency. Each first attempt pays for
//! `budget_ratio` retries; `budget_min_per_sec` are free. Both are counted over the last
//! `budget_window`.
//!
//! **Helps** against failures of single calls: a connection that was reset, a lost packet, one bad
//! instance behind a balancer.
//!
//! **Hurts** when everything fails: then every request makes all of its attempts, and the
//! dependency, which has failed because of too much load or comes back under it, gets
//! `attempts_max` times as much. Layers multiply: five of them with three attempts each make 243
//! calls of one. The budget is the bound on that: with a ratio of 0.2 all retries together add a
//! fifth. [`RetryBudgetKind::None`] is the naive retry, for comparison.
//!
//! **What not to retry.** A refusal of our own: an open circuit, a spent quota, a shed request.
//! They were made to keep load away, and will say the same in 10 ms. The breaker belongs *inside*
//! the retry, so that each attempt counts as a call of its own, and its refusal is
//! [`Retryable::No`].
//!
//! **Observe** makes one attempt, and counts whether there would have been a second.
//!
//! **Source**: the budget is Finagle's `RetryBudget` (ratio 0.2, 10 per second, 10 s), in tower as
//! `TpsBudget`; full jitter from Brooker, "Exponential Backoff And Jitter" (AWS Architecture Blog,
//! 2015); the 243 from Brooker, "Timeouts, retries, and backoff with jitter" (Amazon Builders'
//! Library).

mod budget;
mod layer;
mod policy;
mod run;
mod service;

pub use budget::{BudgetSpent, RetryBudget};
pub use lab_core::settings::RetryBudgetKind;
pub use layer::RetryLayer;
pub use policy::{Backoff, Failed, NextAttempt, RetryPolicy, Retryable, Stopped};
pub use run::{Retry, RetrySnapshot};
pub use service::RetryService;
