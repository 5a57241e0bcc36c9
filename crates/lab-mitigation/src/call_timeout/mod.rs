//! A bound on how long one call may take, as the caller sees it.
//!
//! There is nothing to decide, so there is no policy and no mode: the bound is a duration, or
//! `None` for as long as the library takes.
//!
//! **Helps** against every dependency that goes silent, and against client libraries that wait on
//! the caller's behalf: redis-rs's connection manager makes every command wait for its reconnect,
//! which at its defaults is 6 to 13 s, whatever its own response timeout says.
//!
//! **Hurts** when it is shorter than the calls that healthy days need: the work is thrown away
//! after it was paid for. Each call still waits the whole bound while the dependency is silent,
//! which is what a breaker around it saves. The dependency may go on with work nobody waits for.
//!
//! **Source**: Nygard, *Release It!*, "Timeouts"; Brooker, "Timeouts, retries, and backoff with
//! jitter", Amazon Builders' Library: choose the bound by the share of false timeouts one accepts.

mod error;
mod layer;
mod service;

use std::{future::Future, time::Duration};

pub use error::{CallTimeout, CallTimeoutError};
pub use layer::CallTimeoutLayer;
pub use service::CallTimeoutService;

/// Waits for `call` for at most `limit`; `None` waits for as long as it takes.
///
/// A call that is done when first asked is never timed out.
///
/// **Errors**: `limit` passed first. The call's future is dropped then.
/// **Cancellation**: dropping this drops the call.
pub async fn bounded<F: Future>(
    limit: Option<Duration>,
    call: F,
) -> Result<F::Output, CallTimeout> {
    match limit {
        None => Ok(call.await),
        Some(waited) => {
            tokio::time::timeout(waited, call).await.map_err(|_elapsed| CallTimeout { waited })
        }
    }
}

#[cfg(test)]
mod tests {
    use std::future::{pending, ready};

    use tokio::time::{Instant, sleep};

    use super::*;

    const LIMIT: Duration = Duration::from_millis(50);

    #[tokio::test(start_paused = true)]
    async fn a_silent_call_ends_when_its_bound_has_passed() {
        let start = Instant::now();
        let result = bounded(Some(LIMIT), pending::<()>()).await;
        assert_eq!(result, Err(CallTimeout { waited: LIMIT }));
        // tokio's timer has a grain of 1 ms.
        let waited = start.elapsed();
        assert!(LIMIT <= waited && waited <= LIMIT + Duration::from_millis(1), "{waited:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_call_within_its_bound_keeps_its_result_and_its_errors() {
        assert_eq!(bounded(Some(LIMIT), ready(Ok::<_, ()>(7))).await, Ok(Ok(7)));
        assert_eq!(bounded(Some(LIMIT), ready(Err::<(), _>("reset"))).await, Ok(Err("reset")));
    }

    #[tokio::test(start_paused = true)]
    async fn without_a_bound_a_call_takes_as_long_as_it_takes() {
        let hour = Duration::from_secs(3_600);
        assert_eq!(bounded(None, sleep(hour)).await, Ok(()));
        assert_eq!(
            bounded(Some(LIMIT), bounded(None, sleep(hour))).await,
            Err(CallTimeout { waited: LIMIT }),
            "an outer bound still holds"
        );
    }

    #[test]
    fn the_error_says_how_long_the_caller_waited() {
        let error = CallTimeout { waited: LIMIT };
        assert_eq!(error.to_string(), "no reply within 50ms");
    }
}
