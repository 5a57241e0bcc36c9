//! A small target service whose misbehaviour the tests choose, and the generator as a process.

use std::{
    io::{BufRead, BufReader, Read, Write},
    net::SocketAddr,
    num::NonZeroU32,
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    sync::{
        Arc, Mutex,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use axum::{
    Json, Router,
    body::Body,
    extract::{Path as UrlPath, Request, State},
    http::{HeaderMap, StatusCode},
    middleware,
    response::{IntoResponse, Response},
    routing::{get, post},
};
use lab_core::{
    catalogue::{Catalogue, CatalogueSpec},
    clock::MonotonicNs,
    load_plan::{Arrivals, LoadPlan, Mix, Shard},
    outcome::Outcome,
    sample::{RequestSample, decode_file},
    seed::Seed,
    target::BUDGET_HEADER,
    units::{PerSec, Ratio},
};
use serde_json::{Value, json};
use tokio::sync::Notify;

/// How the target answers product pages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Products {
    Right,
    /// Another product's page.
    Wrong,
    Empty,
    /// Never answers.
    Silent,
}

/// A target service inside the test.
pub(crate) struct Target {
    pub(crate) address: SocketAddr,
    catalogue: Catalogue,
    products: Products,
    /// Requests wait here while it is set.
    stalled: Mutex<bool>,
    stall_ended: Notify,
    pub(crate) in_flight: AtomicU32,
    pub(crate) in_flight_max: AtomicU32,
    /// Requests whose client went away before the answer.
    pub(crate) n_abandoned: AtomicU32,
    /// Each order's idempotency key, and what its client said how long it would wait.
    pub(crate) orders: Mutex<Vec<(String, String)>>,
    pub(crate) n_requests: AtomicU32,
    /// Requests that did not say how long their client would wait.
    pub(crate) n_without_budget: AtomicU32,
    /// Answers to `/me` left before sessions are lost once.
    pub(crate) me_before_loss: AtomicU32,
}

/// Counts a request in flight, and as abandoned unless it is answered.
struct InFlight {
    target: Arc<Target>,
    answered: bool,
}

impl InFlight {
    fn new(target: &Arc<Target>) -> Self {
        let now = target.in_flight.fetch_add(1, Ordering::SeqCst) + 1;
        target.in_flight_max.fetch_max(now, Ordering::SeqCst);
        Self { target: Arc::clone(target), answered: false }
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        self.target.in_flight.fetch_sub(1, Ordering::SeqCst);
        if !self.answered {
            self.target.n_abandoned.fetch_add(1, Ordering::SeqCst);
        }
    }
}

impl Target {
    /// Serves on a free port until the test ends, on threads of its own.
    pub(crate) fn start(products: Products) -> Arc<Self> {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        let target = Arc::new(Self {
            address: listener.local_addr().unwrap(),
            catalogue: Catalogue::generate(&catalogue_spec()),
            products,
            stalled: Mutex::new(false),
            stall_ended: Notify::new(),
            in_flight: AtomicU32::new(0),
            in_flight_max: AtomicU32::new(0),
            n_abandoned: AtomicU32::new(0),
            orders: Mutex::default(),
            n_requests: AtomicU32::new(0),
            n_without_budget: AtomicU32::new(0),
            me_before_loss: AtomicU32::new(u32::MAX),
        });
        let router = router(Arc::clone(&target));
        std::thread::spawn(move || {
            let runtime =
                tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async {
                let listener = tokio::net::TcpListener::from_std(listener).unwrap();
                axum::serve(listener, router).await.unwrap();
            });
        });
        target
    }

    /// Holds every request until [`Target::resume`].
    pub(crate) fn stall(&self) {
        *self.stalled.lock().unwrap() = true;
    }

    pub(crate) fn resume(&self) {
        *self.stalled.lock().unwrap() = false;
        self.stall_ended.notify_waiters();
    }

    async fn pass(&self) {
        let resumed = self.stall_ended.notified();
        if *self.stalled.lock().unwrap() {
            resumed.await;
        }
    }
}

fn router(target: Arc<Target>) -> Router {
    Router::new()
        .route("/", get(home))
        .route("/products/{id}", get(product))
        .route("/products/{id}/recommendations", get(recommendations))
        .route("/products/{id}/views", post(views))
        .route("/sessions", post(sessions))
        .route("/me", get(me))
        .route("/orders", post(orders))
        .layer(middleware::map_request_with_state(Arc::clone(&target), look_for_budget))
        .with_state(target)
}

async fn look_for_budget(State(target): State<Arc<Target>>, request: Request) -> Request {
    target.n_requests.fetch_add(1, Ordering::SeqCst);
    if !request.headers().contains_key(BUDGET_HEADER) {
        target.n_without_budget.fetch_add(1, Ordering::SeqCst);
    }
    request
}

fn served(status: StatusCode, body: impl Into<Body>) -> Response {
    (status, [("x-served-by", "database")], body.into()).into_response()
}

fn page(value: &impl serde::Serialize) -> Response {
    served(StatusCode::OK, serde_json::to_vec(value).unwrap())
}

async fn home(State(target): State<Arc<Target>>) -> Response {
    page(&target.catalogue.home())
}

async fn product(State(target): State<Arc<Target>>, UrlPath(id): UrlPath<u32>) -> Response {
    let mut in_flight = InFlight::new(&target);
    target.pass().await;
    let n_products = target.catalogue.spec().products.get();
    let response = match target.products {
        Products::Right => page(&target.catalogue.product_page(id)),
        Products::Wrong => page(&target.catalogue.product_page((id + 1) % n_products)),
        Products::Empty => served(StatusCode::OK, ""),
        Products::Silent => std::future::pending().await,
    };
    in_flight.answered = true;
    response
}

async fn recommendations(State(target): State<Arc<Target>>, UrlPath(id): UrlPath<u32>) -> Response {
    page(&target.catalogue.recommendations(id))
}

async fn views(UrlPath(_): UrlPath<u32>) -> Response {
    served(StatusCode::ACCEPTED, "")
}

async fn sessions(Json(body): Json<Value>) -> Response {
    let token = json!({ "token": format!("user-{}", body["user"]) });
    served(StatusCode::CREATED, token.to_string())
}

async fn me(State(target): State<Arc<Target>>, headers: HeaderMap) -> Response {
    let left = &target.me_before_loss;
    let step = |n: u32| (n != u32::MAX).then(|| n.checked_sub(1).unwrap_or(u32::MAX));
    if left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, step) == Ok(0) {
        return served(StatusCode::UNAUTHORIZED, "");
    }
    let authorization = headers["authorization"].to_str().unwrap();
    let user: u32 = authorization.strip_prefix("Bearer user-").unwrap().parse().unwrap();
    page(&json!({ "user": user }))
}

async fn orders(State(target): State<Arc<Target>>, headers: HeaderMap) -> Response {
    let said = |name| headers[name].to_str().unwrap().to_owned();
    target.orders.lock().unwrap().push((said("idempotency-key"), said(BUDGET_HEADER)));
    served(StatusCode::CREATED, "{}")
}

pub(crate) fn count(value: u32) -> NonZeroU32 {
    NonZeroU32::new(value).unwrap()
}

fn share(value: f64) -> Ratio {
    Ratio::new(value).unwrap()
}

fn catalogue_spec() -> CatalogueSpec {
    CatalogueSpec {
        products: count(300),
        reviews: count(1_500),
        authors: count(100),
        categories: count(6),
        seed: Seed(3),
    }
}

/// Only product pages.
pub(crate) fn products_only() -> Mix {
    Mix {
        product: share(1.0),
        recommendations: share(0.0),
        views: share(0.0),
        home: share(0.0),
        sessions: share(0.0),
        orders: share(0.0),
    }
}

/// 400 arrivals per second of every kind for one second.
pub(crate) fn plan(target: SocketAddr, folder: &Path) -> LoadPlan {
    LoadPlan {
        target,
        further_targets: Vec::new(),
        seed: Seed(11),
        arrivals: Arrivals::Poisson { rate: PerSec::new(400.0).unwrap() },
        duration: Duration::from_secs(1),
        deadline: Duration::from_secs(5),
        give_up_after: Duration::from_secs(5),
        users: count(64),
        mix: Mix {
            product: share(0.4),
            recommendations: share(0.1),
            views: share(0.1),
            home: share(0.1),
            sessions: share(0.2),
            orders: share(0.1),
        },
        zipf_exponent: 0.9,
        session_users: count(10),
        catalogue: catalogue_spec(),
        shard: Shard::WHOLE,
        samples_path: folder.join("samples.bin"),
    }
}

/// The generator as a process. Killed when dropped, so that a failed test leaves nothing.
pub(crate) struct Generator {
    pub(crate) child: Child,
    samples_path: PathBuf,
}

impl Drop for Generator {
    fn drop(&mut self) {
        // It has usually ended, and then neither does anything.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Generator {
    /// Starts it on `plan`, with `limits` as shell commands that come before.
    pub(crate) fn spawn(plan: &LoadPlan, limits: &str) -> Self {
        let plan_path = plan.samples_path.with_extension("json");
        std::fs::write(&plan_path, serde_json::to_vec(plan).unwrap()).unwrap();
        let child = Command::new("sh")
            .args(["-c", &format!("{limits} exec \"$0\" run --plan \"$1\"")])
            .arg(env!("CARGO_BIN_EXE_lab-load"))
            .arg(&plan_path)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        Self { child, samples_path: plan.samples_path.clone() }
    }

    /// Reads `ready` and nothing else.
    pub(crate) fn await_ready(&mut self) {
        let mut line = String::new();
        BufReader::new(self.child.stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
        assert_eq!(line, "ready\n", "{}", self.stderr_if_ended());
    }

    fn stderr_if_ended(&mut self) -> String {
        match self.child.try_wait().unwrap() {
            Some(_) => self.stderr(),
            None => String::new(),
        }
    }

    fn stderr(&mut self) -> String {
        let mut text = String::new();
        self.child.stderr.as_mut().unwrap().read_to_string(&mut text).unwrap();
        text
    }

    pub(crate) fn send_line(&mut self, line: &str) {
        writeln!(self.child.stdin.as_mut().unwrap(), "{line}").unwrap();
    }

    /// Waits for the users and starts the schedule at `start`.
    pub(crate) fn start(&mut self, start: MonotonicNs) {
        self.await_ready();
        self.send_line(&format!("start {}", start.0));
    }

    /// Waits for the end: exit status and what it said on standard error.
    pub(crate) fn end(&mut self) -> (ExitStatus, String) {
        let status = self.child.wait().unwrap();
        (status, self.stderr())
    }

    /// What is in the file now, sorted by arrival.
    pub(crate) fn samples(&self) -> Vec<RequestSample> {
        let bytes = std::fs::read(&self.samples_path).unwrap();
        let mut samples = decode_file(&bytes).unwrap();
        samples.sort_by_key(|it| it.arrival);
        samples
    }

    /// Waits until `n` samples are in the file, for at most ten seconds.
    pub(crate) fn await_samples(&self, n: usize) {
        await_condition(|| n <= self.samples().len());
    }
}

/// Waits until `holds`, for at most ten seconds.
pub(crate) fn await_condition(holds: impl Fn() -> bool) {
    let limit = MonotonicNs::now().plus(Duration::from_secs(10));
    while !holds() {
        assert!(MonotonicNs::now() < limit, "did not happen within ten seconds");
        wait_for(Duration::from_millis(5));
    }
}

/// Lets real time pass: the generator is another process, whose clock cannot be paused.
pub(crate) fn wait_for(time: Duration) {
    let request = nix::sys::time::TimeSpec::from_duration(time);
    let clock = nix::time::ClockId::CLOCK_MONOTONIC;
    let flags = nix::time::ClockNanosleepFlags::empty();
    nix::time::clock_nanosleep(clock, flags, &request).unwrap();
}

/// A start a little ahead.
pub(crate) fn soon() -> MonotonicNs {
    MonotonicNs::now().plus(Duration::from_millis(100))
}

/// Runs a whole plan and returns its samples.
pub(crate) fn run_whole(plan: &LoadPlan) -> Vec<RequestSample> {
    let mut generator = Generator::spawn(plan, "");
    generator.start(soon());
    let (status, stderr) = generator.end();
    assert_eq!((status.code(), stderr.as_str()), (Some(0), ""));
    generator.samples()
}

/// How many samples ended so.
pub(crate) fn n_with(samples: &[RequestSample], outcome: Outcome) -> usize {
    samples.iter().filter(|it| it.outcome == outcome).count()
}
