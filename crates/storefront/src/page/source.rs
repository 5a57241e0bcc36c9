//! What the database has to answer for a page, under each way of reading it.

use std::sync::Arc;

use axum::body::Bytes;
use lab_core::settings::PageQuery;

use super::{PageKey, to_body};
use crate::{database::Database, error::DatabaseError, request::RequestContext};

/// The body of the page at `key`, or `None` if there is no such page.
///
/// **Errors**: the database gave no answer.
pub(super) async fn read(
    database: &Arc<Database>,
    context: RequestContext,
    page_query: PageQuery,
    key: PageKey,
) -> Result<Option<Bytes>, DatabaseError> {
    let body = match (key, page_query) {
        (PageKey::Home, _) => Some(to_body(&database.home(context).await?)),
        (PageKey::Product(id), PageQuery::NPlusOne) => {
            database.product_page(context, id).await?.as_ref().map(to_body)
        }
        (PageKey::Product(id), PageQuery::Optimized) => {
            database.optimized_product_page(context, id).await?.as_ref().map(to_body)
        }
        (PageKey::Product(id), PageQuery::Denormalized) => {
            database.product_document(context, id).await?
        }
        (PageKey::Recommendations(id), PageQuery::NPlusOne | PageQuery::Optimized) => {
            database.recommendations(context, id).await?.as_ref().map(to_body)
        }
        (PageKey::Recommendations(id), PageQuery::Denormalized) => {
            database.recommendations_document(context, id).await?
        }
    };
    Ok(body)
}
