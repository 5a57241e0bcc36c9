//! The load generator as a child process: start, the start signal, the end.

use std::{
    net::SocketAddr,
    num::NonZeroU32,
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::{Context, Result, anyhow, bail};
use lab_core::{
    clock::MonotonicNs,
    load_plan::{Arrivals, LoadPlan, Shard},
    scenario::Campaign,
    seed::Seed,
};
use tokio::{
    io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines},
    process::{ChildStdin, ChildStdout},
};

use super::{
    instances::{Instance, Instances},
    results::write_json,
    session::Session,
    target::last_line,
};
use crate::process::{Child, ChildSpec, spec::Priority};

/// Where the generator writes its samples, below the folder it is started in.
pub(crate) const SAMPLES_FILE: &str = "samples.bin";
/// What the generator is started with, below the same folder.
const PLAN_FILE: &str = "raw/load.json";
/// Longest time from the start of the generator until its users wait.
const READY_TIMEOUT: Duration = Duration::from_secs(30);
/// Users above rate × give-up time, so that a late one does not hold up the schedule.
const USERS_FACTOR: f64 = 1.5;
/// Users at the least: short stalls at low rates need some as well.
const USERS_MIN: u32 = 64;

/// A plan for `rate` open-loop arrivals per second.
pub(crate) fn users_for(rate_per_sec: f64, give_up_after: Duration) -> NonZeroU32 {
    let users = (rate_per_sec * give_up_after.as_secs_f64() * USERS_FACTOR).ceil();
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "`as` saturates")]
    let users = users as u32;
    NonZeroU32::new(users.max(USERS_MIN)).expect("64 is not 0")
}

/// What is told to the generator.
pub(crate) fn plan(
    campaign: &Campaign,
    instances: &Instances<'_>,
    arrivals: (Arrivals, NonZeroU32, Duration),
    seed: Seed,
) -> LoadPlan {
    let (arrivals, users, duration) = arrivals;
    let running = instances.running();
    LoadPlan {
        target: instances.config().listen,
        further_targets: running.iter().skip(1).map(Instance::address).collect(),
        seed,
        arrivals,
        duration,
        deadline: campaign.slo.deadline,
        give_up_after: campaign.give_up_after(),
        users,
        mix: campaign.mix,
        zipf_exponent: campaign.zipf_exponent,
        session_users: campaign.session_users,
        catalogue: campaign.catalogue.clone(),
        shard: Shard::WHOLE,
        samples_path: SAMPLES_FILE.into(),
    }
}

/// A generator whose users wait for the start signal, or that runs.
#[derive(Debug)]
pub(crate) struct Load {
    /// Its process.
    pub(crate) child: Child,
    lines: Lines<BufReader<ChildStdout>>,
    log: PathBuf,
}

impl Load {
    /// Starts the generator and waits until its users do.
    ///
    /// **Errors**: it ends or is not ready after 30 s; its last line is quoted.
    pub(crate) async fn start(session: &Session, plan: &LoadPlan, folder: &Path) -> Result<Self> {
        let log = folder.join("load.log");
        write_json(&folder.join(PLAN_FILE), plan)?;
        let spec = ChildSpec {
            args: vec!["run".into(), "--plan".into(), PLAN_FILE.into()],
            cwd: Some(folder.to_owned()),
            cpus: session.cpus.others.clone(),
            priority: Priority::OnTime,
            piped: true,
            ..ChildSpec::logged(&session.binaries.lab_load, &log)
        };
        let mut child = session.spawner.spawn(spec)?;
        let stdout = child.take_stdout().context("read from the generator")?;
        let mut load = Self { child, lines: BufReader::new(stdout).lines(), log };
        let first = tokio::time::timeout(READY_TIMEOUT, load.lines.next_line()).await;
        match first.context("the generator was not ready after 30 s")?? {
            Some(line) if line == "ready" => Ok(load),
            Some(line) => bail!("the generator said `{line}` instead of `ready`"),
            None => bail!("the generator ended before it was ready: {}", last_line(&load.log)),
        }
    }

    /// Gives the start signal, and returns what tells the generator of other instances. Without it
    /// the list of the plan stays. **Errors**: the generator is gone.
    pub(crate) async fn start_at(&mut self, start: MonotonicNs) -> Result<TargetList> {
        let mut stdin = self.child.take_stdin().context("write to the generator")?;
        let line = format!("start {}\n", start.0);
        stdin.write_all(line.as_bytes()).await.context("give the generator its start signal")?;
        stdin.flush().await.context("give the generator its start signal")?;
        Ok(TargetList { stdin })
    }

    /// Waits for a generator that ends in failure; for ever if it ends well.
    pub(crate) async fn failed(&self) -> anyhow::Error {
        match self.child.wait().await {
            Ok(status) if status.success() => std::future::pending().await,
            Ok(status) => anyhow!("the generator failed ({status}): {}", last_line(&self.log)),
            Err(error) => error.into(),
        }
    }

    /// Waits until the generator has recorded every outcome and ended; returns how many arrivals
    /// it says the schedule held.
    ///
    /// **Errors**: it fails, does not say how many, or takes longer than `most`.
    pub(crate) async fn finish(&mut self, most: Duration) -> Result<u64> {
        let status = tokio::time::timeout(most, self.child.wait())
            .await
            .with_context(|| format!("the generator did not end within {most:?}"))??;
        if !status.success() {
            bail!("the generator failed ({status}): {}", last_line(&self.log));
        }
        let line = self.lines.next_line().await.context("read from the generator")?;
        let count = line.as_deref().and_then(|line| line.strip_prefix("scheduled "));
        let count = count.and_then(|text| text.parse().ok());
        count.with_context(|| format!("the generator said {line:?} instead of its count"))
    }
}

/// The list of instances that a running generator spreads its arrivals over.
#[derive(Debug)]
pub(crate) struct TargetList {
    stdin: ChildStdin,
}

impl TargetList {
    /// Makes `addresses` the list, from the next arrival on. **Errors**: the generator is gone.
    pub(crate) async fn set(&mut self, addresses: &[SocketAddr]) -> Result<()> {
        let addresses: Vec<String> = addresses.iter().map(ToString::to_string).collect();
        let line = format!("targets {}\n", addresses.join(","));
        self.stdin.write_all(line.as_bytes()).await.context("tell the generator its targets")?;
        self.stdin.flush().await.context("tell the generator its targets")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // Design section 6: at least 1.5 x rate x give-up time. 1.5 x 600 x 1 = 900.
    #[test]
    fn users_follow_from_rate_and_give_up_time() {
        assert_eq!(users_for(600.0, Duration::from_secs(1)).get(), 900);
        assert_eq!(users_for(600.1, Duration::from_secs(1)).get(), 901);
        assert_eq!(users_for(10.0, Duration::from_secs(1)).get(), USERS_MIN);
    }
}
