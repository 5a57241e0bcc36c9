//! The routes that users see.

use std::sync::Arc;

use axum::{
    Router,
    body::{Body, Bytes},
    extract::{Path, Request, State},
    http::{HeaderMap, Response, StatusCode, header::AUTHORIZATION},
    middleware::{self, Next},
    routing::{get, post},
};
use lab_core::{outcome::ServedBy, route::Route};
use serde::{Deserialize, Serialize};
use tokio::time::Instant;

use super::{operations, reply};
use crate::{
    database::Order,
    error::ServiceError,
    page::{Answer, PageKey},
    request::{Arrival, RequestContext},
    sessions::Identified,
    shop::Shop,
};

/// Names the order; a repeat with the same key is the same order.
const IDEMPOTENCY_KEY: &str = "idempotency-key";

/// Longest idempotency key, bytes: it is a primary key.
const IDEMPOTENCY_KEY_BYTES_MAX: usize = 200;

/// Every public route.
pub(crate) fn router(shop: Arc<Shop>) -> Router {
    let users = Router::new()
        .route("/", get(home))
        .route("/products/{id}", get(product))
        .route("/products/{id}/recommendations", get(recommendations))
        .route("/products/{id}/views", post(add_view))
        .route("/sessions", post(create_session))
        .route("/me", get(me))
        .route("/orders", post(place_order))
        .layer(middleware::from_fn_with_state(Arc::clone(&shop), count_request));
    users.merge(operations::router()).with_state(shop)
}

/// Counts the request, and makes sure that every response says who served it: what the framework
/// refused itself was refused before anything was asked.
async fn count_request(
    State(shop): State<Arc<Shop>>,
    request: Request,
    next: Next,
) -> Response<Body> {
    let _pending = shop.totals.begin_request();
    let arrived_at = Instant::now();
    let mut response = next.run(request).await;
    shop.pages.dimmer.record(arrived_at.elapsed());
    response
        .headers_mut()
        .entry(reply::SERVED_BY)
        .or_insert_with(|| reply::served_by(ServedBy::Shed));
    response
}

async fn home(State(shop): State<Arc<Shop>>, arrival: Arrival) -> Response<Body> {
    read(&shop, shop.context(arrival, Route::Home), PageKey::Home).await
}

async fn product(
    State(shop): State<Arc<Shop>>,
    arrival: Arrival,
    Path(id): Path<u32>,
) -> Response<Body> {
    match known_product(&shop, id) {
        Some(id) => read(&shop, shop.context(arrival, Route::Product), PageKey::Product(id)).await,
        None => unknown_product(),
    }
}

async fn recommendations(
    State(shop): State<Arc<Shop>>,
    arrival: Arrival,
    Path(id): Path<u32>,
) -> Response<Body> {
    let Some(id) = known_product(&shop, id) else {
        return unknown_product();
    };
    read(&shop, shop.context(arrival, Route::Recommendations), PageKey::Recommendations(id)).await
}

async fn read(shop: &Shop, context: RequestContext, key: PageKey) -> Response<Body> {
    match shop.pages.read(context, key).await {
        Ok(Answer::Page(page)) => reply::page(page),
        Ok(Answer::NoSuchPage) => unknown_product(),
        Ok(Answer::LeftOut) => reply::empty(StatusCode::NO_CONTENT, ServedBy::Degraded),
        Err(error) => reply::failure(&error),
    }
}

async fn add_view(
    State(shop): State<Arc<Shop>>,
    arrival: Arrival,
    Path(id): Path<u32>,
) -> Response<Body> {
    let Some(id) = known_product(&shop, id) else {
        return unknown_product();
    };
    let context = shop.context(arrival, Route::Views);
    if shop.pages.is_left_out(context.class) {
        return reply::empty(StatusCode::ACCEPTED, ServedBy::Degraded);
    }
    match shop.views.add(context, id).await {
        Ok(served_by) => reply::empty(StatusCode::ACCEPTED, served_by),
        Err(error) => reply::failure(&error),
    }
}

/// What identifies a user; also the answer of `/me`.
#[derive(Debug, Serialize, Deserialize)]
struct User {
    user: u32,
}

/// What a log-in returns.
#[derive(Debug, Serialize)]
struct Session {
    token: String,
}

async fn create_session(
    State(shop): State<Arc<Shop>>,
    arrival: Arrival,
    body: Bytes,
) -> Response<Body> {
    let Ok(User { user }) = serde_json::from_slice(&body) else {
        return malformed("expected {\"user\": <number>}");
    };
    match shop.sessions.create(shop.context(arrival, Route::Sessions), user).await {
        Ok((token, by)) => reply::json(StatusCode::CREATED, by, &Session { token }),
        Err(error) => reply::failure(&error),
    }
}

async fn me(State(shop): State<Arc<Shop>>, arrival: Arrival, headers: HeaderMap) -> Response<Body> {
    let Some(token) = bearer_token(&headers) else {
        return reply::unauthorized(ServedBy::Shed, "authorization: Bearer <token> is missing");
    };
    match shop.sessions.user(shop.context(arrival, Route::Me), token).await {
        Ok(Identified { user: Some(user), served_by }) => {
            reply::json(StatusCode::OK, served_by, &User { user })
        }
        Ok(Identified { user: None, served_by }) => {
            reply::unauthorized(served_by, "no such session")
        }
        Err(error) => reply::failure(&error),
    }
}

/// The body of an order.
#[derive(Debug, Deserialize)]
struct OrderRequest {
    product: u32,
    quantity: u16,
    user: u32,
}

/// What a placed order returns, the first time and every time after.
#[derive(Debug, Serialize)]
struct Placed<'a> {
    order: &'a str,
}

async fn place_order(
    State(shop): State<Arc<Shop>>,
    arrival: Arrival,
    headers: HeaderMap,
    body: Bytes,
) -> Response<Body> {
    let key = headers.get(IDEMPOTENCY_KEY).and_then(|it| it.to_str().ok());
    let Some(key) = key.filter(|it| !it.is_empty() && it.len() <= IDEMPOTENCY_KEY_BYTES_MAX) else {
        return malformed("header idempotency-key is missing or longer than 200 bytes");
    };
    let Ok(request) = serde_json::from_slice::<OrderRequest>(&body) else {
        return malformed("expected {\"product\": .., \"quantity\": .., \"user\": ..}");
    };
    if request.quantity == 0 {
        return malformed("quantity must be at least 1");
    }
    let Some(product) = known_product(&shop, request.product) else {
        return unknown_product();
    };
    let order = Order {
        idempotency_key: key,
        product,
        quantity: i32::from(request.quantity),
        user: i64::from(request.user),
    };
    let context = shop.context(arrival, Route::Orders);
    match shop.database().place_order(context, &order).await {
        Ok(()) => reply::json(StatusCode::CREATED, ServedBy::Database, &Placed { order: key }),
        Err(error) => reply::failure(&ServiceError::from(error)),
    }
}

/// The id as the database has it, when the catalogue can have such a product.
fn known_product(shop: &Shop, id: u32) -> Option<i32> {
    i32::try_from(id).ok().filter(|_| id < shop.config.catalogue.products.get())
}

fn unknown_product() -> Response<Body> {
    reply::text(StatusCode::NOT_FOUND, ServedBy::Database, "no such product")
}

fn malformed(reason: &'static str) -> Response<Body> {
    reply::text(StatusCode::BAD_REQUEST, ServedBy::Shed, reason)
}

/// The token of `authorization: Bearer <token>`.
pub(super) fn bearer_token(headers: &HeaderMap) -> Option<&str> {
    headers.get(AUTHORIZATION)?.to_str().ok()?.strip_prefix("Bearer ")
}
