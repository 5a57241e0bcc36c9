//! Pages come out right from wherever they come, and every statement is counted.

use lab_core::catalogue::Catalogue;
use serde_json::{Value, json};

use crate::stack::{self, Stack, Storefront, SuccessOrPanic as _, patient};

fn bytes(page: &impl serde::Serialize) -> Vec<u8> {
    serde_json::to_vec(page).unwrap()
}

async fn check_product_pages(storefront: &Storefront, catalogue: &Catalogue, served_by: &str) {
    for id in [0, 1, 17, 123, 299] {
        let page = storefront.get(&format!("/products/{id}")).await;
        assert_eq!((page.status, page.served_by.as_str()), (200, served_by), "product {id}");
        assert_eq!(page.json(), json!(catalogue.product_page(id)), "product {id}");
        assert_eq!(page.body, bytes(&catalogue.product_page(id)), "product {id}");
    }
}

fn bypass(page_query: &str) -> Value {
    json!({ "cache": "bypass", "page_query": page_query })
}

#[tokio::test]
async fn both_ways_of_reading_a_product_give_the_bytes_of_the_catalogue() {
    let Some(stack) = stack::start().await else { return };
    for page_query in ["n_plus_one", "optimized"] {
        let storefront = stack.serve(bypass(page_query)).await;
        check_product_pages(&storefront, &stack.catalogue, "database").await;
    }
    let storefront = stack.serve(bypass("n_plus_one")).await;
    let home = storefront.get("/").await;
    assert_eq!(home.body, bytes(&stack.catalogue.home()));
    for id in [0, 17, 299] {
        let page = storefront.get(&format!("/products/{id}/recommendations")).await;
        assert_eq!(page.body, bytes(&stack.catalogue.recommendations(id)), "product {id}");
    }
    for (path, status) in
        [("/products/300", 404), ("/products/4000000000", 404), ("/products/x", 400)]
    {
        assert_eq!(storefront.get(path).await.status, status, "{path}");
    }
}

#[tokio::test]
async fn a_page_comes_from_the_database_once_and_then_from_redis() {
    let Some(stack) = stack::start().await else { return };
    let storefront = stack.serve(patient(json!({}))).await;
    check_product_pages(&storefront, &stack.catalogue, "database").await;
    check_product_pages(&storefront, &stack.catalogue, "redis").await;
    let sample = storefront.sample().await;
    assert_eq!((sample.cache_hits_total, sample.cache_misses_total), (5, 5));
    assert_eq!((sample.requests_total, sample.redis_errors_total), (10, 0));
    assert_eq!(sample.acquire_waits_us.iter().map(|it| it.1).sum::<u64>(), 5);
    assert_eq!(sample.connection_demand_high_water, 1);
    assert!(storefront.sample().await.acquire_waits_us.is_empty(), "sampling drains");
}

#[tokio::test]
async fn after_a_reset_redis_holds_the_popular_pages_and_nothing_a_trial_wrote() {
    let Some(stack) = stack::start().await else { return };
    {
        let storefront = stack.serve(json!({})).await;
        let order = json!({ "product": 3, "quantity": 1, "user": 9 });
        assert_eq!(storefront.post_order("k", order).await.status, 201);
        let least_popular = stack.catalogue.product_of_rank(299);
        storefront.get(&format!("/products/{least_popular}")).await;
    }
    stack.run("reset", json!({})).success_or_panic();
    let n_orders = count(&stack, "SELECT count(*) FROM orders").await;
    assert_eq!(n_orders, 0);
    let storefront = stack.serve(patient(json!({}))).await;
    for (rank, served_by) in [(0, "redis"), (1, "redis"), (299, "database")] {
        let id = stack.catalogue.product_of_rank(rank);
        for (path, body) in [
            (format!("/products/{id}"), bytes(&stack.catalogue.product_page(id))),
            (
                format!("/products/{id}/recommendations"),
                bytes(&stack.catalogue.recommendations(id)),
            ),
        ] {
            let page = storefront.get(&path).await;
            assert_eq!((page.served_by.as_str(), page.body), (served_by, body), "{path}");
        }
    }
    assert_eq!(storefront.get("/").await.served_by, "redis");
}

#[tokio::test]
async fn the_count_of_statements_is_that_of_postgres() {
    let Some(stack) = stack::start().await else { return };
    stack.admin().await.batch_execute("SELECT pg_stat_statements_reset()").await.unwrap();
    let storefront =
        stack.serve(json!({ "cache": "bypass", "database": { "statement_timeout": "1s" } })).await;
    storefront.ready().await;
    for id in 0..20 {
        storefront.get(&format!("/products/{id}")).await;
        storefront.get(&format!("/products/{id}/recommendations")).await;
        let order = json!({ "product": id, "quantity": 1, "user": 9 });
        storefront.post_order(&format!("order-{id}"), order).await;
    }
    storefront.get("/").await;
    let counted = storefront.sample().await.queries_total;
    let sql = "SELECT sum(calls)::bigint FROM pg_stat_statements
        WHERE userid = 'storefront'::regrole";
    let calls = count(&stack, sql).await;
    assert!(200 < calls, "{calls}");
    assert_eq!(counted, u64::try_from(calls).unwrap());
}

async fn count(stack: &Stack, sql: &str) -> i64 {
    stack.admin().await.query_one(sql, &[]).await.unwrap().get(0)
}
