//! Responses: every one says who served it, and every failure says what it counts as.

use axum::{
    body::{Body, Bytes},
    http::{
        HeaderName, HeaderValue, Response, StatusCode,
        header::{CONTENT_TYPE, WWW_AUTHENTICATE},
    },
};
use lab_core::outcome::ServedBy;
use serde::Serialize;

use crate::{
    error::{ServiceError, status},
    page::{Page, to_body},
};

/// Who served the response.
pub(super) const SERVED_BY: HeaderName = HeaderName::from_static("x-served-by");

/// What a failed request counts as, in the words of the lab.
const OUTCOME: HeaderName = HeaderName::from_static("x-outcome");

const JSON: HeaderValue = HeaderValue::from_static("application/json");

pub(super) fn served_by(value: ServedBy) -> HeaderValue {
    HeaderValue::from_static(value.name())
}

/// A page, as it lies in the caches.
pub(super) fn page(page: Page) -> Response<Body> {
    with_body(StatusCode::OK, page.served_by, page.body)
}

/// A small JSON answer.
pub(super) fn json(code: StatusCode, by: ServedBy, value: &impl Serialize) -> Response<Body> {
    with_body(code, by, to_body(value))
}

/// An answer without a body.
pub(super) fn empty(code: StatusCode, by: ServedBy) -> Response<Body> {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = code;
    response.headers_mut().insert(SERVED_BY, served_by(by));
    response
}

/// A line of text for people.
pub(super) fn text(code: StatusCode, by: ServedBy, text: impl Into<Body>) -> Response<Body> {
    let mut response = Response::new(text.into());
    *response.status_mut() = code;
    response.headers_mut().insert(SERVED_BY, served_by(by));
    response
}

/// The request was not served. Counted, not logged: under an outage every request is one.
pub(super) fn failure(error: &ServiceError) -> Response<Body> {
    tracing::debug!(%error, "not served");
    let outcome = error.outcome();
    let mut response = text(status(outcome), error.served_by(), error.to_string());
    response.headers_mut().insert(OUTCOME, HeaderValue::from_static(outcome.name()));
    response
}

/// The caller must log in (again).
pub(super) fn unauthorized(by: ServedBy, reason: &'static str) -> Response<Body> {
    let mut response = text(StatusCode::UNAUTHORIZED, by, reason);
    response.headers_mut().insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
    response
}

fn with_body(code: StatusCode, by: ServedBy, body: Bytes) -> Response<Body> {
    let mut response = Response::new(Body::from(body));
    *response.status_mut() = code;
    response.headers_mut().insert(CONTENT_TYPE, JSON);
    response.headers_mut().insert(SERVED_BY, served_by(by));
    response
}
