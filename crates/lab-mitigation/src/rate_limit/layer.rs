//! Puts services behind one rate limit.

use tower::Layer;

use super::{RateLimit, RateLimitService};

/// Wraps services so that each call takes one permit of one [`RateLimit`].
#[derive(Debug, Clone)]
pub struct RateLimitLayer {
    limit: RateLimit,
}

impl RateLimitLayer {
    /// Guards with `limit`, whose bucket is shared with all of its clones.
    pub fn new(limit: RateLimit) -> Self {
        Self { limit }
    }
}

impl<S> Layer<S> for RateLimitLayer {
    type Service = RateLimitService<S>;

    fn layer(&self, inner: S) -> Self::Service {
        RateLimitService::new(inner, self.limit.clone())
    }
}
