//! The internal port: what the service sees, and switches for its mitigations.
//!
//! It has a thread and a runtime of its own, so that it answers when the workers are all busy. It
//! listens on loopback only and wants a token.

use std::{io, net::TcpListener, sync::Arc, thread::JoinHandle};

use axum::{
    Json, Router,
    body::{Body, Bytes},
    extract::{Path, Request, State},
    http::{Response, StatusCode},
    middleware::{self, Next},
    response::IntoResponse as _,
    routing::{get, post},
};
use lab_core::{settings::Mode, target::TargetSample};
use lab_mitigation::circuit_breaker::Forced;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::public::bearer_token;
use crate::{
    shop::Shop,
    switches::{self, SwitchError},
};

/// Serves `listener` on a new thread until the process ends. **Errors**: no thread or no runtime.
pub(crate) fn spawn(shop: Arc<Shop>, listener: TcpListener) -> io::Result<JoinHandle<()>> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    listener.set_nonblocking(true)?;
    std::thread::Builder::new().name("internal".into()).spawn(move || {
        let served = runtime.block_on(async {
            axum::serve(tokio::net::TcpListener::from_std(listener)?, router(shop)).await
        });
        if let Err(error) = served {
            tracing::error!(%error, "the internal port stopped");
        }
    })
}

fn router(shop: Arc<Shop>) -> Router {
    Router::new()
        .route("/internal/state", get(state))
        .route("/internal/sample", post(sample))
        .route("/internal/mitigations/{name}", post(set_mode))
        .route("/internal/circuit", post(force_circuit))
        .layer(middleware::from_fn_with_state(Arc::clone(&shop), check_token))
        .with_state(shop)
}

async fn check_token(
    State(shop): State<Arc<Shop>>,
    request: Request,
    next: Next,
) -> Response<Body> {
    if bearer_token(request.headers()) == Some(shop.config.internal_token.as_str()) {
        next.run(request).await
    } else {
        (StatusCode::UNAUTHORIZED, "authorization: Bearer <internal token> is needed\n")
            .into_response()
    }
}

/// What `/internal/state` tells: the present, without resetting anything.
#[derive(Debug, Serialize)]
struct InternalState {
    is_local_cache_loaded: bool,
    /// Every mitigation by its name.
    mitigations: Map<String, Value>,
    pool: PoolState,
    totals: TotalsState,
}

#[derive(Debug, Serialize)]
struct PoolState {
    size_max: u32,
    size: u32,
    in_use: u32,
    pending: u32,
    acquire_timeouts_total: u64,
}

#[derive(Debug, Serialize)]
struct TotalsState {
    requests: u64,
    pending_requests: u64,
    cache_hits: u64,
    cache_misses: u64,
    redis_errors: u64,
    stale_served: u64,
    statements_sent: u64,
    statements_failed: u64,
    statements_cancelled: u64,
    views_buffered: u64,
}

async fn state(State(shop): State<Arc<Shop>>) -> Json<InternalState> {
    let database = shop.databases().totals();
    let (pending, in_use) = shop.databases().pending_and_in_use();
    Json(InternalState {
        is_local_cache_loaded: shop.is_local_cache_loaded(),
        mitigations: switches::snapshots(&shop),
        pool: PoolState {
            size_max: database.pool_size_max,
            size: database.pool_size,
            in_use,
            pending,
            acquire_timeouts_total: database.acquire_timeouts,
        },
        totals: TotalsState {
            requests: shop.totals.requests.get(),
            pending_requests: shop.totals.pending_requests(),
            cache_hits: shop.totals.cache_hits.get(),
            cache_misses: shop.totals.cache_misses.get(),
            redis_errors: shop.totals.redis_errors.get(),
            stale_served: shop.totals.stale_served.get(),
            statements_sent: database.statements_sent,
            statements_failed: database.statements_failed,
            statements_cancelled: database.statements_cancelled,
            views_buffered: shop.views.buffered(),
        },
    })
}

async fn sample(State(shop): State<Arc<Shop>>) -> Json<TargetSample> {
    Json(shop.sample())
}

/// The body of a switch.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct ModeRequest {
    mode: Mode,
}

async fn set_mode(
    State(shop): State<Arc<Shop>>,
    Path(name): Path<String>,
    body: Bytes,
) -> Response<Body> {
    let Ok(ModeRequest { mode }) = serde_json::from_slice(&body) else {
        let reason = "expected {\"mode\": \"off\"|\"observe\"|\"enforce\"}\n";
        return (StatusCode::BAD_REQUEST, reason).into_response();
    };
    if let Err(error) = switches::set_mode(&shop, &name, mode) {
        let code = match error {
            SwitchError::Unknown { .. } => StatusCode::NOT_FOUND,
            SwitchError::Refused { .. } => StatusCode::CONFLICT,
        };
        return (code, format!("{error}\n")).into_response();
    }
    tracing::info!(mitigation = name, ?mode, "mode changed");
    Json(ModeRequest { mode }).into_response()
}

/// The body that holds the circuit, or lets go of it.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct ForceRequest {
    /// `null`: the calls say again what the circuit does. Must be there, so that a body that says
    /// nothing does not let go.
    #[serde(deserialize_with = "Option::deserialize")]
    forced: Option<Forced>,
}

async fn force_circuit(State(shop): State<Arc<Shop>>, body: Bytes) -> Response<Body> {
    let Ok(ForceRequest { forced }) = serde_json::from_slice(&body) else {
        let reason = "expected {\"forced\": \"open\"|\"closed\"|null}\n";
        return (StatusCode::BAD_REQUEST, reason).into_response();
    };
    let breaker = &shop.pages.redis.guards().breaker;
    match forced {
        Some(forced) => breaker.force(forced),
        None => breaker.release(),
    }
    tracing::info!(?forced, "circuit forced");
    Json(ForceRequest { forced }).into_response()
}
