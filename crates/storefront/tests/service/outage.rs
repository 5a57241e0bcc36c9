//! What the service does while Redis or PostgreSQL is gone, and how its mitigations are switched.

use serde_json::{Value, json};

use crate::stack::{self, bounded, eventually};

#[tokio::test]
async fn the_service_starts_and_serves_while_redis_is_down_and_uses_it_when_it_is_back() {
    let Some(mut stack) = stack::start().await else { return };
    stack.kill_redis();
    let storefront = stack.serve(bounded(json!({}))).await;
    storefront.ready().await;
    assert_eq!(storefront.get("/livez").await.status, 200);
    let page = storefront.get("/products/5").await;
    assert_eq!((page.status, page.served_by.as_str()), (200, "database"));
    let view = storefront.post("/products/5/views", Value::Null).await;
    assert_eq!((view.status, view.served_by.as_str()), (202, "database"));
    assert!(2 <= storefront.sample().await.redis_errors_total);

    stack.start_redis().await;
    eventually("a page comes from redis", async || {
        storefront.get("/products/5").await.served_by == "redis"
    })
    .await;
}

#[tokio::test]
async fn a_lost_session_is_401_and_an_unreachable_session_store_is_503() {
    let Some(mut stack) = stack::start().await else { return };
    let storefront = stack.serve(bounded(json!({}))).await;
    storefront.reaches_redis().await;
    let session = storefront.post("/sessions", json!({ "user": 41 })).await;
    assert_eq!((session.status, session.served_by.as_str()), (201, "redis"));
    let token = session.json()["token"].as_str().unwrap().to_owned();
    let me = storefront.get_me(&token).await;
    assert_eq!((me.status, me.json()), (200, json!({ "user": 41 })));
    assert_eq!(storefront.get_me("someone-elses").await.status, 401);
    assert_eq!(storefront.post("/sessions", json!({ "user": "x" })).await.status, 400);

    stack.kill_redis();
    let me = storefront.get_me(&token).await;
    assert_eq!((me.status, me.outcome.as_str()), (503, "dependency_failed"));

    stack.start_redis().await;
    eventually("redis, empty now, is asked again", async || {
        storefront.get_me(&token).await.status == 401
    })
    .await;
}

#[tokio::test]
async fn an_open_circuit_refuses_sessions_at_once_and_closes_after_a_probe() {
    let Some(mut stack) = stack::start().await else { return };
    let breaker = json!({
        "mode": "enforce", "failure_threshold": 3, "wait_duration_in_open": "200ms",
    });
    let storefront = stack.serve(bounded(json!({ "circuit_breaker": breaker }))).await;
    stack.kill_redis();
    eventually("the circuit refuses", async || {
        storefront.get_me("token").await.outcome == "not_permitted"
    })
    .await;
    assert_eq!(storefront.get("/products/5").await.served_by, "database");
    eventually("the event is written", async || {
        storefront.events().first().is_some_and(|it| it == "circuit_opened")
    })
    .await;
    stack.start_redis().await;
    eventually("the circuit closes", async || {
        storefront.get_me("token").await;
        storefront.events().last().is_some_and(|it| it == "circuit_closed")
    })
    .await;
    assert!(storefront.events().contains(&"circuit_half_opened".to_owned()));

    stack.kill_redis();
    let off = storefront.set_mode("circuit_breaker", "off").await;
    assert_eq!((off.status, off.json()), (200, json!({ "mode": "off" })));
    for _ in 0..5 {
        assert_eq!(storefront.get_me("token").await.outcome, "dependency_failed");
    }
}

#[tokio::test]
async fn a_stale_page_stands_in_when_the_database_is_gone_too() {
    let Some(mut stack) = stack::start().await else { return };
    let local = json!({ "mode": "enforce", "ttl": "1ms", "stale_on_error_max_age": "10m" });
    let storefront = stack.serve(bounded(json!({ "local_cache": local }))).await;
    storefront.ready().await;
    let fresh = storefront.get("/products/5").await;
    stack.kill_redis();
    stack.stop_postgres();
    let stale = storefront.get("/products/5").await;
    assert_eq!((stale.status, stale.served_by.as_str()), (200, "stale"));
    assert_eq!(stale.body, fresh.body);
    let least_popular = stack.catalogue.product_of_rank(299);
    let unseen = storefront.get(&format!("/products/{least_popular}")).await;
    assert!(matches!(unseen.status, 200 | 503), "{unseen:?}");
    assert_eq!(storefront.get("/livez").await.status, 200);
    assert_eq!(storefront.get("/readyz").await.status, 503);
    eventually("the event is written", async || {
        storefront.events().contains(&"stale_served".to_owned())
    })
    .await;

    storefront.set_mode("local_cache", "off").await;
    let refused = storefront.get("/products/5").await;
    assert_eq!((refused.status, refused.served_by.as_str()), (503, "database"));
}

#[tokio::test]
async fn a_local_cache_loaded_ahead_serves_without_redis_or_database() {
    let Some(mut stack) = stack::start().await else { return };
    let local = json!({ "mode": "enforce", "ttl": "10m" });
    let storefront = stack.serve(bounded(json!({ "local_cache": local }))).await;
    storefront.ready().await;
    stack.kill_redis();
    stack.stop_postgres();
    let id = stack.catalogue.product_of_rank(0);
    let page = storefront.get(&format!("/products/{id}")).await;
    assert_eq!((page.status, page.served_by.as_str()), (200, "local"));
    assert_eq!(page.body, serde_json::to_vec(&stack.catalogue.product_page(id)).unwrap());
}

#[tokio::test]
async fn a_rate_limit_refuses_pages_from_the_database_and_can_be_switched() {
    let Some(stack) = stack::start().await else { return };
    let limit = json!({ "mode": "enforce", "permits_per_sec": 0.001, "burst": 1 });
    let storefront = stack.serve(bounded(json!({ "rate_limit": limit }))).await;
    storefront.reaches_redis().await;
    assert_eq!(storefront.get("/products/1").await.served_by, "database");
    let refused = storefront.get("/products/2").await;
    assert_eq!((refused.status, refused.served_by.as_str()), (429, "shed"));
    assert_eq!(refused.outcome, "rate_limited");
    assert_eq!(storefront.get("/products/1").await.served_by, "redis", "hits are never refused");
    let order = json!({ "product": 1, "quantity": 1, "user": 1 });
    assert_eq!(storefront.post_order("k", order).await.status, 201, "nor are orders");
    eventually("the event is written", async || storefront.events() == ["rate_limit_reached"])
        .await;

    storefront.set_mode("rate_limit", "observe").await;
    assert_eq!(storefront.get("/products/2").await.served_by, "database");
    let limit = &storefront.state().await["mitigations"]["rate_limit"];
    assert_eq!(limit["n_rejected"], 1);
    assert_eq!(limit["n_would_reject"], 1);
    assert_eq!(limit["mode"], "observe");
}

#[tokio::test]
async fn the_internal_port_wants_its_token_and_knows_its_mitigations() {
    let Some(stack) = stack::start().await else { return };
    let storefront = stack.serve(json!({})).await;
    assert_eq!(storefront.get_internal("/internal/state", "guess").await.status, 401);
    assert_eq!(storefront.get_internal("/internal/state", "secret").await.status, 200);
    assert_eq!(storefront.get("/internal/state").await.status, 404, "not on the public port");
    let unknown = storefront.set_mode("prayer", "enforce").await;
    assert_eq!(unknown.status, 404);
    assert!(unknown.text().contains("prayer"), "{unknown:?}");
    assert_eq!(storefront.set_mode("local_cache", "maybe").await.status, 400);
    let no_rate = storefront.set_mode("rate_limit", "enforce").await;
    assert_eq!(no_rate.status, 409, "{no_rate:?}");
}
