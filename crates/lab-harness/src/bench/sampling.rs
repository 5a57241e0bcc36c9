//! Samplers: connection demand, PostgreSQL's backends and how far its replica is behind, and CPU
//! time, while a trial runs.
//!
//! Each writes one JSON line per sample on the trial's time axis. A sampler that misses a beat
//! goes on with the next one; what it could not read is left out, never made up, and the analysis
//! calls a trial invalid in which too much is left out.

use std::{
    fs::File,
    io::{BufWriter, Write},
    path::Path,
    time::Duration,
};

use anyhow::{Context, Result};
use lab_core::{
    artifact::raw::{
        CPU_FILE, CPU_PERIOD, CpuLine, DATABASE_FILE, DATABASE_PERIOD, DatabaseLine, SERVICE_FILE,
        SERVICE_PERIOD, ServiceLine,
    },
    clock::MonotonicNs,
};
use serde::Serialize;
use tokio::{
    sync::{
        mpsc::{UnboundedSender, unbounded_channel},
        watch,
    },
    task::JoinSet,
    time::{MissedTickBehavior, interval},
};

use super::{database::Admin, instances::Instance};
use crate::machine::cpu_time::tree_cpu_seconds;

/// Process ids of the components beside the service; Redis' change when it is restarted.
#[derive(Debug, Clone, Default)]
pub(crate) struct Pids {
    /// The first process of every PostgreSQL.
    pub(crate) postgres: Vec<u32>,
    /// All servers of Redis; empty while they are not all there.
    pub(crate) redis: Vec<u32>,
    /// The load generator.
    pub(crate) load: Option<u32>,
}

/// Runs all samplers until `stop` says true, and writes below `trial`.
///
/// **Errors**: a file that cannot be written; a component that does not answer is no error.
/// **Cancellation**: dropping the future ends the sampling; lines written so far stay.
pub(crate) async fn sample_until(
    stop: watch::Receiver<bool>,
    pids: watch::Receiver<Pids>,
    origin: MonotonicNs,
    sources: (watch::Receiver<Vec<Instance>>, Admin),
    trial: &Path,
) -> Result<()> {
    let (instances, admin) = sources;
    let at_ms = move || to_ms(MonotonicNs::now().since(origin));
    let mut service = LineFile::create(&trial.join(SERVICE_FILE))?;
    let mut database = LineFile::create(&trial.join(DATABASE_FILE))?;
    let mut cpu = LineFile::create(&trial.join(CPU_FILE))?;
    let (tell, mut told) = unbounded_channel();
    let service_loop = async {
        // Each has a beat of its own, so that one that answers slowly does not hold up the others.
        let sampled = sample_each(instances.clone(), stop.clone(), origin, tell);
        let written = async {
            while let Some(line) = told.recv().await {
                service.append(&line)?;
            }
            service.close()
        };
        tokio::join!(sampled, written).1
    };
    let database_loop = async {
        let mut beat = Beat::new(DATABASE_PERIOD, stop.clone());
        while beat.next().await {
            if let Ok((backends, replication_lag)) =
                tokio::try_join!(admin.backends(), admin.replication_lag())
            {
                database.append(&DatabaseLine { at_ms: at_ms(), backends, replication_lag })?;
            }
        }
        database.close()
    };
    let cpu_loop = async {
        let mut beat = Beat::new(CPU_PERIOD, stop.clone());
        while beat.next().await {
            let line = read_cpu(at_ms(), &pids.borrow(), &instances.borrow());
            cpu.append(&line)?;
        }
        cpu.close()
    };
    tokio::try_join!(service_loop, database_loop, cpu_loop)?;
    Ok(())
}

/// Samples each instance from when it is started until `stop` says true.
async fn sample_each(
    mut instances: watch::Receiver<Vec<Instance>>,
    mut stop: watch::Receiver<bool>,
    origin: MonotonicNs,
    tell: UnboundedSender<ServiceLine>,
) {
    let mut samplers = JoinSet::new();
    loop {
        let running = instances.borrow_and_update().clone();
        for instance in running.into_iter().skip(samplers.len()) {
            samplers.spawn(sample_one(instance, stop.clone(), origin, tell.clone()));
        }
        tokio::select! {
            changed = instances.changed() => if changed.is_err() { break },
            _ = stop.wait_for(|stop| *stop) => break,
        }
    }
    drop(tell);
    while samplers.join_next().await.is_some() {}
}

async fn sample_one(
    instance: Instance,
    stop: watch::Receiver<bool>,
    origin: MonotonicNs,
    tell: UnboundedSender<ServiceLine>,
) {
    let at_ms = |at: MonotonicNs| to_ms(at.since(origin));
    let number = instance.number;
    // Nobody takes the lines any more when the trial is over.
    let append = |line| drop(tell.send(line));
    if origin < instance.started_at {
        append(ServiceLine::began(at_ms(instance.started_at), number));
    }
    let mut beat = Beat::new(SERVICE_PERIOD, stop);
    while beat.next().await {
        if let Ok(sample) = instance.target.control.sample().await {
            append(ServiceLine { at_ms: at_ms(MonotonicNs::now()), instance: number, sample });
        }
    }
}

/// The service's time is that of all instances; `None` when one of them cannot be read.
fn read_cpu(at_ms: f64, pids: &Pids, instances: &[Instance]) -> CpuLine {
    let read = |pid: Option<u32>| pid.and_then(tree_cpu_seconds);
    CpuLine {
        at_ms,
        storefront_cpu_s: instances.iter().map(|it| tree_cpu_seconds(it.target.child.pid())).sum(),
        postgres_cpu_s: sum_of_all(&pids.postgres),
        redis_cpu_s: sum_of_all(&pids.redis),
        load_cpu_s: read(pids.load),
    }
}

/// Processor time of several processes together. `None` while one is missing: the sum of the others
/// would be less than before.
fn sum_of_all(pids: &[u32]) -> Option<f64> {
    let seconds: Option<Vec<f64>> = pids.iter().map(|pid| tree_cpu_seconds(*pid)).collect();
    seconds.filter(|it| !it.is_empty()).map(|it| it.iter().sum())
}

/// Milliseconds of a signed number of nanoseconds.
pub(crate) fn to_ms(nanoseconds: i64) -> f64 {
    nanoseconds as f64 / 1e6
}

/// Ticks with a period until told to stop.
struct Beat {
    interval: tokio::time::Interval,
    stop: watch::Receiver<bool>,
}

impl Beat {
    fn new(period: Duration, stop: watch::Receiver<bool>) -> Self {
        let mut interval = interval(period);
        interval.set_missed_tick_behavior(MissedTickBehavior::Skip);
        Self { interval, stop }
    }

    /// Waits for the next tick; false when it is time to stop.
    async fn next(&mut self) -> bool {
        if *self.stop.borrow() {
            return false;
        }
        tokio::select! {
            _ = self.interval.tick() => true,
            // An error means that the sender is gone, which is a stop as well.
            _ = self.stop.wait_for(|stop| *stop) => false,
        }
    }
}

/// A file of JSON lines.
struct LineFile(BufWriter<File>);

impl LineFile {
    fn create(path: &Path) -> Result<Self> {
        let file = File::create(path).with_context(|| format!("create {}", path.display()))?;
        Ok(Self(BufWriter::new(file)))
    }

    fn append(&mut self, line: &impl Serialize) -> Result<()> {
        serde_json::to_writer(&mut self.0, line).context("write a sample")?;
        self.0.write_all(b"\n").context("write a sample")
    }

    fn close(&mut self) -> Result<()> {
        self.0.flush().context("write the last samples")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_beat_ends_when_told_and_not_before() {
        let (tell, told) = watch::channel(false);
        let mut beat = Beat::new(Duration::from_millis(100), told);
        assert!(beat.next().await);
        assert!(beat.next().await);
        tell.send(true).unwrap();
        assert!(!beat.next().await);
    }

    #[test]
    fn a_component_without_a_process_has_no_cpu_time() {
        let own = std::process::id();
        let line = read_cpu(1.0, &Pids { load: Some(own), ..Pids::default() }, &[]);
        assert_eq!(line.redis_cpu_s, None);
        // No process has the number 0.
        for (redis, is_known) in [(vec![own, own], true), (vec![own, 0], false)] {
            let line = read_cpu(1.0, &Pids { redis, ..Pids::default() }, &[]);
            assert_eq!(line.redis_cpu_s.is_some(), is_known);
        }
        assert!(line.load_cpu_s.is_some());
    }
}
