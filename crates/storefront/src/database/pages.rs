//! Reading pages the way they are commonly written: one query for the product, one more for each
//! thing on the page, whole rows, and one query per author (N+1).

use std::sync::Arc;

use lab_core::catalogue::{
    CategoryEntry, CategorySummary, HomePage, ProductLink, ProductPage, RatingSummary,
    Recommendation, Recommendations, ReviewEntry,
};
use tokio_postgres::Row;

use super::{Connection, Database};
use crate::{error::DatabaseError, request::RequestContext};

impl Database {
    /// The page of a product, or `None` if there is no such product.
    pub(crate) async fn product_page(
        self: &Arc<Self>,
        context: RequestContext,
        id: i32,
    ) -> Result<Option<ProductPage>, DatabaseError> {
        self.acquire(context).await?.product_page(id).await
    }

    /// What those who reviewed this product reviewed as well, or `None` if there is no such
    /// product.
    pub(crate) async fn recommendations(
        self: &Arc<Self>,
        context: RequestContext,
        id: i32,
    ) -> Result<Option<Recommendations>, DatabaseError> {
        let connection = self.acquire(context).await?;
        let rows = connection.query(RECOMMENDATIONS, &[&id]).await?;
        // Nothing recommended is also what an unknown product looks like.
        if rows.is_empty() && connection.query_opt(PRODUCT, &[&id]).await?.is_none() {
            return Ok(None);
        }
        let items = rows
            .iter()
            .map(|row| Recommendation {
                id: row.get("id"),
                name: row.get("name"),
                price_cents: row.get("price_cents"),
                n_reviews: row.get("n_reviews"),
                rating_total: row.get("rating_total"),
            })
            .collect();
        Ok(Some(Recommendations { product_id: id, items }))
    }

    /// The home page.
    pub(crate) async fn home(
        self: &Arc<Self>,
        context: RequestContext,
    ) -> Result<HomePage, DatabaseError> {
        let connection = self.acquire(context).await?;
        let bestsellers = connection.query(BESTSELLERS, &[]).await?;
        let categories = connection.query("SELECT * FROM categories ORDER BY id", &[]).await?;
        Ok(HomePage {
            bestsellers: bestsellers.iter().map(link).collect(),
            categories: categories
                .iter()
                .map(|row| CategoryEntry { id: row.get("id"), name: row.get("name") })
                .collect(),
        })
    }
}

const PRODUCT: &str = "SELECT * FROM products WHERE id = $1";

const RELATED: &str = "SELECT * FROM products WHERE category_id = $1 AND id <> $2
    ORDER BY units_sold DESC, id LIMIT 6";

const BESTSELLERS: &str = "SELECT * FROM products ORDER BY units_sold DESC, id LIMIT 12";

const RECOMMENDATIONS: &str = "
SELECT products.id, products.name, products.price_cents,
       count(*) AS n_reviews, sum(reviews.rating) AS rating_total
FROM reviews JOIN products ON products.id = reviews.product_id
WHERE reviews.author_id IN (SELECT author_id FROM reviews WHERE product_id = $1)
  AND reviews.product_id <> $1
GROUP BY products.id
ORDER BY n_reviews DESC, rating_total DESC, products.id
LIMIT 12";

impl Connection {
    async fn product_page(&self, id: i32) -> Result<Option<ProductPage>, DatabaseError> {
        let Some(product) = self.query_opt(PRODUCT, &[&id]).await? else {
            return Ok(None);
        };
        Ok(Some(ProductPage {
            id,
            name: product.get("name"),
            description: product.get("description"),
            price_cents: product.get("price_cents"),
            stock: product.get("stock"),
            category: self.category(&product).await?,
            rating: self.rating(id).await?,
            latest_reviews: self.latest_reviews(id).await?,
            related: self.related(&product).await?,
        }))
    }

    async fn category(&self, product: &Row) -> Result<CategorySummary, DatabaseError> {
        let id: i32 = product.get("category_id");
        let price_cents: i32 = product.get("price_cents");
        let row = self.query_one("SELECT * FROM categories WHERE id = $1", &[&id]).await?;
        let sql = "SELECT count(*), sum(price_cents) FROM products WHERE category_id = $1";
        let totals = self.query_one(sql, &[&id]).await?;
        let sql = "SELECT count(*) FROM products WHERE category_id = $1 AND price_cents < $2";
        let cheaper = self.query_one(sql, &[&id, &price_cents]).await?;
        let (n_products, price_total): (i64, i64) = (totals.get(0), totals.get(1));
        Ok(CategorySummary {
            id,
            name: row.get("name"),
            n_products,
            price_cents_mean: price_total / n_products,
            n_cheaper: cheaper.get(0),
        })
    }

    async fn rating(&self, id: i32) -> Result<RatingSummary, DatabaseError> {
        let sql = "SELECT rating, count(*) FROM reviews WHERE product_id = $1 GROUP BY rating";
        let mut histogram = [0; 5];
        for row in self.query(sql, &[&id]).await? {
            let (rating, count): (i32, i64) = (row.get(0), row.get(1));
            let stars = usize::try_from(rating - 1).ok().and_then(|it| histogram.get_mut(it));
            *stars.expect("ratings are 1 to 5") = count;
        }
        Ok(RatingSummary::from_histogram(histogram))
    }

    async fn latest_reviews(&self, id: i32) -> Result<Vec<ReviewEntry>, DatabaseError> {
        let sql = "SELECT * FROM reviews WHERE product_id = $1 ORDER BY created_at DESC LIMIT 8";
        let mut entries = Vec::new();
        for row in self.query(sql, &[&id]).await? {
            let author_id: i32 = row.get("author_id");
            let sql = "SELECT * FROM authors WHERE id = $1";
            let author = self.query_one(sql, &[&author_id]).await?;
            entries.push(ReviewEntry {
                id: row.get("id"),
                author: author.get("name"),
                country: author.get("country"),
                rating: row.get("rating"),
                title: row.get("title"),
                body: row.get("body"),
                created_at: row.get("created_at"),
            });
        }
        Ok(entries)
    }

    async fn related(&self, product: &Row) -> Result<Vec<ProductLink>, DatabaseError> {
        let (id, category_id): (i32, i32) = (product.get("id"), product.get("category_id"));
        Ok(self.query(RELATED, &[&category_id, &id]).await?.iter().map(link).collect())
    }
}

fn link(row: &Row) -> ProductLink {
    ProductLink { id: row.get("id"), name: row.get("name"), price_cents: row.get("price_cents") }
}
