//! A tower service behind a breaker.

use std::{
    fmt,
    future::Future,
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use pin_project_lite::pin_project;
use tokio::time::{Sleep, sleep};
use tower::Service;

use super::{CallNotPermitted, CallResult, CircuitBreaker, CircuitBreakerError, OwnedPermit};
use crate::call_timeout::CallTimeout;

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
    C: Fn(&Result<S::Response, S::Error>) -> CallResult + Clone,
{
    type Response = S::Response;
    type Error = CircuitBreakerError<S::Error>;
    type Future = CircuitBreakerFuture<S::Future, C>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        Poll::Ready(ready!(self.inner.poll_ready(context)).map_err(CircuitBreakerError::Inner))
    }

    /// **Cancellation**: dropping the future drops the permit: the caller left.
    fn call(&mut self, request: Request) -> Self::Future {
        let inner = match self.breaker.try_acquire_owned() {
            Ok(permit) => Inner::Calling {
                probe: permit.call_timeout(None).map(|limit| Box::pin(Probe::new(limit))),
                reply: self.inner.call(request),
                permit: Some(permit),
                classify: self.classify.clone(),
            },
            Err(refusal) => Inner::Refused { refusal },
        };
        CircuitBreakerFuture { inner }
    }
}

pin_project! {
    /// The reply of a service behind a breaker.
    ///
    /// It allocates only for a probe with a timeout of its own, which is one call in each wait.
    pub struct CircuitBreakerFuture<F, C> {
        #[pin]
        inner: Inner<F, C>,
    }
}

pin_project! {
    #[project = InnerProjection]
    enum Inner<F, C> {
        Refused { refusal: CallNotPermitted },
        Calling {
            #[pin]
            reply: F,
            permit: Option<OwnedPermit>,
            classify: C,
            probe: Option<Pin<Box<Probe>>>,
        },
    }
}

pin_project! {
    /// What ends a probe that takes too long.
    struct Probe {
        #[pin]
        sleep: Sleep,
        timeout: CallTimeout,
    }
}

impl Probe {
    fn new(limit: Duration) -> Self {
        Self { sleep: sleep(limit), timeout: CallTimeout { waited: limit } }
    }

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<CallTimeout> {
        let it = self.project();
        it.sleep.poll(context).map(|()| *it.timeout)
    }
}

impl<F, C, Response, Error> Future for CircuitBreakerFuture<F, C>
where
    F: Future<Output = Result<Response, Error>>,
    C: Fn(&Result<Response, Error>) -> CallResult,
{
    type Output = Result<Response, CircuitBreakerError<Error>>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let (reply, permit, classify, probe) = match self.project().inner.project() {
            InnerProjection::Refused { refusal } => return Poll::Ready(Err((*refusal).into())),
            InnerProjection::Calling { reply, permit, classify, probe } => {
                (reply, permit, classify, probe)
            }
        };
        // A reply that is there counts, even when the bound has passed as well.
        let (result, output) = match reply.poll(context) {
            Poll::Ready(reply) => (classify(&reply), reply.map_err(CircuitBreakerError::Inner)),
            Poll::Pending => {
                let Some(probe) = probe else { return Poll::Pending };
                let timeout = ready!(probe.as_mut().poll(context));
                (CallResult::Failure, Err(CircuitBreakerError::ProbeTimedOut(timeout)))
            }
        };
        if let Some(permit) = permit.take() {
            permit.on_result(result);
        }
        Poll::Ready(output)
    }
}

impl<F, C> fmt::Debug for CircuitBreakerFuture<F, C> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("CircuitBreakerFuture").finish_non_exhaustive()
    }
}
