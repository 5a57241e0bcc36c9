//! A real Redis, a real PostgreSQL and a real storefront process for one test, gone when dropped.

use std::{
    io::Write as _,
    net::{SocketAddr, TcpListener},
    os::unix::process::CommandExt as _,
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Output, Stdio},
    sync::atomic::{AtomicU16, Ordering::Relaxed},
    time::Duration,
};

use lab_core::{
    catalogue::{Catalogue, CatalogueSpec},
    target::{TargetConfig, TargetEvent, TargetSample},
};
use nix::{
    sys::signal::{Signal, kill},
    unistd::{Pid, User, chown, geteuid},
};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::time::{Instant, interval};

const LOOPBACK: [u8; 4] = [127, 0, 0, 1];

/// Longest wait for anything to come true. Generous: nothing here measures time.
const PATIENCE: Duration = Duration::from_secs(30);

/// Servers, a data set and the storefronts that use them.
pub(crate) struct Stack {
    directory: TempDir,
    postgres_bin: PathBuf,
    postgres: Option<Child>,
    replica: Option<Child>,
    redis: Option<Child>,
    pub(crate) postgres_address: SocketAddr,
    /// Where the replica of PostgreSQL is, once it was started.
    pub(crate) replica_address: Option<SocketAddr>,
    pub(crate) redis_address: SocketAddr,
    /// Where storefronts are told to find Redis, when it is not at `redis_address`.
    pub(crate) redis_location: Option<Value>,
    pub(crate) catalogue: Catalogue,
}

/// Starts both servers and loads the data set; `None`, said plainly, when they are not installed.
pub(crate) async fn start() -> Option<Stack> {
    let Some(postgres_bin) = find_postgres() else {
        eprintln!("SKIPPED: no initdb and postgres in PATH or /usr/lib/postgresql/*/bin");
        return None;
    };
    if find_in_path("redis-server").is_none() {
        eprintln!("SKIPPED: no redis-server in PATH");
        return None;
    }
    let directory = tempfile::tempdir().unwrap();
    let mut stack = Stack {
        postgres_address: free_address(),
        redis_address: free_address(),
        redis_location: None,
        replica_address: None,
        postgres_bin,
        postgres: None,
        replica: None,
        redis: None,
        catalogue: Catalogue::generate(&spec()),
        directory,
    };
    stack.start_postgres().await;
    stack.start_redis().await;
    stack.run("seed", json!({})).success_or_panic();
    Some(stack)
}

fn spec() -> CatalogueSpec {
    serde_json::from_value(json!(
        { "products": 300, "reviews": 3000, "authors": 60, "categories": 5, "seed": 1 }
    ))
    .unwrap()
}

/// Every wait has a bound, as in the variant of that name; long ones, so that no test runs into
/// them on a busy machine.
pub(crate) fn bounded(more: Value) -> Value {
    let mut settings = json!({
        "redis": { "call_timeout": "500ms", "reconnect_delay_max": "50ms" },
        "database": { "acquire_timeout": "20s", "statement_timeout": "20s" },
    });
    settings.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    settings
}

/// As [`bounded`], where Redis is there all the time and what it did is counted: no stall of the
/// machine is a timeout.
pub(crate) fn patient(more: Value) -> Value {
    let mut settings = bounded(more);
    settings["redis"]["call_timeout"] = json!("20s");
    settings
}

impl Stack {
    async fn start_postgres(&mut self) {
        if unprivileged_user().is_some() {
            let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
            std::fs::set_permissions(self.directory.path(), mode).unwrap();
        }
        let home = self.postgres_home("postgres");
        let mut initdb = self.as_postgres_user("initdb", &home);
        initdb.args(["-U", "lab", "-A", "trust", "--no-sync", "-D"]).arg(home.join("data"));
        assert!(initdb.status().unwrap().success(), "initdb failed");
        self.postgres = Some(self.postgres_server(self.postgres_address, &home));
        let admin = self.url("lab", "postgres");
        eventually("postgres answers", async || connect(&admin).await.is_some()).await;
        let client = connect(&admin).await.unwrap();
        client.batch_execute("CREATE ROLE storefront LOGIN").await.unwrap();
        client.batch_execute("CREATE DATABASE storefront OWNER storefront").await.unwrap();
        self.admin().await.batch_execute("CREATE EXTENSION pg_stat_statements").await.unwrap();
    }

    /// Starts a replica of PostgreSQL as it is now, which storefronts from now on are told of.
    pub(crate) async fn start_replica(&mut self) {
        let home = self.postgres_home("replica");
        let mut copy = self.as_postgres_user("pg_basebackup", &home);
        copy.args(["-U", "lab", "-h", "127.0.0.1", "-c", "fast", "--no-sync", "-R", "-p"]);
        copy.arg(self.postgres_address.port().to_string()).arg("-D").arg(home.join("data"));
        assert!(copy.status().unwrap().success(), "pg_basebackup failed");
        let address = free_address();
        self.replica_address = Some(address);
        self.replica = Some(self.postgres_server(address, &home));
        self.wait_for_replica().await;
    }

    /// Waits until the replica has all that the primary has now.
    pub(crate) async fn wait_for_replica(&self) {
        let sql = "SELECT pg_current_wal_lsn()::text";
        let written: String = self.admin().await.query_one(sql, &[]).await.unwrap().get(0);
        let sql = "SELECT pg_last_wal_replay_lsn() >= $1::text::pg_lsn";
        eventually("the replica has what the primary has", async || {
            let Some(replica) = connect(&self.replica_url("lab")).await else { return false };
            let row = replica.query_one(sql, &[&written]).await;
            row.is_ok_and(|it| it.get::<_, Option<bool>>(0) == Some(true))
        })
        .await;
    }

    /// A folder for a server of PostgreSQL, which is not this user's.
    fn postgres_home(&self, name: &str) -> PathBuf {
        let home = self.directory.path().join(name);
        std::fs::create_dir(&home).unwrap();
        if let Some(user) = unprivileged_user() {
            chown(&home, Some(user.uid), Some(user.gid)).unwrap();
        }
        home
    }

    fn as_postgres_user(&self, program: &str, home: &Path) -> Command {
        let mut command = Command::new(self.postgres_bin.join(program));
        command.current_dir(home).stdout(Stdio::null()).stderr(Stdio::null());
        if let Some(user) = unprivileged_user() {
            command.uid(user.uid.as_raw()).gid(user.gid.as_raw());
        }
        command
    }

    fn postgres_server(&self, address: SocketAddr, home: &Path) -> Child {
        let mut server = self.as_postgres_user("postgres", home);
        server.arg("-D").arg(home.join("data"));
        for option in [
            "listen_addresses=127.0.0.1".to_owned(),
            format!("port={}", address.port()),
            format!("unix_socket_directories={}", home.display()),
            "shared_preload_libraries=pg_stat_statements".to_owned(),
            // In its own folder: what is left in the system's is somebody else's.
            "dynamic_shared_memory_type=mmap".to_owned(),
        ] {
            server.arg("-c").arg(option);
        }
        server.spawn().unwrap()
    }

    pub(crate) async fn start_redis(&mut self) {
        let mut server = Command::new("redis-server");
        server.args(["--bind", "127.0.0.1", "--save", "", "--appendonly", "no", "--port"]);
        server.arg(self.redis_address.port().to_string()).current_dir(self.directory.path());
        self.redis = Some(server.stdout(Stdio::null()).spawn().unwrap());
        eventually("redis answers", async || {
            let client = redis::Client::open(format!("redis://{}/", self.redis_address)).unwrap();
            match client.get_multiplexed_async_connection().await {
                Ok(mut it) => redis::cmd("PING").exec_async(&mut it).await.is_ok(),
                Err(_) => false,
            }
        })
        .await;
    }

    pub(crate) fn kill_redis(&mut self) {
        let mut redis = self.redis.take().expect("redis runs");
        redis.kill().unwrap();
        redis.wait().unwrap();
    }

    pub(crate) fn stop_postgres(&mut self) {
        stop_server(self.postgres.take().expect("postgres runs"));
    }

    pub(crate) fn stop_replica(&mut self) {
        stop_server(self.replica.take().expect("the replica runs"));
    }

    /// A connection as the superuser.
    pub(crate) async fn admin(&self) -> tokio_postgres::Client {
        connect(&self.url("lab", "storefront")).await.expect("postgres answers")
    }

    /// A connection to the replica as the superuser.
    pub(crate) async fn replica_admin(&self) -> tokio_postgres::Client {
        connect(&self.replica_url("lab")).await.expect("the replica answers")
    }

    fn url(&self, user: &str, database: &str) -> String {
        url(self.postgres_address, user, database)
    }

    fn replica_url(&self, user: &str) -> String {
        url(self.replica_address.expect("it was started"), user, "storefront")
    }

    fn config(&self, settings: Value) -> TargetConfig {
        serde_json::from_value(json!({
            "listen": free_address(),
            "internal_listen": free_address(),
            "internal_token": "secret",
            "redis": self.redis_location.clone().unwrap_or(json!(self.redis_address)),
            "database_url": self.url("storefront", "storefront"),
            "replica_url": self.replica_address.map(|_| self.replica_url("storefront")),
            "pool_size": 4,
            "worker_threads": 1,
            "catalogue": spec(),
            "cache": { "ttl": "300s", "hit_ratio": 0.5 },
            "seed": 7,
            "settings": settings,
            "events_path": self.directory.path().join("events.jsonl"),
            "state_path": self.directory.path().join("state"),
            "cached_reads_per_sec": 100.0,
            "zipf_exponent": 1.0,
        }))
        .unwrap()
    }

    fn write_config(&self, config: &TargetConfig) -> PathBuf {
        let path = self.directory.path().join(format!("{}.json", config.listen.port()));
        let mut file = std::fs::File::create(&path).unwrap();
        file.write_all(&serde_json::to_vec(config).unwrap()).unwrap();
        path
    }

    /// Runs `seed` or `reset` to its end.
    pub(crate) fn run(&self, verb: &str, settings: Value) -> Output {
        let path = self.write_config(&self.config(settings));
        storefront(verb, &path).stderr(Stdio::piped()).output().unwrap()
    }

    /// Starts a storefront and waits until it is alive.
    pub(crate) async fn serve(&self, settings: Value) -> Storefront {
        self.serve_config(self.config(settings)).await
    }

    /// The same for one beside others: with a folder of its own for what it must not lose.
    pub(crate) async fn serve_beside(&self, settings: Value) -> Storefront {
        self.serve_config(self.config_beside(settings)).await
    }

    /// The same for one that enters itself into the list of instances in Redis.
    pub(crate) async fn serve_entered(&self) -> Storefront {
        let config = self.config_beside(json!({}));
        self.serve_config(TargetConfig { registers: true, ..config }).await
    }

    fn config_beside(&self, settings: Value) -> TargetConfig {
        let config = self.config(settings);
        let state_path = self.directory.path().join(format!("state-{}", config.listen.port()));
        TargetConfig { state_path, ..config }
    }

    async fn serve_config(&self, config: TargetConfig) -> Storefront {
        let path = self.write_config(&config);
        let child = storefront("serve", &path).spawn().unwrap();
        let storefront = Storefront { child, config, http: reqwest::Client::new() };
        eventually("the storefront is alive", async || {
            let url = format!("http://{}/livez", storefront.config.listen);
            storefront.http.get(url).send().await.is_ok_and(|it| it.status() == 200)
        })
        .await;
        storefront
    }
}

impl Drop for Stack {
    fn drop(&mut self) {
        if self.redis.is_some() {
            self.kill_redis();
        }
        if self.replica.is_some() {
            self.stop_replica();
        }
        if self.postgres.is_some() {
            self.stop_postgres();
        }
    }
}

/// A storefront process.
pub(crate) struct Storefront {
    child: Child,
    pub(crate) config: TargetConfig,
    http: reqwest::Client,
}

/// What came back.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) served_by: String,
    pub(crate) outcome: String,
    pub(crate) body: Vec<u8>,
}

impl Reply {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap()
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8(self.body.clone()).unwrap()
    }
}

impl Storefront {
    pub(crate) async fn get(&self, path: &str) -> Reply {
        reply(self.http.get(self.url(path))).await
    }

    /// As a client that waits for `budget_ms` at the most, and says so.
    pub(crate) async fn get_within(&self, path: &str, budget_ms: u64) -> Reply {
        reply(self.http.get(self.url(path)).header("x-budget-ms", budget_ms)).await
    }

    pub(crate) async fn get_me(&self, token: &str) -> Reply {
        reply(self.http.get(self.url("/me")).header("authorization", format!("Bearer {token}")))
            .await
    }

    pub(crate) async fn post(&self, path: &str, body: Value) -> Reply {
        reply(self.http.post(self.url(path)).body(body.to_string())).await
    }

    pub(crate) async fn post_order(&self, key: &str, body: Value) -> Reply {
        let request = self.http.post(self.url("/orders")).header("idempotency-key", key);
        reply(request.body(body.to_string())).await
    }

    pub(crate) async fn get_internal(&self, path: &str, token: &str) -> Reply {
        let request = self.http.get(format!("http://{}{path}", self.config.internal_listen));
        reply(request.header("authorization", format!("Bearer {token}"))).await
    }

    pub(crate) async fn post_internal(&self, path: &str, body: Value) -> Reply {
        let request = self.http.post(format!("http://{}{path}", self.config.internal_listen));
        reply(request.header("authorization", "Bearer secret").body(body.to_string())).await
    }

    pub(crate) async fn set_mode(&self, mitigation: &str, mode: &str) -> Reply {
        self.post_internal(&format!("/internal/mitigations/{mitigation}"), json!({ "mode": mode }))
            .await
    }

    pub(crate) async fn state(&self) -> Value {
        self.get_internal("/internal/state", "secret").await.json()
    }

    pub(crate) async fn sample(&self) -> TargetSample {
        let reply = self.post_internal("/internal/sample", Value::Null).await;
        serde_json::from_slice(&reply.body).unwrap()
    }

    pub(crate) async fn ready(&self) {
        eventually("the storefront is ready", async || self.get("/readyz").await.status == 200)
            .await;
    }

    /// Waits until it has its connection to Redis, which is opened in the background. Asks for no
    /// page.
    pub(crate) async fn reaches_redis(&self) {
        eventually("the storefront reaches Redis", async || {
            let session = self.post("/sessions", json!({ "user": 0 })).await;
            (session.status, session.served_by.as_str()) == (201, "redis")
        })
        .await;
    }

    /// The kinds of events written so far.
    pub(crate) fn events(&self) -> Vec<String> {
        let text = std::fs::read_to_string(&self.config.events_path).unwrap();
        text.lines().map(|it| serde_json::from_str::<TargetEvent>(it).unwrap().kind).collect()
    }

    /// Asks it to stop; how it ended, and how long that took.
    pub(crate) fn terminate(mut self) -> (ExitStatus, Duration) {
        let asked_at = Instant::now();
        kill(pid(&self.child), Signal::SIGTERM).unwrap();
        (self.child.wait().unwrap(), asked_at.elapsed())
    }

    /// Kills it and waits for its end.
    pub(crate) fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.config.listen)
    }
}

impl Drop for Storefront {
    fn drop(&mut self) {
        // It may have ended already; then there is nothing to kill.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

async fn reply(request: reqwest::RequestBuilder) -> Reply {
    let response = request.timeout(PATIENCE).send().await.unwrap();
    let header = |name: &str| {
        response.headers().get(name).map(|it| it.to_str().unwrap().to_owned()).unwrap_or_default()
    };
    Reply {
        status: response.status().as_u16(),
        served_by: header("x-served-by"),
        outcome: header("x-outcome"),
        body: response.bytes().await.unwrap().to_vec(),
    }
}

/// Polls until `condition` holds. **Panics** when it does not within [`PATIENCE`].
pub(crate) async fn eventually(what: &str, condition: impl AsyncFn() -> bool) {
    let started_at = Instant::now();
    let mut polls = interval(Duration::from_millis(20));
    while !condition().await {
        assert!(started_at.elapsed() < PATIENCE, "not within {PATIENCE:?}: {what}");
        polls.tick().await;
    }
}

/// Ends the test when a command failed, with its own words.
pub(crate) trait SuccessOrPanic {
    fn success_or_panic(self);
}

impl SuccessOrPanic for Output {
    fn success_or_panic(self) {
        assert!(self.status.success(), "{}", String::from_utf8_lossy(&self.stderr));
    }
}

fn storefront(verb: &str, config: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_storefront"));
    command.arg(verb).arg("--config").arg(config).env("RUST_LOG", "warn");
    command
}

async fn connect(url: &str) -> Option<tokio_postgres::Client> {
    let (client, connection) = tokio_postgres::connect(url, tokio_postgres::NoTls).await.ok()?;
    tokio::spawn(connection);
    Some(client)
}

fn url(address: SocketAddr, user: &str, database: &str) -> String {
    format!("host=127.0.0.1 port={} user={user} dbname={database}", address.port())
}

/// Ends a server of PostgreSQL and all its processes.
fn stop_server(mut server: Child) {
    kill(pid(&server), Signal::SIGQUIT).unwrap();
    server.wait().unwrap();
}

fn pid(child: &Child) -> Pid {
    Pid::from_raw(child.id().try_into().unwrap())
}

/// PostgreSQL refuses to run as root.
fn unprivileged_user() -> Option<User> {
    if !geteuid().is_root() {
        return None;
    }
    let user = |name| User::from_name(name).ok().flatten();
    Some(user("postgres").or_else(|| user("nobody")).expect("there is a user `nobody`"))
}

fn find_in_path(program: &str) -> Option<PathBuf> {
    std::env::split_paths(&std::env::var_os("PATH")?)
        .find(|directory| directory.join(program).is_file())
}

fn find_postgres() -> Option<PathBuf> {
    let packages = std::fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let candidates = packages.map(|it| it.path().join("bin")).chain(find_in_path("initdb"));
    candidates
        .into_iter()
        .find(|bin| bin.join("initdb").is_file() && bin.join("postgres").is_file())
}

/// A port from 10,000 to 19,999. That is below the ephemeral range, where an outgoing connection
/// could sit on it, and below the lab's own, from which a test of the lab, at the same time, could
/// take the port of a server that is down here.
pub(crate) fn free_address() -> SocketAddr {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    // Far from those of a process that was started right before: each test takes a dozen.
    let first = u16::try_from(std::process::id().wrapping_mul(64) % 9_000).unwrap();
    (0..1_000)
        .map(|_| {
            SocketAddr::from((LOOPBACK, 10_000 + (first + NEXT.fetch_add(1, Relaxed)) % 10_000))
        })
        .find(|address| TcpListener::bind(address).is_ok())
        .expect("one of a thousand ports is free")
}
