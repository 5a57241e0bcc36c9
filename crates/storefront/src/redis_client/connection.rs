//! The library's own connection, in the way that each topology has.
//!
//! A single Redis has redis-rs' connection manager and a cluster its cluster connection, both at
//! their defaults unless the settings say otherwise: how they find their way back is the library's.
//! For sentinels the library has a look-up and nothing that repeats it, so [`Follower`] does.

use std::{fmt, sync::Arc};

use lab_core::{
    settings::RedisSettings,
    target::{RedisLocation, TargetConfig},
};
use redis::{
    Client, Cmd, Pipeline, RedisFuture, RedisResult, Value,
    aio::{ConnectionLike, ConnectionManager, ConnectionManagerConfig},
    cluster::{ClusterClient, ClusterConfig},
    cluster_async::ClusterConnection,
};

use super::follower::Follower;
use crate::events::EventLog;

/// A connection that all requests share. Cloning gives the same connection.
#[derive(Clone)]
pub(super) enum Connection {
    Single(ConnectionManager),
    Sentinel(Follower),
    Cluster(ClusterConnection),
}

impl Connection {
    /// Connects in the background or with the first call, so the service starts while Redis is
    /// down. Needs a tokio runtime.
    ///
    /// **Errors**: the location is none.
    pub(super) fn new(config: &TargetConfig, events: Arc<EventLog>) -> RedisResult<Self> {
        let manager = manager_config(&config.settings.redis);
        match &config.redis {
            RedisLocation::Single(address) => {
                let client = Client::open(format!("redis://{address}/"))?;
                Ok(Self::Single(ConnectionManager::new_lazy_with_config(client, manager)?))
            }
            RedisLocation::Sentinel { sentinels, master } => {
                Ok(Self::Sentinel(Follower::new(sentinels, master, manager, events)?))
            }
            // `reconnect_delay_max` has no counterpart: this client's pauses are not to be set.
            RedisLocation::Cluster { cluster } => {
                let nodes = cluster.iter().map(|it| format!("redis://{it}/"));
                let client = ClusterClient::builder(nodes).build()?;
                let config = ClusterConfig::new();
                Ok(Self::Cluster(client.get_pending_async_connection_with_config(config)))
            }
        }
    }
}

fn manager_config(settings: &RedisSettings) -> ConnectionManagerConfig {
    let manager = ConnectionManagerConfig::new();
    // The library waits half a second for an answer: a longer bound would never be reached.
    let response_timeout = manager.response_timeout().max(settings.call_timeout);
    let manager = manager.set_response_timeout(response_timeout);
    match settings.reconnect_delay_max {
        Some(delay_max) => manager.set_max_delay(delay_max),
        None => manager,
    }
}

impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Single(_) => "Single",
            Self::Sentinel(_) => "Sentinel",
            Self::Cluster(_) => "Cluster",
        })
    }
}

impl ConnectionLike for Connection {
    fn req_packed_command<'a>(&'a mut self, command: &'a Cmd) -> RedisFuture<'a, Value> {
        match self {
            Self::Single(it) => it.req_packed_command(command),
            Self::Sentinel(it) => it.req_packed_command(command),
            Self::Cluster(it) => it.req_packed_command(command),
        }
    }

    fn req_packed_commands<'a>(
        &'a mut self,
        pipeline: &'a Pipeline,
        offset: usize,
        count: usize,
    ) -> RedisFuture<'a, Vec<Value>> {
        match self {
            Self::Single(it) => it.req_packed_commands(pipeline, offset, count),
            Self::Sentinel(it) => it.req_packed_commands(pipeline, offset, count),
            Self::Cluster(it) => it.req_packed_commands(pipeline, offset, count),
        }
    }

    fn get_db(&self) -> i64 {
        0
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn the_library_waits_for_an_answer_as_long_as_the_call_may_take() {
        for (call_timeout_ms, expected_ms) in [(None, 500), (Some(50), 500), (Some(2_000), 2_000)] {
            let call_timeout = call_timeout_ms.map(Duration::from_millis);
            let settings = RedisSettings { call_timeout, ..RedisSettings::default() };
            let response_timeout = manager_config(&settings).response_timeout();
            assert_eq!(response_timeout, Some(Duration::from_millis(expected_ms)));
        }
    }
}
