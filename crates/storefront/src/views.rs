//! View counts: where each goes when it happens, and how it gets into the database.
//!
//! In this order: the queue on disk, if it is on; the buffer in memory, if that is on; Redis, which
//! is emptied into the database every second; and the database itself when Redis gives no answer.

mod queued;

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use lab_core::outcome::ServedBy;
use lab_mitigation::{
    async_queue::{AsyncQueue, Enqueued},
    batch_writes::{Added, BatchWrites},
};
use tokio::{
    sync::watch,
    time::{Instant, MissedTickBehavior, interval_at, sleep},
};

use crate::{
    database::Database,
    error::{DatabaseError, ServiceError},
    redis_client::RedisClient,
    request::RequestContext,
};

/// Where counts wait in Redis: one hash, product → views.
const KEY: &str = "views";

/// Time from one move out of Redis to the next.
const FLUSH_INTERVAL: Duration = Duration::from_secs(1);

/// Time before something that the database refused is tried again.
const RETRY_INTERVAL: Duration = Duration::from_millis(200);

/// Counts views.
#[derive(Debug)]
pub(crate) struct Views {
    redis: RedisClient,
    database: Arc<Database>,
    /// Counts in memory that wait for their flush.
    pub(crate) batch: BatchWrites<i32>,
    /// Counts on disk that wait to be applied.
    pub(crate) queue: AsyncQueue,
    /// Taken out of Redis and not yet in the database.
    taken: Mutex<BTreeMap<i32, i64>>,
    n_taken: AtomicU64,
}

impl Views {
    pub(crate) fn new(
        redis: RedisClient,
        database: Arc<Database>,
        batch: BatchWrites<i32>,
        queue: AsyncQueue,
    ) -> Self {
        let (taken, n_taken) = (Mutex::default(), AtomicU64::new(0));
        Self { redis, database, batch, queue, taken, n_taken }
    }

    /// Counts one view and says who took it.
    ///
    /// A Redis call that ran into its bound may have reached Redis: then the view counts twice,
    /// which is the lesser evil for a counter.
    /// **Errors**: nobody took it.
    pub(crate) async fn add(
        &self,
        context: RequestContext,
        product: i32,
    ) -> Result<ServedBy, ServiceError> {
        if let Enqueued::Durable(_) = self.queue.enqueue(queued::payload(product)).await? {
            return Ok(ServedBy::Local);
        }
        if self.batch.add(product, 1)? == Added::Buffered {
            return Ok(ServedBy::Local);
        }
        let mut command = redis::cmd("HINCRBY");
        command.arg(KEY).arg(product).arg(1);
        match self.redis.command::<()>(context, &command).await {
            Ok(()) => Ok(ServedBy::Redis),
            Err(_) => {
                self.database.add_views(context, &[(product, 1)]).await?;
                Ok(ServedBy::Database)
            }
        }
    }

    /// Views acknowledged that are neither in Redis nor in the database.
    pub(crate) fn buffered(&self) -> u64 {
        self.n_taken.load(Relaxed) + self.batch.buffered() + self.queue.snapshot().n_items
    }

    /// Moves counts to the database from wherever they wait, until `stop` is sent; then once more.
    /// Errors only postpone it.
    ///
    /// **Cancellation**: counts taken out of Redis or of memory and not yet written are lost. Send
    /// `stop` and wait instead.
    pub(crate) async fn run(&self, stop: watch::Receiver<()>) {
        tokio::join!(
            self.empty_redis(stop.clone()),
            self.write_batches(stop.clone()),
            queued::apply(&self.queue, &self.database, stop),
        );
    }

    async fn empty_redis(&self, mut stop: watch::Receiver<()>) {
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

    async fn write_batches(&self, mut stop: watch::Receiver<()>) {
        loop {
            let is_last = tokio::select! {
                _ = self.batch.due() => false,
                _ = stop.changed() => true,
            };
            let written = self.write_batch().await;
            if is_last {
                return;
            }
            if let Err(error) = written {
                tracing::debug!(%error, "views stay in memory");
                sleep(RETRY_INTERVAL).await;
            }
        }
    }

    async fn write_batch(&self) -> Result<(), DatabaseError> {
        let Some(taken) = self.batch.take() else { return Ok(()) };
        let count = |n: u64| i64::try_from(n).unwrap_or(i64::MAX);
        let views: Vec<_> = taken.counts().iter().map(|(key, n)| (*key, count(*n))).collect();
        // Dropped without a commit, what was taken goes back.
        self.database.add_views(background(), &views).await?;
        taken.commit();
        Ok(())
    }

    /// Reads and deletes the counts in one transaction, so that none is taken twice.
    async fn take(&self) {
        let mut pipeline = redis::pipe();
        pipeline.atomic().cmd("HGETALL").arg(KEY).cmd("DEL").arg(KEY).ignore();
        let taken = self.redis.pipeline::<(BTreeMap<i32, i64>,)>(background(), &pipeline).await;
        let Ok((counts,)) = taken else { return };
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
        self.database.add_views(background(), &views).await?;
        let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        taken.clear();
        self.n_taken.store(0, Relaxed);
        Ok(())
    }
}

fn background() -> RequestContext {
    RequestContext::background(Instant::now().into_std())
}

fn total(counts: &BTreeMap<i32, i64>) -> u64 {
    u64::try_from(counts.values().sum::<i64>()).unwrap_or(0)
}
