//! Pages read from a replica of PostgreSQL, on real servers.

use serde_json::{Value, json};

use crate::stack::{self, Storefront, SuccessOrPanic, eventually};

/// Every page is a query, so that where it came from is the database's choice and not the cache's.
fn without_cache() -> Value {
    json!({ "cache": "bypass", "redis": { "call_timeout": "500ms" } })
}

/// Where page `n` of each kind came from.
async fn served_by(storefront: &Storefront, n: usize) -> [String; 3] {
    let mut served_by = Vec::new();
    for path in ["/".to_owned(), format!("/products/{n}"), format!("/products/{n}/recommendations")]
    {
        let page = storefront.get(&path).await;
        assert_eq!(page.status, 200, "{path}: {}", page.text());
        served_by.push(page.served_by);
    }
    served_by.try_into().unwrap()
}

/// Statements that a server counted for the service.
async fn n_statements(server: &tokio_postgres::Client) -> i64 {
    let sql = "SELECT coalesce(sum(calls), 0)::bigint FROM pg_stat_statements s
        JOIN pg_roles r ON r.oid = s.userid WHERE r.rolname = 'storefront'";
    server.query_one(sql, &[]).await.unwrap().get(0)
}

#[tokio::test]
async fn pages_come_from_the_replica_and_writes_and_sessions_from_the_primary() {
    let Some(mut stack) = stack::start().await else { return };
    stack.start_replica().await;
    stack.run("reset", without_cache()).success_or_panic();
    stack.wait_for_replica().await;
    let (primary, replica) = (stack.admin().await, stack.replica_admin().await);
    for server in [&primary, &replica] {
        server.batch_execute("SELECT pg_stat_statements_reset()").await.unwrap();
    }

    let mut settings = without_cache();
    settings["session"] = json!({ "store": "database" });
    let storefront = stack.serve(settings).await;
    // One user at a time: the pools are always equally idle, and the replica goes first.
    assert_eq!(served_by(&storefront, 5).await, ["replica"; 3]);
    let page = storefront.get("/products/5").await;
    assert_eq!(page.body, serde_json::to_vec(&stack.catalogue.product_page(5)).unwrap());
    assert_eq!(storefront.get("/products/100000").await.status, 404);
    assert_eq!(n_statements(&primary).await, 0, "no page has asked the primary");

    let order = json!({ "product": 5, "quantity": 1, "user": 41 });
    let placed = storefront.post_order("order-1", order).await;
    assert_eq!((placed.status, placed.served_by.as_str()), (201, "database"));
    let session = storefront.post("/sessions", json!({ "user": 41 })).await;
    let token = session.json()["token"].as_str().unwrap().to_owned();
    assert_eq!(storefront.get_me(&token).await.json(), json!({ "user": 41 }), "read as written");
    let sql = "SELECT count(*) FROM orders";
    let n_orders: i64 = primary.query_one(sql, &[]).await.unwrap().get(0);
    assert_eq!(n_orders, 1);

    // Both servers together have counted what the service has.
    let sample = storefront.sample().await;
    let counted = n_statements(&primary).await + n_statements(&replica).await;
    assert_eq!(u64::try_from(counted).unwrap(), sample.queries_total);
    assert_eq!(sample.queries_failed_total, 0);
    assert_eq!(sample.pool_size_max, 8, "two pools of 4");
}

#[tokio::test]
async fn the_primary_answers_while_the_replica_is_gone_and_no_user_notices() {
    let Some(mut stack) = stack::start().await else { return };
    stack.start_replica().await;
    let storefront = stack.serve(without_cache()).await;
    assert_eq!(served_by(&storefront, 7).await, ["replica"; 3]);
    stack.stop_replica();
    for product in 0..20 {
        assert_eq!(served_by(&storefront, product).await, ["database"; 3]);
    }
}

#[tokio::test]
async fn without_a_replica_no_page_comes_from_one() {
    let Some(stack) = stack::start().await else { return };
    let storefront = stack.serve(without_cache()).await;
    storefront.ready().await;
    for product in 0..20 {
        assert_eq!(served_by(&storefront, product).await, ["database"; 3]);
    }
}

#[tokio::test]
async fn what_the_replica_answered_fills_the_cache() {
    let Some(mut stack) = stack::start().await else { return };
    stack.start_replica().await;
    let storefront = stack.serve(json!({ "redis": { "call_timeout": "500ms" } })).await;
    storefront.ready().await;
    let first = storefront.get("/products/9").await;
    assert_eq!((first.status, first.served_by.as_str()), (200, "replica"));
    eventually("Redis has the page", async || {
        storefront.get("/products/9").await.served_by == "redis"
    })
    .await;
}
