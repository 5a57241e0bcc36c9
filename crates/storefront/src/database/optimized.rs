//! Reading a product page with one statement: each table is visited once, whole rows and sorts of
//! whole rows are avoided, and authors are joined instead of asked for one by one.
//!
//! Schema and indexes are the same as for the other way: only the statement differs.

use std::sync::Arc;

use lab_core::catalogue::{CategorySummary, ProductLink, ProductPage, RatingSummary, ReviewEntry};
use tokio_postgres::Row;

use super::{Connection, Database};
use crate::{error::DatabaseError, request::RequestContext};

/// `shelf` is the product's category without its texts, `opinion` all reviews of the product; each
/// is read once and used for the totals and for the short list alike.
const PRODUCT_PAGE: &str = "
WITH shelf AS MATERIALIZED (
    SELECT other.id, other.price_cents, other.units_sold
    FROM products AS this JOIN products AS other ON other.category_id = this.category_id
    WHERE this.id = $1
), opinion AS MATERIALIZED (
    SELECT id, author_id, rating, title, body, created_at FROM reviews WHERE product_id = $1
)
SELECT product.name, product.description, product.price_cents, product.stock,
       category.id AS category_id, category.name AS category_name,
       shelf_total.*, rating.*, latest.*, related.*
FROM products AS product
JOIN categories AS category ON category.id = product.category_id
CROSS JOIN LATERAL (
    SELECT count(*) AS n_products, sum(price_cents) / count(*) AS price_cents_mean,
           count(*) FILTER (WHERE price_cents < product.price_cents) AS n_cheaper
    FROM shelf
) AS shelf_total
CROSS JOIN (
    SELECT ARRAY[
        count(*) FILTER (WHERE rating = 1), count(*) FILTER (WHERE rating = 2),
        count(*) FILTER (WHERE rating = 3), count(*) FILTER (WHERE rating = 4),
        count(*) FILTER (WHERE rating = 5)
    ] AS histogram
    FROM opinion
) AS rating
CROSS JOIN (
    SELECT array_agg(newest.id) AS review_ids, array_agg(author.name) AS authors,
           array_agg(author.country) AS countries, array_agg(newest.rating) AS ratings,
           array_agg(newest.title) AS titles, array_agg(newest.body) AS bodies,
           array_agg(newest.created_at) AS created_at
    FROM (SELECT * FROM opinion ORDER BY created_at DESC LIMIT 8) AS newest
    JOIN authors AS author ON author.id = newest.author_id
) AS latest
CROSS JOIN (
    SELECT array_agg(other.id) AS related_ids, array_agg(other.name) AS related_names,
           array_agg(other.price_cents) AS related_prices,
           array_agg(top.units_sold) AS related_units_sold
    FROM (
        SELECT id, units_sold FROM shelf WHERE id <> $1 ORDER BY units_sold DESC, id LIMIT 6
    ) AS top
    JOIN products AS other ON other.id = top.id
) AS related
WHERE product.id = $1";

impl Database {
    /// The page of a product read by one statement, or `None` if there is no such product.
    pub(crate) async fn optimized_product_page(
        self: &Arc<Self>,
        context: RequestContext,
        id: i32,
    ) -> Result<Option<ProductPage>, DatabaseError> {
        product_page(&self.acquire(context).await?, id).await
    }
}

async fn product_page(
    connection: &Connection,
    id: i32,
) -> Result<Option<ProductPage>, DatabaseError> {
    let Some(row) = connection.query_opt(PRODUCT_PAGE, &[&id]).await? else {
        return Ok(None);
    };
    let histogram: Vec<i64> = row.get("histogram");
    let histogram = histogram.try_into().expect("the statement builds it of five counts");
    Ok(Some(ProductPage {
        id,
        name: row.get("name"),
        description: row.get("description"),
        price_cents: row.get("price_cents"),
        stock: row.get("stock"),
        category: CategorySummary {
            id: row.get("category_id"),
            name: row.get("category_name"),
            n_products: row.get("n_products"),
            price_cents_mean: row.get("price_cents_mean"),
            n_cheaper: row.get("n_cheaper"),
        },
        rating: RatingSummary::from_histogram(histogram),
        latest_reviews: latest_reviews(&row),
        related: related(&row),
    }))
}

/// An aggregate over no rows is null, which stands for no entries here.
fn column<'a, T>(row: &'a Row, name: &str) -> impl Iterator<Item = T> + use<'a, T>
where
    Vec<T>: tokio_postgres::types::FromSql<'a>,
{
    row.get::<_, Option<Vec<T>>>(name).unwrap_or_default().into_iter()
}

/// The join may have lost the order of the short list, so it is sorted here: eight entries.
fn latest_reviews(row: &Row) -> Vec<ReviewEntry> {
    let mut authors = column::<String>(row, "authors");
    let mut countries = column::<String>(row, "countries");
    let mut ratings = column::<i32>(row, "ratings");
    let mut titles = column::<String>(row, "titles");
    let mut bodies = column::<String>(row, "bodies");
    let mut created_at = column::<i64>(row, "created_at");
    let mut entries: Vec<ReviewEntry> = column::<i32>(row, "review_ids")
        .map_while(|id| {
            Some(ReviewEntry {
                id,
                author: authors.next()?,
                country: countries.next()?,
                rating: ratings.next()?,
                title: titles.next()?,
                body: bodies.next()?,
                created_at: created_at.next()?,
            })
        })
        .collect();
    entries.sort_unstable_by_key(|it| std::cmp::Reverse(it.created_at));
    entries
}

/// As above: six entries.
fn related(row: &Row) -> Vec<ProductLink> {
    let mut names = column::<String>(row, "related_names");
    let mut prices = column::<i32>(row, "related_prices");
    let mut units_sold = column::<i32>(row, "related_units_sold");
    let mut links: Vec<(i32, ProductLink)> = column::<i32>(row, "related_ids")
        .map_while(|id| {
            let link = ProductLink { id, name: names.next()?, price_cents: prices.next()? };
            Some((units_sold.next()?, link))
        })
        .collect();
    links.sort_unstable_by_key(|(units_sold, link)| (std::cmp::Reverse(*units_sold), link.id));
    links.into_iter().map(|(_, link)| link).collect()
}
