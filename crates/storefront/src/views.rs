//! View counts: added up in Redis, moved to the database every second.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use lab_core::outcome::ServedBy;
use tokio::{
    sync::watch,
    time::{Instant, MissedTickBehavior, interval_at},
};

use crate::{
    database::Database,
    error::{DatabaseError, ServiceError},
    redis_client::RedisClient,
};

/// Where counts wait in Redis: one hash, product → views.
const KEY: &str = "views";

/// Time from one move to the next.
const FLUSH_INTERVAL: Duration = Duration::from_secs(1);

/// Counts views.
#[derive(Debug)]
pub(crate) struct Views {
    redis: RedisClient,
    database: Arc<Database>,
    /// Taken out of Redis and not yet in the database.
    taken: Mutex<BTreeMap<i32, i64>>,
    n_taken: AtomicU64,
}

impl Views {
    pub(crate) fn new(redis: RedisClient, database: Arc<Database>) -> Self {
        Self { redis, database, taken: Mutex::default(), n_taken: AtomicU64::new(0) }
    }

    /// Counts one view, in Redis or, when that gives no answer, in the database.
    ///
    /// A call that ran into its bound may have reached Redis: then the view counts twice, which is
    /// the lesser evil for a counter.
    /// **Errors**: neither took it.
    pub(crate) async fn add(&self, product: i32) -> Result<ServedBy, ServiceError> {
        let mut command = redis::cmd("HINCRBY");
        command.arg(KEY).arg(product).arg(1);
        match self.redis.command::<()>(&command).await {
            Ok(()) => Ok(ServedBy::Redis),
            Err(_) => {
                self.database.add_views(&[(product, 1)]).await?;
                Ok(ServedBy::Database)
            }
        }
    }

    /// Views acknowledged that are neither in Redis nor in the database.
    pub(crate) fn buffered(&self) -> u64 {
        self.n_taken.load(Relaxed)
    }

    /// Moves counts to the database every second, until `stop` is sent. Errors only postpone it.
    ///
    /// **Cancellation**: counts taken and not yet written are lost. Send `stop` and wait instead.
    pub(crate) async fn flush_every_second(&self, mut stop: watch::Receiver<()>) {
        let mut ticks = interval_at(Instant::now() + FLUSH_INTERVAL, FLUSH_INTERVAL);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                _ = ticks.tick() => {}
                _ = stop.changed() => return,
            }
            self.take().await;
            if let Err(error) = self.flush().await {
                tracing::debug!(%error, "views stay in the buffer");
            }
        }
    }

    /// Reads and deletes the counts in one transaction, so that none is taken twice.
    async fn take(&self) {
        let mut pipeline = redis::pipe();
        pipeline.atomic().cmd("HGETALL").arg(KEY).cmd("DEL").arg(KEY).ignore();
        let Ok((counts,)) = self.redis.pipeline::<(BTreeMap<i32, i64>,)>(&pipeline).await else {
            return;
        };
        let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        for (product, count) in counts {
            *taken.entry(product).or_default() += count;
        }
        self.n_taken.store(total(&taken), Relaxed);
    }

    /// Writes what was taken to the database. **Errors**: it stays taken, for the next time.
    async fn flush(&self) -> Result<(), DatabaseError> {
        let views: Vec<(i32, i64)> = {
            let taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
            taken.iter().map(|(product, count)| (*product, *count)).collect()
        };
        if views.is_empty() {
            return Ok(());
        }
        self.database.add_views(&views).await?;
        let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        taken.clear();
        self.n_taken.store(0, Relaxed);
        Ok(())
    }
}

fn total(counts: &BTreeMap<i32, i64>) -> u64 {
    u64::try_from(counts.values().sum::<i64>()).unwrap_or(0)
}
