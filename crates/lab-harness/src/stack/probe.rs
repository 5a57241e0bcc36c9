//! Asks Redis for a sign of life on a connection of its own, as a new client would.

use std::{io, net::SocketAddr, time::Duration};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};

use super::error::StackError;

/// What a new client meets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Seen {
    /// Connected, and PING was answered with PONG.
    Answered,
    /// The connection was refused: nobody listens.
    Refused,
    /// Connected, and nothing came back in time.
    Silent,
    /// Something else, in words.
    Other(String),
}

impl std::fmt::Display for Seen {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Answered => f.write_str("PING answered"),
            Self::Refused => f.write_str("connection refused"),
            Self::Silent => f.write_str("connected, no answer to PING"),
            Self::Other(words) => f.write_str(words),
        }
    }
}

/// Connects to Redis at `address` and sends PING. The connection and the answer may each take
/// `patience`. **Cancellation**: the connection is closed.
pub async fn ping(address: SocketAddr, patience: Duration) -> Seen {
    let mut stream = match timeout(patience, TcpStream::connect(address)).await {
        Ok(Ok(stream)) => stream,
        Ok(Err(error)) if error.kind() == io::ErrorKind::ConnectionRefused => return Seen::Refused,
        Ok(Err(error)) => return Seen::Other(format!("cannot connect: {error}")),
        Err(_) => return Seen::Other("the handshake was not completed".to_owned()),
    };
    match timeout(patience, exchange(&mut stream, b"*1\r\n$4\r\nPING\r\n", b"\r\n")).await {
        Ok(Ok(reply)) if reply == "+PONG\r\n" => Seen::Answered,
        Ok(Ok(reply)) => Seen::Other(format!("PING was answered with `{}`", reply.trim_end())),
        Ok(Err(error)) => Seen::Other(format!("the connection broke: {error}")),
        Err(_) => Seen::Silent,
    }
}

/// The version of the Redis at `address`. **Errors**: it does not tell it within 5 s.
pub async fn redis_version(address: SocketAddr) -> Result<String, StackError> {
    let ask = async {
        let mut stream = TcpStream::connect(address).await?;
        exchange(&mut stream, b"*2\r\n$4\r\nINFO\r\n$6\r\nserver\r\n", b"redis_git_sha1").await
    };
    let reply = timeout(Duration::from_secs(5), ask).await;
    let text = reply.ok().and_then(io::Result::ok).unwrap_or_default();
    let version = text.lines().find_map(|line| line.strip_prefix("redis_version:"));
    version.map(str::to_owned).ok_or(StackError::NoVersion { name: "redis" })
}

/// Sends `request` and reads until `end` has come.
async fn exchange(stream: &mut TcpStream, request: &[u8], end: &[u8]) -> io::Result<String> {
    stream.write_all(request).await?;
    let mut reply = Vec::new();
    while !reply.windows(end.len()).any(|it| it == end) {
        if stream.read_buf(&mut reply).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
    }
    Ok(String::from_utf8_lossy(&reply).into_owned())
}
