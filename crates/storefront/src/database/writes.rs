//! What requests change: orders and view counts. One statement each, committed when it returns.

use std::sync::Arc;

use tokio_postgres::types::ToSql;

use super::Database;
use crate::{error::DatabaseError, request::RequestContext};

/// An order as a user places it.
#[derive(Debug)]
pub(crate) struct Order<'a> {
    /// Chosen by the client; the same key is the same order.
    pub(crate) idempotency_key: &'a str,
    /// What is ordered.
    pub(crate) product: i32,
    /// How many, at least 1.
    pub(crate) quantity: i32,
    /// Who orders.
    pub(crate) user: i64,
}

const PLACE_ORDER: &str = "
INSERT INTO orders (idempotency_key, product_id, quantity, user_id) VALUES ($1, $2, $3, $4)
ON CONFLICT (idempotency_key) DO NOTHING";

const ADD_VIEWS: &str = "
INSERT INTO product_views (product_id, n_views)
SELECT * FROM unnest($1::integer[], $2::bigint[])
ON CONFLICT (product_id) DO UPDATE SET n_views = product_views.n_views + excluded.n_views";

/// The position moves on only from where the caller saw it, in the same transaction as the counts:
/// a batch that comes again finds it moved, and adds nothing.
const APPLY_QUEUED_VIEWS: &str = "
WITH advanced AS (
    INSERT INTO queue_positions (queue, applied_to) VALUES ('views', $4)
    ON CONFLICT (queue) DO UPDATE SET applied_to = excluded.applied_to
    WHERE queue_positions.applied_to = $3
    RETURNING applied_to
)
INSERT INTO product_views (product_id, n_views)
SELECT * FROM unnest($1::integer[], $2::bigint[]) WHERE EXISTS (SELECT FROM advanced)
ON CONFLICT (product_id) DO UPDATE SET n_views = product_views.n_views + excluded.n_views";

const QUEUE_POSITION: &str = "SELECT applied_to FROM queue_positions WHERE queue = 'views'";

impl Database {
    /// The first sequence number of queued views that has not been applied; 0 when none has.
    pub(crate) async fn queued_views_position(
        self: &Arc<Self>,
        context: RequestContext,
    ) -> Result<i64, DatabaseError> {
        let row = self.acquire(context).await?.query_opt(QUEUE_POSITION, &[]).await?;
        Ok(row.map_or(0, |it| it.get(0)))
    }

    /// Adds queued views to the counts and moves the position from `from` to `to`, both or
    /// neither. Does nothing when the position is not `from`.
    pub(crate) async fn apply_queued_views(
        self: &Arc<Self>,
        context: RequestContext,
        views: &[(i32, i64)],
        from: i64,
        to: i64,
    ) -> Result<(), DatabaseError> {
        let (products, counts): (Vec<i32>, Vec<i64>) = views.iter().copied().unzip();
        let connection = self.acquire(context).await?;
        let parameters: [&(dyn ToSql + Sync); 4] = [&products, &counts, &from, &to];
        connection.query(APPLY_QUEUED_VIEWS, &parameters).await.map(drop)
    }

    /// Places an order, or finds that it has been placed. When this returns, it is durable:
    /// PostgreSQL reports the end of a statement outside a transaction after its commit.
    pub(crate) async fn place_order(
        self: &Arc<Self>,
        context: RequestContext,
        order: &Order<'_>,
    ) -> Result<(), DatabaseError> {
        let connection = self.acquire(context).await?;
        let Order { idempotency_key, product, quantity, user } = order;
        connection.query(PLACE_ORDER, &[idempotency_key, product, quantity, user]).await.map(drop)
    }

    /// Adds views to the counts of products; no product may stand twice.
    pub(crate) async fn add_views(
        self: &Arc<Self>,
        context: RequestContext,
        views: &[(i32, i64)],
    ) -> Result<(), DatabaseError> {
        let (products, counts): (Vec<i32>, Vec<i64>) = views.iter().copied().unzip();
        let connection = self.acquire(context).await?;
        connection.query(ADD_VIEWS, &[&products, &counts]).await.map(drop)
    }
}
