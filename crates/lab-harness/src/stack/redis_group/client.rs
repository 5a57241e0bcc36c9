//! The lab's own way to a server of a group, to set it up: a client library's.

use std::{net::SocketAddr, time::Duration};

use redis::{AsyncConnectionConfig, Client, Cmd, FromRedisValue, RedisResult};

use crate::stack::error::StackError;

/// Longest wait for a connection, and for an answer.
const PATIENCE: Duration = Duration::from_secs(5);

/// Sends one command on a connection of its own. **Errors**: no connection, or a refusal.
pub(super) async fn send<T: FromRedisValue>(
    address: SocketAddr,
    words: &[&str],
) -> Result<T, StackError> {
    send_patiently(address, words, PATIENCE).await
}

/// As [`send`], where the answer may take `patience`.
pub(in crate::stack) async fn send_patiently<T: FromRedisValue>(
    address: SocketAddr,
    words: &[&str],
    patience: Duration,
) -> Result<T, StackError> {
    let answer = async {
        let limits = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(PATIENCE))
            .set_response_timeout(Some(patience));
        let client = Client::open(format!("redis://{address}/"))?;
        let mut connection = client.get_multiplexed_async_connection_with_config(&limits).await?;
        let mut command = Cmd::new();
        for word in words {
            command.arg(word);
        }
        command.query_async(&mut connection).await
    };
    let answer: RedisResult<T> = answer.await;
    answer.map_err(|error| StackError::RedisCommand {
        command: words.join(" "),
        reason: error.to_string(),
    })
}

/// The value of `field` in what `INFO`, or `CLUSTER INFO`, tells.
pub(in crate::stack) fn field<'a>(told: &'a str, field: &str) -> Option<&'a str> {
    told.lines().find_map(|line| line.strip_prefix(field)?.strip_prefix(':')).map(str::trim)
}

/// Checks that `field` of what was told is `wanted`. **Errors**: what it is instead.
pub(super) fn check_field(told: &str, name: &str, wanted: &str) -> Result<(), String> {
    match field(told, name) {
        Some(got) if got == wanted => Ok(()),
        got => Err(format!("{name} is {}, not {wanted}", got.unwrap_or("not told"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_field_is_found_by_its_whole_name() {
        let told = "# Replication\r\nrole:slave\r\nmaster_link_status:up\r\nmaster_link:1\r\n";
        assert_eq!(field(told, "master_link"), Some("1"));
        assert_eq!(check_field(told, "role", "slave"), Ok(()));
        assert_eq!(check_field(told, "role", "master").unwrap_err(), "role is slave, not master");
        let unknown = check_field(told, "epoch", "1").unwrap_err();
        assert_eq!(unknown, "epoch is not told, not 1");
    }
}
