//! A tower service behind a breaker.

use std::{
    fmt,
    future::Future,
    pin::Pin,
    task::{Context, Poll, ready},
};

use tower::Service;

use super::{CallResult, CircuitBreaker, CircuitBreakerError};

/// A service whose calls go through a breaker.
///
/// Readiness is the inner service's. The circuit is asked in `call`, not in `poll_ready`: a permit
/// taken there would be held by callers that are ready and then never call.
#[derive(Clone)]
pub struct CircuitBreakerService<S, C> {
    inner: S,
    breaker: CircuitBreaker,
    classify: C,
}

impl<S, C> CircuitBreakerService<S, C> {
    pub(super) fn new(inner: S, breaker: CircuitBreaker, classify: C) -> Self {
        Self { inner, breaker, classify }
    }
}

impl<S: fmt::Debug, C> fmt::Debug for CircuitBreakerService<S, C> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("CircuitBreakerService")
            .field("inner", &self.inner)
            .field("breaker", &self.breaker)
            .finish_non_exhaustive()
    }
}

impl<S, C, Request> Service<Request> for CircuitBreakerService<S, C>
where
    S: Service<Request>,
    S::Future: Send + 'static,
    C: Fn(&Result<S::Response, S::Error>) -> CallResult + Clone + Send + 'static,
{
    type Response = S::Response;
    type Error = CircuitBreakerError<S::Error>;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Self::Error>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        Poll::Ready(ready!(self.inner.poll_ready(context)).map_err(CircuitBreakerError::Inner))
    }

    /// **Cancellation**: dropping the future drops the permit: the caller left.
    fn call(&mut self, request: Request) -> Self::Future {
        let permit = match self.breaker.try_acquire(self.breaker.now()) {
            Ok(permit) => permit,
            Err(refusal) => return Box::pin(async move { Err(refusal.into()) }),
        };
        let reply = self.inner.call(request);
        let (breaker, classify) = (self.breaker.clone(), self.classify.clone());
        Box::pin(async move {
            let result = reply.await;
            permit.on_result(breaker.now(), classify(&result));
            result.map_err(CircuitBreakerError::Inner)
        })
    }
}
