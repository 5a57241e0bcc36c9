//! The routes that operators' tools use.

use std::sync::Arc;

use axum::{
    Router,
    body::Body,
    extract::State,
    http::{HeaderValue, Response, StatusCode, header::CONTENT_TYPE},
    routing::get,
};
use lab_core::outcome::ServedBy;

use super::reply;
use crate::shop::Shop;

/// Prometheus's text format.
const PROMETHEUS_TEXT: HeaderValue =
    HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8");

/// Liveness, readiness and metrics.
pub(super) fn router() -> Router<Arc<Shop>> {
    Router::new()
        .route("/livez", get(livez))
        .route("/readyz", get(readyz))
        .route("/metrics", get(metrics))
}

/// Alive: it answers. A liveness that asked Redis or the database would have the service killed
/// because they are gone.
async fn livez() -> Response<Body> {
    reply::text(StatusCode::OK, ServedBy::Static, "alive\n")
}

/// Ready: the database answers and the local cache is loaded. Redis is not asked: the service
/// works without it.
async fn readyz(State(shop): State<Arc<Shop>>) -> Response<Body> {
    if !shop.is_local_cache_loaded() {
        let reason = "the local cache is being loaded\n";
        return reply::text(StatusCode::SERVICE_UNAVAILABLE, ServedBy::Static, reason);
    }
    match shop.database().ping().await {
        Ok(()) => reply::text(StatusCode::OK, ServedBy::Database, "ready\n"),
        Err(error) => reply::failure(&error.into()),
    }
}

async fn metrics(State(shop): State<Arc<Shop>>) -> Response<Body> {
    let text = shop.metrics.render(&shop);
    let mut response = reply::text(StatusCode::OK, ServedBy::Static, text);
    response.headers_mut().insert(CONTENT_TYPE, PROMETHEUS_TEXT);
    response
}
