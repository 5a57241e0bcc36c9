//! The list of instances that the service keeps in Redis, as a load balancer reads it.

use std::{collections::BTreeSet, net::SocketAddr, time::Duration};

use lab_core::target::{REGISTRY_KEY, registry_entry};
use redis::{Client, RedisError};

/// Longest wait for the list. Chosen: as long as the next look is away.
const READ_TIMEOUT: Duration = Duration::from_millis(250);

/// A list that cannot be read.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RegistryError {
    /// Redis refuses, breaks off or answers something else.
    #[error("read the list of instances: {0}")]
    Redis(#[from] RedisError),
    /// Redis is silent.
    #[error("no answer within {READ_TIMEOUT:?}")]
    Silent,
}

/// Reads who is in the list and renews its entry, over a connection of its own.
///
/// **Errors**: Redis does not answer, or not in time.
pub(crate) async fn read(redis: SocketAddr) -> Result<BTreeSet<SocketAddr>, RegistryError> {
    tokio::time::timeout(READ_TIMEOUT, read_entries(redis))
        .await
        .map_err(|_| RegistryError::Silent)?
}

async fn read_entries(redis: SocketAddr) -> Result<BTreeSet<SocketAddr>, RegistryError> {
    let client = Client::open(format!("redis://{redis}/"))?;
    let mut connection = client.get_multiplexed_async_connection().await?;
    let members: Vec<String> =
        redis::cmd("SMEMBERS").arg(REGISTRY_KEY).query_async(&mut connection).await?;
    // What is no address was not entered by an instance.
    let addresses: Vec<SocketAddr> = members.iter().filter_map(|it| it.parse().ok()).collect();
    if addresses.is_empty() {
        return Ok(BTreeSet::new());
    }
    let mut renewed = redis::pipe();
    for address in &addresses {
        renewed.exists(registry_entry(*address));
    }
    let renewed: Vec<bool> = renewed.query_async(&mut connection).await?;
    Ok(addresses
        .into_iter()
        .zip(renewed)
        .filter_map(|(it, is_there)| is_there.then_some(it))
        .collect())
}
