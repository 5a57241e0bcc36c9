//! Samplers: connection demand, PostgreSQL's backends and CPU time, while a trial runs.
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
    sync::watch,
    time::{MissedTickBehavior, interval},
};

use super::{control::Control, database::Admin};
use crate::machine::cpu_time::tree_cpu_seconds;

/// Process ids of the components; Redis's changes when it is restarted.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Pids {
    /// The target service.
    pub(crate) storefront: Option<u32>,
    /// PostgreSQL's first process.
    pub(crate) postgres: Option<u32>,
    /// Redis.
    pub(crate) redis: Option<u32>,
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
    sources: (Control, Admin),
    trial: &Path,
) -> Result<()> {
    let (control, admin) = sources;
    let at_ms = move || to_ms(MonotonicNs::now().since(origin));
    let mut service = LineFile::create(&trial.join(SERVICE_FILE))?;
    let mut database = LineFile::create(&trial.join(DATABASE_FILE))?;
    let mut cpu = LineFile::create(&trial.join(CPU_FILE))?;
    let service_loop = async {
        let mut beat = Beat::new(SERVICE_PERIOD, stop.clone());
        while beat.next().await {
            if let Ok(sample) = control.sample().await {
                service.append(&ServiceLine { at_ms: at_ms(), sample })?;
            }
        }
        service.close()
    };
    let database_loop = async {
        let mut beat = Beat::new(DATABASE_PERIOD, stop.clone());
        while beat.next().await {
            if let Ok(backends) = admin.backends().await {
                database.append(&DatabaseLine { at_ms: at_ms(), backends })?;
            }
        }
        database.close()
    };
    let cpu_loop = async {
        let mut beat = Beat::new(CPU_PERIOD, stop.clone());
        while beat.next().await {
            let line = read_cpu(at_ms(), *pids.borrow());
            cpu.append(&line)?;
        }
        cpu.close()
    };
    tokio::try_join!(service_loop, database_loop, cpu_loop)?;
    Ok(())
}

fn read_cpu(at_ms: f64, pids: Pids) -> CpuLine {
    let read = |pid: Option<u32>| pid.and_then(tree_cpu_seconds);
    CpuLine {
        at_ms,
        storefront_cpu_s: read(pids.storefront),
        postgres_cpu_s: read(pids.postgres),
        redis_cpu_s: read(pids.redis),
        load_cpu_s: read(pids.load),
    }
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
        let line = read_cpu(1.0, Pids { load: Some(std::process::id()), ..Pids::default() });
        assert_eq!(line.redis_cpu_s, None);
        assert!(line.load_cpu_s.is_some());
    }
}
