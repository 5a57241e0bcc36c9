//! Redis and PostgreSQL on loopback, the same through containers and through plain processes.
//!
//! What a server is started with is in [`redis`] and [`postgres`], once for both backends; how a
//! server runs is in [`process_server`] and [`container_server`]; which servers Redis is made of in
//! [`redis_group`]; how PostgreSQL gets a replica in `replication`.

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    num::NonZeroU32,
    sync::atomic::{AtomicUsize, Ordering::Relaxed},
};

pub mod binaries;
pub mod choice;
pub mod container_server;
pub mod docker;
pub mod error;
mod health;
pub mod images;
pub mod install;
pub mod postgres;
pub mod probe;
pub mod process_server;
pub mod redis;
pub mod redis_group;
mod replication;
pub mod server;
pub mod snapshot;

pub use choice::{Backend, BackendChoice};
pub use error::StackError;
pub use install::InstallPolicy;
pub use redis_group::RedisGroup;
pub use server::Server;

use futures_util::future::join_all;
use lab_core::{
    clock::MonotonicNs,
    scenario::{Fault, Servers, Topology},
    target::RedisLocation,
    units::Ratio,
};

use crate::{
    machine::{cpus::CpuPlan, ports, run_dir::RunDirectory},
    process::Spawner,
    wire::Proxy,
};
use binaries::Binaries;
use choice::Chosen;
use postgres::ClusterSource;
use server::PostgresProcess;

/// How to bring the servers up.
#[derive(Debug, Clone)]
pub struct StackOptions {
    /// Which backend.
    pub choice: BackendChoice,
    /// PostgreSQL's `max_connections`.
    pub max_connections: NonZeroU32,
    /// Share of one core that each PostgreSQL has; `None`: a whole one, which they share.
    pub postgres_cpu_quota: Option<Ratio>,
    /// Whether missing servers may be installed.
    pub install: InstallPolicy,
    /// Which processors belong to whom.
    pub cpus: CpuPlan,
}

/// What the manifest says about the servers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StackFacts {
    /// Which backend was taken.
    pub backend: Backend,
    /// Why, for people.
    pub reason: String,
    /// Versions by name: `redis`, `postgres`.
    pub versions: BTreeMap<String, String>,
    /// Image or program by name.
    pub servers: BTreeMap<String, String>,
}

/// Redis and PostgreSQL, up and answering. Dropping it ends them; [`Self::stop`] does so in order.
#[derive(Debug)]
pub struct Stack {
    /// One of each of [`redis_group::TOPOLOGIES`], in that order. Only one is up at a time.
    redis: Vec<RedisGroup>,
    /// Which one that is.
    current: AtomicUsize,
    postgres: Server,
    /// Up only while a trial needs it.
    replica: Server,
    /// Only where a fault needs it.
    wire: Option<Proxy>,
    facts: StackFacts,
}

impl Stack {
    /// Brings both servers up and waits until they answer in their own protocols.
    ///
    /// **Errors**: no backend can be used, a server does not start, or PostgreSQL cannot be set up.
    /// **Cancellation**: what has been started ends with the future.
    pub async fn start(
        options: &StackOptions,
        run_dir: &RunDirectory,
        spawner: &Spawner,
    ) -> Result<Self, StackError> {
        for failure in docker::reap_dead_runs().await.failures {
            tracing::warn!("could not remove {failure}");
        }
        let chosen = choice::choose(options.choice, options.install, run_dir, spawner).await?;
        tracing::info!(backend = chosen.backend().name(), reason = chosen.reason, "backend");
        Self::start_chosen(chosen, options, run_dir, spawner).await
    }

    /// Like [`Self::start`], with plain processes of the given programs.
    /// **Errors**: as [`Self::start`].
    pub async fn start_programs(
        binaries: Binaries,
        options: &StackOptions,
        run_dir: &RunDirectory,
        spawner: &Spawner,
    ) -> Result<Self, StackError> {
        let chosen = Chosen {
            programs: choice::Programs::Process(binaries),
            reason: "the programs were given".to_owned(),
        };
        Self::start_chosen(chosen, options, run_dir, spawner).await
    }

    async fn start_chosen(
        chosen: Chosen,
        options: &StackOptions,
        run_dir: &RunDirectory,
        spawner: &Spawner,
    ) -> Result<Self, StackError> {
        let n_ports: usize = redis_group::TOPOLOGIES.into_iter().map(RedisGroup::n_ports).sum();
        let ports = ports::pick(2 + n_ports)?;
        let layout = server::Layout {
            run_dir,
            spawner,
            max_connections: options.max_connections,
            postgres_cpu_quota: options.postgres_cpu_quota,
            cpus: &options.cpus,
        };
        let backend = chosen.backend();
        let mut groups = Vec::new();
        let mut left = &ports[2..];
        for topology in redis_group::TOPOLOGIES {
            let (its, others) = left.split_at(RedisGroup::n_ports(topology));
            groups.push(RedisGroup::prepare(topology, its, &chosen.programs, &layout).await?);
            left = others;
        }
        let redis = groups[0].subject();
        let [primary, replica] =
            [ports[0], ports[1]].map(|port| SocketAddr::from(([127, 0, 0, 1], port)));
        let postgres =
            PostgresProcess { name: "postgres", address: primary, source: ClusterSource::Empty };
        let replica = PostgresProcess {
            name: "postgres-replica",
            address: replica,
            source: ClusterSource::Primary(primary),
        };
        let postgres = server::postgres(&chosen.programs, &layout, postgres).await?;
        let replica = server::postgres(&chosen.programs, &layout, replica).await?;
        // Both come up at the same time.
        let (redis_up, postgres_up) = tokio::join!(redis.start(), postgres.start());
        redis_up.and(postgres_up)?;
        postgres::set_up(postgres.address()).await?;
        let versions = BTreeMap::from([
            ("redis".to_owned(), probe::redis_version(redis.address()).await?),
            ("postgres".to_owned(), postgres::version(postgres.address()).await?),
        ]);
        let servers = BTreeMap::from([
            ("redis".to_owned(), redis.origin().to_owned()),
            ("postgres".to_owned(), postgres.origin().to_owned()),
        ]);
        let facts = StackFacts { backend, reason: chosen.reason, versions, servers };
        let current = AtomicUsize::new(0);
        Ok(Self { redis: groups, current, postgres, replica, wire: None, facts })
    }

    /// Stops all servers and removes what they leave in the system: containers, and the shared
    /// memory of a PostgreSQL that was killed.
    ///
    /// **Errors**: a server that does not end or a container that cannot be removed; the others are
    /// stopped all the same.
    pub async fn stop(&self) -> Result<(), StackError> {
        let redis = join_all(self.redis.iter().map(RedisGroup::remove));
        // A replica waits for nothing of its primary to end.
        let (redis, postgres, replica) =
            tokio::join!(redis, self.postgres.remove(), self.replica.remove());
        redis.into_iter().collect::<Result<(), _>>().and(postgres).and(replica)
    }

    /// Starts the servers of Redis that a trial needs, empty, in the place of those that were up, which
    /// are ended and leave nothing behind. Returns when all of them were known to be well.
    ///
    /// **Errors**: one does not end or start, or they do not find each other.
    pub async fn restart_redis(&self, servers: Servers) -> Result<MonotonicNs, StackError> {
        let Servers { topology, settings, .. } = servers;
        let topology = topology.on_redis_side();
        if self.redis_group().topology() != topology {
            self.redis_group().remove().await?;
        }
        let at = redis_group::TOPOLOGIES.iter().position(|it| *it == topology).unwrap_or(0);
        self.current.store(at, Relaxed);
        self.redis_group().restart_cold(settings).await
    }

    /// Gives PostgreSQL a replica where `topology` has one, and takes it away elsewhere. Returns when
    /// the replica follows, has all that the primary had before, and has it in memory. It is copied
    /// from the primary when it is first needed, and goes on from where it was when it is needed
    /// again.
    ///
    /// **Errors**: it does not start or end, or does not follow within 30 s.
    pub async fn replicate(&self, topology: Topology) -> Result<(), StackError> {
        if !topology.has_database_replica() {
            return self.replica.stop().await;
        }
        if self.replica.is_running().await {
            return self.wait_until_replayed().await;
        }
        replication::prepare(self.postgres_addr()).await?;
        self.replica.start().await?;
        self.wait_until_replayed().await?;
        replication::warm(self.replica.address()).await
    }

    /// Waits until the replica, if there is one, has repeated all that the primary has written.
    ///
    /// **Errors**: it has not within 30 s.
    pub async fn wait_until_replayed(&self) -> Result<(), StackError> {
        if !self.replica.is_running().await {
            return Ok(());
        }
        replication::until_replayed(self.postgres_addr(), self.replica.address()).await
    }

    /// The servers of Redis that are up.
    pub fn redis_group(&self) -> &RedisGroup {
        &self.redis[self.current.load(Relaxed)]
    }

    /// The Redis server that faults act on, and its verbs: the only one, or the primary that
    /// [`RedisGroup::aim_at_primary`] found last.
    pub fn redis(&self) -> &Server {
        self.redis_group().subject()
    }

    /// The PostgreSQL server that accepts writes, and its verbs.
    pub fn postgres(&self) -> &Server {
        &self.postgres
    }

    /// The replica of PostgreSQL and its verbs; it is down but where [`Self::replicate`] has it up.
    pub fn replica(&self) -> &Server {
        &self.replica
    }

    /// Where [`Self::redis`] is.
    pub fn redis_addr(&self) -> SocketAddr {
        self.redis().address()
    }

    /// Where PostgreSQL is.
    pub fn postgres_addr(&self) -> SocketAddr {
        self.postgres.address()
    }

    /// Puts a proxy beside Redis, for faults on the wire. **Errors**: no port.
    pub fn lay_wire(&mut self) -> Result<(), StackError> {
        self.wire = Some(Proxy::start(self.redis_addr())?);
        Ok(())
    }

    /// The proxy; `None`: no fault of the run needs it.
    pub fn wire(&self) -> Option<&Proxy> {
        self.wire.as_ref()
    }

    /// Where the service finds Redis in a trial of `fault` on `topology`: through the proxy if the
    /// fault is on the wire, in the baseline too, and else straight.
    pub fn redis_location(&self, topology: Topology, fault: Fault) -> RedisLocation {
        let wire = self.wire().filter(|_| fault.is_on_wire()).map(Proxy::address);
        let group = || self.redis.iter().find(|it| it.topology() == topology.on_redis_side());
        let straight = || group().unwrap_or_else(|| self.redis_group()).location();
        wire.map_or_else(straight, RedisLocation::Single)
    }

    /// The address of a single Redis in a trial of `fault`, as in [`Self::redis_location`].
    pub fn redis_addr_under(&self, fault: Fault) -> SocketAddr {
        let wire = self.wire().filter(|_| fault.is_on_wire());
        wire.map_or_else(|| self.redis_addr(), Proxy::address)
    }

    /// How the lab connects: superuser `lab`, for whom connections are reserved.
    pub fn admin_url(&self) -> String {
        postgres::url(self.postgres_addr(), postgres::ADMIN, postgres::TARGET)
    }

    /// How the service connects: role `storefront`, owner of the database of the same name.
    pub fn target_url(&self) -> String {
        postgres::target_url(self.postgres_addr())
    }

    /// How the lab connects to the replica; `None` while it is down.
    pub fn replica_admin_url(&self) -> Option<String> {
        self.replica.pid()?;
        Some(postgres::url(self.replica.address(), postgres::ADMIN, postgres::TARGET))
    }

    /// How the service reads from the replica in a trial on `topology`; `None` where that has none.
    pub fn replica_target_url(&self, topology: Topology) -> Option<String> {
        let url = || postgres::target_url(self.replica.address());
        topology.has_database_replica().then(url)
    }

    /// How somebody else connects to the same server: role `neighbour`, which owns nothing.
    pub fn neighbour_url(&self) -> String {
        postgres::url(self.postgres_addr(), postgres::NEIGHBOUR, "postgres")
    }

    /// The process of [`Self::redis`] as this machine counts; `None` while it is down.
    pub fn redis_pid(&self) -> Option<u32> {
        self.redis().pid()
    }

    /// PostgreSQL's first process as this machine counts; `None` while it is down.
    pub fn postgres_pid(&self) -> Option<u32> {
        self.postgres.pid()
    }

    /// The same of every PostgreSQL that is up.
    pub fn postgres_pids(&self) -> Vec<u32> {
        [&self.postgres, &self.replica].into_iter().filter_map(Server::pid).collect()
    }

    /// Servers that ended although nobody asked them to, with how they ended.
    pub fn unexpected_deaths(&self) -> Vec<String> {
        let redis = self.redis_group().unexpected_ends().into_iter();
        let databases = [&self.postgres, &self.replica].into_iter();
        redis.chain(databases.filter_map(Server::unexpected_end)).collect()
    }

    /// What the manifest says about the servers.
    pub fn facts(&self) -> &StackFacts {
        &self.facts
    }
}
