//! Puts services behind one retry.

use tower::Layer;

use super::{Retry, RetryService};

/// Wraps services so that calls which fail in a way that may pass are made again, all out of the
/// budget of one [`Retry`].
///
/// `classify` looks at each error and says whether another attempt may go better, as a
/// [`super::Retryable`]. `deadline` says until when somebody waits for the answer to a request,
/// `None` being for ever; it is asked once per request.
#[derive(Debug, Clone)]
pub struct RetryLayer<C, D> {
    retry: Retry,
    classify: C,
    deadline: D,
}

impl<C, D> RetryLayer<C, D> {
    /// Retries with `retry`, whose budget is shared with all of its clones.
    pub fn new(retry: Retry, classify: C, deadline: D) -> Self {
        Self { retry, classify, deadline }
    }
}

impl<S, C: Clone, D: Clone> Layer<S> for RetryLayer<C, D> {
    type Service = RetryService<S, C, D>;

    fn layer(&self, inner: S) -> Self::Service {
        let Self { retry, classify, deadline } = self.clone();
        RetryService::new(inner, retry, classify, deadline)
    }
}
