//! Puts a bound on every call of a service.

use std::time::Duration;

use tower::Layer;

use super::CallTimeoutService;

/// Wraps services so that each call ends within a bound, counted from `call`.
#[derive(Debug, Clone, Copy)]
pub struct CallTimeoutLayer {
    limit: Option<Duration>,
}

impl CallTimeoutLayer {
    /// Bounds each call by `limit`; `None` leaves calls as they are.
    pub fn new(limit: Option<Duration>) -> Self {
        Self { limit }
    }
}

impl<S> Layer<S> for CallTimeoutLayer {
    type Service = CallTimeoutService<S>;

    fn layer(&self, inner: S) -> Self::Service {
        CallTimeoutService::new(inner, self.limit)
    }
}
