//! What requests change: orders and view counts. One statement each, committed when it returns.

use super::Database;
use crate::error::DatabaseError;

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

impl Database {
    /// Places an order, or finds that it has been placed. When this returns, it is durable:
    /// PostgreSQL reports the end of a statement outside a transaction after its commit.
    pub(crate) async fn place_order(&self, order: &Order<'_>) -> Result<(), DatabaseError> {
        let connection = self.acquire().await?;
        let Order { idempotency_key, product, quantity, user } = order;
        connection.query(PLACE_ORDER, &[idempotency_key, product, quantity, user]).await.map(drop)
    }

    /// Adds views to the counts of products; no product may stand twice.
    pub(crate) async fn add_views(&self, views: &[(i32, i64)]) -> Result<(), DatabaseError> {
        let (products, counts): (Vec<i32>, Vec<i64>) = views.iter().copied().unzip();
        let connection = self.acquire().await?;
        connection.query(ADD_VIEWS, &[&products, &counts]).await.map(drop)
    }
}
