//! The service on several Redis servers: it finds the primary, follows it, and keeps every command
//! within one slot.

use std::{
    collections::HashMap,
    net::SocketAddr,
    process::{Child, Command, Stdio},
    time::Duration,
};

use redis::{AsyncConnectionConfig, FromRedisValue};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::stack::{self, SuccessOrPanic, eventually, free_address, patient};

/// Redis servers of one test, gone when dropped.
struct Servers {
    directory: TempDir,
    children: Vec<Child>,
}

impl Servers {
    fn new() -> Self {
        Self { directory: tempfile::tempdir().unwrap(), children: Vec::new() }
    }

    /// Starts one with the settings `lines` and waits until it answers.
    async fn start(&mut self, lines: &str, flags: &[&str]) -> SocketAddr {
        let address = free_address();
        let folder = self.directory.path().join(address.port().to_string());
        std::fs::create_dir(&folder).unwrap();
        let settings = folder.join("redis.conf");
        let text = format!("bind 127.0.0.1\nport {}\n{lines}\n", address.port());
        std::fs::write(&settings, text).unwrap();
        let mut server = Command::new("redis-server");
        server.arg(settings).args(flags).current_dir(folder).stdout(Stdio::null());
        self.children.push(server.spawn().unwrap());
        eventually("a server answers", async || ask::<String>(address, &["PING"]).await.is_some())
            .await;
        address
    }
}

impl Drop for Servers {
    fn drop(&mut self) {
        for child in &mut self.children {
            // It may have ended already; then there is nothing to kill.
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// Sends one command on a connection of its own; `None` when it is refused. Waits longer for the
/// answer than redis-rs does by default, which a busy machine may not keep to.
async fn ask<T: FromRedisValue>(address: SocketAddr, words: &[&str]) -> Option<T> {
    let client = redis::Client::open(format!("redis://{address}/")).unwrap();
    let limits = AsyncConnectionConfig::new().set_response_timeout(Some(Duration::from_secs(10)));
    let connected = client.get_multiplexed_async_connection_with_config(&limits).await;
    let mut connection = connected.ok()?;
    let mut command = redis::Cmd::new();
    for word in words {
        command.arg(word);
    }
    command.query_async(&mut connection).await.ok()
}

async fn n_keys(address: SocketAddr) -> Option<u64> {
    ask(address, &["DBSIZE"]).await
}

#[tokio::test]
async fn the_service_follows_a_primary_that_the_sentinels_replaced() {
    let Some(mut stack) = stack::start().await else { return };
    let mut servers = Servers::new();
    let primary = servers.start("save \"\"", &[]).await;
    let of_primary = format!("127.0.0.1 {}", primary.port());
    let replica = servers.start(&format!("save \"\"\nreplicaof {of_primary}"), &[]).await;
    eventually("the replica is in sync", async || {
        let told: String = ask(replica, &["INFO", "replication"]).await.unwrap_or_default();
        told.contains("master_link_status:up")
    })
    .await;
    // One is enough to find a primary; how several agree is Sentinel's own affair.
    let watched = format!("sentinel monitor redis {of_primary} 1");
    let sentinel = servers.start(&watched, &["--sentinel"]).await;
    eventually("the sentinel knows the replica", async || {
        let told = ask(sentinel, &["SENTINEL", "REPLICAS", "redis"]).await;
        let replicas: Vec<HashMap<String, String>> = told.unwrap_or_default();
        replicas.iter().any(|it| it["flags"] == "slave" && it["master-link-status"] == "ok")
    })
    .await;
    // The first two are gone, as sentinels may be.
    let sentinels = [free_address(), free_address(), sentinel];
    stack.redis_location = Some(json!({ "sentinels": sentinels, "master": "redis" }));
    stack.run("reset", json!({})).success_or_panic();
    assert!(0 < n_keys(primary).await.unwrap(), "the primary is loaded ahead");

    let storefront = stack.serve(patient(json!({}))).await;
    storefront.ready().await;
    let session = storefront.post("/sessions", json!({ "user": 41 })).await;
    assert_eq!((session.status, session.served_by.as_str()), (201, "redis"));
    let token = session.json()["token"].as_str().unwrap().to_owned();
    eventually("the replica has the session", async || {
        let n_replicated = n_keys(replica).await;
        n_replicated.is_some() && n_replicated == n_keys(primary).await
    })
    .await;

    let asked: Option<String> = ask(sentinel, &["SENTINEL", "FAILOVER", "redis"]).await;
    assert_eq!(asked.as_deref(), Some("OK"));
    eventually("the service follows", async || {
        // Each call that the old primary refuses is a reason to ask the sentinels. Until it is told
        // that it is none any more it refuses nothing.
        storefront.post("/sessions", json!({ "user": 42 })).await;
        storefront.events().iter().any(|it| it == "primary_followed")
    })
    .await;
    let n_before = n_keys(replica).await.unwrap();
    let session = storefront.post("/sessions", json!({ "user": 43 })).await;
    assert_eq!((session.status, session.served_by.as_str()), (201, "redis"));
    assert_eq!(n_keys(replica).await, Some(n_before + 1), "the new primary has it");
    let me = storefront.get_me(&token).await;
    assert_eq!((me.status, me.json()), (200, json!({ "user": 41 })), "nobody was logged out");
    let followed = storefront.events().iter().filter(|it| *it == "primary_followed").count();
    assert_eq!(followed, 1);
}

#[tokio::test]
async fn the_service_serves_from_the_database_while_no_sentinel_answers() {
    let Some(mut stack) = stack::start().await else { return };
    stack.redis_location = Some(json!({ "sentinels": [free_address()], "master": "redis" }));
    let storefront = stack.serve(json!({ "redis": { "call_timeout": "50ms" } })).await;
    storefront.ready().await;
    let page = storefront.get("/products/5").await;
    assert_eq!((page.status, page.served_by.as_str()), (200, "database"));
}

/// Three primaries that share the slots. As many replicas would change nothing here.
async fn cluster(servers: &mut Servers) -> Vec<SocketAddr> {
    let slots = [("0", "5460"), ("5461", "10921"), ("10922", "16383")];
    let mut nodes = Vec::new();
    for (first, last) in slots {
        let bus_port = free_address().port();
        let lines = format!("save \"\"\ncluster-enabled yes\ncluster-port {bus_port}");
        let node = servers.start(&lines, &[]).await;
        let added: Option<String> = ask(node, &["CLUSTER", "ADDSLOTSRANGE", first, last]).await;
        assert_eq!(added.as_deref(), Some("OK"));
        let epoch = (nodes.len() + 1).to_string();
        let () = ask(node, &["CLUSTER", "SET-CONFIG-EPOCH", &epoch]).await.unwrap();
        nodes.push((node, bus_port));
    }
    for (node, bus_port) in &nodes[1..] {
        let (port, bus_port) = (node.port().to_string(), bus_port.to_string());
        let meet = ["CLUSTER", "MEET", "127.0.0.1", &port, &bus_port];
        let () = ask(nodes[0].0, &meet).await.unwrap();
    }
    let nodes: Vec<SocketAddr> = nodes.into_iter().map(|(node, _)| node).collect();
    eventually("every node serves", async || {
        for node in &nodes {
            let told: String = ask(*node, &["CLUSTER", "INFO"]).await.unwrap_or_default();
            if !told.contains("cluster_state:ok") || !told.contains("cluster_slots_ok:16384") {
                return false;
            }
        }
        true
    })
    .await;
    nodes
}

#[tokio::test]
async fn every_command_of_the_service_keeps_within_one_slot_of_a_cluster() {
    let Some(mut stack) = stack::start().await else { return };
    let mut servers = Servers::new();
    let nodes = cluster(&mut servers).await;
    stack.redis_location = Some(json!({ "cluster": nodes }));
    let limit = json!({ "mode": "enforce", "store": "redis", "permits_per_sec": 1000.0 });
    let settings = patient(json!({ "rate_limit": limit }));
    stack.run("reset", settings.clone()).success_or_panic();
    for node in &nodes {
        assert!(0 < n_keys(*node).await.unwrap(), "pages are spread over all nodes");
    }
    // Once more, over what is there.
    stack.run("reset", settings.clone()).success_or_panic();

    let storefront = stack.serve(settings).await;
    storefront.ready().await;
    for product in 0..20 {
        // The first reading may fill, the second finds.
        for expected in ["", "redis"] {
            let page = storefront.get(&format!("/products/{product}")).await;
            assert_eq!(page.status, 200, "{product}");
            assert!(expected.is_empty() || page.served_by == expected, "{product}");
        }
        let view = storefront.post(&format!("/products/{product}/views"), Value::Null).await;
        assert_eq!((view.status, view.served_by.as_str()), (202, "redis"));
        let session = storefront.post("/sessions", json!({ "user": product })).await;
        let token = session.json()["token"].as_str().unwrap().to_owned();
        assert_eq!(storefront.get_me(&token).await.json(), json!({ "user": product }));
    }
    let admin = stack.admin().await;
    let sql = "SELECT coalesce(sum(n_views), 0)::bigint FROM product_views";
    eventually("all views are in the database", async || {
        let n_views: i64 = admin.query_one(sql, &[]).await.unwrap().get(0);
        assert!(n_views <= 20, "{n_views}");
        n_views == 20
    })
    .await;
    assert_eq!(storefront.sample().await.redis_errors_total, 0, "no node refused anything");
}
