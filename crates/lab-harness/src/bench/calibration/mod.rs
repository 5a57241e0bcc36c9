//! Calibration: what the database and the whole stack carry on this machine.
//!
//! C is the number of requests of the whole mix per second that the database sustains with the
//! cache bypassed, on `bounded-timeouts`, 99 % of them within the deadline. Load is offered in
//! multiples of it, which makes results portable between machines.
//!
//! A saturating burst gives a first value; an open-loop run at that rate has to confirm it, or a
//! second one, or the rate is lowered.

mod estimate;
mod store;

use std::{num::NonZeroU32, path::Path, time::Duration};

use anyhow::{Context, Result, bail};
use lab_core::{
    artifact::manifest::{Calibration, ControlPoint, TopologyPoint},
    load_plan::Arrivals,
    outcome::Outcome,
    sample::{self, RequestSample},
    scenario::{ResolvedVariant, Servers, Topology},
    settings::{CacheMode, Settings},
    units::{PerSec, Ratio},
};

use self::{
    estimate::{Bottleneck, drifted, is_sustained, throughput_per_sec},
    store::{Compared, Store},
};
use super::{
    instances::Instances,
    load::{self, Load, SAMPLES_FILE},
    progress::Progress,
    results::remove_if_there,
    selection::{OfferedLoad, Selection},
    session::Session,
    target::{TargetSetup, reached_over},
};
use crate::{machine::cpu_time::tree_cpu_seconds, wire::NarrowLink};

/// Users of a saturating burst: twice the usual pool, so that the pool is never idle and the wait
/// for it stays far below any timeout.
const BURST_USERS: u32 = 40;
/// Users of a saturating burst with a warm cache for each of several instances: enough that none is
/// idle, few enough that with a tenth of a core no request waits 50 ms for its turn, which would be
/// taken for a Redis that is late.
const WARM_USERS_PER_INSTANCE: u32 = 20;
/// Length of a saturating burst, the first second of which is not counted.
const BURST: Duration = Duration::from_secs(5);
/// What of a burst is not counted: connections and statements are made ready.
const BURST_SETTLE: Duration = Duration::from_secs(1);
/// Length of the open-loop run that confirms C.
const CONFIRM: Duration = Duration::from_secs(4);
/// Open-loop runs in which a rate may be sustained. One is not enough: a single stall of the host
/// makes more than 1 % of 4 s late, and would lower C by a step.
const TRIES: u32 = 2;
/// C is lowered by this factor when no open-loop run sustains it.
const STEP_DOWN: f64 = 0.93;
/// Lowered at most this often.
const STEPS_MAX: u32 = 5;
/// Far above any capacity of one core.
const BURST_RATE_MAX: f64 = 50_000.0;
/// Load under which the bytes of the database's answers are counted, as a share of C: all of it is
/// answered, and the link, which wakes up once in a millisecond, need not keep up with more.
const COUNTED_LOAD: f64 = 0.5;
/// Bytes per second of a link that only counts: far above what any database of one core says.
const WIDE: f64 = 1e9;
/// Warm capacity must be at least this multiple of the offered rate.
pub(crate) const WARM_RESERVE: f64 = 1.4;

/// The capacities of this machine and stack: known ones when a burst shows no drift, else measured.
///
/// Where the campaign has several numbers of instances, all of them are measured. C is the database's
/// and not the application's: too few instances of a small share of a core do not ask it for all it
/// has, and too many take some of it with their connections. So C is that of the number at which the
/// database carries most. Warm capacity is that of the smallest number, which has to carry the
/// baseline.
///
/// Where a variant reads from a replica too, C stays that of the primary alone, so that all variants
/// meet the same load, and what both carry is measured beside it.
///
/// **Errors**: a component fails, or the database sustains no rate at all.
pub(crate) async fn calibrate(
    session: &Session,
    selection: &Selection,
    base: &ResolvedVariant,
    recalibrate: bool,
    progress: &Progress,
) -> Result<Calibration> {
    let folder = session.run_dir.path().join("calibration");
    remove_if_there(&folder)?;
    std::fs::create_dir_all(folder.join("raw")).context("create the calibration folder")?;
    let bench = Bench { session, selection, base: &base.settings, folder: &folder };
    let numbers = selection.numbers_of_instances();
    let compared = Compared {
        numbers_of_instances: &numbers,
        topologies: selection.compared_topologies(),
        has_network: selection.has_network(),
    };
    let store = Store::open(&session.environment, &selection.campaign, compared, &base.settings);
    if !recalibrate && let Some(known) = store.load() {
        let n_instances = known.database_instances();
        let probe = bench.burst(Topology::Single, n_instances, CacheMode::Bypass).await?;
        if !drifted(known.probe_per_sec, probe.throughput_per_sec) {
            progress.say(&format!("calibration: known, {}", shown(&known)));
            return Ok(known);
        }
    }
    let measured = bench.measure(&numbers, progress).await?;
    store.save(&measured)?;
    progress.say(&format!("calibration: measured, {}", shown(&measured)));
    Ok(measured)
}

/// Refuses a load that this machine cannot offer honestly.
///
/// **Errors**: warm capacity below 1.4 times the highest offered rate.
pub(crate) fn check_reserve(calibration: &Calibration, rate_max: f64) -> Result<()> {
    let warm = calibration.warm_capacity_per_sec;
    if warm < WARM_RESERVE * rate_max {
        bail!(
            "this machine cannot show the effect at {rate_max:.0} requests/s: with a warm cache it \
             carries {warm:.0}/s and needs {WARM_RESERVE} times the offered rate; lower --load-factor"
        );
    }
    Ok(())
}

fn shown(calibration: &Calibration) -> String {
    let capacities = format!(
        "the database carries {:.0} requests/s without the cache (C), the whole stack {:.0}/s with it",
        calibration.db_capacity_per_sec, calibration.warm_capacity_per_sec
    );
    match calibration.database_bytes_per_request {
        Some(n_bytes) => format!("{capacities}; the database answers with {n_bytes:.0} bytes each"),
        None => capacities,
    }
}

/// A stack with a service to be measured.
struct Bench<'a> {
    session: &'a Session,
    selection: &'a Selection,
    base: &'a Settings,
    folder: &'a Path,
}

/// One short run of the service.
struct Shot<'a> {
    cache: CacheMode,
    topology: Topology,
    n_instances: u32,
    arrivals: Arrivals,
    users: NonZeroU32,
    length: Duration,
    /// What settings that depend on the load are told.
    rate_per_sec: f64,
    /// Over what PostgreSQL is reached, when not directly.
    link: Option<&'a NarrowLink>,
}

/// What a saturating burst showed.
struct Burst {
    throughput_per_sec: f64,
    bottleneck: Bottleneck,
}

impl Bench<'_> {
    async fn measure(&self, numbers: &[u32], progress: &Progress) -> Result<Calibration> {
        let mut best: Option<(u32, Burst)> = None;
        let mut db_capacities = Vec::new();
        for &n in numbers {
            let burst = self.burst(Topology::Single, n, CacheMode::Bypass).await?;
            db_capacities.push(burst.throughput_per_sec);
            best = match best {
                Some(best) if burst.throughput_per_sec <= best.1.throughput_per_sec => Some(best),
                Some(_) | None => Some((n, burst)),
            };
        }
        let (n_best, probe) = best.context("there is one number of instances at least")?;
        if self.selection.load == OfferedLoad::Factors {
            probe.bottleneck.check()?;
        }
        let db_capacity_per_sec = self.confirm(n_best, probe.throughput_per_sec).await?;
        let mut control = Vec::new();
        for (&n_instances, db_capacity_per_sec) in numbers.iter().zip(db_capacities) {
            let warm = self.burst(Topology::Single, n_instances, CacheMode::Normal).await?;
            let warm_capacity_per_sec = warm.throughput_per_sec;
            let point = ControlPoint { n_instances, warm_capacity_per_sec, db_capacity_per_sec };
            if 1 < numbers.len() {
                progress.say(&format!(
                    "calibration: {n_instances} instances carry {warm_capacity_per_sec:.0} \
                     requests/s with a warm cache, {db_capacity_per_sec:.0}/s without"
                ));
            }
            control.push(point);
        }
        let warm_capacity_per_sec = control[0].warm_capacity_per_sec;
        if numbers.len() == 1 {
            control.clear();
        }
        let probe_per_sec = probe.throughput_per_sec;
        let topologies = self.compare_topologies((n_best, probe_per_sec), progress).await?;
        let database_bytes_per_request = if self.selection.has_network() {
            Some(self.bytes_per_request(n_best, db_capacity_per_sec).await?)
        } else {
            None
        };
        Ok(Calibration {
            db_capacity_per_sec,
            warm_capacity_per_sec,
            probe_per_sec,
            control,
            topologies,
            database_bytes_per_request,
        })
    }

    /// What the database carries in each topology that is compared, with as many instances as C was
    /// measured with and in the same kind of burst; `single` is their number and what that showed
    /// without a replica.
    async fn compare_topologies(
        &self,
        single: (u32, f64),
        progress: &Progress,
    ) -> Result<Vec<TopologyPoint>> {
        let (n_instances, single_per_sec) = single;
        let mut points = Vec::new();
        for topology in self.selection.compared_topologies() {
            let db_capacity_per_sec = match topology.has_database_replica() {
                false => single_per_sec,
                true => {
                    let burst = self.burst(topology, n_instances, CacheMode::Bypass).await?;
                    burst.throughput_per_sec
                }
            };
            progress.say(&format!(
                "calibration: the database of topology {topology} carries \
                 {db_capacity_per_sec:.0} requests/s without the cache"
            ));
            points.push(TopologyPoint { topology, db_capacity_per_sec });
        }
        Ok(points)
    }

    /// Every user sends its next request at once.
    async fn burst(&self, topology: Topology, n_instances: u32, cache: CacheMode) -> Result<Burst> {
        let users = match cache {
            CacheMode::Normal if 1 < self.selection.numbers_of_instances().len() => {
                WARM_USERS_PER_INSTANCE * n_instances
            }
            CacheMode::Normal | CacheMode::Bypass => BURST_USERS,
        };
        let shot = Shot {
            cache,
            topology,
            n_instances,
            arrivals: Arrivals::Saturate { rate_max: PerSec::new(BURST_RATE_MAX)? },
            users: NonZeroU32::new(users).context("there is an instance at least")?,
            length: BURST,
            rate_per_sec: BURST_RATE_MAX,
            link: None,
        };
        let (samples, bottleneck) = self.observe(&shot).await?;
        let throughput_per_sec = throughput_per_sec(&samples, BURST_SETTLE, BURST);
        Ok(Burst { throughput_per_sec, bottleneck })
    }

    /// Lowers `rate` until one of its open-loop runs sustains it.
    async fn confirm(&self, n_instances: u32, mut rate: f64) -> Result<f64> {
        for _ in 0..STEPS_MAX {
            let shot = self.open_loop(n_instances, rate)?;
            for _ in 0..TRIES {
                let (samples, _) = self.observe(&shot).await?;
                if is_sustained(&samples, self.selection.campaign.slo.deadline) {
                    return Ok(rate);
                }
            }
            rate *= STEP_DOWN;
        }
        bail!("calibration: the database sustains no steady rate on this machine; is it busy?")
    }

    /// Bytes of the database's answers for each request, with the cache bypassed, on the way that the
    /// variants with a network have too.
    async fn bytes_per_request(&self, n_instances: u32, db_capacity_per_sec: f64) -> Result<f64> {
        let link = NarrowLink::start(self.session.stack.postgres_addr(), PerSec::new(WIDE)?)?;
        let shot = Shot {
            link: Some(&link),
            ..self.open_loop(n_instances, COUNTED_LOAD * db_capacity_per_sec)?
        };
        let (samples, _) = self.observe(&shot).await?;
        let n_answered = samples.iter().filter(|it| it.outcome == Outcome::Success).count();
        if n_answered == 0 {
            bail!("calibration: no request was answered over the link whose bytes are counted");
        }
        Ok(link.n_bytes_to_clients() as f64 / n_answered as f64)
    }

    /// A run at `rate` with the cache bypassed.
    fn open_loop(&self, n_instances: u32, rate: f64) -> Result<Shot<'static>> {
        Ok(Shot {
            cache: CacheMode::Bypass,
            topology: Topology::Single,
            n_instances,
            arrivals: Arrivals::Poisson { rate: PerSec::new(rate)? },
            users: load::users_for(rate, self.selection.campaign.give_up_after()),
            length: CONFIRM,
            rate_per_sec: rate,
            link: None,
        })
    }

    async fn observe(&self, shot: &Shot<'_>) -> Result<(Vec<RequestSample>, Bottleneck)> {
        let campaign = &self.selection.campaign;
        let setup = TargetSetup {
            campaign,
            settings: Settings { cache: shot.cache, ..self.base.clone() },
            topology: shot.topology,
            db_capacity_per_sec: None,
            arrival_rate_per_sec: shot.rate_per_sec,
            seed: campaign.seed,
        };
        let usual = setup.config(self.session)?;
        let servers = Servers { topology: shot.topology, ..Servers::default() };
        self.session.reset(servers, &usual, self.folder).await?;
        let config = reached_over(shot.link, usual);
        let instances =
            Instances::start(self.session, &config, self.folder, shot.n_instances).await?;
        let arrivals = (shot.arrivals, shot.users, shot.length);
        let plan = load::plan(campaign, &instances, arrivals, campaign.seed);
        let mut load = Load::start(self.session, &plan, self.folder).await?;
        let before = self.cpu_seconds(&instances, &load);
        let start = super::timeline::Origin::in_future(Duration::from_millis(100));
        load.start_at(start.monotonic).await?;
        start.wait(shot.length).await;
        let after = self.cpu_seconds(&instances, &load);
        load.finish(campaign.give_up_after() + Duration::from_secs(10)).await?;
        instances.stop().await?;
        let bytes = std::fs::read(self.folder.join(SAMPLES_FILE))
            .context("read the calibration's samples")?;
        let samples = sample::decode_file(&bytes).context("decode the calibration's samples")?;
        let bottleneck = Bottleneck::new(before, after, shot.length, self.cores(shot.topology));
        Ok((samples, bottleneck))
    }

    /// Cores of the database and of all else. Two servers have a quota each and one core.
    fn cores(&self, topology: Topology) -> (f64, f64) {
        let quota = self.selection.campaign.database.cpu_quota.map_or(1.0, Ratio::get);
        let n_servers = if topology.has_database_replica() { 2.0 } else { 1.0 };
        ((n_servers * quota).min(1.0), self.session.cpus.others.len().max(1) as f64)
    }

    /// CPU time of the database and of all else, in seconds of one core.
    fn cpu_seconds(&self, instances: &Instances<'_>, load: &Load) -> (f64, f64) {
        let read = |pid: Option<u32>| pid.and_then(tree_cpu_seconds).unwrap_or(0.0);
        let stack = &self.session.stack;
        let service = instances.running().into_iter().map(|it| Some(it.target.child.pid()));
        let others = service.chain([Some(load.child.pid()), stack.redis_pid()]);
        let databases = stack.postgres_pids().into_iter().map(Some);
        (databases.map(read).sum(), others.map(read).sum())
    }
}
