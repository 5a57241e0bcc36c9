//! Redis and PostgreSQL on loopback, the same through containers and through plain processes.
//!
//! What a server is started with is in [`redis`] and [`postgres`], once for both backends; how a
//! server runs is in [`process_server`] and [`container_server`]; which servers Redis is made of in
//! [`redis_group`].

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
pub mod images;
pub mod install;
pub mod postgres;
pub mod probe;
pub mod process_server;
pub mod redis;
pub mod redis_group;
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
    scenario::{Fault, RedisServers, Topology},
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

/// How to bring the servers up.
#[derive(Debug, Clone)]
pub struct StackOptions {
    /// Which backend.
    pub choice: BackendChoice,
    /// PostgreSQL's `max_connections`.
    pub max_connections: NonZeroU32,
    /// Share of one core that PostgreSQL has; `None`: a whole one.
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
    /// One of each topology, in the order of [`Topology::ALL`]. Only one is up at a time.
    redis: Vec<RedisGroup>,
    /// Which one that is.
    current: AtomicUsize,
    postgres: Server,
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
        docker::reap_dead_runs().await;
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
        let n_ports: usize = Topology::ALL.into_iter().map(RedisGroup::n_ports).sum();
        let ports = ports::pick(1 + n_ports)?;
        let layout = server::Layout {
            run_dir,
            spawner,
            postgres: SocketAddr::from(([127, 0, 0, 1], ports[0])),
            max_connections: options.max_connections,
            postgres_cpu_quota: options.postgres_cpu_quota,
            cpus: &options.cpus,
        };
        let backend = chosen.backend();
        let mut groups = Vec::new();
        let mut left = &ports[1..];
        for topology in Topology::ALL {
            let (its, others) = left.split_at(RedisGroup::n_ports(topology));
            groups.push(RedisGroup::prepare(topology, its, &chosen.programs, &layout).await?);
            left = others;
        }
        let redis = groups[0].subject();
        let postgres = server::postgres(&chosen.programs, &layout).await?;
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
        Ok(Self { redis: groups, current, postgres, wire: None, facts })
    }

    /// Stops all servers and removes what they leave in the system: containers, and the shared
    /// memory of a PostgreSQL that was killed.
    ///
    /// **Errors**: a server that does not end or a container that cannot be removed; the others are
    /// stopped all the same.
    pub async fn stop(&self) -> Result<(), StackError> {
        let redis = join_all(self.redis.iter().map(RedisGroup::remove));
        let (redis, postgres) = tokio::join!(redis, self.postgres.remove());
        redis.into_iter().collect::<Result<(), _>>().and(postgres)
    }

    /// Starts the servers that a trial needs, empty, in the place of those that were up, which are
    /// ended and leave nothing behind. Returns when all of them were known to be well.
    ///
    /// **Errors**: one does not end or start, or they do not find each other.
    pub async fn restart_redis(&self, servers: RedisServers) -> Result<MonotonicNs, StackError> {
        let RedisServers { topology, settings, .. } = servers;
        if self.redis_group().topology() != topology {
            self.redis_group().remove().await?;
        }
        let at = Topology::ALL.iter().position(|it| *it == topology).unwrap_or(0);
        self.current.store(at, Relaxed);
        self.redis_group().restart_cold(settings).await
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

    /// The PostgreSQL server and its verbs.
    pub fn postgres(&self) -> &Server {
        &self.postgres
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
        let group = || self.redis.iter().find(|it| it.topology() == topology);
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
        postgres::url(self.postgres_addr(), postgres::TARGET, postgres::TARGET)
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

    /// Servers that ended although nobody asked them to, with how they ended.
    pub fn unexpected_deaths(&self) -> Vec<String> {
        let redis = self.redis_group().unexpected_ends().into_iter();
        redis.chain(self.postgres.unexpected_end()).collect()
    }

    /// What the manifest says about the servers.
    pub fn facts(&self) -> &StackFacts {
        &self.facts
    }
}
