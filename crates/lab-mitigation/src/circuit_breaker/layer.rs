//! Puts services behind one breaker.

use tower::Layer;

use super::{CircuitBreaker, CircuitBreakerService};

/// Wraps services so that all their calls go through one [`CircuitBreaker`].
///
/// `classify` looks at each result and says what it tells about the dependency's health, as a
/// [`super::CallResult`]. An error is not always a failure of the dependency, and an answer is not
/// always a success.
#[derive(Debug, Clone)]
pub struct CircuitBreakerLayer<C> {
    breaker: CircuitBreaker,
    classify: C,
}

impl<C> CircuitBreakerLayer<C> {
    /// Guards with `breaker`, whose circuit is shared with all of its clones.
    pub fn new(breaker: CircuitBreaker, classify: C) -> Self {
        Self { breaker, classify }
    }
}

impl<S, C: Clone> Layer<S> for CircuitBreakerLayer<C> {
    type Service = CircuitBreakerService<S, C>;

    fn layer(&self, inner: S) -> Self::Service {
        CircuitBreakerService::new(inner, self.breaker.clone(), self.classify.clone())
    }
}
