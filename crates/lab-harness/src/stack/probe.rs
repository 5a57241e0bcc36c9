//! Asks Redis for a sign of life on a connection of its own, as a new client would.

use std::{io, net::SocketAddr, time::Duration};

use lab_core::clock::MonotonicNs;
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
    /// Connected, and PING was answered with PONG after a time that a healthy Redis never takes, in
    /// two of three tries.
    Late {
        /// How long the faster one took.
        after: Duration,
        /// When the first one was not there yet and would have been.
        at: MonotonicNs,
    },
    /// The handshake is never completed: nobody is there.
    NoHandshake,
    /// Connected, and the connection was closed or reset without an answer.
    Broken,
    /// Connected, and the answer to PING stopped before its end.
    Half,
    /// Of several commands on one connection some were answered with an error.
    Some {
        /// How many.
        n_failed: usize,
        /// Of how many.
        n: usize,
    },
    /// The server answers, and another one is about to be the primary in its place, or is already.
    HandsOver,
    /// Redis as told, while somebody else uses the database.
    WithNeighbours {
        /// What Redis did.
        redis: Box<Seen>,
        /// How many of somebody else's connections count.
        n: usize,
    },
    /// Something else was answered: the first line of it, as Redis' protocol writes it.
    Replied(String),
    /// Something else, in words.
    Other(String),
}

impl std::fmt::Display for Seen {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Answered => f.write_str("PING answered"),
            Self::Refused => f.write_str("connection refused"),
            Self::Silent => f.write_str("connected, no answer to PING"),
            Self::Late { after, .. } => write!(f, "PING answered after {} ms", after.as_millis()),
            Self::NoHandshake => f.write_str("the handshake was not completed"),
            Self::Broken => f.write_str("the connection broke"),
            Self::Half => f.write_str("the answer stopped before its end"),
            Self::Some { n_failed, n } => write!(f, "{n_failed} of {n} commands failed"),
            Self::HandsOver => f.write_str("the primary hands over"),
            Self::WithNeighbours { redis, n } => {
                write!(f, "{redis}, {n} of somebody else's connections to PostgreSQL")
            }
            Self::Replied(line) => write!(f, "answered with `{line}`"),
            Self::Other(words) => f.write_str(words),
        }
    }
}

impl Seen {
    /// The same beside `n` connections of somebody else's to the database.
    pub fn with_neighbours(self, n: usize) -> Self {
        Self::WithNeighbours { redis: Box::new(self), n }
    }
}

/// Connects to Redis at `address` and sends PING. The connection and the answer may each take
/// `patience`. **Cancellation**: the connection is closed.
pub async fn ping(address: SocketAddr, patience: Duration) -> Seen {
    match ask(address, &["PING"], patience).await {
        Seen::Replied(line) if line == "+PONG" => Seen::Answered,
        seen => seen,
    }
}

/// Connects to Redis at `address` and sends one command. The connection and the first line of the
/// answer may each take `patience`. **Cancellation**: the connection is closed.
pub async fn ask(address: SocketAddr, command: &[impl AsRef<str>], patience: Duration) -> Seen {
    let is_whole = |reply: &[u8]| contains(reply, b"\r\n");
    match talk(address, &encoded(command), is_whole, patience).await {
        Ok(reply) => Seen::Replied(reply.lines().next().unwrap_or_default().to_owned()),
        Err(seen) => seen,
    }
}

/// Connects to `address` and sends one command whose answer is a list of strings without line ends;
/// an empty one, or none, is the same. The connection and the answer may each take `patience`.
///
/// **Errors**: what was met instead. **Cancellation**: the connection is closed.
pub async fn ask_strings(
    address: SocketAddr,
    command: &[impl AsRef<str>],
    patience: Duration,
) -> Result<Vec<String>, Seen> {
    let reply = talk(address, &encoded(command), is_whole_list, patience).await?;
    let first = reply.lines().next().unwrap_or_default();
    if !first.starts_with('*') {
        return Err(Seen::Replied(first.to_owned()));
    }
    // After the length of the list, each string follows the line with its own length.
    Ok(reply.lines().skip(2).step_by(2).map(str::to_owned).collect())
}

/// Whether `reply` is a whole list of strings, or a whole line of another kind.
fn is_whole_list(reply: &[u8]) -> bool {
    let n_lines = reply.iter().filter(|it| **it == b'\n').count();
    let header = std::str::from_utf8(reply).ok().and_then(|it| it.lines().next());
    let length = header.and_then(|it| it.strip_prefix('*')?.trim_end().parse::<i64>().ok());
    let n_strings = usize::try_from(length.unwrap_or(0)).unwrap_or(0);
    0 < n_lines && 2 * n_strings < n_lines
}

/// Reads the value of `key` to its end. The connection and the answer may each take `patience`.
/// **Cancellation**: the connection is closed.
pub async fn fetch(address: SocketAddr, key: &str, patience: Duration) -> Seen {
    // The length, the value, and the end of its line.
    let is_whole = |reply: &[u8]| {
        let header = reply.iter().position(|it| *it == b'\n').map(|it| it + 1);
        let length = header.and_then(|it| std::str::from_utf8(&reply[1..it]).ok());
        let length = length.and_then(|it| it.trim_end().parse::<usize>().ok());
        header.zip(length).is_some_and(|(header, length)| header + length + 2 <= reply.len())
    };
    match talk(address, &encoded(&["GET", key]), is_whole, patience).await {
        Ok(_) => Seen::Answered,
        Err(seen) => seen,
    }
}

/// Sends `n` PINGs at once on one connection and counts the errors among the answers. The
/// connection and all answers may each take `patience`. **Cancellation**: the connection is closed.
pub async fn ping_often(address: SocketAddr, n: usize, patience: Duration) -> Seen {
    let is_whole = |reply: &[u8]| reply.iter().filter(|it| **it == b'\n').count() == n;
    match talk(address, &encoded(&["PING"]).repeat(n), is_whole, patience).await {
        Ok(reply) => {
            Seen::Some { n_failed: reply.lines().filter(|it| it.starts_with('-')).count(), n }
        }
        Err(seen) => seen,
    }
}

/// Connects, sends `request` and reads until the answer is whole. **Errors**: what was met instead.
async fn talk(
    address: SocketAddr,
    request: &[u8],
    is_whole: impl Fn(&[u8]) -> bool,
    patience: Duration,
) -> Result<String, Seen> {
    let mut stream = match timeout(patience, TcpStream::connect(address)).await {
        Ok(Ok(stream)) => stream,
        Ok(Err(error)) => return Err(broken(&error)),
        Err(_) => return Err(Seen::NoHandshake),
    };
    let mut reply = Vec::new();
    match timeout(patience, exchange(&mut stream, request, &is_whole, &mut reply)).await {
        Ok(Ok(())) => Ok(String::from_utf8_lossy(&reply).into_owned()),
        Ok(Err(error)) => Err(broken(&error)),
        Err(_) if reply.is_empty() => Err(Seen::Silent),
        Err(_) => Err(Seen::Half),
    }
}

fn broken(error: &io::Error) -> Seen {
    match error.kind() {
        io::ErrorKind::ConnectionRefused => Seen::Refused,
        io::ErrorKind::ConnectionReset
        | io::ErrorKind::BrokenPipe
        | io::ErrorKind::UnexpectedEof => Seen::Broken,
        _ => Seen::Other(error.to_string()),
    }
}

fn contains(bytes: &[u8], part: &[u8]) -> bool {
    bytes.windows(part.len()).any(|it| it == part)
}

/// A command as Redis' protocol writes it: an array of bulk strings.
fn encoded(command: &[impl AsRef<str>]) -> Vec<u8> {
    let mut text = format!("*{}\r\n", command.len());
    for word in command.iter().map(AsRef::as_ref) {
        text.push_str(&format!("${}\r\n{word}\r\n", word.len()));
    }
    text.into_bytes()
}

/// The version of the Redis at `address`. **Errors**: it does not tell it within 5 s.
pub async fn redis_version(address: SocketAddr) -> Result<String, StackError> {
    let is_whole = |reply: &[u8]| contains(reply, b"redis_git_sha1");
    let info = encoded(&["INFO", "server"]);
    let text = talk(address, &info, is_whole, Duration::from_secs(5)).await.unwrap_or_default();
    let version = text.lines().find_map(|line| line.strip_prefix("redis_version:"));
    version.map(str::to_owned).ok_or(StackError::NoVersion { name: "redis" })
}

/// Sends `request` and reads into `reply` until it is whole. What a server says before it closes the
/// connection is read even where it closes too early to be asked.
async fn exchange(
    stream: &mut TcpStream,
    request: &[u8],
    is_whole: impl Fn(&[u8]) -> bool,
    reply: &mut Vec<u8>,
) -> io::Result<()> {
    let sent = stream.write_all(request).await;
    while !is_whole(reply) {
        if stream.read_buf(reply).await? == 0 {
            sent?;
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_is_whole_with_its_last_line_and_not_before() {
        let whole = b"*2\r\n$9\r\n127.0.0.1\r\n$5\r\n20001\r\n";
        for end in 0..whole.len() {
            assert!(!is_whole_list(&whole[..end]), "{end}");
        }
        assert!(is_whole_list(whole));
        assert!(is_whole_list(b"*-1\r\n") && is_whole_list(b"-ERR no\r\n") && !is_whole_list(b"*"));
    }
}
