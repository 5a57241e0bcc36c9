//! What can go wrong between a request and its answer, and what each counts as.

use std::time::Duration;

use axum::http::StatusCode;
use lab_core::outcome::{Outcome, ServedBy};
use lab_mitigation::{
    adaptive_concurrency::ConcurrencyLimited, async_queue::QueueError, batch_writes::BufferFull,
    bulkhead::BulkheadFull, call_timeout::CallTimeout, circuit_breaker::CallNotPermitted,
    deadline::DeadlineExceeded, paced_refill::Deferred, priority_shedding::Shed,
    rate_limit::RateLimited,
};

/// A Redis call that gave no answer.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CacheError {
    /// The breaker did not let it through.
    #[error(transparent)]
    NotPermitted(#[from] CallNotPermitted),
    /// Its own bound passed.
    #[error("redis: {0}")]
    TimedOut(#[from] CallTimeout),
    /// The request's own time was up.
    #[error(transparent)]
    DeadlineExceeded(#[from] DeadlineExceeded),
    /// The library gave up, or Redis said no.
    #[error("redis: {0}")]
    Redis(#[from] redis::RedisError),
}

/// A statement that gave no answer.
#[derive(Debug, thiserror::Error)]
pub(crate) enum DatabaseError {
    /// No connection of the pool became free in time.
    #[error("no pool connection within {waited:?}")]
    AcquireTimeout {
        /// The bound.
        waited: Duration,
    },
    /// The pool is closed: the service is stopping.
    #[error("the pool is closed")]
    PoolClosed,
    /// The request's own time was up.
    #[error(transparent)]
    DeadlineExceeded(#[from] DeadlineExceeded),
    /// PostgreSQL cancelled it after `statement_timeout`.
    #[error("statement cancelled after statement_timeout")]
    StatementTimeout,
    /// No connection could be opened.
    #[error("connect to postgres: {0}")]
    Connect(#[source] tokio_postgres::Error),
    /// PostgreSQL refused or failed it, or the connection broke.
    #[error("postgres: {0}")]
    Statement(#[source] tokio_postgres::Error),
}

impl DatabaseError {
    /// Whether it says that the database is asked for more than it can do.
    pub(crate) fn is_overload(&self) -> bool {
        match self {
            Self::AcquireTimeout { .. } | Self::StatementTimeout | Self::DeadlineExceeded(_) => {
                true
            }
            Self::PoolClosed | Self::Connect(_) | Self::Statement(_) => false,
        }
    }

    /// Whether it is about one server, which is gone or refused, so that another may answer. What one
    /// was too busy to answer in time is not asked of another.
    pub(crate) fn is_of_one_server(&self) -> bool {
        match self {
            Self::Connect(_) | Self::Statement(_) => true,
            Self::AcquireTimeout { .. }
            | Self::PoolClosed
            | Self::DeadlineExceeded(_)
            | Self::StatementTimeout => false,
        }
    }

    /// Whether the same call may well succeed the next time.
    pub(crate) fn is_retryable(&self) -> bool {
        match self {
            Self::AcquireTimeout { .. }
            | Self::StatementTimeout
            | Self::Connect(_)
            | Self::Statement(_) => true,
            Self::PoolClosed | Self::DeadlineExceeded(_) => false,
        }
    }
}

/// A request that the service understood and could not serve.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ServiceError {
    /// Only Redis could have answered.
    #[error(transparent)]
    Cache(#[from] CacheError),
    /// Only the database could have answered.
    #[error(transparent)]
    Database(#[from] DatabaseError),
    /// The quota of pages read from the database is spent.
    #[error(transparent)]
    RateLimited(#[from] RateLimited),
    /// The count of the quota is in Redis, which does not answer.
    #[error("rate limited: the limit's own store does not answer: {0}")]
    LimiterLost(#[source] CacheError),
    /// The cache is being filled again, at a bounded rate.
    #[error(transparent)]
    Deferred(#[from] Deferred),
    /// The class's share of the database is taken.
    #[error(transparent)]
    BulkheadFull(#[from] BulkheadFull),
    /// The limit on calls in flight to the database is reached.
    #[error(transparent)]
    ConcurrencyLimited(#[from] ConcurrencyLimited),
    /// The queue before the database let somebody else in.
    #[error(transparent)]
    Shed(#[from] Shed),
    /// The buffer of view counts has no room.
    #[error(transparent)]
    BufferFull(#[from] BufferFull),
    /// The queue on disk has no room, or its disk failed.
    #[error(transparent)]
    Queue(#[from] QueueError),
    /// The request's own time was up.
    #[error(transparent)]
    DeadlineExceeded(#[from] DeadlineExceeded),
    /// The wait for a shared read had a bound, and it passed.
    #[error("shared read: {0}")]
    FillTimedOut(#[source] CallTimeout),
    /// The shared read ended without a result.
    #[error("the read that this request waited for was lost")]
    FillLost,
}

impl ServiceError {
    /// What it counts as. There is no `_` arm: a new error must choose its outcome here.
    ///
    /// A Redis call that ran into its own bound is `DependencyFailed`, not `TimedOut`: the user's
    /// time is not up, there is just nobody else to ask.
    pub(crate) fn outcome(&self) -> Outcome {
        match self {
            Self::Cache(CacheError::NotPermitted(_)) => Outcome::NotPermitted,
            Self::Cache(CacheError::TimedOut(_) | CacheError::Redis(_)) => {
                Outcome::DependencyFailed
            }
            Self::Cache(CacheError::DeadlineExceeded(_))
            | Self::Database(
                DatabaseError::AcquireTimeout { .. }
                | DatabaseError::StatementTimeout
                | DatabaseError::DeadlineExceeded(_),
            )
            | Self::DeadlineExceeded(_)
            | Self::FillTimedOut(_) => Outcome::TimedOut,
            Self::Database(
                DatabaseError::PoolClosed | DatabaseError::Connect(_) | DatabaseError::Statement(_),
            ) => Outcome::DependencyFailed,
            Self::RateLimited(_) | Self::LimiterLost(_) | Self::Deferred(_) => Outcome::RateLimited,
            Self::BulkheadFull(_)
            | Self::ConcurrencyLimited(_)
            | Self::Shed(_)
            | Self::BufferFull(_)
            | Self::Queue(QueueError::Full(_)) => Outcome::Shed,
            Self::Queue(_) | Self::FillLost => Outcome::DependencyFailed,
        }
    }

    /// What stands in `x-served-by`: who refused, or who failed.
    pub(crate) fn served_by(&self) -> ServedBy {
        match self {
            Self::Cache(_) => ServedBy::Redis,
            Self::Database(_) | Self::FillTimedOut(_) | Self::FillLost => ServedBy::Database,
            Self::Queue(QueueError::Full(_)) => ServedBy::Shed,
            Self::Queue(_) => ServedBy::Local,
            Self::RateLimited(_)
            | Self::LimiterLost(_)
            | Self::Deferred(_)
            | Self::BulkheadFull(_)
            | Self::ConcurrencyLimited(_)
            | Self::Shed(_)
            | Self::BufferFull(_)
            | Self::DeadlineExceeded(_) => ServedBy::Shed,
        }
    }
}

/// The HTTP status of a request that ended so.
pub(crate) fn status(outcome: Outcome) -> StatusCode {
    match outcome {
        Outcome::Success | Outcome::Degraded => StatusCode::OK,
        Outcome::RateLimited => StatusCode::TOO_MANY_REQUESTS,
        Outcome::Shed | Outcome::NotPermitted | Outcome::DependencyFailed => {
            StatusCode::SERVICE_UNAVAILABLE
        }
        Outcome::TimedOut => StatusCode::GATEWAY_TIMEOUT,
        // A request that was never sent has no answer; the generator records these itself.
        Outcome::Unsent => StatusCode::INTERNAL_SERVER_ERROR,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_error_has_the_status_and_source_of_the_contract() {
        let waited = Duration::from_millis(50);
        let redis = redis::RedisError::from(std::io::Error::other("reset"));
        let table: [(ServiceError, u16, ServedBy); 6] = [
            (CacheError::from(CallNotPermitted).into(), 503, ServedBy::Redis),
            (CacheError::from(CallTimeout { waited }).into(), 503, ServedBy::Redis),
            (CacheError::from(redis).into(), 503, ServedBy::Redis),
            (DatabaseError::AcquireTimeout { waited }.into(), 504, ServedBy::Database),
            (DatabaseError::StatementTimeout.into(), 504, ServedBy::Database),
            (RateLimited { retry_after: waited }.into(), 429, ServedBy::Shed),
        ];
        for (error, want, served_by) in table {
            assert_eq!(status(error.outcome()).as_u16(), want, "{error}");
            assert_eq!(error.served_by(), served_by, "{error}");
        }
    }
}
