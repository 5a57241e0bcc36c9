//! A tower service behind a rate limit.

use std::{
    future::Future,
    pin::Pin,
    task::{Context, Poll, ready},
};

use tower::Service;

use super::{RateLimit, RateLimitError};

/// A service whose calls each take a permit, or are refused at once.
///
/// Readiness is the inner service's: a spent quota is an answer, not backpressure.
#[derive(Debug, Clone)]
pub struct RateLimitService<S> {
    inner: S,
    limit: RateLimit,
}

impl<S> RateLimitService<S> {
    pub(super) fn new(inner: S, limit: RateLimit) -> Self {
        Self { inner, limit }
    }
}

impl<S, Request> Service<Request> for RateLimitService<S>
where
    S: Service<Request>,
    S::Future: Send + 'static,
{
    type Response = S::Response;
    type Error = RateLimitError<S::Error>;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Self::Error>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        Poll::Ready(ready!(self.inner.poll_ready(context)).map_err(RateLimitError::Inner))
    }

    /// **Cancellation**: dropping the future drops the inner call; its permit stays spent.
    fn call(&mut self, request: Request) -> Self::Future {
        if let Err(refusal) = self.limit.check() {
            return Box::pin(async move { Err(refusal.into()) });
        }
        let reply = self.inner.call(request);
        Box::pin(async move { reply.await.map_err(RateLimitError::Inner) })
    }
}
