//! A tower service whose calls are made again.

use std::{
    fmt,
    future::Future,
    pin::Pin,
    task::{Context, Poll},
    time::Instant,
};

use tower::{Service, ServiceExt as _};

use super::{Retry, Retryable};

/// A service that makes a call again when it failed in a way that may pass.
///
/// Readiness is the inner service's, and is that of the first attempt. Every later one is made on
/// a clone, which is asked anew. A request is cloned for each attempt that may follow.
#[derive(Clone)]
pub struct RetryService<S, C, D> {
    inner: S,
    retry: Retry,
    classify: C,
    deadline: D,
}

impl<S, C, D> RetryService<S, C, D> {
    pub(super) fn new(inner: S, retry: Retry, classify: C, deadline: D) -> Self {
        Self { inner, retry, classify, deadline }
    }
}

impl<S: fmt::Debug, C, D> fmt::Debug for RetryService<S, C, D> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("RetryService")
            .field("inner", &self.inner)
            .field("retry", &self.retry)
            .finish_non_exhaustive()
    }
}

impl<S, C, D, Request> Service<Request> for RetryService<S, C, D>
where
    S: Service<Request> + Clone + Send + 'static,
    S::Future: Send + 'static,
    S::Response: Send,
    S::Error: Send,
    Request: Clone + Send + 'static,
    C: Fn(&S::Error) -> Retryable + Clone + Send + 'static,
    D: Fn(&Request) -> Option<Instant>,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = Pin<Box<dyn Future<Output = Result<S::Response, S::Error>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(context)
    }

    /// **Errors**: the last attempt's, unchanged; or that of a clone that would not get ready.
    /// **Cancellation**: dropping the future drops the attempt or the wait that goes on.
    fn call(&mut self, request: Request) -> Self::Future {
        let deadline = (self.deadline)(&request);
        let (retry, classify) = (self.retry.clone(), self.classify.clone());
        let mut first = Some(self.inner.call(request.clone()));
        let spare = self.inner.clone();
        let attempt = move |_| {
            let attempt = first.take().ok_or_else(|| (spare.clone(), request.clone()));
            async move {
                match attempt {
                    Ok(reply) => reply.await,
                    Err((mut service, request)) => service.ready().await?.call(request).await,
                }
            }
        };
        Box::pin(async move { retry.run(deadline, classify, attempt).await })
    }
}
