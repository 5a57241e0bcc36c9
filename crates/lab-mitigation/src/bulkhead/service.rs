//! A tower service behind a bulkhead.

use std::{
    future::Future,
    mem,
    pin::Pin,
    task::{Context, Poll, ready},
};

use tower::Service;

use super::{Bulkhead, BulkheadError, BulkheadPermit};
use crate::admission::Begun;

/// A service whose calls each hold a place while they are in flight.
///
/// Readiness is the inner service's. The place is taken in `call`, not in `poll_ready`: one taken
/// there would be held by callers that are ready and then never call.
#[derive(Debug, Clone)]
pub struct BulkheadService<S> {
    inner: S,
    bulkhead: Bulkhead,
}

impl<S> BulkheadService<S> {
    pub(super) fn new(inner: S, bulkhead: Bulkhead) -> Self {
        Self { inner, bulkhead }
    }
}

impl<S, Request> Service<Request> for BulkheadService<S>
where
    S: Service<Request> + Clone + Send + 'static,
    S::Future: Send + 'static,
    Request: Send + 'static,
{
    type Response = S::Response;
    type Error = BulkheadError<S::Error>;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Self::Error>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        Poll::Ready(ready!(self.inner.poll_ready(context)).map_err(BulkheadError::Inner))
    }

    /// **Cancellation**: dropping the future drops the inner call and gives the place back, or
    /// leaves the queue.
    fn call(&mut self, request: Request) -> Self::Future {
        match self.bulkhead.begin() {
            Begun::Admitted(pass) => {
                let permit = BulkheadPermit::of(pass);
                let reply = self.inner.call(request);
                Box::pin(async move {
                    let result = reply.await;
                    drop(permit);
                    result.map_err(BulkheadError::Inner)
                })
            }
            Begun::Refused(refusal) => {
                Box::pin(async move { Err(BulkheadError::Full(refusal.into())) })
            }
            Begun::Waits(wait) => {
                // The service that said it is ready goes along; a clone takes its place here.
                let clone = self.inner.clone();
                let mut inner = mem::replace(&mut self.inner, clone);
                Box::pin(async move {
                    let permit = BulkheadPermit::after(wait).await?;
                    let result = inner.call(request).await;
                    drop(permit);
                    result.map_err(BulkheadError::Inner)
                })
            }
        }
    }
}
