//! Orders are durable and placed once, views arrive, and the process ends as it should.

use std::time::Duration;

use serde_json::{Value, json};

use crate::stack::{self, eventually, patient};

#[tokio::test]
async fn an_order_is_placed_once_however_often_it_is_sent() {
    let Some(stack) = stack::start().await else { return };
    let storefront = stack.serve(json!({})).await;
    let order = json!({ "product": 3, "quantity": 2, "user": 9 });
    let first = storefront.post_order("abc-1", order.clone()).await;
    assert_eq!((first.status, first.json()), (201, json!({ "order": "abc-1" })));
    let again = storefront.post_order("abc-1", order.clone()).await;
    assert_eq!((again.status, again.body), (201, first.body));
    let rows = stack
        .admin()
        .await
        .query("SELECT product_id, quantity, user_id FROM orders", &[])
        .await
        .unwrap();
    let placed: Vec<(i32, i32, i64)> =
        rows.iter().map(|row| (row.get(0), row.get(1), row.get(2))).collect();
    assert_eq!(placed, [(3, 2, 9)]);

    assert_eq!(storefront.post("/orders", order).await.status, 400, "no idempotency key");
    let nothing = json!({ "product": 3, "quantity": 0, "user": 9 });
    assert_eq!(storefront.post_order("abc-2", nothing).await.status, 400);
    let unknown = json!({ "product": 300, "quantity": 1, "user": 9 });
    assert_eq!(storefront.post_order("abc-3", unknown).await.status, 404);
}

#[tokio::test]
async fn every_view_reaches_the_database_once() {
    let Some(stack) = stack::start().await else { return };
    let storefront = stack.serve(patient(json!({}))).await;
    for _ in 0..7 {
        let view = storefront.post("/products/5/views", Value::Null).await;
        assert_eq!((view.status, view.served_by.as_str()), (202, "redis"));
    }
    storefront.post("/products/6/views", Value::Null).await;
    let admin = stack.admin().await;
    let sql = "SELECT coalesce(sum(n_views), 0)::bigint FROM product_views";
    eventually("all views are in the database", async || {
        let n_views: i64 = admin.query_one(sql, &[]).await.unwrap().get(0);
        assert!(n_views <= 8, "{n_views}");
        n_views == 8 && storefront.sample().await.views_buffered == 0
    })
    .await;
}

#[tokio::test]
async fn sigterm_ends_the_process_cleanly_even_while_redis_and_postgres_are_gone() {
    let Some(mut stack) = stack::start().await else { return };
    let storefront = stack.serve(json!({})).await;
    storefront.ready().await;
    stack.kill_redis();
    stack.stop_postgres();
    let (status, took) = storefront.terminate();
    assert!(status.success(), "{status}");
    assert!(took < Duration::from_secs(10), "{took:?}");
}

#[tokio::test]
async fn seed_and_reset_say_in_one_line_what_is_missing() {
    let Some(mut stack) = stack::start().await else { return };
    stack.kill_redis();
    for (verb, missing) in [("reset", "redis"), ("seed", "postgres"), ("reset", "postgres")] {
        if missing == "postgres" && verb == "seed" {
            stack.stop_postgres();
        }
        let output = stack.run(verb, json!({}));
        let message = String::from_utf8(output.stderr).unwrap();
        assert!(!output.status.success());
        assert_eq!(message.lines().count(), 1, "{message}");
        assert!(message.starts_with("storefront: failed to"), "{message}");
        assert!(message.contains(missing), "{message}");
    }
}

#[tokio::test]
async fn metrics_have_the_names_of_the_convention() {
    let Some(stack) = stack::start().await else { return };
    let storefront = stack.serve(json!({ "cache": "bypass" })).await;
    storefront.get("/products/5").await;
    let text = storefront.get("/metrics").await.text();
    for line in [
        "db_client_connection_count{state=\"idle\"} 1",
        "db_client_connection_count{state=\"used\"} 0",
        "db_client_connection_max 4",
        "db_client_connection_pending_requests 0",
        "db_client_connection_timeouts 0",
        "db_client_connection_wait_time_count 1",
        "storefront_requests 1",
    ] {
        assert!(text.lines().any(|it| it == line), "{line} is missing in\n{text}");
    }
}
