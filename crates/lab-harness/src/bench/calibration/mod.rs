//! Calibration: what the database and the whole stack carry on this machine.
//!
//! C is the number of requests of the whole mix per second that the database sustains with the
//! cache bypassed, on `bounded-timeouts`, 99 % of them within the deadline. Load is offered in
//! multiples of it, which makes results portable between machines.
//!
//! A saturating burst gives a first value; an open-loop run at that rate has to confirm it.

mod estimate;
mod store;

use std::{num::NonZeroU32, path::Path, time::Duration};

use anyhow::{Context, Result, bail};
use lab_core::{
    artifact::manifest::Calibration,
    load_plan::Arrivals,
    sample::{self, RequestSample},
    scenario::ResolvedVariant,
    settings::{CacheMode, Settings},
    units::{PerSec, Ratio},
};

use self::{
    estimate::{Bottleneck, drifted, is_sustained, throughput_per_sec},
    store::Store,
};
use super::{
    load::{self, Load, SAMPLES_FILE},
    progress::Progress,
    results::remove_if_there,
    selection::{OfferedLoad, Selection},
    session::Session,
    target::{Target, TargetSetup},
};
use crate::machine::cpu_time::tree_cpu_seconds;

/// Users of a saturating burst: twice the usual pool, so that the pool is never idle and the wait
/// for it stays far below any timeout.
const BURST_USERS: u32 = 40;
/// Length of a saturating burst, the first second of which is not counted.
const BURST: Duration = Duration::from_secs(5);
/// What of a burst is not counted: connections and statements are made ready.
const BURST_SETTLE: Duration = Duration::from_secs(1);
/// Length of the open-loop run that confirms C.
const CONFIRM: Duration = Duration::from_secs(4);
/// C is lowered by this factor when the open-loop run does not sustain it.
const STEP_DOWN: f64 = 0.93;
/// Lowered at most this often.
const STEPS_MAX: u32 = 5;
/// Far above any capacity of one core.
const BURST_RATE_MAX: f64 = 50_000.0;
/// Warm capacity must be at least this multiple of the offered rate.
pub(crate) const WARM_RESERVE: f64 = 1.4;

/// The capacities of this machine and stack: known ones when a burst shows no drift, else measured.
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
    let mut bench =
        Bench { session, selection, settings: bypassed(&base.settings), folder: &folder };
    let store = Store::open(&bench.session.environment, &selection.campaign, &base.settings);
    let burst = bench.burst().await?;
    let probe_per_sec = throughput_per_sec(&burst.samples, BURST_SETTLE, BURST);
    if let Some(known) = store.load()
        && !recalibrate
        && !drifted(known.probe_per_sec, probe_per_sec)
    {
        progress.say(&format!("calibration: known, {}", shown(&known)));
        return Ok(known);
    }
    if selection.load == OfferedLoad::Factors {
        burst.bottleneck.check()?;
    }
    let db_capacity_per_sec = bench.confirm(probe_per_sec).await?;
    bench.settings = base.settings.clone();
    let warm = bench.burst().await?;
    let warm_capacity_per_sec = throughput_per_sec(&warm.samples, BURST_SETTLE, BURST);
    let measured = Calibration { db_capacity_per_sec, warm_capacity_per_sec, probe_per_sec };
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
    format!(
        "the database carries {:.0} requests/s without the cache (C), the whole stack {:.0}/s with it",
        calibration.db_capacity_per_sec, calibration.warm_capacity_per_sec
    )
}

fn bypassed(settings: &Settings) -> Settings {
    Settings { cache: CacheMode::Bypass, ..settings.clone() }
}

/// A stack with a service to be measured.
struct Bench<'a> {
    session: &'a Session,
    selection: &'a Selection,
    settings: Settings,
    folder: &'a Path,
}

/// What a short run showed.
struct Observed {
    samples: Vec<RequestSample>,
    bottleneck: Bottleneck,
}

impl Bench<'_> {
    /// Every user sends its next request at once.
    async fn burst(&self) -> Result<Observed> {
        let arrivals = Arrivals::Saturate { rate_max: PerSec::new(BURST_RATE_MAX)? };
        let users = NonZeroU32::new(BURST_USERS).expect("40 is not 0");
        self.observe(arrivals, users, BURST, BURST_RATE_MAX).await
    }

    /// Lowers `rate` until an open-loop run sustains it.
    async fn confirm(&self, mut rate: f64) -> Result<f64> {
        let deadline = self.selection.campaign.slo.deadline;
        for _ in 0..STEPS_MAX {
            let users = load::users_for(rate, self.selection.campaign.give_up_after());
            let arrivals = Arrivals::Poisson { rate: PerSec::new(rate)? };
            let observed = self.observe(arrivals, users, CONFIRM, rate).await?;
            if is_sustained(&observed.samples, deadline) {
                return Ok(rate);
            }
            rate *= STEP_DOWN;
        }
        bail!("calibration: the database sustains no steady rate on this machine; is it busy?")
    }

    async fn observe(
        &self,
        arrivals: Arrivals,
        users: NonZeroU32,
        length: Duration,
        rate: f64,
    ) -> Result<Observed> {
        let campaign = &self.selection.campaign;
        let setup = TargetSetup {
            campaign,
            settings: self.settings.clone(),
            db_capacity_per_sec: None,
            arrival_rate_per_sec: rate,
            seed: campaign.seed,
        };
        let config = setup.config(self.session)?;
        let arrivals = (arrivals, users, length);
        let plan = load::plan(campaign, &config, arrivals, campaign.seed);
        self.session.reset(&config, self.folder).await?;
        let target = Target::start(self.session, &config, self.folder).await?;
        let mut load = Load::start(self.session, &plan, self.folder).await?;
        let before = self.cpu_seconds(&target, &load);
        let start = super::timeline::Origin::in_future(Duration::from_millis(100));
        load.start_at(start.monotonic).await?;
        start.wait(length).await;
        let after = self.cpu_seconds(&target, &load);
        load.finish(campaign.give_up_after() + Duration::from_secs(10)).await?;
        target.stop().await?;
        let bytes = std::fs::read(self.folder.join(SAMPLES_FILE))
            .context("read the calibration's samples")?;
        let samples = sample::decode_file(&bytes).context("decode the calibration's samples")?;
        let bottleneck = Bottleneck::new(before, after, length, self.cores());
        Ok(Observed { samples, bottleneck })
    }

    /// Cores of the database and of all else.
    fn cores(&self) -> (f64, f64) {
        let quota = self.selection.campaign.database.cpu_quota;
        (quota.map_or(1.0, Ratio::get), self.session.cpus.others.len().max(1) as f64)
    }

    /// CPU time of the database and of all else, in seconds of one core.
    fn cpu_seconds(&self, target: &Target, load: &Load) -> (f64, f64) {
        let read = |pid: Option<u32>| pid.and_then(tree_cpu_seconds).unwrap_or(0.0);
        let stack = &self.session.stack;
        let others = [Some(target.child.pid()), Some(load.child.pid()), stack.redis_pid()];
        (read(stack.postgres_pid()), others.into_iter().map(read).sum())
    }
}
