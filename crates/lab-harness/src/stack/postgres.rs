//! What PostgreSQL is started with and set up with, the same on both backends.

use std::{
    fs,
    net::SocketAddr,
    num::NonZeroU32,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use tokio::time::{sleep, timeout};
use tokio_postgres::{Client, NoTls};

use super::error::StackError;

/// The superuser that the lab connects as.
pub const ADMIN: &str = "lab";
/// The role that the service connects as, and the database it owns.
pub const TARGET: &str = "storefront";
/// A role of somebody else who uses the same server, for faults.
pub const NEIGHBOUR: &str = "neighbour";
/// Longest wait for one statement of the set-up or one probe.
const PATIENCE: Duration = Duration::from_secs(10);

/// Arguments of `initdb` besides the data folder: everybody, replicas included, on this machine's
/// loopback is trusted, which is all that ever connects. Syncing the empty cluster would only cost time; the server
/// itself runs with `fsync` on.
const INITDB_ARGUMENTS: [&str; 6] = [
    "--username=lab",
    "--auth=trust",
    "--encoding=UTF8",
    "--locale=C",
    "--no-sync",
    "--no-instructions",
];

/// Arguments of `pg_basebackup` besides the data folder and the address of the primary.
///
/// The copy begins at once, with a checkpoint of its own. The slot has the primary keep what a
/// replica that is down has not got yet: it is copied once per run and started often. The copy is
/// not synced, for the same reason as an empty cluster.
const BASE_BACKUP_ARGUMENTS: [&str; 7] = [
    "--username=lab",
    "--checkpoint=fast",
    "--create-slot",
    "--slot=replica",
    "--write-recovery-conf",
    "--no-manifest",
    "--no-sync",
];

/// Where the data of a server come from when it is started for the first time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ClusterSource {
    /// Nowhere: the cluster is empty.
    Empty,
    /// The primary at this address, which the server follows from then on.
    Primary(SocketAddr),
}

impl ClusterSource {
    /// The program that makes the data folder; it stands beside `postgres`.
    pub(super) fn program(self) -> &'static str {
        match self {
            Self::Empty => "initdb",
            Self::Primary(_) => "pg_basebackup",
        }
    }

    /// Its arguments, with which it makes the folder `data`.
    pub(super) fn arguments(self, data: &Path) -> Vec<String> {
        let data = data.display().to_string();
        let usual: &[&str] = match self {
            Self::Empty => &INITDB_ARGUMENTS,
            Self::Primary(_) => &BASE_BACKUP_ARGUMENTS,
        };
        let from = match self {
            Self::Empty => Vec::new(),
            Self::Primary(it) => {
                vec![format!("--host={}", it.ip()), format!("--port={}", it.port())]
            }
        };
        let folder = ["-D".to_owned(), data];
        usual.iter().map(|it| (*it).to_owned()).chain(from).chain(folder).collect()
    }
}

/// A file that every data folder has.
pub(super) const VERSION_FILE: &str = "PG_VERSION";

/// The data folder inside a server's own, as whoever sees that at `folder` sees it.
pub(super) fn data_folder(folder: &Path) -> PathBuf {
    folder.join("data")
}

/// The data folders of the servers whose own folders are in `run`: of the primary, of a replica.
pub fn data_folders_in(run: &Path) -> impl Iterator<Item = PathBuf> {
    let servers = fs::read_dir(run).into_iter().flatten().flatten();
    servers.map(|it| data_folder(&it.path())).filter(|it| it.join(VERSION_FILE).exists())
}

/// Arguments of `postgres`. `data` and `socket` are folders as the server sees them.
///
/// Durable defaults stay on. Checkpoints are kept out of a short trial: the lab makes one before
/// each. No parallel workers: the server has one core to itself. Five connections are reserved for
/// the lab, so that it can look when the service has taken all others. What backends share on demand
/// (a megabyte of statistics) is a file in the data folder and goes with it: in the system's shared
/// memory a killed server would leave it behind, and no process of a replica need have it mapped.
pub fn arguments(
    address: SocketAddr,
    data: &Path,
    socket: &Path,
    max_connections: NonZeroU32,
) -> Vec<String> {
    let settings = [
        ("listen_addresses", address.ip().to_string()),
        ("port", address.port().to_string()),
        ("unix_socket_directories", socket.display().to_string()),
        ("max_connections", max_connections.to_string()),
        ("superuser_reserved_connections", "5".to_owned()),
        ("shared_buffers", "256MB".to_owned()),
        ("shared_preload_libraries", "pg_stat_statements".to_owned()),
        ("dynamic_shared_memory_type", "mmap".to_owned()),
        ("fsync", "on".to_owned()),
        ("synchronous_commit", "on".to_owned()),
        ("autovacuum", "on".to_owned()),
        ("jit", "off".to_owned()),
        ("max_parallel_workers_per_gather", "0".to_owned()),
        ("max_wal_size", "1GB".to_owned()),
        ("checkpoint_timeout", "30min".to_owned()),
        ("logging_collector", "off".to_owned()),
        ("log_destination", "stderr".to_owned()),
        ("timezone", "UTC".to_owned()),
        ("log_timezone", "UTC".to_owned()),
    ];
    let pairs =
        settings.into_iter().flat_map(|(key, value)| ["-c".to_owned(), format!("{key}={value}")]);
    ["-D".to_owned(), data.display().to_string()].into_iter().chain(pairs).collect()
}

/// A `tokio-postgres` connection string.
pub fn url(address: SocketAddr, role: &str, database: &str) -> String {
    format!("postgresql://{role}@{address}/{database}")
}

/// How the service connects to a server at `address`.
pub fn target_url(address: SocketAddr) -> String {
    url(address, TARGET, TARGET)
}

/// Whether the server answers a query. **Errors**: what it said instead.
pub async fn select_one(address: SocketAddr) -> Result<(), String> {
    let ask = async { connect(address, "postgres").await?.simple_query("SELECT 1").await };
    match timeout(PATIENCE, ask).await {
        Ok(Ok(_)) => Ok(()),
        Ok(Err(error)) => Err(words(&error)),
        Err(_) => Err("connected, no answer to SELECT 1".to_owned()),
    }
}

/// Makes the service's role, that of a neighbour, the service's database and the extension that
/// counts statements. What exists is left as it is. **Errors**: a statement is refused.
pub async fn set_up(address: SocketAddr) -> Result<(), StackError> {
    let role = format!("CREATE ROLE {TARGET} LOGIN");
    let neighbour = format!("CREATE ROLE {NEIGHBOUR} LOGIN");
    let database = format!("CREATE DATABASE {TARGET} OWNER {TARGET}");
    let steps = [
        ("postgres", role.as_str()),
        ("postgres", neighbour.as_str()),
        ("postgres", database.as_str()),
        (TARGET, "CREATE EXTENSION IF NOT EXISTS pg_stat_statements"),
    ];
    for (database, statement) in steps {
        let run = async { connect(address, database).await?.batch_execute(statement).await };
        let refused = |reason| StackError::SetUp { statement: statement.to_owned(), reason };
        timeout(PATIENCE, run)
            .await
            .map_err(|_| refused(format!("no answer within {PATIENCE:?}")))?
            .map_err(|error| refused(words(&error)))?;
    }
    Ok(())
}

/// The version of the server. **Errors**: it does not tell it.
pub async fn version(address: SocketAddr) -> Result<String, StackError> {
    let ask = async {
        let row = connect(address, "postgres").await?.query_one("SHOW server_version", &[]).await?;
        row.try_get::<_, String>(0)
    };
    let answer = timeout(PATIENCE, ask).await.ok().and_then(Result::ok);
    answer.ok_or(StackError::NoVersion { name: "postgres" })
}

/// A connection as the lab's superuser. **Errors**: the server does not give one.
pub(super) async fn connect(
    address: SocketAddr,
    database: &str,
) -> Result<Client, tokio_postgres::Error> {
    let (client, connection) =
        tokio_postgres::connect(&url(address, ADMIN, database), NoTls).await?;
    // Ends by itself when the client is dropped; its error is the client's error too.
    tokio::spawn(connection);
    Ok(client)
}

/// The first column of the first row that the server answers to `sql`, which casts it to text; `None`
/// when there is no row, or nothing in it.
///
/// **Errors**: no answer within 10 s, or not that; in the server's own words.
pub(super) async fn ask(
    address: SocketAddr,
    database: &str,
    sql: &str,
) -> Result<Option<String>, String> {
    let asking = async {
        let row = connect(address, database).await?.query_opt(sql, &[]).await?;
        row.map_or(Ok(None), |row| row.try_get(0))
    };
    match timeout(PATIENCE, asking).await {
        Ok(answer) => answer.map_err(|error| words(&error)),
        Err(_) => Err(format!("no answer within {PATIENCE:?}")),
    }
}

/// The server's own words where there are some: the driver's are only `db error`.
fn words(error: &tokio_postgres::Error) -> String {
    error.as_db_error().map_or_else(|| error.to_string(), |it| it.message().to_owned())
}

/// Waits until the backends of a killed PostgreSQL with this data folder have noticed and gone:
/// until then it would not start again. They take some milliseconds; after 10 s the wait ends,
/// and whoever needs them gone will say so.
pub async fn wait_until_abandoned(data: &Path) {
    // Bounded: at most 10 s in steps of 5 ms.
    for _ in 0..2_000 {
        if !matches!(usage_of(data), Some((_, Usage::Attached))) {
            return;
        }
        sleep(Duration::from_millis(5)).await;
    }
}

/// Removes the shared memory that a killed PostgreSQL with this data folder left in the system, once
/// nobody uses it. PostgreSQL does so itself at its next start; after the last one nobody would.
pub async fn remove_shared_memory(data: &Path) {
    wait_until_abandoned(data).await;
    let Some((id, Usage::Abandoned)) = usage_of(data) else { return };
    let removed = Command::new("ipcrm").args(["-m", &id]).status();
    if !removed.as_ref().is_ok_and(std::process::ExitStatus::success) {
        tracing::warn!(segment = id, ?removed, "shared memory stays behind");
    }
}

/// Who uses a segment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Usage {
    /// Some process.
    Attached,
    /// Nobody.
    Abandoned,
}

/// The id of the segment noted in this data folder, and who uses it; `None` when there is none.
fn usage_of(data: &Path) -> Option<(String, Usage)> {
    let lock_file = fs::read_to_string(data.join("postmaster.pid")).ok()?;
    let segment = segment_of(&lock_file)?;
    let segments = fs::read_to_string("/proc/sysvipc/shm").ok()?;
    Some((segment.id.to_owned(), usage(&segments, segment)?))
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Segment<'a> {
    key: &'a str,
    id: &'a str,
}

/// Line 7 of `postmaster.pid` is key and id. **Source**: PostgreSQL, `pidfile.h`.
fn segment_of(lock_file: &str) -> Option<Segment<'_>> {
    let mut words = lock_file.lines().nth(6)?.split_whitespace();
    Some(Segment { key: words.next()?, id: words.next()? })
}

/// Who uses the segment, if the kernel lists it under the same key.
/// **Source**: columns of `/proc/sysvipc/shm`: key, shmid, perms, size, cpid, lpid, nattch.
fn usage(segments: &str, segment: Segment<'_>) -> Option<Usage> {
    segments.lines().find_map(|line| {
        let columns: Vec<&str> = line.split_whitespace().collect();
        if columns.get(..2) != Some(&[segment.key, segment.id]) {
            return None;
        }
        Some(if *columns.get(6)? == "0" { Usage::Abandoned } else { Usage::Attached })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOCK_FILE: &str =
        "812\n/data\n1700000000\n20001\n/socket\n127.0.0.1\n  7143911     32770\nready   \n";
    const SEGMENTS: &str = "       key      shmid perms  size  cpid  lpid nattch
   7143911      32770   600    56   812   812      0
   7143912      32771   600    56   900   900      6";

    #[test]
    fn only_a_segment_that_nobody_uses_is_removed() {
        let segment = segment_of(LOCK_FILE).unwrap();
        assert_eq!(segment, Segment { key: "7143911", id: "32770" });
        assert_eq!(usage(SEGMENTS, segment), Some(Usage::Abandoned));
        let in_use = Segment { key: "7143912", id: "32771" };
        assert_eq!(usage(SEGMENTS, in_use), Some(Usage::Attached));
        assert_eq!(usage(SEGMENTS, Segment { key: "1", id: "32770" }), None, "another one's id");
        assert_eq!(segment_of("812\n/data\n"), None);
    }

    #[test]
    fn a_replica_is_a_copy_of_its_primary_and_an_empty_cluster_is_nobodys() {
        let primary = SocketAddr::from(([127, 0, 0, 1], 20_001));
        let data = data_folder(Path::new("/f"));
        let line =
            |it: ClusterSource| format!("{} {}", it.program(), it.arguments(&data).join(" "));
        let copied = line(ClusterSource::Primary(primary));
        for part in ["pg_basebackup ", "--host=127.0.0.1 --port=20001 -D /f/data", "--slot="] {
            assert!(copied.contains(part), "{part}: {copied}");
        }
        let empty = line(ClusterSource::Empty);
        assert!(empty.starts_with("initdb ") && !empty.contains("--host"), "{empty}");
    }

    #[test]
    fn durable_defaults_stay_on() {
        let address = SocketAddr::from(([127, 0, 0, 1], 20_001));
        let max = NonZeroU32::new(100).unwrap();
        let line = arguments(address, Path::new("/d"), Path::new("/s"), max).join(" ");
        for part in ["-D /d", "fsync=on", "synchronous_commit=on", "max_connections=100"] {
            assert!(line.contains(part), "{part}: {line}");
        }
    }
}
