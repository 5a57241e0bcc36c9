//! A tower service that answers on command, and a probe that saw how it was treated.
//!
//! **Source**: the pair is modelled on tower-test's mock and on tower-resilience's `ServiceProbe`.

use std::{
    collections::VecDeque,
    future::Future,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll, Waker},
};

use tokio::sync::oneshot;
use tower::Service;

/// Whether a [`ControlledService`] says that it can take a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Readiness {
    /// It can.
    Ready,
    /// Not yet; whoever asked is woken when that changes.
    NotReady,
}

/// What a [`ControlledService`] has seen so far, all of its clones together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ProbeCounts {
    /// Times somebody asked whether it is ready.
    pub n_readiness_polls: u64,
    /// Calls.
    pub n_calls: u64,
    /// Calls on a clone that had not said "ready" since its last call: a broken contract.
    pub n_calls_without_readiness: u64,
    /// Calls whose future was dropped before there was a response.
    pub n_dropped: u64,
}

struct State<Request, Response, Error> {
    readiness: Readiness,
    readiness_error: Option<Error>,
    waiting: Vec<Waker>,
    calls: VecDeque<(Request, oneshot::Sender<Result<Response, Error>>)>,
    counts: ProbeCounts,
}

type Shared<Request, Response, Error> = Arc<Mutex<State<Request, Response, Error>>>;

fn lock<T>(shared: &Mutex<T>) -> MutexGuard<'_, T> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A service that answers when its [`ServiceProbe`] says so. A clone has not been asked whether it
/// is ready.
pub struct ControlledService<Request, Response, Error> {
    shared: Shared<Request, Response, Error>,
    has_said_ready: bool,
}

/// Commands a [`ControlledService`] and tells what it saw.
pub struct ServiceProbe<Request, Response, Error> {
    shared: Shared<Request, Response, Error>,
}

/// A service that is ready, and its probe.
pub fn controlled<Request, Response, Error>()
-> (ControlledService<Request, Response, Error>, ServiceProbe<Request, Response, Error>) {
    let shared = Arc::new(Mutex::new(State {
        readiness: Readiness::Ready,
        readiness_error: None,
        waiting: Vec::new(),
        calls: VecDeque::new(),
        counts: ProbeCounts::default(),
    }));
    (
        ControlledService { shared: Arc::clone(&shared), has_said_ready: false },
        ServiceProbe { shared },
    )
}

impl<Request, Response, Error> ServiceProbe<Request, Response, Error> {
    /// What the service has seen so far.
    pub fn counts(&self) -> ProbeCounts {
        lock(&self.shared).counts
    }

    /// Changes the readiness and wakes whoever waits for it.
    pub fn set_readiness(&self, readiness: Readiness) {
        let mut state = lock(&self.shared);
        state.readiness = readiness;
        state.waiting.drain(..).for_each(Waker::wake);
    }

    /// Makes the next question about readiness fail.
    pub fn fail_readiness(&self, error: Error) {
        lock(&self.shared).readiness_error = Some(error);
    }

    /// Answers the oldest open call and returns its request; `None` when no call is open. The
    /// answer to a call whose future was dropped goes nowhere.
    pub fn respond(&self, response: Result<Response, Error>) -> Option<Request> {
        let (request, caller) = lock(&self.shared).calls.pop_front()?;
        // The caller may have left; that is what a test wants to try.
        let _ = caller.send(response);
        Some(request)
    }
}

impl<Request, Response, Error> Clone for ControlledService<Request, Response, Error> {
    fn clone(&self) -> Self {
        Self { shared: Arc::clone(&self.shared), has_said_ready: false }
    }
}

impl<Request, Response, Error> Service<Request> for ControlledService<Request, Response, Error> {
    type Response = Response;
    type Error = Error;
    type Future = Reply<Request, Response, Error>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Error>> {
        let mut state = lock(&self.shared);
        state.counts.n_readiness_polls += 1;
        if let Some(error) = state.readiness_error.take() {
            return Poll::Ready(Err(error));
        }
        match state.readiness {
            Readiness::Ready => {
                self.has_said_ready = true;
                Poll::Ready(Ok(()))
            }
            Readiness::NotReady => {
                state.waiting.push(context.waker().clone());
                Poll::Pending
            }
        }
    }

    fn call(&mut self, request: Request) -> Self::Future {
        let (caller, response) = oneshot::channel();
        let mut state = lock(&self.shared);
        state.counts.n_calls += 1;
        state.counts.n_calls_without_readiness += u64::from(!self.has_said_ready);
        state.calls.push_back((request, caller));
        drop(state);
        self.has_said_ready = false;
        Reply { response, shared: Arc::clone(&self.shared), is_done: false }
    }
}

/// The response to come.
pub struct Reply<Request, Response, Error> {
    response: oneshot::Receiver<Result<Response, Error>>,
    shared: Shared<Request, Response, Error>,
    is_done: bool,
}

impl<Request, Response, Error> Future for Reply<Request, Response, Error> {
    type Output = Result<Response, Error>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        Pin::new(&mut self.response).poll(context).map(|response| {
            self.is_done = true;
            response.expect("the probe keeps every open call until it answers it")
        })
    }
}

impl<Request, Response, Error> Drop for Reply<Request, Response, Error> {
    fn drop(&mut self) {
        if !self.is_done {
            lock(&self.shared).counts.n_dropped += 1;
        }
    }
}

macro_rules! debug_as_counts {
    ($($name:ident),*) => {$(
        impl<Request, Response, Error> std::fmt::Debug for $name<Request, Response, Error> {
            fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                formatter
                    .debug_struct(stringify!($name))
                    .field("counts", &lock(&self.shared).counts)
                    .finish_non_exhaustive()
            }
        }
    )*};
}

debug_as_counts!(ControlledService, ServiceProbe, Reply);

#[cfg(test)]
mod tests {
    use tower::ServiceExt;

    use super::*;

    #[tokio::test]
    async fn a_call_is_answered_on_command_and_its_request_comes_back() {
        let (mut service, probe) = controlled::<u32, &str, ()>();
        let reply = service.ready().await.unwrap().call(7);
        assert_eq!(probe.respond(Ok("seven")), Some(7));
        assert_eq!(reply.await, Ok("seven"));
        assert_eq!(probe.respond(Ok("nobody asked")), None);
        let want = ProbeCounts { n_readiness_polls: 1, n_calls: 1, ..ProbeCounts::default() };
        assert_eq!(probe.counts(), want);
    }

    #[tokio::test]
    async fn a_call_on_a_clone_that_was_not_asked_is_a_broken_contract() {
        let (mut service, probe) = controlled::<u32, (), ()>();
        service.ready().await.unwrap();
        drop(service.clone().call(1));
        assert_eq!(probe.counts().n_calls_without_readiness, 1);
        drop(service.call(2));
        assert_eq!(probe.counts().n_calls_without_readiness, 1);
        drop(service.call(3));
        assert_eq!(probe.counts().n_calls_without_readiness, 2);
        assert_eq!(probe.counts().n_dropped, 3);
    }

    #[tokio::test]
    async fn whoever_waits_for_readiness_is_woken() {
        let (mut service, probe) = controlled::<u32, (), &str>();
        probe.set_readiness(Readiness::NotReady);
        let waiting = tokio::spawn(async move { service.ready().await.map(drop) });
        while probe.counts().n_readiness_polls == 0 {
            tokio::task::yield_now().await;
        }
        probe.set_readiness(Readiness::Ready);
        assert_eq!(waiting.await.unwrap(), Ok(()));
    }
}
