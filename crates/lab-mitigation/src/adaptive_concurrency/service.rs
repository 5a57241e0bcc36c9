//! A tower service behind a limiter.

use std::{
    fmt,
    future::Future,
    mem,
    pin::Pin,
    task::{Context, Poll, ready},
};

use tower::Service;

use super::{AdaptiveConcurrency, AdaptiveConcurrencyError, SampleResult};
use crate::admission::Begun;

/// A service whose calls each hold a place while they are in flight, and tell the limit how they
/// went.
///
/// Readiness is the inner service's. The place is taken in `call`, not in `poll_ready`: one taken
/// there would be held by callers that are ready and then never call.
#[derive(Clone)]
pub struct AdaptiveConcurrencyService<S, C> {
    inner: S,
    limiter: AdaptiveConcurrency,
    classify: C,
}

impl<S, C> AdaptiveConcurrencyService<S, C> {
    pub(super) fn new(inner: S, limiter: AdaptiveConcurrency, classify: C) -> Self {
        Self { inner, limiter, classify }
    }
}

impl<S: fmt::Debug, C> fmt::Debug for AdaptiveConcurrencyService<S, C> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("AdaptiveConcurrencyService")
            .field("inner", &self.inner)
            .field("limiter", &self.limiter)
            .finish_non_exhaustive()
    }
}

impl<S, C, Request> Service<Request> for AdaptiveConcurrencyService<S, C>
where
    S: Service<Request> + Clone + Send + 'static,
    S::Future: Send + 'static,
    Request: Send + 'static,
    C: Fn(&Result<S::Response, S::Error>) -> SampleResult + Clone + Send + 'static,
{
    type Response = S::Response;
    type Error = AdaptiveConcurrencyError<S::Error>;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Self::Error>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        Poll::Ready(ready!(self.inner.poll_ready(context)).map_err(AdaptiveConcurrencyError::Inner))
    }

    /// **Cancellation**: dropping the future drops the inner call and its permit, or leaves the
    /// queue.
    fn call(&mut self, request: Request) -> Self::Future {
        let (limiter, classify) = (self.limiter.clone(), self.classify.clone());
        match self.limiter.begin() {
            Begun::Admitted(pass) => {
                let permit = limiter.permit(pass);
                let reply = self.inner.call(request);
                Box::pin(async move {
                    let result = reply.await;
                    permit.on_result(limiter.now(), classify(&result));
                    result.map_err(AdaptiveConcurrencyError::Inner)
                })
            }
            Begun::Refused(refusal) => {
                Box::pin(async move { Err(AdaptiveConcurrencyError::Limited(refusal.into())) })
            }
            Begun::Waits(wait) => {
                // The service that said it is ready goes along; a clone takes its place here.
                let clone = self.inner.clone();
                let mut inner = mem::replace(&mut self.inner, clone);
                Box::pin(async move {
                    let permit = limiter.after(wait).await?;
                    let result = inner.call(request).await;
                    permit.on_result(limiter.now(), classify(&result));
                    result.map_err(AdaptiveConcurrencyError::Inner)
                })
            }
        }
    }
}
