//! The injector's own way to Redis: a client library's, while the probe speaks by itself.

use std::time::Duration;

use lab_core::clock::MonotonicNs;
use redis::{AsyncConnectionConfig, Client, RedisResult, Value, aio::MultiplexedConnection};

use super::FaultError;
use crate::stack::Stack;

/// Longest wait for a connection, and for an answer to a command that changes Redis.
const PATIENCE: Duration = Duration::from_secs(10);

/// A connection of its own. **Errors**: Redis does not take it.
pub(super) async fn connect(stack: &Stack) -> Result<MultiplexedConnection, FaultError> {
    let address = stack.redis_addr();
    let limits = AsyncConnectionConfig::new()
        .set_connection_timeout(Some(PATIENCE))
        .set_response_timeout(Some(PATIENCE));
    let connecting = async {
        let client = Client::open(format!("redis://{address}/"))?;
        client.get_multiplexed_async_connection_with_config(&limits).await
    };
    connecting.await.map_err(|source| FaultError::Connect { source })
}

/// Sends one command on a connection of its own and returns the time of the answer.
///
/// **Errors**: Redis does not take it, or refuses.
pub(super) async fn run(stack: &Stack, words: &[&str]) -> Result<MonotonicNs, FaultError> {
    send(&mut connect(stack).await?, words).await
}

/// Sends one command and returns the time of the answer. **Errors**: Redis refuses.
pub(super) async fn send(
    connection: &mut MultiplexedConnection,
    words: &[&str],
) -> Result<MonotonicNs, FaultError> {
    let mut command = redis::Cmd::new();
    for word in words {
        command.arg(word);
    }
    let answer: RedisResult<Value> = command.query_async(connection).await;
    let at = MonotonicNs::now();
    let command = || words.iter().take(4).copied().collect::<Vec<_>>().join(" ");
    answer.map_err(|source| FaultError::Command { command: command(), source })?;
    Ok(at)
}
