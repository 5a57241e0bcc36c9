//! What travels with a request through every layer: its deadline, and what it is to the business.

use std::{
    convert::Infallible,
    time::{Duration, Instant},
};

use axum::{extract::FromRequestParts, http::request::Parts};
use lab_core::{route::RouteClass, target::BUDGET_HEADER};
use lab_mitigation::deadline::{Deadline, DeadlinePropagation, parse_budget};

/// A request on its way through the service.
#[derive(Debug, Clone, Copy)]
pub(crate) struct RequestContext {
    /// When its answer is of no use any more.
    pub(crate) deadline: Deadline,
    /// Core or auxiliary.
    pub(crate) class: RouteClass,
}

impl RequestContext {
    /// Work that no user waits for, begun at `now`: it has a minute.
    pub(crate) fn background(now: Instant) -> Self {
        const BUDGET: Duration = Duration::from_secs(60);
        Self { deadline: Deadline::after(now, BUDGET), class: RouteClass::Auxiliary }
    }
}

/// When a request arrived, and the budget that its client stated.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Arrival {
    arrived_at: Instant,
    stated: Option<Duration>,
}

impl Arrival {
    /// The context of this request on a route of `class`.
    pub(crate) fn context(
        self,
        deadlines: &DeadlinePropagation,
        class: RouteClass,
    ) -> RequestContext {
        let deadline = deadlines.deadline(self.arrived_at, self.stated);
        RequestContext { deadline, class }
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Arrival {
    type Rejection = Infallible;

    /// A budget that is none is as none stated: the request is not refused for it.
    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, Infallible> {
        let arrived_at = tokio::time::Instant::now().into_std();
        let header = parts.headers.get(BUDGET_HEADER).and_then(|it| it.to_str().ok());
        Ok(Self { arrived_at, stated: header.and_then(|it| parse_budget(it).ok()) })
    }
}
