//! What matters when there are several storefronts: who is in the list of instances, what one
//! knows of another's sessions, and connections that PostgreSQL no longer gives.

#![allow(clippy::unwrap_used, reason = "a test ends where something is not as it must be")]

mod stack;

use lab_core::target::{REGISTRY_KEY, registry_entry};
use serde_json::json;
use stack::{Stack, Storefront, eventually};

/// Whether `storefront` is in the list, and whether its entry is renewed.
async fn entered(stack: &Stack, storefront: &Storefront) -> (bool, bool) {
    let client = redis::Client::open(format!("redis://{}/", stack.redis_address)).unwrap();
    let mut redis = client.get_multiplexed_async_connection().await.unwrap();
    let address = storefront.config.listen;
    redis::pipe()
        .sismember(REGISTRY_KEY, address.to_string())
        .exists(registry_entry(address))
        .query_async(&mut redis)
        .await
        .unwrap()
}

// The control is a storefront that was not asked to enter itself.
#[tokio::test]
async fn an_instance_enters_the_list_again_when_redis_is_back_and_falls_out_when_it_is_gone() {
    let Some(mut stack) = stack::start().await else { return };
    let (entering, silent) = (stack.serve_entered().await, stack.serve_beside(json!({})).await);
    eventually("it is in the list", async || entered(&stack, &entering).await == (true, true))
        .await;
    assert_eq!(entered(&stack, &silent).await, (false, false));

    stack.kill_redis();
    stack.start_redis().await;
    eventually("it is in the list of an empty redis", async || {
        entered(&stack, &entering).await == (true, true)
    })
    .await;

    let address = entering.config.listen;
    entering.kill();
    let client = redis::Client::open(format!("redis://{}/", stack.redis_address)).unwrap();
    let redis = client.get_multiplexed_async_connection().await.unwrap();
    eventually("its entry has expired", async || {
        let mut exists = redis::cmd("EXISTS");
        exists.arg(registry_entry(address));
        exists.query_async::<u8>(&mut redis.clone()).await.unwrap() == 0
    })
    .await;
}

#[tokio::test]
async fn a_session_opened_at_one_instance_is_known_at_another() {
    let Some(stack) = stack::start().await else { return };
    for store in ["redis", "signed_cookie", "database"] {
        let settings = json!({ "session": { "store": store } });
        let (one, other) =
            (stack.serve_beside(settings.clone()).await, stack.serve_beside(settings).await);
        let session = one.post("/sessions", json!({ "user": 41 })).await;
        let token = session.json()["token"].as_str().unwrap().to_owned();
        let me = other.get_me(&token).await;
        assert_eq!((me.status, me.json()), (200, json!({ "user": 41 })), "{store}");
    }
}

#[tokio::test]
async fn a_connection_that_postgres_does_not_give_is_counted_and_other_errors_are_not() {
    let Some(mut stack) = stack::start().await else { return };
    let storefront = stack.serve_beside(json!({})).await;
    storefront.ready().await;
    assert_eq!(storefront.sample().await.connections_refused_total, 0);
    let admin = stack.admin().await;
    admin.batch_execute("ALTER ROLE storefront CONNECTION LIMIT 0").await.unwrap();
    let limited = stack.serve_beside(json!({})).await;
    assert_eq!(limited.get("/products/5").await.status, 503);
    let refused = limited.sample().await.connections_refused_total;
    assert!(1 <= refused);

    drop(admin);
    stack.stop_postgres();
    assert_eq!(limited.get("/products/6").await.status, 503);
    assert_eq!(limited.sample().await.connections_refused_total, refused);
}
