//! The retry that many tasks share: the policy behind a lock, a mode, a timer and counts.

use std::{
    fmt,
    future::Future,
    num::NonZeroU32,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use lab_core::settings::{Mode, RetrySettings};
use serde::Serialize;

use super::{Failed, NextAttempt, RetryPolicy, Retryable, Stopped};
use crate::{
    clock::{Clock, SystemClock},
    switch::Switch,
};

/// Retries of one dependency, with one budget for all of its callers. Cloning is cheap and gives
/// the same budget.
///
/// The lock is held for some additions, never across an `await`. The time is read from the clock
/// that tokio's timers run on, because the waits are tokio's.
#[derive(Debug, Clone)]
pub struct Retry {
    shared: Arc<Shared>,
}

struct Shared {
    switch: Switch,
    policy: Mutex<RetryPolicy>,
    random: Box<dyn Fn() -> u64 + Send + Sync>,
    counts: Counts,
}

#[derive(Debug, Default)]
struct Counts {
    n_requests: AtomicU64,
    n_attempts: AtomicU64,
    n_would_retry: AtomicU64,
    n_not_retryable: AtomicU64,
    n_attempts_used_up: AtomicU64,
    n_deadline_too_near: AtomicU64,
    n_budget_spent: AtomicU64,
}

/// What retries tell about themselves. Counted under observe and enforce.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct RetrySnapshot {
    /// Off, observe or enforce.
    pub mode: Mode,
    /// Logical requests: first attempts.
    pub n_requests: u64,
    /// Attempts, the first ones included.
    pub n_attempts: u64,
    /// Attempts that were not the first.
    pub n_retries: u64,
    /// Second attempts that were not made only because the mode was observe.
    pub n_would_retry: u64,
    /// Requests that failed with an error that is not retried.
    pub n_not_retryable: u64,
    /// Requests whose last permitted attempt failed.
    pub n_attempts_used_up: u64,
    /// Requests that failed too near their deadline for another attempt.
    pub n_deadline_too_near: u64,
    /// Requests that failed while the budget was spent.
    pub n_budget_spent: u64,
    /// Attempts per logical request; 1 before the first.
    pub retry_amplification: f64,
}

impl Retry {
    /// Starts with the budget's free retries. `random` gives numbers of which each of 64 bits is
    /// as likely as any other; it is called once per failed attempt.
    pub fn new(settings: &RetrySettings, random: impl Fn() -> u64 + Send + Sync + 'static) -> Self {
        Self {
            shared: Arc::new(Shared {
                switch: Switch::new(settings.mode),
                policy: Mutex::new(RetryPolicy::new(settings)),
                random: Box::new(random),
                counts: Counts::default(),
            }),
        }
    }

    /// Calls until a call succeeds or there is to be no other attempt.
    ///
    /// `call` is given the number of its attempt, the first being 1. `classify` says which errors
    /// are worth another. No attempt begins at `deadline` or later; one that is under way is the
    /// call's own to bound.
    ///
    /// **Errors**: the last attempt's, unchanged.
    /// **Cancellation**: dropping this drops the attempt or the wait that goes on. What was taken
    /// of the budget stays taken.
    pub async fn run<T, E, F>(
        &self,
        deadline: Option<Instant>,
        classify: impl Fn(&E) -> Retryable,
        mut call: impl FnMut(NonZeroU32) -> F,
    ) -> Result<T, E>
    where
        F: Future<Output = Result<T, E>>,
    {
        let mut attempt = NonZeroU32::MIN;
        self.shared.on_first_attempt();
        loop {
            let error = match call(attempt).await {
                Ok(value) => return Ok(value),
                Err(error) => error,
            };
            let failed = Failed { attempt, retryable: classify(&error), deadline };
            let Some(wait) = self.shared.wait_after(failed) else {
                return Err(error);
            };
            drop(error);
            tokio::time::sleep(wait).await;
            attempt = attempt.saturating_add(1);
            self.shared.counts.n_attempts.fetch_add(1, Relaxed);
        }
    }

    /// Off, observe or enforce.
    pub fn mode(&self) -> Mode {
        self.shared.switch.mode()
    }

    /// Changes the mode from the next failed attempt on.
    pub fn set_mode(&self, mode: Mode) {
        self.shared.switch.set_mode(mode);
    }

    /// Mode and counts, for the internal port and metrics.
    pub fn snapshot(&self) -> RetrySnapshot {
        let counts = &self.shared.counts;
        let n_requests = counts.n_requests.load(Relaxed);
        // Read later, so that no request has been counted without its first attempt.
        let n_attempts = counts.n_attempts.load(Relaxed).max(n_requests);
        RetrySnapshot {
            mode: self.mode(),
            n_requests,
            n_attempts,
            n_retries: n_attempts - n_requests,
            n_would_retry: counts.n_would_retry.load(Relaxed),
            n_not_retryable: counts.n_not_retryable.load(Relaxed),
            n_attempts_used_up: counts.n_attempts_used_up.load(Relaxed),
            n_deadline_too_near: counts.n_deadline_too_near.load(Relaxed),
            n_budget_spent: counts.n_budget_spent.load(Relaxed),
            retry_amplification: n_attempts.max(1) as f64 / n_requests.max(1) as f64,
        }
    }
}

impl Shared {
    fn on_first_attempt(&self) {
        if self.switch.mode() == Mode::Off {
            return;
        }
        self.lock().on_first_attempt(SystemClock.now());
        self.counts.n_attempts.fetch_add(1, Relaxed);
        self.counts.n_requests.fetch_add(1, Relaxed);
    }

    /// The wait before the next attempt; `None` when there is none.
    fn wait_after(&self, failed: Failed) -> Option<Duration> {
        let mode = self.switch.mode();
        if mode == Mode::Off {
            return None;
        }
        let random = (self.random)();
        let next = self.lock().after(SystemClock.now(), failed, random);
        let count = match next {
            NextAttempt::After(wait) if mode == Mode::Enforce => return Some(wait),
            // The budget has paid for it all the same: later decisions are those of enforce.
            NextAttempt::After(_) => &self.counts.n_would_retry,
            NextAttempt::Never(stopped) => self.counts.of(stopped),
        };
        count.fetch_add(1, Relaxed);
        None
    }

    /// The policy is whole between any two statements, so a panic elsewhere does not spoil it.
    fn lock(&self) -> MutexGuard<'_, RetryPolicy> {
        self.policy.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Counts {
    fn of(&self, stopped: Stopped) -> &AtomicU64 {
        match stopped {
            Stopped::NotRetryable => &self.n_not_retryable,
            Stopped::AttemptsUsedUp => &self.n_attempts_used_up,
            Stopped::DeadlineTooNear => &self.n_deadline_too_near,
            Stopped::BudgetSpent => &self.n_budget_spent,
        }
    }
}

impl fmt::Debug for Shared {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Shared")
            .field("switch", &self.switch)
            .field("policy", &self.policy)
            .field("counts", &self.counts)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
