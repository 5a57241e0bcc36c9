//! A connection for loading Redis ahead: past every guard, with patience, and to whichever servers
//! there are.

use std::time::Duration;

use futures_util::future::try_join_all;
use lab_core::target::RedisLocation;
use redis::{
    AsyncConnectionConfig, Client, Cmd, RedisResult,
    aio::MultiplexedConnection,
    cluster::ClusterClient,
    cluster_async::ClusterConnection,
    sentinel::{SentinelClient, SentinelServerType},
};

/// How long Redis may take for one round trip here. Emptying a full one takes a while.
const RESPONSE_TIMEOUT: Duration = Duration::from_secs(10);

/// A connection for loading Redis ahead.
pub(crate) enum RedisLoader {
    /// To the only server, or to the primary that sentinels name.
    Server(MultiplexedConnection),
    Cluster(ClusterConnection),
}

impl RedisLoader {
    /// **Errors**: Redis is not there.
    pub(crate) async fn connect(location: &RedisLocation) -> RedisResult<Self> {
        let limits = AsyncConnectionConfig::new().set_response_timeout(Some(RESPONSE_TIMEOUT));
        let url = |it: &std::net::SocketAddr| format!("redis://{it}/");
        match location {
            RedisLocation::Single(address) => {
                let client = Client::open(url(address))?;
                let connection = client.get_multiplexed_async_connection_with_config(&limits);
                Ok(Self::Server(connection.await?))
            }
            RedisLocation::Sentinel { sentinels, master } => {
                let urls = sentinels.iter().map(url).collect();
                let primary = SentinelServerType::Master;
                let mut client = SentinelClient::build(urls, master.clone(), None, primary)?;
                Ok(Self::Server(client.get_async_connection_with_config(&limits).await?))
            }
            RedisLocation::Cluster { cluster } => {
                let nodes = ClusterClient::builder(cluster.iter().map(url));
                let client = nodes.response_timeout(RESPONSE_TIMEOUT).build()?;
                Ok(Self::Cluster(client.get_async_connection().await?))
            }
        }
    }

    /// Empties every server. **Errors**: one does not.
    pub(crate) async fn flush_all(&mut self) -> RedisResult<()> {
        let command = redis::cmd("FLUSHALL");
        match self {
            Self::Server(connection) => command.query_async(connection).await,
            Self::Cluster(connection) => command.query_async(connection).await,
        }
    }

    /// Sends all commands, each about one key: to a server in one round trip; to a cluster each by
    /// itself, because a pipeline may not cross its slots. **Errors**: one fails.
    pub(crate) async fn send_all(&mut self, commands: Vec<Cmd>) -> RedisResult<()> {
        match self {
            Self::Server(connection) => {
                let mut pipeline = redis::pipe();
                for command in commands {
                    pipeline.add_command(command).ignore();
                }
                pipeline.query_async(connection).await
            }
            Self::Cluster(connection) => {
                let sent = commands.into_iter().map(|command| {
                    let mut connection = connection.clone();
                    async move { command.exec_async(&mut connection).await }
                });
                try_join_all(sent).await?;
                Ok(())
            }
        }
    }
}
