//! The rows of the four tables that never change, as they are copied into the database.
//!
//! Numbers have the widths of PostgreSQL's `integer` and `bigint` columns.

use super::{Catalogue, text::Draws};

/// A row of `categories`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CategoryRow {
    /// Primary key, from 0.
    pub id: i32,
    /// Name that people read.
    pub name: String,
}

/// A row of `authors`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuthorRow {
    /// Primary key, from 0.
    pub id: i32,
    /// Name that people read.
    pub name: String,
    /// Two capital letters.
    pub country: String,
    /// A few lines that no page shows; `SELECT *` fetches them all the same.
    pub biography: String,
}

/// A row of `products`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProductRow {
    /// Primary key, from 0.
    pub id: i32,
    /// Its category.
    pub category_id: i32,
    /// Name that people read.
    pub name: String,
    /// Some 500 bytes.
    pub description: String,
    /// Price in hundredths of the currency.
    pub price_cents: i32,
    /// Units ever sold; the rank among related products.
    pub units_sold: i32,
    /// Units left.
    pub stock: i32,
}

/// A row of `reviews`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReviewRow {
    /// Primary key, from 0.
    pub id: i32,
    /// What it is about.
    pub product_id: i32,
    /// Who wrote it.
    pub author_id: i32,
    /// 1 to 5.
    pub rating: i32,
    /// A few words.
    pub title: String,
    /// Some 150 bytes.
    pub body: String,
    /// Seconds since 1970; grows with the id, so that "newest" has no ties.
    pub created_at: i64,
}

/// 2020-01-01 00:00 UTC, when the first review was written.
const FIRST_REVIEW_AT: i64 = 1_577_836_800;

/// Time from one review to the next, seconds.
const REVIEW_INTERVAL: i64 = 600;

const COUNTRIES: [&str; 8] = ["KR", "DE", "FR", "JP", "BR", "US", "KE", "IN"];

/// A number of the generator as a column has it.
pub(super) fn integer(value: u32) -> i32 {
    i32::try_from(value).expect("counts and ids stay below PostgreSQL's largest integer")
}

impl Catalogue {
    /// Every row of `categories`, by id.
    pub fn categories(&self) -> impl Iterator<Item = CategoryRow> {
        (0..self.spec.categories.get())
            .map(|id| CategoryRow { id: integer(id), name: self.category_name(id) })
    }

    /// Every row of `authors`, by id.
    pub fn authors(&self) -> impl Iterator<Item = AuthorRow> {
        (0..self.spec.authors.get()).map(|id| self.author(id))
    }

    /// Every row of `products`, by id.
    pub fn products(&self) -> impl Iterator<Item = ProductRow> {
        (0..self.spec.products.get()).map(|id| self.product(id))
    }

    /// Every row of `reviews`, by id.
    pub fn reviews(&self) -> impl Iterator<Item = ReviewRow> {
        (0..self.spec.reviews.get()).map(|id| self.review(id))
    }

    pub(super) fn category_name(&self, id: u32) -> String {
        let phrase = Draws::new(self.spec.seed, "category-name", id).phrase(2);
        format!("{phrase} {id}")
    }

    pub(super) fn author(&self, id: u32) -> AuthorRow {
        let mut draws = Draws::new(self.spec.seed, "author", id);
        AuthorRow {
            id: integer(id),
            name: format!("{} {id}", draws.phrase(2)),
            country: COUNTRIES[draws.below(8) as usize].to_owned(),
            biography: draws.paragraph(3),
        }
    }

    pub(super) fn product_name(&self, id: u32) -> String {
        let phrase = Draws::new(self.spec.seed, "product-name", id).phrase(3);
        format!("{phrase} {id}")
    }

    pub(super) fn product(&self, id: u32) -> ProductRow {
        let product = &self.products[id as usize];
        ProductRow {
            id: integer(id),
            category_id: integer(product.category_id),
            name: self.product_name(id),
            description: Draws::new(self.spec.seed, "description", id).paragraph(7),
            price_cents: integer(product.price_cents),
            units_sold: integer(product.units_sold),
            stock: integer(product.stock),
        }
    }

    pub(super) fn review(&self, id: u32) -> ReviewRow {
        let review = &self.reviews[id as usize];
        let mut draws = Draws::new(self.spec.seed, "review-text", id);
        ReviewRow {
            id: integer(id),
            product_id: integer(review.product_id),
            author_id: integer(review.author_id),
            rating: i32::from(review.rating),
            title: draws.phrase(4),
            body: draws.paragraph(2),
            created_at: FIRST_REVIEW_AT + REVIEW_INTERVAL * i64::from(id),
        }
    }
}
