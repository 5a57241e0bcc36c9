//! Views that wait in the queue on disk, and their way into the database: each once.
//!
//! The queue gives a batch again when it does not know that it was applied. The database keeps the
//! position up to which it has applied the queue and moves it in the transaction that adds the
//! counts, so an item that comes again is passed over.

use std::{collections::BTreeMap, sync::Arc};

use lab_mitigation::async_queue::{AsyncQueue, Batch};
use tokio::{sync::watch, time::sleep};

use super::{RETRY_INTERVAL, background};
use crate::{database::Database, error::ServiceError};

/// Items applied by one statement.
const BATCH_ITEMS_MAX: usize = 1_000;

/// What stands in the queue for one view of `product`.
pub(super) fn payload(product: i32) -> [u8; 4] {
    product.to_le_bytes()
}

/// Applies what is in the queue, and what comes, until `stop` is sent; then what is left.
pub(super) async fn apply(
    queue: &AsyncQueue,
    database: &Arc<Database>,
    mut stop: watch::Receiver<()>,
) {
    let mut is_stopping = false;
    while !is_stopping {
        tokio::select! {
            () = queue.ready() => {}
            _ = stop.changed() => is_stopping = true,
        }
        if let Err(error) = apply_batch(queue, database).await {
            tracing::debug!(%error, "views stay in the queue");
            if !is_stopping {
                sleep(RETRY_INTERVAL).await;
            }
        }
    }
    // What is still there is on disk, and applied when the service is started again.
    while 0 < queue.snapshot().n_items && apply_batch(queue, database).await.is_ok() {}
    queue.close().await;
}

async fn apply_batch(queue: &AsyncQueue, database: &Arc<Database>) -> Result<(), ServiceError> {
    let batch = queue.peek(BATCH_ITEMS_MAX);
    let Some(last) = batch.items().last() else { return Ok(()) };
    let to = position(last.sequence.0) + 1;
    let from = database.queued_views_position(background()).await?;
    let views: Vec<_> = counts(&batch, from).into_iter().collect();
    if from < to {
        database.apply_queued_views(background(), &views, from, to).await?;
    }
    queue.advance(batch).await?;
    Ok(())
}

/// Views per product of the items at `from` or later. What is no view is passed over: the queue
/// holds nothing else, and one damaged item must not stop all others.
fn counts(batch: &Batch, from: i64) -> BTreeMap<i32, i64> {
    let mut counts = BTreeMap::new();
    for item in batch.items().iter().filter(|it| from <= position(it.sequence.0)) {
        if let Ok(product) = <[u8; 4]>::try_from(&*item.payload) {
            *counts.entry(i32::from_le_bytes(product)).or_default() += 1;
        }
    }
    counts
}

fn position(sequence: u64) -> i64 {
    i64::try_from(sequence).unwrap_or(i64::MAX)
}
