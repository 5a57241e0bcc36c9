//! The service's own entry in the list of instances, for as long as it runs.
//!
//! The list is kept in Redis, as many services keep it beside their cache: a set of addresses, and
//! for each a key that expires. Whoever spreads the load reads both. While Redis is away nobody can
//! enter, and nobody can tell that an entry is out of date.

use std::{net::SocketAddr, time::Duration};

use lab_core::target::{REGISTRY_KEY, REGISTRY_TTL, registry_entry};
use tokio::time::{Instant, MissedTickBehavior, interval};

use crate::{redis_client::RedisClient, request::RequestContext};

/// Time between two renewals: an entry outlives two that fail.
const RENEW_INTERVAL: Duration = Duration::from_secs(1);

/// Enters `address` into the list and renews the entry, for as long as it is polled. A Redis that
/// does not answer only postpones it.
pub(crate) async fn stay_entered(redis: &RedisClient, address: SocketAddr) {
    let entry = enter(address);
    let mut ticks = interval(RENEW_INTERVAL);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        let context = RequestContext::background(Instant::now().into_std());
        if let Err(error) = redis.pipeline::<()>(context, &entry).await {
            tracing::debug!(%error, "not in the list of instances");
        }
    }
}

fn enter(address: SocketAddr) -> redis::Pipeline {
    let ttl_ms = u64::try_from(REGISTRY_TTL.as_millis()).expect("a few seconds");
    let mut pipeline = redis::pipe();
    pipeline.sadd(REGISTRY_KEY, address.to_string()).ignore();
    pipeline.pset_ex(registry_entry(address), "", ttl_ms).ignore();
    pipeline
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_is_a_member_of_the_set_and_a_key_that_expires() {
        let packed = enter(SocketAddr::from(([127, 0, 0, 1], 20_001))).get_packed_pipeline();
        let text = String::from_utf8(packed).unwrap();
        let words: Vec<&str> = text.split("\r\n").collect();
        for word in ["SADD", "storefront:instances", "127.0.0.1:20001", "PSETEX", "3000"] {
            assert!(words.contains(&word), "{word}: {words:?}");
        }
        assert!(words.contains(&"storefront:instance:127.0.0.1:20001"), "{words:?}");
    }
}
