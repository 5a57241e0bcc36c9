//! Each mitigation in its place, on real servers: what it does when it is on, and that the service
//! does otherwise when it is off.

use serde_json::{Value, json};
use tokio_postgres::Client;

use crate::stack::{self, Stack, Storefront, bounded, eventually};

/// Lets every query of the service wait, until the returned client is dropped.
async fn block_products(stack: &Stack) -> Client {
    let admin = stack.admin().await;
    admin.batch_execute("BEGIN; LOCK TABLE products IN ACCESS EXCLUSIVE MODE").await.unwrap();
    admin
}

/// Queries of the service that run now.
async fn n_running(admin: &Client) -> i64 {
    let sql = "SELECT count(*) FROM pg_stat_activity
               WHERE usename = 'storefront' AND state = 'active'";
    admin.query_one(sql, &[]).await.unwrap().get(0)
}

async fn n_views(admin: &Client) -> i64 {
    let sql = "SELECT coalesce(sum(n_views), 0)::bigint FROM product_views";
    admin.query_one(sql, &[]).await.unwrap().get(0)
}

/// Asks for pages of different products, all at once.
async fn get_all(storefront: &Storefront, paths: &[String]) -> Vec<(u16, String)> {
    let replies = paths.iter().map(|path| storefront.get(path));
    let replies = futures_util::future::join_all(replies).await;
    replies.into_iter().map(|it| (it.status, it.served_by)).collect()
}

#[tokio::test]
async fn every_way_to_read_a_page_gives_the_same_bytes() {
    let Some(stack) = stack::start().await else { return };
    let settings = json!({ "page_query": "denormalized" });
    assert!(stack.run("reset", settings.clone()).status.success());
    for page_query in ["n_plus_one", "optimized", "denormalized"] {
        let settings = json!({ "page_query": page_query, "cache": "bypass" });
        let storefront = stack.serve(settings).await;
        for id in [0, 7, 299] {
            let page = storefront.get(&format!("/products/{id}")).await;
            assert_eq!((page.status, page.served_by.as_str()), (200, "database"), "{page_query}");
            let want = serde_json::to_vec(&stack.catalogue.product_page(id)).unwrap();
            assert_eq!(page.body, want, "{page_query} {id}");
            let page = storefront.get(&format!("/products/{id}/recommendations")).await;
            let want = serde_json::to_vec(&stack.catalogue.recommendations(id)).unwrap();
            assert_eq!(page.body, want, "{page_query} {id}");
        }
        assert_eq!(storefront.get("/products/300").await.status, 404);
    }
}

#[tokio::test]
async fn an_operator_can_switch_to_the_one_query() {
    let Some(stack) = stack::start().await else { return };
    let storefront = stack.serve(json!({ "cache": "bypass" })).await;
    let statements = async || storefront.sample().await.queries_total;
    let before = statements().await;
    storefront.get("/products/7").await;
    let n_plus_one = statements().await - before;
    assert!(5 < n_plus_one, "{n_plus_one}");
    storefront.set_mode("optimized_query", "enforce").await;
    let before = statements().await;
    storefront.get("/products/7").await;
    assert_eq!(statements().await - before, 1);
}

#[tokio::test]
async fn sessions_outside_of_redis_survive_its_loss() {
    for (store, by) in [("signed_cookie", "local"), ("database", "database")] {
        let Some(mut stack) = stack::start().await else { return };
        let storefront = stack.serve(bounded(json!({ "session": { "store": store } }))).await;
        let session = storefront.post("/sessions", json!({ "user": 41 })).await;
        assert_eq!((session.status, session.served_by.as_str()), (201, by), "{store}");
        let token = session.json()["token"].as_str().unwrap().to_owned();
        stack.kill_redis();
        let me = storefront.get_me(&token).await;
        assert_eq!((me.status, me.json()), (200, json!({ "user": 41 })), "{store}");
        assert_eq!(me.served_by, by);
        let forged = format!("{}A", &token[..token.len() - 1]);
        let other = if forged == token { "x".to_owned() } else { forged };
        assert_eq!(storefront.get_me(&other).await.status, 401, "{store}");
    }
}

#[tokio::test]
async fn queued_views_survive_kill_9_and_are_counted_once() {
    let Some(mut stack) = stack::start().await else { return };
    stack.kill_redis();
    let settings = bounded(json!({ "async_queue": { "mode": "enforce" } }));
    let storefront = stack.serve(settings.clone()).await;
    // Nothing can be applied: what is acknowledged is on disk and nowhere else.
    let blocker = stack.admin().await;
    let lock = "BEGIN; LOCK TABLE product_views, queue_positions IN ACCESS EXCLUSIVE MODE";
    blocker.batch_execute(lock).await.unwrap();
    for product in 0..50 {
        let view = storefront.post(&format!("/products/{}/views", product % 7), Value::Null).await;
        assert_eq!((view.status, view.served_by.as_str()), (202, "local"));
    }
    storefront.kill();
    drop(blocker);
    let admin = stack.admin().await;
    let again = stack.serve(settings).await;
    eventually("all views are in the database", async || n_views(&admin).await == 50).await;
    eventually("the queue is empty", async || again.sample().await.views_buffered == 0).await;
    assert_eq!(n_views(&admin).await, 50, "each once");
}

#[tokio::test]
async fn batched_views_need_neither_server_and_are_written_when_the_service_stops() {
    let Some(mut stack) = stack::start().await else { return };
    stack.kill_redis();
    let batch = json!({ "mode": "enforce", "flush_interval": "1h" });
    let storefront = stack.serve(bounded(json!({ "batch_writes": batch }))).await;
    storefront.ready().await;
    for _ in 0..9 {
        let view = storefront.post("/products/5/views", Value::Null).await;
        assert_eq!((view.status, view.served_by.as_str()), (202, "local"));
    }
    let admin = stack.admin().await;
    assert_eq!(n_views(&admin).await, 0);
    assert_eq!(storefront.sample().await.views_buffered, 9);
    let (status, _) = storefront.terminate();
    assert!(status.success(), "{status}");
    assert_eq!(n_views(&admin).await, 9);
}

#[tokio::test]
async fn identical_misses_share_one_read() {
    let Some(stack) = stack::start().await else { return };
    for (mode, n_joined) in [("enforce", 7), ("off", 0)] {
        let settings = json!({ "coalesce": { "mode": mode }, "cache": "bypass" });
        let storefront = stack.serve(bounded(settings)).await;
        let blocker = block_products(&stack).await;
        let same = vec!["/products/3".to_owned(); 8];
        let replies = async { get_all(&storefront, &same).await };
        let release = async {
            let all_there = async || storefront.sample().await.pending_requests == 8;
            eventually("all have come", all_there).await;
            drop(blocker);
        };
        let (replies, ()) = tokio::join!(replies, release);
        let count = |by: &str| replies.iter().filter(|it| **it == (200, by.to_owned())).count();
        assert_eq!((count("coalesced"), count("database")), (n_joined, 8 - n_joined), "{mode}");
    }
}

// Every page has been asked for, and none read, when the database is let go: what it is asked then
// is the herd, all at once.
#[tokio::test]
async fn a_herd_on_hot_pages_is_one_read_for_each_of_them() {
    const N_HOT: usize = 5;
    const N_CALLERS: usize = 100;
    let Some(stack) = stack::start().await else { return };
    let mut n_queries = Vec::new();
    for (mode, n_reads, first) in [("off", N_CALLERS, 0), ("enforce", N_HOT, 100)] {
        let coalesce = json!({ "mode": mode, "fill": "detached" });
        let storefront = stack.serve(bounded(json!({ "coalesce": coalesce }))).await;
        let before = storefront.sample().await.queries_total;
        let blocker = block_products(&stack).await;
        let hot: Vec<_> =
            (0..N_CALLERS).map(|n| format!("/products/{}", first + n % N_HOT)).collect();
        let replies = async { get_all(&storefront, &hot).await };
        let release = async {
            eventually("all reads have come, and no more", async || {
                let state = storefront.state().await;
                let count = |group: &str, name: &str| state[group][name].as_u64().unwrap();
                count("totals", "pending_requests") == N_CALLERS as u64
                    && count("pool", "in_use") + count("pool", "pending") == n_reads as u64
            })
            .await;
            drop(blocker);
        };
        let (replies, ()) = tokio::join!(replies, release);
        assert!(replies.iter().all(|it| it.0 == 200), "{mode}: {replies:?}");
        n_queries.push(storefront.sample().await.queries_total - before);
    }
    assert!(10 * n_queries[1] <= n_queries[0], "alone and together: {n_queries:?}");
}

#[tokio::test]
async fn no_query_runs_on_for_a_caller_who_left() {
    let Some(stack) = stack::start().await else { return };
    for (mode, n_left_running) in [("enforce", 0), ("off", 1)] {
        let settings = json!({
            "deadline_propagation": { "mode": mode, "default_budget": "30s", "budget_max": "1m" },
            "cache": "bypass",
            // No `statement_timeout`: it would end the query as well.
            "database": { "acquire_timeout": "20s" },
        });
        let storefront = stack.serve(bounded(settings)).await;
        // Has the connection opened and the query prepared: what waits for the lock is the query.
        assert_eq!(storefront.get("/products/3").await.status, 200);
        let blocker = block_products(&stack).await;
        // Not in the transaction that holds the lock: it would see what it saw first.
        let admin = stack.admin().await;
        if mode == "enforce" {
            let late = storefront.get_within("/products/3", 200).await;
            assert_eq!((late.status, late.outcome.as_str()), (504, "timed_out"));
        } else {
            // The client hangs up once its query runs.
            tokio::select! {
                reply = storefront.get_within("/products/3", 200) => panic!("{reply:?}"),
                () = eventually("the query runs", async || n_running(&admin).await == 1) => {}
            }
        }
        eventually("the request is gone", async || storefront.sample().await.pending_requests == 0)
            .await;
        // The lock still holds, so a query that was not cancelled is still there.
        eventually("what is to end has ended", async || n_running(&admin).await == n_left_running)
            .await;
        drop(blocker);
        eventually("the connection is of use again", async || {
            storefront.get("/products/3").await.status == 200
        })
        .await;
    }
}

#[tokio::test]
async fn a_budget_that_is_too_short_begins_nothing() {
    let Some(stack) = stack::start().await else { return };
    let settings = json!({
        "deadline_propagation": {
            "mode": "enforce", "default_budget": "30s", "budget_max": "1m", "min_remaining": "50ms",
        },
        "cache": "bypass",
    });
    let storefront = stack.serve(bounded(settings)).await;
    let before = storefront.sample().await.queries_total;
    let refused = storefront.get_within("/products/3", 40).await;
    assert_eq!((refused.status, refused.outcome.as_str()), (504, "timed_out"));
    assert_eq!(storefront.sample().await.queries_total, before);
}

#[tokio::test]
async fn what_admits_refuses_the_excess_and_lets_the_rest_through() {
    let Some(stack) = stack::start().await else { return };
    let one = json!({ "max_concurrent_calls": 1, "max_wait_duration": "0s" });
    let bulkhead = json!({ "mode": "enforce", "core": one, "auxiliary": one });
    let adaptive = json!({
        "mode": "enforce", "initial_limit": 1, "min_limit": 1, "max_limit": 1,
    });
    let shedding = json!({
        "mode": "enforce", "max_concurrent_calls": 1, "target": "5ms", "interval": "50ms",
    });
    for (name, settings) in [
        ("bulkhead", bulkhead),
        ("adaptive_concurrency", adaptive),
        ("priority_shedding", shedding),
    ] {
        let storefront = stack.serve(bounded(json!({ name: settings, "cache": "bypass" }))).await;
        let blocker = block_products(&stack).await;
        let paths: Vec<_> = (0..3).map(|id| format!("/products/{id}")).collect();
        let replies = async { get_all(&storefront, &paths).await };
        let release = async {
            eventually("two are refused", async || {
                let sample = storefront.sample().await;
                sample.requests_total == 3 && sample.pending_requests == 1
            })
            .await;
            drop(blocker);
        };
        let (replies, ()) = tokio::join!(replies, release);
        let count =
            |reply: (u16, &str)| replies.iter().filter(|it| (it.0, it.1.as_str()) == reply).count();
        assert_eq!((count((200, "database")), count((503, "shed"))), (1, 2), "{name}: {replies:?}");
        let all = get_all(&storefront, &paths[..1]).await;
        assert_eq!(all, [(200, "database".to_owned())], "{name}: its place is free again");
    }
}

#[tokio::test]
async fn under_pressure_auxiliary_work_is_left_out_and_core_work_is_not() {
    let Some(stack) = stack::start().await else { return };
    let dimmer = json!({ "mode": "enforce", "period": "10ms", "recovery_step": 0.0001 });
    let storefront =
        stack.serve(bounded(json!({ "graceful_degradation": dimmer, "cache": "bypass" }))).await;
    assert_eq!(storefront.get("/products/1/recommendations").await.status, 200);
    let blocker = block_products(&stack).await;
    // Far more callers than the pool has connections.
    let paths: Vec<_> = (0..12).map(|id| format!("/products/{id}")).collect();
    let pages = async { get_all(&storefront, &paths).await };
    let release = async {
        eventually("recommendations are left out", async || {
            let level = &storefront.state().await["mitigations"]["graceful_degradation"]["level"];
            level.as_f64().unwrap() == 0.0
        })
        .await;
        let left_out = storefront.get("/products/1/recommendations").await;
        assert_eq!((left_out.status, left_out.served_by.as_str()), (204, "degraded"));
        let view = storefront.post("/products/1/views", Value::Null).await;
        assert_eq!((view.status, view.served_by.as_str()), (202, "degraded"));
        drop(blocker);
    };
    let (pages, ()) = tokio::join!(pages, release);
    assert!(pages.iter().all(|it| it.0 == 200), "core pages are served: {pages:?}");
    assert!(storefront.events().contains(&"degradation_began".to_owned()));
}

#[tokio::test]
async fn a_limit_kept_in_redis_is_gone_with_it_open_or_closed() {
    for (on_store_error, without_redis) in [("allow", 200), ("refuse", 429)] {
        let Some(mut stack) = stack::start().await else { return };
        let limit = json!({
            "mode": "enforce", "permits_per_sec": 10, "store": "redis",
            "on_store_error": on_store_error,
        });
        let storefront =
            stack.serve(bounded(json!({ "rate_limit": limit, "cache": "bypass" }))).await;
        storefront.reaches_redis().await;
        // One permit in 100 ms: of many at once, most are refused.
        let paths: Vec<_> = (0..20).map(|id| format!("/products/{id}")).collect();
        let replies = get_all(&storefront, &paths).await;
        assert!(replies.iter().any(|it| it.0 == 429), "{replies:?}");
        assert!(replies.iter().any(|it| it.0 == 200), "{replies:?}");
        stack.kill_redis();
        let replies = get_all(&storefront, &paths).await;
        assert!(replies.iter().all(|it| it.0 == without_redis), "{on_store_error}: {replies:?}");
    }
}

#[tokio::test]
async fn a_page_rendered_ahead_stands_in_when_nothing_answers() {
    let Some(mut stack) = stack::start().await else { return };
    let storefront =
        stack.serve(bounded(json!({ "static_snapshot": { "mode": "enforce" } }))).await;
    storefront.ready().await;
    stack.kill_redis();
    stack.stop_postgres();
    let page = storefront.get("/products/5").await;
    assert_eq!((page.status, page.served_by.as_str()), (200, "static"));
    assert_eq!(page.body, serde_json::to_vec(&stack.catalogue.product_page(5)).unwrap());
    storefront.set_mode("static_snapshot", "off").await;
    assert_eq!(storefront.get("/products/5").await.status, 503);
}

#[tokio::test]
async fn an_operator_can_hold_the_circuit_open_or_closed() {
    let Some(mut stack) = stack::start().await else { return };
    let breaker = json!({ "mode": "enforce", "failure_threshold": 3 });
    let storefront = stack.serve(bounded(json!({ "circuit_breaker": breaker }))).await;
    let served_by = async || storefront.get("/products/5").await.served_by;
    let force = async |forced: Value| {
        storefront.post_internal("/internal/circuit", json!({ "forced": forced })).await.status
    };
    let refused = async || {
        let breaker = &storefront.state().await["mitigations"]["circuit_breaker"];
        breaker["n_rejected"].as_u64().unwrap()
    };
    served_by().await;
    eventually("the page is cached", async || served_by().await == "redis").await;
    assert_eq!(force(json!("open")).await, 200);
    assert_eq!(served_by().await, "database", "Redis is there, and is not asked");
    assert_eq!(force(Value::Null).await, 200);
    // The next call is a probe, and need not be this page's: views are taken from Redis as well.
    eventually("Redis is asked again", async || served_by().await == "redis").await;

    assert_eq!(force(json!("closed")).await, 200);
    let before = refused().await;
    stack.kill_redis();
    for _ in 0..5 {
        assert_eq!(served_by().await, "database");
    }
    assert_eq!(refused().await, before, "every call passes, however many fail");
    for body in [json!({}), json!({ "forced": "ajar" })] {
        let reply = storefront.post_internal("/internal/circuit", body).await;
        assert_eq!((reply.status, reply.text().contains("\"closed\"|null")), (400, true));
    }
}

#[tokio::test]
async fn a_pool_is_raised_from_the_start_and_lowered_and_raised_while_the_service_runs() {
    let Some(stack) = stack::start().await else { return };
    let settings = json!({ "pool_raise": { "mode": "enforce", "pool_size": 9 } });
    let storefront = stack.serve(bounded(settings)).await;
    let size = async || storefront.sample().await.pool_size_max;
    assert_eq!(size().await, 9);
    for (mode, expected) in [("observe", 4), ("enforce", 9), ("off", 4)] {
        storefront.set_mode("pool_raise", mode).await;
        assert_eq!(size().await, expected, "{mode}");
    }
}
