//! What matters when there are several storefronts: who is in the list of instances, what one
//! knows of another's sessions, and connections that PostgreSQL no longer gives.

use std::net::SocketAddr;

use lab_core::target::{REGISTRY_KEY, registry_entry};
use serde_json::json;

use crate::stack::{self, Stack, eventually, patient};

/// Whether the instance at `address` is in the list, and whether its entry is renewed; `None` when
/// Redis does not say.
async fn entered(stack: &Stack, address: SocketAddr) -> Option<(bool, bool)> {
    let client = redis::Client::open(format!("redis://{}/", stack.redis_address)).unwrap();
    let mut redis = client.get_multiplexed_async_connection().await.ok()?;
    redis::pipe()
        .sismember(REGISTRY_KEY, address.to_string())
        .exists(registry_entry(address))
        .query_async(&mut redis)
        .await
        .ok()
}

// The control is a storefront that was not asked to enter itself.
#[tokio::test]
async fn an_instance_enters_the_list_again_when_redis_is_back_and_falls_out_when_it_is_gone() {
    let Some(mut stack) = stack::start().await else { return };
    let (entering, silent) = (stack.serve_entered().await, stack.serve_beside(json!({})).await);
    let address = entering.config.listen;
    eventually("it is in the list", async || entered(&stack, address).await == Some((true, true)))
        .await;
    eventually("the other is not", async || {
        entered(&stack, silent.config.listen).await == Some((false, false))
    })
    .await;

    stack.kill_redis();
    stack.start_redis().await;
    eventually("it is in the list of an empty redis", async || {
        entered(&stack, address).await == Some((true, true))
    })
    .await;

    entering.kill();
    eventually("its entry has expired", async || {
        entered(&stack, address).await.is_some_and(|(_, is_renewed)| !is_renewed)
    })
    .await;
}

#[tokio::test]
async fn a_session_opened_at_one_instance_is_known_at_another() {
    let Some(stack) = stack::start().await else { return };
    for store in ["redis", "signed_cookie", "database"] {
        let settings = patient(json!({ "session": { "store": store } }));
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
