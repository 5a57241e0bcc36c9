//! What can go wrong between a request and its answer, and what each counts as.

use std::time::Duration;

use axum::http::StatusCode;
use lab_core::outcome::{Outcome, ServedBy};
use lab_mitigation::{
    call_timeout::CallTimeout, circuit_breaker::CallNotPermitted, rate_limit::RateLimited,
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
            Self::Database(
                DatabaseError::AcquireTimeout { .. } | DatabaseError::StatementTimeout,
            ) => Outcome::TimedOut,
            Self::Database(
                DatabaseError::PoolClosed | DatabaseError::Connect(_) | DatabaseError::Statement(_),
            ) => Outcome::DependencyFailed,
            Self::RateLimited(_) => Outcome::RateLimited,
        }
    }

    /// What stands in `x-served-by`: who refused, or who failed.
    pub(crate) fn served_by(&self) -> ServedBy {
        match self {
            Self::Cache(_) => ServedBy::Redis,
            Self::Database(_) => ServedBy::Database,
            Self::RateLimited(_) => ServedBy::Shed,
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
