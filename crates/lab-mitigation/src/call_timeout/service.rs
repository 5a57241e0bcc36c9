//! A tower service whose calls are bounded.

use std::{
    future::Future,
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use tower::Service;

use super::{CallTimeoutError, bounded};

/// A service whose calls end within a bound. Waiting for readiness is not bounded.
#[derive(Debug, Clone)]
pub struct CallTimeoutService<S> {
    inner: S,
    limit: Option<Duration>,
}

impl<S> CallTimeoutService<S> {
    pub(super) fn new(inner: S, limit: Option<Duration>) -> Self {
        Self { inner, limit }
    }
}

impl<S, Request> Service<Request> for CallTimeoutService<S>
where
    S: Service<Request>,
    S::Future: Send + 'static,
    S::Response: Send,
    S::Error: Send,
{
    type Response = S::Response;
    type Error = CallTimeoutError<S::Error>;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Self::Error>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        Poll::Ready(ready!(self.inner.poll_ready(context)).map_err(CallTimeoutError::Inner))
    }

    /// **Cancellation**: dropping the future drops the inner call.
    fn call(&mut self, request: Request) -> Self::Future {
        let reply = bounded(self.limit, self.inner.call(request));
        Box::pin(async move { reply.await?.map_err(CallTimeoutError::Inner) })
    }
}
