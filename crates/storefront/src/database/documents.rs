//! Finished pages in the database: one row per product, read by its key and sent as it is.
//!
//! The price is paid by whoever writes: a changed review, price or sale would have to rewrite every
//! page that shows it. Pages of this catalogue do not change during a trial, so that price is not
//! in any figure.

use std::sync::Arc;

use axum::body::Bytes;
use tokio_postgres::Row;

use super::{Connection, Database};
use crate::{error::DatabaseError, request::RequestContext};

impl Database {
    /// The finished page of a product, or `None` if there is no such product.
    pub(crate) async fn product_document(
        self: &Arc<Self>,
        context: RequestContext,
        id: i32,
    ) -> Result<Option<Bytes>, DatabaseError> {
        let sql = "SELECT page FROM product_documents WHERE product_id = $1";
        document(&self.acquire(context).await?, sql, id).await
    }

    /// The finished recommendations of a product, or `None` if there is no such product.
    pub(crate) async fn recommendations_document(
        self: &Arc<Self>,
        context: RequestContext,
        id: i32,
    ) -> Result<Option<Bytes>, DatabaseError> {
        let sql = "SELECT recommendations FROM product_documents WHERE product_id = $1";
        document(&self.acquire(context).await?, sql, id).await
    }
}

async fn document(
    connection: &Connection,
    sql: &'static str,
    id: i32,
) -> Result<Option<Bytes>, DatabaseError> {
    let body = |row: Row| Bytes::from(row.get::<_, String>(0));
    Ok(connection.query_opt(sql, &[&id]).await?.map(body))
}
