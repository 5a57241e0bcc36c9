//! The instances of the service in one trial: those that run, and those that are yet to be started.

use std::{
    future::{pending, poll_fn},
    net::SocketAddr,
    path::{Path, PathBuf},
    pin::pin,
    sync::Arc,
    task::Poll,
};

use anyhow::{Context, Result, bail};
use lab_core::{clock::MonotonicNs, target::TargetConfig};
use tokio::sync::watch;

use super::{session::Session, target::Target};

/// An instance that runs, and since when.
#[derive(Debug, Clone)]
pub(crate) struct Instance {
    /// Which one, from 1.
    pub(crate) number: u32,
    /// When it was started.
    pub(crate) started_at: MonotonicNs,
    /// Its process and its HTTP surface.
    pub(crate) target: Arc<Target>,
}

impl Instance {
    /// Where its users reach it.
    pub(crate) fn address(&self) -> SocketAddr {
        self.target.config().listen
    }
}

/// All instances of a trial. They are started in the order of their numbers and run to its end.
pub(crate) struct Instances<'a> {
    session: &'a Session,
    /// What the first is started with.
    config: TargetConfig,
    folder: PathBuf,
    running: watch::Sender<Vec<Instance>>,
}

impl<'a> Instances<'a> {
    /// Starts `n` instances in `folder`, the first with `config`, and waits until all are ready.
    ///
    /// **Errors**: one ends before it is ready, or is not ready in time.
    pub(crate) async fn start(
        session: &'a Session,
        config: &TargetConfig,
        folder: &Path,
        n: u32,
    ) -> Result<Self> {
        let (running, _) = watch::channel(Vec::new());
        let (config, folder) = (config.clone(), folder.to_owned());
        let instances = Self { session, config, folder, running };
        for _ in 0..n {
            instances.launch()?;
        }
        for instance in instances.running() {
            instance.target.wait_until_ready().await?;
        }
        Ok(instances)
    }

    /// Starts the next one and does not wait until it is ready.
    ///
    /// **Errors**: the program or its files cannot be opened, or the session has no more places.
    pub(crate) fn launch(&self) -> Result<Instance> {
        let place = self.running.borrow().len();
        let number = u32::try_from(place + 1).context("count the instances")?;
        let Some(seat) = self.session.seats.get(place) else {
            bail!("instance {number} of {}", self.session.seats.len());
        };
        let config = TargetConfig {
            listen: seat.target,
            internal_listen: seat.internal,
            ..self.config.clone()
        };
        let folder = folder_of(&self.folder, number);
        std::fs::create_dir_all(folder.join("raw"))
            .with_context(|| format!("create {}", folder.display()))?;
        let target = Target::launch(self.session, &config, &folder, seat.cpu_group())?;
        let started_at = MonotonicNs::now();
        let instance = Instance { number, started_at, target: Arc::new(target) };
        self.running.send_modify(|it| it.push(instance.clone()));
        Ok(instance)
    }

    /// Those that run, in the order of their numbers.
    pub(crate) fn running(&self) -> Vec<Instance> {
        self.running.borrow().clone()
    }

    /// The same, told whenever one was started.
    pub(crate) fn watch(&self) -> watch::Receiver<Vec<Instance>> {
        self.running.subscribe()
    }

    /// What the first is started with.
    pub(crate) fn config(&self) -> &TargetConfig {
        &self.config
    }

    /// Waits until one has ended, which nobody asked for, and says which and how.
    ///
    /// **Errors**: its exit status cannot be read.
    pub(crate) async fn died(&self) -> Result<String> {
        let mut watch = self.watch();
        loop {
            let running = watch.borrow_and_update().clone();
            tokio::select! {
                (number, ended) = first_end(&running) => {
                    return Ok(format!("{}: {}", name_of(number), ended?));
                }
                changed = watch.changed() => if changed.is_err() { pending::<()>().await },
            }
        }
    }

    /// Statements that all of them sent and PostgreSQL carried out: those that it counts too.
    ///
    /// **Errors**: one does not answer.
    pub(crate) async fn n_queries(&self) -> Result<u64> {
        let mut sum = 0;
        for instance in self.running() {
            let sample = instance.target.control.sample().await?;
            sum += sample.queries_total.saturating_sub(sample.queries_failed_total);
        }
        Ok(sum)
    }

    /// Asks all to end, and ends those that do not.
    pub(crate) async fn stop(&self) -> Result<()> {
        for instance in self.running() {
            instance.target.stop().await?;
        }
        Ok(())
    }
}

/// Waits for the first end among `running`; for ever when there is none.
async fn first_end(running: &[Instance]) -> (u32, std::io::Result<std::process::ExitStatus>) {
    let ends = running.iter().map(|it| async { (it.number, it.target.child.wait().await) });
    let mut ends: Vec<_> = ends.map(Box::pin).collect();
    let mut first = pin!(poll_fn(move |context| {
        let ended = ends.iter_mut().find_map(|end| match end.as_mut().poll(context) {
            Poll::Ready(ended) => Some(ended),
            Poll::Pending => None,
        });
        ended.map_or(Poll::Pending, Poll::Ready)
    }));
    first.as_mut().await
}

/// What artifacts call the instance: the first is the storefront.
pub(crate) fn name_of(number: u32) -> String {
    match number {
        1 => "storefront".to_owned(),
        number => format!("storefront-{number}"),
    }
}

/// Where an instance is started: the first in the trial's folder itself.
pub(crate) fn folder_of(trial: &Path, number: u32) -> PathBuf {
    match number {
        1 => trial.to_owned(),
        number => trial.join(format!("raw/instance-{number}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_instance_has_the_name_and_folder_of_the_only_one() {
        let trial = Path::new("trial-000");
        assert_eq!((name_of(1).as_str(), folder_of(trial, 1).as_path()), ("storefront", trial));
        assert_eq!(name_of(2), "storefront-2");
        assert_eq!(folder_of(trial, 2), Path::new("trial-000/raw/instance-2"));
    }
}
