//! Puts services behind one limiter.

use tower::Layer;

use super::{AdaptiveConcurrency, AdaptiveConcurrencyService};

/// Wraps services so that all their calls take their places from one [`AdaptiveConcurrency`].
///
/// `classify` looks at each result and says what it tells about the dependency's load, as a
/// [`super::SampleResult`].
#[derive(Debug, Clone)]
pub struct AdaptiveConcurrencyLayer<C> {
    limiter: AdaptiveConcurrency,
    classify: C,
}

impl<C> AdaptiveConcurrencyLayer<C> {
    /// Guards with `limiter`, whose limit is shared with all of its clones.
    pub fn new(limiter: AdaptiveConcurrency, classify: C) -> Self {
        Self { limiter, classify }
    }
}

impl<S, C: Clone> Layer<S> for AdaptiveConcurrencyLayer<C> {
    type Service = AdaptiveConcurrencyService<S, C>;

    fn layer(&self, inner: S) -> Self::Service {
        AdaptiveConcurrencyService::new(inner, self.limiter.clone(), self.classify.clone())
    }
}
