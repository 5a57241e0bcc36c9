//! Redis and PostgreSQL on loopback, the same through containers and through plain processes.
//!
//! What a server is started with is in [`redis`] and [`postgres`], once for both backends; how a
//! server runs is in [`process_server`] and [`container_server`].

use std::{collections::BTreeMap, net::SocketAddr, num::NonZeroU32};

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
pub mod server;

pub use choice::{Backend, BackendChoice};
pub use error::StackError;
pub use install::InstallPolicy;
pub use server::Server;

use lab_core::{scenario::Fault, units::Ratio};

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

/// Both servers, up and answering. Dropping it ends them; [`Self::stop`] does so in order.
#[derive(Debug)]
pub struct Stack {
    redis: Server,
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
        let ports = ports::pick(2)?;
        let on_loopback = |port: u16| SocketAddr::from(([127, 0, 0, 1], port));
        let layout = server::Layout {
            run_dir,
            spawner,
            redis: on_loopback(ports[0]),
            postgres: on_loopback(ports[1]),
            max_connections: options.max_connections,
            postgres_cpu_quota: options.postgres_cpu_quota,
            cpus: &options.cpus,
        };
        let backend = chosen.backend();
        let redis = server::redis(&chosen.programs, &layout).await?;
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
        Ok(Self { redis, postgres, wire: None, facts })
    }

    /// Stops both servers and removes what they leave in the system: containers, and the shared
    /// memory of a PostgreSQL that was killed.
    ///
    /// **Errors**: a server that does not end or a container that cannot be removed; the other is
    /// stopped all the same.
    pub async fn stop(&self) -> Result<(), StackError> {
        let (redis, postgres) = tokio::join!(self.redis.remove(), self.postgres.remove());
        redis.and(postgres)
    }

    /// The Redis server and its verbs.
    pub fn redis(&self) -> &Server {
        &self.redis
    }

    /// The PostgreSQL server and its verbs.
    pub fn postgres(&self) -> &Server {
        &self.postgres
    }

    /// Where Redis is.
    pub fn redis_addr(&self) -> SocketAddr {
        self.redis.address()
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

    /// Where the service connects to Redis in a trial of `fault`: through the proxy if the fault is
    /// on the wire, in the baseline too, and else straight.
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

    /// Redis' process as this machine counts; `None` while it is down.
    pub fn redis_pid(&self) -> Option<u32> {
        self.redis.pid()
    }

    /// PostgreSQL's first process as this machine counts; `None` while it is down.
    pub fn postgres_pid(&self) -> Option<u32> {
        self.postgres.pid()
    }

    /// Servers that ended although nobody asked them to, with how they ended.
    pub fn unexpected_deaths(&self) -> Vec<String> {
        self.redis.unexpected_end().into_iter().chain(self.postgres.unexpected_end()).collect()
    }

    /// What the manifest says about the servers.
    pub fn facts(&self) -> &StackFacts {
        &self.facts
    }
}
