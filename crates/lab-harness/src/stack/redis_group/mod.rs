//! The side of Redis: one server, or several that watch each other.
//!
//! A group is prepared once per run and started anew, empty, for every trial that needs it. How its
//! servers find each other is in `sentinel` and `cluster`; how a client finds the primary among
//! them in [`discovery`]. Nothing here waits for a failover: that is what a trial is about.

use std::{
    net::SocketAddr,
    sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed},
    time::Duration,
};

use futures_util::future::{join_all, try_join_all};
use lab_core::{
    clock::MonotonicNs,
    scenario::{Topology, TopologySettings},
    target::RedisLocation,
};
use tokio::time::sleep;

use super::{
    choice::Programs,
    error::StackError,
    health::{LOOK_INTERVAL, until_healthy},
    install,
    server::{self, Kind, Layout, RedisProcess, Server},
    snapshot::{self, SnapshotLoad},
};

pub(super) mod client;
mod cluster;
pub mod discovery;
mod sentinel;

use discovery::Discovery;

/// How long one probe for the primary waits for a server.
const PATIENCE: Duration = Duration::from_millis(250);
/// How often the primary is looked for before a fault, when one look finds none. A healthy group
/// tells at the first.
const AIM_ATTEMPTS: usize = 4;

/// What servers with data are called.
const DATA_NAMES: [&str; 6] = ["redis-1", "redis-2", "redis-3", "redis-4", "redis-5", "redis-6"];
/// What sentinels are called.
const SENTINEL_NAMES: [&str; 3] = ["sentinel-1", "sentinel-2", "sentinel-3"];

/// The topologies that differ on the side of Redis: there is a group of each.
pub(super) const TOPOLOGIES: [Topology; 3] =
    [Topology::Single, Topology::Sentinel, Topology::Cluster];

/// The servers of one topology. Dropping it ends them.
#[derive(Debug)]
pub struct RedisGroup {
    topology: Topology,
    /// Those with data; they start as primaries first, then as replicas.
    servers: Vec<Server>,
    /// The cluster's own ports, in the order of `servers`; empty elsewhere.
    bus_ports: Vec<u16>,
    sentinels: Vec<Server>,
    /// Index of the server that faults act on.
    subject: AtomicUsize,
    /// Whether the subject was told to keep a snapshot since it was last started empty.
    keeps_snapshot: AtomicBool,
}

impl RedisGroup {
    /// How many ports `topology` takes.
    pub(super) fn n_ports(topology: Topology) -> usize {
        let (n_servers, n_sentinels) = sizes(topology);
        // Each node of a cluster has a second one.
        if topology == Topology::Cluster { 2 * n_servers } else { n_servers + n_sentinels }
    }

    /// Prepares the servers of `topology`, one of [`TOPOLOGIES`], on `ports`; none is started yet.
    ///
    /// **Errors**: a folder cannot be made, or no engine answers.
    pub(super) async fn prepare(
        topology: Topology,
        ports: &[u16],
        programs: &Programs,
        layout: &Layout<'_>,
    ) -> Result<Self, StackError> {
        let (n_servers, n_sentinels) = sizes(topology);
        let (data, rest) = ports.split_at(n_servers);
        let parent = match topology {
            Topology::Single | Topology::Replica => "",
            Topology::Sentinel | Topology::Cluster => {
                layout.run_dir.subfolder(topology.name(), install::server_user())?;
                topology.name()
            }
        };
        let prepare = async |kind, names: &[&'static str], ports: &[u16]| {
            let mut servers = Vec::new();
            for (&name, &port) in names.iter().zip(ports) {
                let address = SocketAddr::from(([127, 0, 0, 1], port));
                let process = RedisProcess { kind, name, parent, address };
                servers.push(server::redis(programs, layout, process).await?);
            }
            Ok::<_, StackError>(servers)
        };
        let data_names: &[&'static str] =
            if topology.fails_over() { &DATA_NAMES } else { &["redis"] };
        let (watchers, bus_ports) = rest.split_at(n_sentinels);
        Ok(Self {
            topology,
            servers: prepare(Kind::Redis, &data_names[..n_servers], data).await?,
            bus_ports: bus_ports.to_vec(),
            sentinels: prepare(Kind::Sentinel, &SENTINEL_NAMES, watchers).await?,
            subject: AtomicUsize::new(0),
            keeps_snapshot: AtomicBool::new(false),
        })
    }

    /// Ends whatever runs, starts all servers empty, and waits until they know each other and the
    /// primaries accept writes. Returns when that was known.
    ///
    /// **Errors**: a server does not start, or they do not find each other within 30 s.
    pub(super) async fn restart_cold(
        &self,
        settings: TopologySettings,
    ) -> Result<MonotonicNs, StackError> {
        self.subject.store(0, Relaxed);
        self.keeps_snapshot.store(false, Relaxed);
        match self.topology {
            Topology::Single | Topology::Replica => self.subject().restart_cold().await,
            Topology::Sentinel => sentinel::restart_cold(self, settings).await,
            Topology::Cluster => cluster::restart_cold(self, settings).await,
        }
    }

    /// Ends all servers for good and removes what they leave in the system.
    ///
    /// **Errors**: one does not end; the others are ended all the same.
    pub(super) async fn remove(&self) -> Result<(), StackError> {
        join_all(self.all().map(Server::remove)).await.into_iter().collect()
    }

    /// Which servers it has.
    pub fn topology(&self) -> Topology {
        self.topology
    }

    /// The servers with data.
    pub fn servers(&self) -> &[Server] {
        &self.servers
    }

    /// The sentinels, if any.
    pub fn sentinels(&self) -> &[Server] {
        &self.sentinels
    }

    /// Servers with data, and sentinels.
    pub(super) fn all(&self) -> impl Iterator<Item = &Server> {
        self.servers.iter().chain(&self.sentinels)
    }

    /// The server that faults act on: the only one, or the primary that was aimed at.
    pub fn subject(&self) -> &Server {
        &self.servers[self.subject.load(Relaxed)]
    }

    /// Has faults act on the server that is the primary now; of a cluster's primaries, on the one
    /// that owns the view counters.
    ///
    /// **Errors**: no server accepts writes.
    pub async fn aim_at_primary(&self) -> Result<(), StackError> {
        if !self.topology.fails_over() {
            return Ok(());
        }
        let mut saw = String::new();
        for _ in 0..AIM_ATTEMPTS {
            match self.discovery().writable_primary(None, PATIENCE).await {
                Ok(primary) => {
                    let found = self.servers.iter().position(|it| it.address() == primary);
                    self.subject.store(found.unwrap_or(0), Relaxed);
                    return Ok(());
                }
                Err(seen) => saw = seen,
            }
            sleep(LOOK_INTERVAL).await;
        }
        Err(StackError::NoPrimary { saw })
    }

    /// Has the subject keep what it has now: its next start finds it again, until the next start of
    /// the group, which is an empty one.
    ///
    /// **Errors**: it does not take the command, or cannot write.
    pub async fn keep_snapshot(&self) -> Result<(), StackError> {
        snapshot::save(self.subject()).await?;
        self.keeps_snapshot.store(true, Relaxed);
        Ok(())
    }

    /// What the subject, which was killed and answers again, read of the snapshot that it kept;
    /// `None`: it was not told to keep one.
    ///
    /// **Errors**: it kept one and did not read it.
    pub async fn snapshot_load(&self) -> Result<Option<SnapshotLoad>, StackError> {
        if !self.keeps_snapshot.load(Relaxed) {
            return Ok(None);
        }
        snapshot::last_load(self.subject()).await.map(Some)
    }

    /// Whom a client asks for the primary.
    pub fn discovery(&self) -> Discovery {
        Discovery {
            topology: self.topology,
            servers: self.servers.iter().map(Server::address).collect(),
            sentinels: self.sentinels.iter().map(Server::address).collect(),
        }
    }

    /// Where a client that knows the topology finds Redis.
    pub fn location(&self) -> RedisLocation {
        let Discovery { servers, sentinels, .. } = self.discovery();
        match self.topology {
            Topology::Single | Topology::Replica => RedisLocation::Single(servers[0]),
            Topology::Sentinel => {
                RedisLocation::Sentinel { sentinels, master: discovery::MASTER.to_owned() }
            }
            Topology::Cluster => RedisLocation::Cluster { cluster: servers },
        }
    }

    /// Has the subject's replica take over, in order, and returns when the order was accepted.
    ///
    /// **Errors**: nobody can take over.
    pub async fn hand_over(&self) -> Result<MonotonicNs, StackError> {
        match self.topology {
            Topology::Single | Topology::Replica => {
                Err(StackError::NoPrimary { saw: "nobody to hand over to".into() })
            }
            Topology::Sentinel => sentinel::hand_over(&self.sentinels[0]).await,
            Topology::Cluster => cluster::hand_over(self).await,
        }
    }

    /// The processes of all its servers as this machine counts; `None` while one of them is down.
    pub fn pids(&self) -> Option<Vec<u32>> {
        self.all().map(Server::pid).collect()
    }

    /// Servers that ended although nobody asked them to, with how they ended.
    pub(super) fn unexpected_ends(&self) -> Vec<String> {
        self.all().filter_map(Server::unexpected_end).collect()
    }
}

/// How many servers with data, and how many sentinels.
fn sizes(topology: Topology) -> (usize, usize) {
    match topology {
        Topology::Single | Topology::Replica => (1, 0),
        Topology::Sentinel => (2, SENTINEL_NAMES.len()),
        Topology::Cluster => (DATA_NAMES.len(), 0),
    }
}

/// Starts `servers` at the same time and waits until each answers.
async fn start_all(servers: &[Server]) -> Result<(), StackError> {
    try_join_all(servers.iter().map(Server::start)).await?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_topology_has_the_servers_and_ports_that_its_name_promises() {
        let of = |it| (sizes(it), RedisGroup::n_ports(it));
        assert_eq!(of(Topology::Single), ((1, 0), 1));
        assert_eq!(of(Topology::Sentinel), ((2, 3), 5));
        assert_eq!(of(Topology::Cluster), ((6, 0), 12));
    }
}
