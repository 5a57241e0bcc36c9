//! A snapshot that a Redis server keeps on disk, and what it read of one at its last start.

use std::{fs, time::Duration};

use super::{
    Server, StackError,
    redis_group::client::{field, send_patiently},
};

/// Longest wait for a snapshot to be written: a gigabyte takes some seconds.
const PATIENCE: Duration = Duration::from_secs(60);

/// What a server read at its last start.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SnapshotLoad {
    /// Keys that are there again.
    pub n_keys: u64,
    /// Keys whose time to live had ended; they are gone.
    pub n_expired: u64,
    /// How long it read, by its own account.
    pub took: Duration,
}

/// Has `server` write what it has to its folder, where its next start finds it. Nobody is answered
/// meanwhile.
///
/// **Errors**: it does not take the command, or cannot write.
pub(super) async fn save(server: &Server) -> Result<(), StackError> {
    send_patiently(server.address(), &["SAVE"], PATIENCE).await
}

/// What `server`, which answers, read of its snapshot when it was started.
///
/// **Errors**: it read none, or does not tell.
pub(super) async fn last_load(server: &Server) -> Result<SnapshotLoad, StackError> {
    let told: String = send_patiently(server.address(), &["INFO", "persistence"], PATIENCE).await?;
    let count = |name: &str| field(&told, name)?.parse().ok();
    let log = fs::read_to_string(server.log()).unwrap_or_default();
    let load = || {
        let n_keys = count("rdb_last_load_keys_loaded")?;
        let n_expired = count("rdb_last_load_keys_expired")?;
        Some(SnapshotLoad { n_keys, n_expired, took: took(&log)? })
    };
    // A server that has read nothing tells zeros, and an earlier start's line may stand in the log.
    let read = load().filter(|it| 0 < it.n_keys + it.n_expired);
    read.ok_or(StackError::NoSnapshot { name: server.name() })
}

/// How long the last start whose log this is read its snapshot: `DB loaded from disk: 0.061 seconds`.
fn took(log: &str) -> Option<Duration> {
    let (_, after) = log.rsplit_once("DB loaded from disk: ")?;
    let seconds: f64 = after.split_whitespace().next()?.parse().ok()?;
    Duration::try_from_secs_f64(seconds).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_start_tells_how_long_it_read() {
        let log = "1:M 27 Nov 2026 06:00:00.100 * DB loaded from disk: 1.500 seconds\n\
                   1:M 27 Nov 2026 06:00:00.200 * Ready to accept connections\n\
                   9:M 27 Nov 2026 06:01:00.100 * DB loaded from disk: 0.061 seconds\n";
        assert_eq!(took(log), Some(Duration::from_millis(61)));
        assert_eq!(took("1:M 27 Nov 2026 06:00:00.200 * Ready to accept connections\n"), None);
        assert_eq!(took("DB loaded from disk: soon"), None);
        assert_eq!(took("DB loaded from disk: -1 seconds"), None);
    }
}
