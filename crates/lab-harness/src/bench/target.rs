//! The service under test: its configuration, its commands and its process.

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::{Context, Result, bail};
use lab_core::{
    scenario::{Campaign, Topology},
    seed::Seed,
    settings::Settings,
    target::{TargetConfig, TargetEvent},
    units::{PerSec, Ratio},
};

use super::{control::Control, results::write_json, session::Session};
use crate::{
    process::{Child, ChildSpec, spec::Priority},
    stack::postgres,
    wire::NarrowLink,
};

/// Longest time from the start of the service to its first ready answer.
pub(crate) const READY_TIMEOUT: Duration = Duration::from_secs(20);
/// Longest time for `seed` or `reset`.
const COMMAND_TIMEOUT: Duration = Duration::from_secs(120);
/// Where the service writes its events, below the folder it is started in.
pub(crate) const EVENTS_FILE: &str = "storefront-events.log";
/// Where the service keeps what it must not lose, below the same folder. Not committed.
const STATE_FOLDER: &str = "raw/state";
/// What the service is started with, below the same folder.
const CONFIG_FILE: &str = "raw/target.json";
/// Time between the request to end and the kill.
const GRACE: Duration = Duration::from_secs(5);

/// What differs between the trials of a run, as the service sees it.
#[derive(Debug, Clone)]
pub(crate) struct TargetSetup<'a> {
    /// The campaign.
    pub(crate) campaign: &'a Campaign,
    /// The variant's settings.
    pub(crate) settings: Settings,
    /// The servers that it runs on.
    pub(crate) topology: Topology,
    /// C in requests per second, for settings that are shares of it.
    pub(crate) db_capacity_per_sec: Option<f64>,
    /// Scheduled arrivals per second.
    pub(crate) arrival_rate_per_sec: f64,
    /// The trial's seed.
    pub(crate) seed: Seed,
}

impl TargetSetup<'_> {
    /// Everything the service is started with.
    ///
    /// **Errors**: a share of the capacity is set and the capacity is not known.
    pub(crate) fn config(&self, session: &Session) -> Result<TargetConfig> {
        let pool_size =
            self.settings.database.pool_size.unwrap_or(self.campaign.database.pool_size);
        Ok(TargetConfig {
            listen: session.seats[0].target,
            internal_listen: session.seats[0].internal,
            internal_token: session.internal_token.clone(),
            redis: session.stack.redis_group().location(),
            registers: false,
            database_url: session.stack.target_url(),
            replica_url: session.stack.replica_target_url(self.topology),
            pool_size,
            worker_threads: self.campaign.service.worker_threads,
            catalogue: self.campaign.catalogue.clone(),
            cache: self.campaign.cache.clone(),
            seed: self.seed,
            settings: resolve_shares(&self.settings, self.db_capacity_per_sec)?,
            events_path: EVENTS_FILE.into(),
            state_path: STATE_FOLDER.into(),
            cached_reads_per_sec: self.arrival_rate_per_sec * self.campaign.mix.cached_ratio(),
            zipf_exponent: self.campaign.zipf_exponent,
        })
    }
}

/// The same service with PostgreSQL reached over `link`, where there is one.
pub(crate) fn reached_over(link: Option<&NarrowLink>, usual: TargetConfig) -> TargetConfig {
    match link {
        Some(link) => TargetConfig { database_url: postgres::target_url(link.address()), ..usual },
        None => usual,
    }
}

/// Turns shares of C into rates. **Errors**: C is not known.
fn resolve_shares(settings: &Settings, db_capacity_per_sec: Option<f64>) -> Result<Settings> {
    let mut settings = settings.clone();
    for share in shares(&mut settings) {
        let Some(ratio) = share.ratio.take() else { continue };
        let capacity = db_capacity_per_sec
            .with_context(|| format!("settings.{} needs a calibrated capacity", share.key))?;
        *share.rate = Some(PerSec::new(ratio.get() * capacity)?);
    }
    Ok(settings)
}

/// Whether any of `settings` needs the calibrated capacity. What is off may be switched on later.
pub(crate) fn needs_capacity(settings: &Settings) -> bool {
    shares(&mut settings.clone()).iter().any(|share| share.ratio.is_some())
}

/// A setting that may be given as a share of C.
struct Share<'a> {
    key: &'static str,
    ratio: &'a mut Option<Ratio>,
    /// What it becomes, per second.
    rate: &'a mut Option<PerSec>,
}

/// The shares of every mitigation, also of those that are off: an operator may switch them on.
fn shares(settings: &mut Settings) -> [Share<'_>; 2] {
    let (limit, refill) = (&mut settings.rate_limit, &mut settings.paced_refill);
    let rate_limit = Share {
        key: "rate_limit.capacity_ratio",
        ratio: &mut limit.capacity_ratio,
        rate: &mut limit.permits_per_sec,
    };
    let paced_refill = Share {
        key: "paced_refill.capacity_ratio",
        ratio: &mut refill.capacity_ratio,
        rate: &mut refill.fills_per_sec,
    };
    [rate_limit, paced_refill]
}

/// A running service.
#[derive(Debug)]
pub(crate) struct Target {
    /// Its process.
    pub(crate) child: Child,
    /// Its HTTP surface.
    pub(crate) control: Control,
    config: TargetConfig,
    log: PathBuf,
}

impl Target {
    /// Starts the service in `folder` and in `cpu_group`, and does not wait until it is ready.
    ///
    /// **Errors**: the program or its files cannot be opened.
    pub(crate) fn launch(
        session: &Session,
        config: &TargetConfig,
        folder: &Path,
        cpu_group: Option<PathBuf>,
    ) -> Result<Self> {
        let log = folder.join("storefront.log");
        write_json(&folder.join(CONFIG_FILE), config)?;
        let spec = ChildSpec { cpu_group, ..command(session, "serve", folder, &log) };
        let child = session.spawner.spawn(spec)?;
        Ok(Self { child, control: Control::new(config)?, config: config.clone(), log })
    }

    /// Waits until the service is ready.
    ///
    /// **Errors**: it ends before it is ready, or is not ready after 20 s; its last line is quoted.
    pub(crate) async fn wait_until_ready(&self) -> Result<()> {
        let control = self.control.clone();
        let ready = async {
            while !control.is_ready().await {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        tokio::select! {
            () = ready => Ok(()),
            status = self.child.wait() => bail!("the storefront ended before it was ready ({}): {}", status?, last_line(&self.log)),
            () = tokio::time::sleep(READY_TIMEOUT) => bail!("the storefront was not ready after {READY_TIMEOUT:?}: {}", last_line(&self.log)),
        }
    }

    /// What the service was started with.
    pub(crate) fn config(&self) -> &TargetConfig {
        &self.config
    }

    /// Asks the service to end, and ends it after 5 s if it does not.
    pub(crate) async fn stop(&self) -> Result<()> {
        self.child.terminate(GRACE).await?;
        Ok(())
    }
}

/// What the service wrote to its event file, in order. A last line cut short is left out.
pub(crate) fn read_events(path: &Path) -> Result<Vec<TargetEvent>> {
    let text = match std::fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error).with_context(|| format!("read {}", path.display())),
    };
    Ok(text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect())
}

/// Runs `storefront seed` or `storefront reset` to its end.
///
/// **Errors**: it fails or takes longer than 2 minutes; its last line is quoted.
pub(crate) async fn run_command(
    session: &Session,
    verb: &'static str,
    config: &TargetConfig,
    folder: &Path,
) -> Result<()> {
    let log = folder.join(format!("storefront-{verb}.log"));
    write_json(&folder.join(CONFIG_FILE), config)?;
    let child = session.spawner.spawn(command(session, verb, folder, &log))?;
    let status = tokio::time::timeout(COMMAND_TIMEOUT, child.wait())
        .await
        .with_context(|| format!("storefront {verb} took longer than {COMMAND_TIMEOUT:?}"))??;
    if status.success() {
        return Ok(());
    }
    bail!("storefront {verb} failed ({status}): {}", last_line(&log))
}

/// The last line of a log that says anything.
pub(crate) fn last_line(log: &Path) -> String {
    let text = std::fs::read_to_string(log).unwrap_or_default();
    text.lines().rfind(|line| !line.trim().is_empty()).unwrap_or("no output").to_owned()
}

/// The service in `folder`, so that no file of a result holds a path of this machine.
fn command(session: &Session, verb: &str, folder: &Path, log: &Path) -> ChildSpec {
    ChildSpec {
        name: format!("storefront-{verb}"),
        args: vec![verb.into(), "--config".into(), CONFIG_FILE.into()],
        cwd: Some(folder.to_owned()),
        priority: Priority::UnderTest,
        cpus: session.cpus.others.clone(),
        ..ChildSpec::logged(&session.binaries.storefront, log)
    }
}

#[cfg(test)]
mod tests {
    use lab_core::settings::{Mode, PacedRefillSettings, RateLimitSettings};

    use super::*;

    fn limited(mode: Mode) -> Settings {
        let rate_limit = RateLimitSettings {
            mode,
            capacity_ratio: Some(Ratio::new(0.8).unwrap()),
            ..RateLimitSettings::default()
        };
        Settings { rate_limit, ..Settings::default() }
    }

    // Worked by hand: 0.8 of 400 requests per second is 320.
    #[test]
    fn a_share_of_the_capacity_becomes_a_rate() {
        let resolved = resolve_shares(&limited(Mode::Enforce), Some(400.0)).unwrap();
        assert_eq!(resolved.rate_limit.permits_per_sec.map(PerSec::get), Some(320.0));
        assert_eq!(resolved.rate_limit.capacity_ratio, None);
        resolved.validate().unwrap();
    }

    fn paced(mode: Mode) -> Settings {
        let paced_refill = PacedRefillSettings {
            mode,
            capacity_ratio: Some(Ratio::new(0.5).unwrap()),
            ..PacedRefillSettings::default()
        };
        Settings { paced_refill, ..Settings::default() }
    }

    // Worked by hand: 0.5 of 400 requests per second is 200.
    #[test]
    fn a_refill_paced_by_a_share_of_the_capacity_gets_its_rate() {
        let resolved = resolve_shares(&paced(Mode::Observe), Some(400.0)).unwrap();
        assert_eq!(resolved.paced_refill.fills_per_sec.map(PerSec::get), Some(200.0));
        resolved.validate().unwrap();
    }

    #[test]
    fn a_share_of_an_unknown_capacity_is_refused() {
        for (settings, key) in [
            (limited as fn(Mode) -> Settings, "rate_limit.capacity_ratio"),
            (paced, "paced_refill.capacity_ratio"),
        ] {
            for mode in [Mode::Enforce, Mode::Off] {
                assert!(needs_capacity(&settings(mode)), "an operator may switch it on");
                let error = resolve_shares(&settings(mode), None).unwrap_err().to_string();
                assert!(error.contains(key), "{error}");
            }
        }
        assert!(!needs_capacity(&Settings::default()));
    }
}
